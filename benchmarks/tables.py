"""Markdown tables of what the benchmarks wrote down; as a command, those of docs/speed.md are written anew.

python benchmarks/tables.py benchmarks/results/*.jsonl
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

DOCS = Path(__file__).parent.parent / "docs" / "speed.md"
Row = dict[str, Any]
HEAD = (
    "| network | texts | labels | system | words/s | per CPU-s | share of the limit | spacy-gliner is … × as fast "
    "| per CPU-s | found, same |\n| --- | --- | ---: | --- | ---: | ---: | ---: | --- | ---: | ---: |"
)


def main(
    results: Annotated[list[Path], typer.Argument(help="Files of JSON lines")],
    docs: Annotated[Path, typer.Option(help="A file with the places of the tables")] = DOCS,
) -> None:
    """Write the tables, one for every processor, between their marks: `<!-- speed -->` and so on, to `<!-- end -->`."""
    rows, text = read_rows(results), docs.read_text(encoding="utf8")
    for kind, table in TABLES.items():
        tables = []
        for of_one in grouped([row for row in rows if row["kind"] == kind], "processor"):
            shown = table(of_one if kind == "speed" else last_runs(of_one))
            tables.append(f"{of_one[0]['processor']}:\n\n{shown}\n")
        if tables:
            written = "\n".join([f"<!-- {kind} -->", *tables, "<!-- end -->"])
            text = re.sub(rf"<!-- {kind} -->.*?<!-- end -->", lambda _, new=written: new, text, flags=re.DOTALL)
    docs.write_text(text, encoding="utf8")


def read_rows(files: Iterable[Path]) -> list[Row]:
    """The rows of all files, each with its processor."""
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf8").splitlines()]
    return [row | {"processor": row["machine"]["processor"]} for row in rows]


def last_runs(rows: Sequence[Row]) -> list[Row]:
    """Of every network and system whose stream it is, what was measured last."""
    last: dict[tuple[str, str | None], list[Row]] = {}
    for row in rows:
        key = row["network"], row.get("system") if row["kind"] == "stream" else None
        last.setdefault(key, []).append(row)
    return [row for of_one in last.values() for row in of_one if row["run"] == max(one["run"] for one in of_one)]


def summary_table(rows: Sequence[Row]) -> str:
    """A line for every work and number of labels, a column for every peer: its best size of batches, its last run."""
    peers = list(dict.fromkeys(peer_of(row) for row in rows if row["system"] != "spacy-gliner"))
    lines = [f"| network | texts | labels | words/s | per CPU-s | of the limit | {' | '.join(peers)} |"]
    lines.append(f"| --- | --- | ---: | ---: | ---: | ---: |{' --- |' * len(peers)}")
    for of_work in grouped(rows, "network", "mode", "work", "labels"):
        runs = {row["run"]: row for row in of_work if row["system"] == "spacy-gliner"}
        ours = runs[max(runs)]
        cells = [ours["network"], work_of(ours), ours["labels"], *speeds(ours)]
        for peer in peers:
            best = best_of_peer([row for row in of_work if peer_of(row) == peer])
            cells.append(beside(best, runs[best["run"]]) if best else "")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def peer_of(row: Row) -> str:
    """The name of the system without the size of its batches."""
    return str(row["system"]).split(",")[0]


def work_of(row: Row) -> str:
    """The texts and how they are given."""
    return row["work"] + (", one by one" if row["mode"] == "single" else "")


def best_of_peer(rows: Sequence[Row]) -> Row | None:
    """Of the last run, the size of batches that is fastest."""
    last = max((row["run"] for row in rows), default=None)
    of_last = [row for row in rows if row["run"] == last]
    return min(of_last, key=lambda row: median(row["seconds"])) if of_last else None


def speeds(row: Row) -> list[str]:
    """Words per second, per second of the processor, and the share of the limit."""
    share = median(limit / own for limit, own in zip(row["limits"], row["seconds"], strict=True))
    per_second = [row["words"] / median(row[key]) for key in ("seconds", "cpu_seconds")]
    return [*(f"{speed:.0f}" for speed in per_second), f"{100 * share:.0f} %"]


def speed_table(rows: Sequence[Row]) -> str:
    """A line for every system, work and number of labels."""
    lines = [HEAD]
    for of_one in grouped(rows, "network", "mode", "work", "labels"):
        ours = next(row for row in of_one if row["system"] == "spacy-gliner")
        lines += [speed_line(row, ours) for row in of_one]
    return "\n".join(lines)


def speed_line(row: Row, ours: Row) -> str:
    """One system beside ours."""
    found = max(row["found"], ours["found"])
    cells = [
        row["network"],
        work_of(row),
        row["labels"],
        row["system"],
        *speeds(row),
        "" if row is ours else spread(ratios(row, ours, "seconds")),
        "" if row is ours else f"{median(ratios(row, ours, 'cpu_seconds')):.2f}",
        f"{row['found']}, {100 * row['same'] / found:.0f} %" if found else "none",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def ratios(row: Row, ours: Row, key: str) -> list[float]:
    """Of every round, how much longer it took than ours."""
    return [theirs / own for theirs, own in zip(row[key], ours[key], strict=True)]


def beside(row: Row, ours: Row) -> str:
    """The ratios of the clock, and the median ratio of the processors' time."""
    return f"{spread(ratios(row, ours, 'seconds'))}; CPU {median(ratios(row, ours, 'cpu_seconds')):.2f}"


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
        "| network | system | import | load | first text | both, beside spaCy and torch alone | CPU time "
        "| same text again | memory after it | after a stream of paragraphs |",
        "| --- | --- | ---: | ---: | ---: | --- | --- | ---: | ---: | ---: |",
    ]
    for of_network in grouped(rows, "network"):
        alone = [row for row in of_network if row["system"] == "spacy and torch"]
        lines += [startup_line(of_one, alone) for of_one in grouped(of_network, "system")]
    return "\n".join(lines)


def startup_line(rows: Sequence[Row], alone: Sequence[Row]) -> str:
    """One system, its import and load beside the import of spaCy and torch in the same round."""
    pairs = list(zip(rows, alone, strict=True))
    cells = [
        rows[0]["network"],
        rows[0]["system"],
        *(f"{middle(rows, key):.2f} s" if key in rows[0] else "" for key in ("import", "load", "first")),
        spread([(row["import"] + row.get("load", 0)) / base["import"] for row, base in pairs]),
        spread([row["cpu"] / base["cpu"] for row, base in pairs]),
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
            times = [
                spread([one / base for one, base in zip(row[key], of_network[0][key], strict=True)])
                for key in ("seconds_of_a_word", "cpu_seconds_of_a_word")
            ]
            speed = 1 / median(row["seconds_of_a_word"])
            cells = [row["network"], f"{row['words']:,}", f"{speed:.0f}", *times, f"{row['peak']:.0f} MB"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def threshold_table(rows: Sequence[Row]) -> str:
    """A line for every threshold; the first is what the others are compared with, round by round."""
    lines = ["| network | texts | labels | threshold | entities | words/s | time, beside the first |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | --- |")
    for of_work in grouped(rows, "network", "work", "labels"):
        for row in of_work:
            speed = row["words"] / median(row["seconds"])
            cells = [row["network"], row["work"], row["labels"], row["threshold"], row["found"], f"{speed:.0f}"]
            lines.append(f"| {' | '.join(map(str, cells))} | {spread(ratios(row, of_work[0], 'seconds'))} |")
    return "\n".join(lines)


def stream_table(rows: Sequence[Row]) -> str:
    """Memory as a stream goes on: before it, the medians of its four quarters, and the largest of all."""
    lines = ["| network | system | texts | after one text | 1st quarter | 2nd | 3rd | 4th | largest |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        before, *seen = row["resident"]
        ends = [len(seen) * part // 4 for part in range(5)]
        quarters = [median(seen[start:end] or seen) for start, end in zip(ends, ends[1:], strict=False)]
        sizes = " | ".join(f"{size:.0f} MB" for size in (before, *quarters, row["peak"]))
        lines.append(f"| {row['network']} | {row['system']} | {row['texts']:,} | {sizes} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "speed": summary_table,
    "startup": startup_table,
    "length": length_table,
    "stream": stream_table,
    "threshold": threshold_table,
}


if __name__ == "__main__":
    typer.run(main)
