"""`spacy gliner annotate`: files of any size through a saved pipeline, with Ray."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ..ray import annotate
from .common import app, one_line_errors


class OutputFormat(str, Enum):
    """What is written."""

    jsonl = "jsonl"
    parquet = "parquet"
    spacy = "spacy"


@app.command("annotate")
@one_line_errors()
def annotate_cli(
    source: Annotated[
        str,
        typer.Argument(metavar="INPUT", help="A file, a folder or a 'pattern' of .jsonl, .parquet or .spacy files."),
    ],
    pipeline: Annotated[str, typer.Argument(help="The folder or the name of a saved pipeline.")],
    output: Annotated[Path, typer.Argument(help="A new folder, or that of a run that was interrupted.")],
    text: Annotated[str, typer.Option(help="The column that holds the texts.")] = "text",
    prefix: Annotated[str, typer.Option(help="Put before the names of the columns of results.")] = "",
    output_format: Annotated[
        OutputFormat | None,
        typer.Option("--format", "-f", help="jsonl for .spacy files; all others stay what they are."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="How many; one per GPU or, without, as CPUs allow, if not given.")
    ] = None,
    cpus: Annotated[int, typer.Option(min=1, help="CPUs and threads of each worker that has no GPU.")] = 1,
    gpus: Annotated[
        float | None, typer.Option(min=0, help="GPUs of each worker; 1 where there are any, if not given.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts that the pipeline takes together.")] = 128,
    rows_per_part: Annotated[int, typer.Option(min=1, help="Rows of each file of the output.")] = 1000,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Do parts with errors again.")] = False,
) -> None:
    """Annotate files with several workers, on one machine or a cluster of Ray. Started again, it goes on."""
    report = annotate(
        source,
        pipeline,
        output,
        text=text,
        prefix=prefix,
        output_format=None if output_format is None else output_format.value,
        n_workers=workers,
        cpus_per_worker=cpus,
        gpus_per_worker=gpus,
        batch_size=batch_size,
        rows_per_part=rows_per_part,
        retry_errors=retry_errors,
    )
    typer.echo(f"{report.rows:,} rows in {report.parts:,} files in {output}; {report.resumed:,} were there before.")
    if report.errors:
        typer.echo(f"{report.errors:,} rows have an error: see their column '{prefix}error'.", err=True)
