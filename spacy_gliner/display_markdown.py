"""Benchmarks as Markdown: our scores, the baselines' and the papers', in per cent. Knows finished scores only."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from .display import COLUMNS, cell, percents
from .evaluation import Evaluation, Kind, SetScore, average
from .evaluation_benchmark import Report, published_f1
from .published import PAPERS, SETS, published_set

TITLES: dict[Kind, str] = {
    "tails": "Relations: the tail, where head and relation are given",
    "facts": "Relations: all facts of a text",
    "questions": "Questions",
    "summaries": "Summaries",
}


def report_markdown(report: Report) -> str:
    """A section for each task: our scores, those of baselines and papers, and where the protocols differ."""
    parts = [f"# Benchmarks of {report.model}", "Scores are in per cent."]
    if report.limit:
        parts.append(f"At most {report.limit:,} texts of each file were measured (`--limit`), spread over it.")
    if report.entities:
        parts += entity_section(report)
    for kind, title in TITLES.items():
        of_kind = {name: task for name, task in report.tasks.items() if task.kind == kind}
        if of_kind:
            parts.append(f"## {title}")
            for name, evaluation in of_kind.items():
                parts += task_section(report, name, evaluation)
    if report.published():
        parts.append("\n".join(f"{number} {paper}  " for number, paper in PAPERS.items()).rstrip())
    return "\n\n".join(parts) + "\n"


def entity_section(report: Report) -> Iterator[str]:
    """Our precision, recall and F1 on each set, then our F1 beside the papers' on those sets that they have too."""
    yield "## Entities"
    yield our_entities(report.entities)
    if report.published_entities():
        yield "F1 beside published scores; every average is over exactly these sets:"
        yield published_entities(report)
        yield from note_list(report, report.entities)


def our_entities(scores: dict[str, SetScore]) -> str:
    """A table with a row for each set, and their average."""
    rows = [
        (title_of(name), f"{s.n_rows:,}", f"{s.n_gold:,}", *percents(s.precision, s.recall, s.f1))
        for name, s in scores.items()
    ]
    mean = average(scores)
    rows.append(("**average**", "", "", *percents(mean["precision"], mean["recall"], mean["f1"])))
    return markdown_table(("set", "sentences", "entities", "P", "R", "F1"), rows)


def published_entities(report: Report) -> str:
    """A table of F1 with a row for each system, ours first, and a column for each set."""
    ours = report.published_entities()
    rows = [(f"**{report.model}**", "", *percents(*(score.f1 for score in ours.values()), average(ours)["f1"]), "")]
    for row in published_f1(ours):
        f1 = (as_printed({"f1": value}, "f1") for value in row.of_set.values())
        rows.append((row.system, row.parameters, *f1, *percents(row.average), row.source))
    return markdown_table(("system", "parameters", *map(title_of, ours), "average", "from"), rows)


def task_section(report: Report, name: str, evaluation: Evaluation) -> Iterator[str]:
    """A table of one file: our scores, the baselines', and the papers' where the file is a set of theirs."""
    counts = ", ".join(f"{number:,} {what}" for what, number in evaluation.counts.items())
    yield f"### {title_of(name)} ({counts})"
    known = published_set(name, evaluation.kind)
    titles = COLUMNS[evaluation.kind]
    rows = [(f"**{report.model}**", "", *(cell(evaluation.scores, key) for key in titles), "")]
    for baseline, scores in evaluation.baselines.items():
        rows.append((baseline, "", *(cell(scores, key) for key in titles), "baseline"))
    for row in known.rows if known else ():
        rows.append((row.system, row.parameters, *(as_printed(row.scores, key) for key in titles), row.source))
    yield markdown_table(("system", "parameters", *titles.values(), "from"), rows)
    yield from note_list(report, [name])


def as_printed(scores: Mapping[str, float], key: str) -> str:
    """A published score in per cent, not rounded; "-" where the paper gives no such score."""
    given = [f"{round(100 * scores[name], 2)}" for name in (key, f"{key}_std") if name in scores]
    return " ± ".join(given) or "-"


def note_list(report: Report, names: Iterable[str]) -> Iterator[str]:
    """The notes about these sets as a list; sets with the same note share it. Nothing without notes."""
    sets_of: dict[str, list[str]] = {}
    for name in names:
        for note in report.notes.get(name, ()):
            sets_of.setdefault(note, []).append(title_of(name))
    if sets_of:
        lines = [f"- {', '.join(titles)}: {note}" for note, titles in sets_of.items()]
        yield "\n".join(["Not as in the papers, or not said there:", "", *lines])


def title_of(name: str) -> str:
    """What a set is called in prose; any other file by its name."""
    return SETS[name].title if name in SETS else f"`{name}`"


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose columns between the first and one that says where a row is from are numbers."""
    align = ["---", *("---" if title == "from" else "---:" for title in titles[1:])]
    lines = [titles, align, *([text.replace("|", r"\|") or " " for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
