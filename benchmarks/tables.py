"""Markdown tables of what the benchmarks wrote down."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

Row = dict[str, Any]
HEAD = (
    "| network | texts | labels | system | words/s | per CPU-s | share of the limit | spacy-gliner is … × as fast "
    "| per CPU-s | found, same |\n| --- | --- | ---: | --- | ---: | ---: | ---: | --- | ---: | ---: |"
)


def speed_table(rows: Sequence[Row]) -> str:
    """A line for every system, work and number of labels."""
    lines = [HEAD]
    for of_one in grouped(rows, "network", "mode", "work", "labels"):
        ours = next(row for row in of_one if row["system"] == "spacy-gliner")
        lines += [speed_line(row, ours) for row in of_one]
    return "\n".join(lines)


def speed_line(row: Row, ours: Row) -> str:
    """One system beside ours."""
    words, found = row["words"], max(row["found"], ours["found"])
    share = median(limit / own for limit, own in zip(row["limits"], row["seconds"], strict=True))
    cells = [
        row["network"],
        row["work"] + (", one by one" if row["mode"] == "single" else ""),
        row["labels"],
        row["system"],
        f"{words / median(row['seconds']):.0f}",
        f"{words / median(row['cpu_seconds']):.0f}",
        f"{100 * share:.0f} %",
        "" if row is ours else spread(ratios(row, ours, "seconds")),
        "" if row is ours else f"{median(ratios(row, ours, 'cpu_seconds')):.2f}",
        f"{row['found']}, {100 * row['same'] / found:.0f} %" if found else "none",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def ratios(row: Row, ours: Row, key: str) -> list[float]:
    """Of every round, how much longer it took than ours."""
    return [theirs / own for theirs, own in zip(row[key], ours[key], strict=True)]


def spread(numbers: Sequence[float]) -> str:
    """The median, and in brackets the lowest and the highest."""
    return f"{median(numbers):.2f} ({min(numbers):.2f} – {max(numbers):.2f})"


def grouped(rows: Iterable[Row], *keys: str) -> list[list[Row]]:
    """Rows with the same values of these, together."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return list(groups.values())


def startup_table(rows: Sequence[Row]) -> str:
    """A line for every system: medians over its processes, and import and load beside importing spaCy and torch."""
    lines = [
        "| network | system | import | load | first text | import and load, beside importing spaCy and torch (rounds) "
        "| same text again | memory after it | after a stream of paragraphs |",
        "| --- | --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    for of_network in grouped(rows, "network"):
        alone = [row["import"] for row in of_network if row["system"] == "spacy and torch"]
        lines += [startup_line(of_one, alone) for of_one in grouped(of_network, "system")]
    return "\n".join(lines)


def startup_line(rows: Sequence[Row], alone: Sequence[float]) -> str:
    """One system."""
    beside = spread([(row["import"] + row.get("load", 0)) / base for row, base in zip(rows, alone, strict=True)])
    cells = [
        rows[0]["network"],
        rows[0]["system"],
        f"{middle(rows, 'import'):.2f} s",
        *(f"{middle(rows, key):.2f} s" if key in rows[0] else "" for key in ("load", "first")),
        beside,
        f"{1000 * middle(rows, 'latency'):.1f} ms" if "latency" in rows[0] else "",
        f"{middle(rows, 'peak_first' if 'peak_first' in rows[0] else 'peak_import'):.0f} MB",
        f"{middle(rows, 'peak'):.0f} MB" if "peak" in rows[0] else "",
    ]
    return f"| {' | '.join(cells)} |"


def middle(rows: Sequence[Row], key: str) -> float:
    """The median of a number."""
    return median(row[key] for row in rows)


def length_table(rows: Sequence[Row]) -> str:
    """A line for every length of a document; the first is what the others are compared with, round by round."""
    lines = [
        "| network | words of the document | words/s | time of a word, beside the first | CPU time | peak memory |"
    ]
    lines.append("| --- | ---: | ---: | --- | --- | ---: |")
    for of_network in grouped(rows, "network"):
        for row in of_network:
            beside = [
                spread([one / base for one, base in zip(row[key], of_network[0][key], strict=True)])
                for key in ("seconds_of_a_word", "cpu_seconds_of_a_word")
            ]
            speed = 1 / median(row["seconds_of_a_word"])
            cells = [row["network"], f"{row['words']:,}", f"{speed:.0f}", *beside, f"{row['peak']:.0f} MB"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def stream_table(rows: Sequence[Row]) -> str:
    """Memory as a stream goes on: at the beginning, after a quarter, half and all of it."""
    lines = ["| network | system | texts | after one text | a quarter | half | all | peak |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        seen = row["resident"]
        sizes = " | ".join(f"{seen[(len(seen) - 1) * part // 4]:.0f} MB" for part in (0, 1, 2, 4))
        lines.append(f"| {row['network']} | {row['system']} | {row['texts']:,} | {sizes} | {row['peak']:.0f} MB |")
    return "\n".join(lines)
