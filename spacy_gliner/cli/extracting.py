"""`spacy gliner extract`, which is also `python -m spacy_gliner`."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ..asking import Wanted, only_wanted, parse_relation
from ..display import print_html, print_jsonl, print_table
from ..evaluation import using_threshold
from .common import Model, Threshold, app, is_pipeline, one_line_errors, open_pipeline, split_labels

FILE_NAME = re.compile(r"\S+\.[A-Za-z]\w{1,4}")


class Layout(str, Enum):
    """How entities are printed."""

    table = "table"
    jsonl = "jsonl"
    html = "html"


PRINTERS = {Layout.table: print_table, Layout.jsonl: print_jsonl, Layout.html: print_html}


@app.command("extract")
def extract(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT_OR_FILE", help="Texts or UTF-8 files; '-' or nothing reads standard input."),
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option("--labels", "-l", help="What to look for, separated by commas; may be repeated.")
    ] = None,
    relations: Annotated[
        list[str] | None,
        typer.Option(
            "--relations",
            "-r",
            help="Relations such as 'founded by' or 'company > founded by > person', separated by commas.",
        ),
    ] = None,
    questions: Annotated[
        list[str] | None, typer.Option("--question", "-q", help="A question; may be repeated.")
    ] = None,
    prompts: Annotated[list[str] | None, typer.Option("--prompt", "-p", help="A free prompt; may be repeated.")] = None,
    summary: Annotated[bool, typer.Option("--summary", "-s", help="Pick the most important sentences.")] = False,
    model: Model = "embedded",
    threshold: Threshold = None,
    layout: Annotated[
        Layout, typer.Option("--format", "-f", help="How to print what is found; html shows the entities.")
    ] = Layout.table,
    lang: Annotated[str, typer.Option(help="Language of the tokenizer, as in spacy.blank.")] = "en",
) -> None:
    """Find entities, relations, answers, a summary and more in texts, files or standard input.

    A saved pipeline of which nothing is asked runs as it is.
    """
    with one_line_errors():
        wanted = Wanted(
            split_labels(labels or []),
            list(map(parse_relation, split_labels(relations or []))),
            questions or [],
            prompts or [],
            summary,
        )
        if not wanted.factories() and not is_pipeline(model):
            raise ValueError("No labels. Say what to look for, for example: --labels person,company")
        if wanted.relations and not wanted.labels and not is_pipeline(model):
            raise ValueError("Relations stand between entities. Say which, for example: --labels person,company")
        texts = list(read_texts(sources or ["-"]))
        nlp = open_pipeline(model, lang)
        docs = map(nlp.make_doc, texts)
        if not wanted.factories():
            PRINTERS[layout](nlp.pipe(docs))
            return
        with using_threshold(nlp, threshold), only_wanted(nlp, wanted):
            PRINTERS[layout](nlp.pipe(map(wanted.ask, docs)))


def read_texts(sources: Iterable[str]) -> Iterator[str]:
    """Read each source: standard input for `-`, the contents of an existing file, or the text itself."""
    for source in sources:
        if source == "-":
            if sys.stdin.isatty():
                raise ValueError("Nothing to read. Give a text or a file, or pipe a text in.")
            yield decode(typer.get_binary_stream("stdin").read(), "standard input")
        elif os.path.isfile(source):
            yield decode(Path(source).read_bytes(), source)
        elif os.path.isdir(source):
            raise IsADirectoryError(f"{source} is a folder. Give the files in it, for example: {source}/*.txt")
        elif FILE_NAME.fullmatch(source):
            raise FileNotFoundError(f"There is no file {source}. If it is meant as a text, pipe it in.")
        else:
            yield source


def decode(data: bytes, name: str) -> str:
    """Read UTF-8, with or without byte order mark."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 text ({error.reason} at byte {error.start}).") from error
