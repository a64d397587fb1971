"""Show entities and scores to a person or to another program.

Writes to standard output; colours appear on a terminal only. Knows Docs with entities and finished scores, not where
either comes from.
"""

import json
import shutil
import textwrap
import warnings
from collections.abc import Iterable
from itertools import cycle
from typing import Any

import typer
from spacy import displacy
from spacy.tokens import Doc

from .display_tasks import print_results, results_to_json
from .evaluation import Evaluation, Kind, SetScore, average

COLORS = ("cyan", "green", "yellow", "magenta", "blue", "red")
HTML_COLORS = ("#9ad9e6", "#b5e3a1", "#f5dd90", "#e3b5e8", "#b3c4f2", "#f5b8a9")
MAX_WIDTH = 100
COLUMNS: dict[Kind, dict[str, str]] = {
    "entities": {"p": "P", "r": "R", "f": "F1"},
    "tails": {"em": "EM", "f1": "F1"},
    "facts": {
        "rel_micro_p": "micro P",
        "rel_micro_r": "micro R",
        "rel_micro_f": "micro F1",
        "rel_macro_p": "macro P",
        "rel_macro_r": "macro R",
        "rel_macro_f": "macro F1",
    },
    "questions": {
        "answers_em": "EM",
        "answers_f": "F1",
        "answers_has_ans_em": "answerable EM",
        "answers_has_ans_f": "answerable F1",
        "answers_no_ans_f": "unanswerable F1",
    },
    "summaries": {"summary_rouge1": "ROUGE-1", "summary_rouge2": "ROUGE-2", "summary_rougeL": "ROUGE-L"},
}
NO_BREAK = "\N{NO-BREAK SPACE}"


def print_table(docs: Iterable[Doc]) -> None:
    """Print each text with its entities marked, and the entities one below the other."""
    for number, doc in enumerate(docs):
        if number:
            typer.echo()
        width = min(shutil.get_terminal_size().columns, MAX_WIDTH)
        colors = dict(zip(labels_of([doc]), cycle(COLORS)))
        if doc.text.strip():
            typer.echo(marked_text(doc, width, colors) + "\n")
        rows = [
            (one_line(ent.text), ent.label_, format_score(ent._.gliner_score), f"{ent.start_char}-{ent.end_char}")
            for ent in doc.ents
        ]
        if rows:
            lines = columns([("Entity", "Label", "Score", "Position"), *rows], align="<<>>")
            typer.secho(lines[0], bold=True)
            for line, ent in zip(lines[1:], doc.ents, strict=True):
                typer.secho(line, fg=colors[ent.label_])
        else:
            typer.echo("No entities found.")
        print_results(doc)


def print_jsonl(docs: Iterable[Doc]) -> None:
    """Print one JSON object a text, with positions in characters."""
    for doc in docs:
        typer.echo(json.dumps({"text": doc.text, **doc_to_json(doc)}, ensure_ascii=False))


def doc_to_json(doc: Doc) -> dict[str, Any]:
    """The entities and all other results of a Doc, with positions in characters."""
    entities = [
        {
            "start": ent.start_char,
            "end": ent.end_char,
            "text": ent.text,
            "label": ent.label_,
            "score": ent._.gliner_score,
        }
        for ent in doc.ents
    ]
    return {"entities": entities, **results_to_json(doc)}


def print_html(docs: Iterable[Doc]) -> None:
    """Print a page of displaCy, with the entities."""
    shown = list(docs)
    colors = dict(zip(labels_of(shown), cycle(HTML_COLORS)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\[W006\]")  # a text without entities is normal
        page = displacy.render(shown, style="ent", page=True, jupyter=False, options={"colors": colors})
    typer.echo(page)


def print_scores(scores: dict[str, SetScore]) -> None:
    """Print a line for each dataset, in per cent, and their unweighted average."""
    rows = [
        (name, str(score.n_rows), *percents(score.precision, score.recall, score.f1)) for name, score in scores.items()
    ]
    mean = average(scores)
    rows.append(("average", "", *percents(mean["precision"], mean["recall"], mean["f1"])))
    typer.echo("\n".join(columns([("set", "sentences", "P", "R", "F1"), *rows], align="<>>>>")))


def print_evaluation(name: str, evaluation: Evaluation) -> None:
    """Print what was measured on one file, in per cent: a line for the model and one for each baseline."""
    titles = COLUMNS[evaluation.kind]
    systems = {"model": evaluation.scores, **evaluation.baselines}
    rows = [(system, *(cell(scores, key) for key in titles)) for system, scores in systems.items()]
    counts = ", ".join(f"{number:,} {what}" for what, number in evaluation.counts.items())
    typer.echo(f"{name} ({counts})")
    typer.echo("\n".join(columns([("", *titles.values()), *rows], align="<" + ">" * len(titles))) + "\n")


def cell(scores: dict[str, Any], key: str) -> str:
    """A score in per cent, with its standard deviation where there is one; "-" where there is no score."""
    if scores.get(key) is None:
        return "-"
    deviation = scores.get(f"{key}_std")
    return " ± ".join(percents(scores[key], *([] if deviation is None else [deviation])))


def percents(*values: float) -> tuple[str, ...]:
    """`0.4567` -> `45.7`."""
    return tuple(f"{100 * value:.1f}" for value in values)


def marked_text(doc: Doc, width: int, colors: dict[str, str]) -> str:
    """The text with its entities marked, `[Apple | company] was founded …`, wrapped without breaking a mark."""
    text, end = doc.text, 0
    pieces: list[str] = []
    marks: dict[str, str] = {}
    for ent in doc.ents:
        mark = f"[{one_line(ent.text)} | {ent.label_}]"
        unbroken = mark.replace(" ", NO_BREAK)
        marks[unbroken] = typer.style(mark, fg=colors[ent.label_])
        pieces += [text[end : ent.start_char], unbroken]
        end = ent.end_char
    lines = "".join([*pieces, text[end:]]).splitlines()
    wrapped = "\n".join(textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in lines)
    for unbroken, styled in marks.items():
        wrapped = wrapped.replace(unbroken, styled)
    return wrapped


def columns(rows: list[tuple[str, ...]], align: str) -> list[str]:
    """Lines of aligned columns; `align` holds `<` or `>` for each."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, align, widths, strict=True)).rstrip()
        for row in rows
    ]


def labels_of(docs: Iterable[Doc]) -> list[str]:
    """The labels found, in order of appearance."""
    return list(dict.fromkeys(ent.label_ for doc in docs for ent in doc.ents))


def format_score(score: float | None) -> str:
    """A score with two decimals; nothing for an entity set by another component."""
    return "" if score is None else f"{score:.2f}"


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())
