"""The command `spacy gliner convert`: annotation of other tools into data that the corpora read.

Converting is left to `conversion`; here it is asked for, and told what became of everything.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.language import Language

from ..conversion.converting import Account, Issue, check_output, convert
from ..conversion.formats import Format
from ..display import one_line
from .common import app, one_line_errors

LISTED = 20  # spans and relations that are left out, unless all are asked for


@app.command("convert")
def convert_cli(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT", help="Files of annotation, plain or gzipped.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="A .jsonl or .spacy file.")],
    source: Annotated[
        Format | None, typer.Option("--from", help="The format of the files; told from each file if not given.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Widen spans to whole tokens; otherwise such spans are left out.")
    ] = False,
    lang: Annotated[str, typer.Option(help="Language of the tokenizer for plain texts, as in spacy.blank.")] = "en",
    model: Annotated[
        str | None, typer.Option(help="A saved pipeline whose tokenizer is used, in place of --lang.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Also write all that was left out to this file, as JSON lines.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List all that was left out.")] = False,
) -> None:
    """Convert annotation (GLiNER, JSON lines, CoNLL, spaCy, Prodigy, Label Studio) into data to train and evaluate on.

    What can't be converted is counted and listed, and its tokens are marked as not annotated.
    """
    with one_line_errors():
        if report is not None:
            check_report(report, [*inputs, output])
        check_output(output, inputs)
        account = convert(inputs, output, tokenizing(model, lang), source=source, repair=repair)
        if report is not None:
            write_report(report, account.left_out)
        typer.echo("\n".join(summary(account, output)))
        typer.echo("".join(f"{line}\n" for line in listing(account.left_out, verbose)), nl=False, err=True)


def tokenizing(model: str | None, lang: str) -> Language:
    """A pipeline for its tokenizer, which reads texts of any length."""
    nlp = spacy.load(model) if model else spacy.blank(lang)
    nlp.max_length = sys.maxsize
    return nlp


def summary(account: Account, output: Path) -> list[str]:
    """What became of everything, a line each."""
    files = "1 file" if len(account.formats) == 1 else f"{len(account.formats)} files"
    kinds = ", ".join(dict.fromkeys(account.formats.values()))
    counts = [
        ("read", account.read, f"records of {files} ({kinds})"),
        ("written", account.written, f"records to {output}"),
        *(("skipped", count, f"records: {reason}") for reason, count in account.skipped.most_common()),
        ("spans", account.spans, "written"),
        ("relations", account.relations, "written"),
        ("repaired", account.repaired, "spans, trimmed or widened to whole tokens"),
        ("left out", len(account.left_out), "spans and relations"),
        *(("passed over", count, what) for what, count in account.passed_over.most_common()),
    ]
    width = max(len(str(count)) for _, count, _ in counts)
    return [f"{name:<11}  {count:>{width}}  {what}" for name, count, what in counts]


def listing(issues: list[Issue], everything: bool) -> list[str]:
    """The first that were left out, or all of them."""
    shown = issues if everything else issues[:LISTED]
    lines = [f"Left out: {one_line(str(issue))}" for issue in shown]
    if len(shown) < len(issues):
        lines.append(
            f"… and {len(issues) - len(shown)} more. --verbose lists all, --report FILE writes them to a file."
        )
    return lines


def check_report(report: Path, others: list[Path]) -> None:
    """Raise ValueError for a report that would overwrite the data."""
    if report.resolve() in {path.resolve() for path in others}:
        raise ValueError(f"{report} is one of the files to read or write. Give the report another name.")


def write_report(path: Path, issues: list[Issue]) -> None:
    """All that was left out, as JSON lines, in a new folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(issue.to_json(), ensure_ascii=False) + "\n" for issue in issues)
    path.write_text("".join(lines), encoding="utf8", newline="\n")
