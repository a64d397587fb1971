"""Show relations, summaries, answers and matches, where a Doc has them. Entities are left to `display`."""

from collections.abc import Iterator
from typing import Any

import typer
from spacy.tokens import Doc, Span

from .pipeline.results import groups_of

NOTHING = "–"


def sections(doc: Doc) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """The title and the rows of every kind of result that was asked for."""
    if list(groups_of(doc, "gliner_relations")):
        relations = doc._.gliner_relations
        yield "Relations", [(line(r.head), r.label, line(r.tail), f"{r.score:.2f}") for r in relations]
    if list(groups_of(doc, "gliner_summarizer")):
        yield "Summary", [(line(span),) for span in doc._.gliner_summary]
    for question, answers in doc._.gliner_answers.items():
        yield question, [(line(answer.span), f"{answer.score:.2f}") for answer in answers]
    for prompt, matches in doc._.gliner_matches.items():
        yield prompt, [(line(match.span), f"{match.score:.2f}") for match in matches]


def print_results(doc: Doc) -> None:
    """Print every kind of result below its title."""
    for title, rows in sections(doc):
        typer.echo()
        typer.secho(title, bold=True)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows or [(NOTHING,)]:
            padded = (cell.ljust(width) for cell, width in zip(row, widths or [0], strict=True))
            typer.echo("  ".join(padded).rstrip())


def results_to_json(doc: Doc) -> dict[str, Any]:
    """Every kind of result that was asked for, with positions in characters."""
    results: dict[str, Any] = {}
    if list(groups_of(doc, "gliner_relations")):
        results["relations"] = [relation.to_json() for relation in doc._.gliner_relations]
    if list(groups_of(doc, "gliner_summarizer")):
        results["summary"] = [found(span, span._.gliner_score) for span in doc._.gliner_summary]
    for key, by_input in (("answers", doc._.gliner_answers), ("matches", doc._.gliner_matches)):
        if by_input:
            results[key] = {asked: [found(one.span, one.score) for one in of_one] for asked, of_one in by_input.items()}
    return results


def found(span: Span, score: float | None) -> dict[str, Any]:
    """A span with its score, where it has one."""
    entry = {"start": span.start_char, "end": span.end_char, "text": span.text}
    return entry if score is None else entry | {"score": score}


def line(span: Span) -> str:
    """The words of a span in one line."""
    return " ".join(span.text.split())
