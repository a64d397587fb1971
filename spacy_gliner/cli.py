"""The command line: `python -m spacy_gliner …`, `spacy gliner extract …`, `benchmark`, `evaluate` and `export`.

Reads texts, sets up the pipeline and hands over: finding is left to the pipeline, scoring to `evaluation` and
`evaluation_tasks`, printing to `display`.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.cli import app as spacy_app
from spacy.language import Language

from .asking import Wanted, only_wanted, parse_relation
from .display import one_line, print_evaluation, print_html, print_jsonl, print_scores, print_table
from .evaluation import average, benchmark, gliner_pipes, using_threshold
from .evaluation_tasks import evaluate, kind_of, to_json
from .training.corpora import data_files

app = typer.Typer(name="gliner", help="Find entities of any type you name (GLiNER).", no_args_is_help=True)
spacy_app.add_typer(app)

FILE_NAME = re.compile(r"\S+\.[A-Za-z]\w{1,4}")


class Layout(str, Enum):
    """How entities are printed."""

    table = "table"
    jsonl = "jsonl"
    html = "html"


PRINTERS = {Layout.table: print_table, Layout.jsonl: print_jsonl, Layout.html: print_html}

Model = Annotated[str, typer.Option(help="'embedded', the folder or hub name of a checkpoint, or a saved pipeline.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Lowest score of an entity; 0.5, or the saved pipeline's, if not given. Others keep theirs."
    ),
]


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


@app.command("benchmark")
def benchmark_cli(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As --model of extract.")],
    paths: Annotated[list[Path], typer.Argument(metavar="FOLDER_OR_FILE", help="Datasets, .jsonl or .jsonl.gz.")],
    threshold: Threshold = None,
    exclude_labels: Annotated[
        str, typer.Option(help="Labels neither asked for nor counted, separated by commas.")
    ] = "else",
    output: Annotated[Path | None, typer.Option("--json", help="Also write the scores to this file.")] = None,
) -> None:
    """Measure zero-shot precision, recall and F1 on datasets of entities."""
    with one_line_errors():
        files = [file for path in paths for file in data_files(path)]
        nlp = load_pipeline(model, "en")
        scores = benchmark(nlp, files, threshold=threshold, exclude_labels=split_labels([exclude_labels]))
        print_scores(scores)
        report = {"sets": {name: asdict(score) for name, score in scores.items()}, "average": average(scores)}
        write_text(output, json.dumps(report, indent=2) + "\n")


@app.command("evaluate")
def evaluate_cli(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As --model of extract.")],
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER_OR_FILE",
            help="Questions, relations, summaries or entities, .jsonl or .jsonl.gz; each file holds one kind.",
        ),
    ],
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Lowest score of what is found; if not given, each component's own (for a given head: any).",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Texts of each file, spread over it; 0 for all.")] = 0,
    output: Annotated[Path | None, typer.Option("--json", help="Also write the scores to this file.")] = None,
) -> None:
    """Measure any task on annotated files, beside a baseline. Other files in a folder are passed over, and named."""
    with one_line_errors():
        files = [file for path in paths for file in data_files(path) if path.is_file() or can_be_evaluated(file)]
        evaluations = {}
        for name, evaluation in evaluate(open_pipeline(model, "en"), files, threshold=threshold, limit=limit):
            print_evaluation(name, evaluation)
            evaluations[name] = evaluation
        write_text(output, to_json(evaluations))


def can_be_evaluated(path: Path) -> bool:
    """Whether a file of a folder holds something to evaluate; says so where it does not."""
    try:
        kind_of(path)
    except ValueError as error:
        typer.echo(f"Passed over: {one_line(str(error))}", err=True)
        return False
    return True


@app.command("export")
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As --model of extract.")],
    folder: Annotated[Path, typer.Argument(help="Where to write the checkpoint.")],
    half: Annotated[bool, typer.Option("--half", help="Store the weights as fp16.")] = False,
) -> None:
    """Write a network as a published GLiNER checkpoint, which the reference library reads too."""
    with one_line_errors():
        gliner_pipes(load_pipeline(model, "en"))[0].to_checkpoint(folder, half=half)
        typer.echo(f"Wrote {folder}.")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print what a user can put right as one line on standard error, and exit with 1."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (ValueError, OSError, ImportError) as error:
        typer.echo(f"Error: {one_line(str(error))}", err=True)
        raise typer.Exit(1) from None


def split_labels(options: Iterable[str]) -> list[str]:
    """`["person, company", "city"]` -> `["person", "company", "city"]`, each once, in order."""
    labels = (label.strip() for option in options for label in option.split(","))
    return list(dict.fromkeys(filter(None, labels)))


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


def write_text(path: Path | None, text: str) -> None:
    """Write a file, in a new folder if need be; nothing without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf8")


def is_pipeline(model: str) -> bool:
    """Whether this is the folder of a saved spaCy pipeline."""
    return os.path.isfile(os.path.join(model, "config.cfg"))


def load_pipeline(model: str, lang: str) -> Language:
    """A pipeline with a `gliner_ner`, as `open_pipeline` gives it. Raises ValueError for a saved one without."""
    nlp = open_pipeline(model, lang)
    if not gliner_pipes(nlp):
        raise ValueError(f"The pipeline {model} has no gliner_ner component.")
    return nlp


def open_pipeline(model: str, lang: str) -> Language:
    """A saved pipeline, or a blank one with a `gliner_ner` around the named checkpoint."""
    if is_pipeline(model):
        nlp = spacy.load(model)
    else:
        nlp = spacy.blank(lang)
        nlp.add_pipe("gliner_ner", config={"model": {"source": {"name": model}}})
    nlp.max_length = sys.maxsize
    return nlp
