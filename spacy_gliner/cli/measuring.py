"""`spacy gliner benchmark` and `evaluate`: scores on files."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ..display import one_line, print_evaluation, print_scores
from ..display_markdown import report_markdown
from ..evaluation_benchmark import Report, choose, measure_entities, measure_tasks
from ..evaluation_tasks import evaluate, files_by_name, kind_of, to_json
from ..training.corpora import data_files
from .common import GpuId, Threshold, app, one_line_errors, open_pipeline, split_labels, write_text


@app.command("benchmark")
def benchmark_cli(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As --model of extract.")],
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER_OR_FILE", help="Datasets of any task, .jsonl or .jsonl.gz, as evaluate reads them."
        ),
    ],
    threshold: Threshold = None,
    exclude_labels: Annotated[
        str, typer.Option(help="Labels of entities neither asked for nor counted, separated by commas.")
    ] = "else",
    only: Annotated[
        str, typer.Option(help="Parts of names, separated by commas: 'crossner,mit' leaves out all other files.")
    ] = "",
    limit: Annotated[int, typer.Option(min=0, help="Texts of each file, spread over it; 0 for all.")] = 0,
    output: Annotated[Path | None, typer.Option("--json", help="Also write the scores to this file.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Also write them to this file, as tables beside published scores.")
    ] = None,
    gpu_id: GpuId = -1,
) -> None:
    """Measure on the papers' benchmarks and any other datasets, beside baselines and published scores.

    Other files in a folder are passed over, and named.
    """
    with one_line_errors():
        files = files_by_name(files_to_measure(paths, split_labels([only]))).values()
        entities, others = ([path for path, kind in files if (kind == "entities") is asked] for asked in (True, False))
        nlp, report = open_pipeline(model, "en", gpu_id), Report(model, limit)
        excluded = split_labels([exclude_labels])
        for name in measure_entities(report, nlp, entities, threshold=threshold, exclude_labels=excluded):
            typer.echo(f"{name}: F1 {100 * report.entities[name].f1:.1f}", err=True)
            write_report(report, output, markdown)
        if entities:
            print_scores(report.entities)
        for number, (name, evaluation) in enumerate(measure_tasks(report, nlp, others)):
            typer.echo("\n" if entities and not number else "", nl=False)
            print_evaluation(name, evaluation)
            write_report(report, output, markdown)


def write_report(report: Report, output: Path | None, markdown: Path | None) -> None:
    """Write what was measured so far, so that a fault in a later file loses nothing."""
    write_text(output, json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n")
    write_text(markdown, report_markdown(report))


def files_to_measure(paths: list[Path], only: list[str]) -> list[Path]:
    """The files at these paths that `only` leaves, but for those of a folder that hold nothing to measure."""
    files = choose([file for path in paths for file in data_files(path)], only)
    measured = [file for file in files if file in paths or can_be_evaluated(file)]
    if not measured:
        raise ValueError("There is nothing to measure: all files were passed over.")
    return measured


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
    gpu_id: GpuId = -1,
) -> None:
    """Measure any task on annotated files, beside a baseline. Other files in a folder are passed over, and named."""
    with one_line_errors():
        files = [file for path in paths for file in data_files(path) if path.is_file() or can_be_evaluated(file)]
        evaluations = {}
        for name, evaluation in evaluate(open_pipeline(model, "en", gpu_id), files, threshold=threshold, limit=limit):
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
