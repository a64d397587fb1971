"""Commands around training: `spacy gliner fit-thresholds`, `self-train` and `export`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.language import Language
from spacy.training import Corpus, Example

from ..evaluation import gliner_pipes
from ..pipeline.extractor import Extractor
from ..training.corpora import JsonCorpus, data_files
from ..training.overlap import Overlap, texts_of
from ..training.self_training import self_train
from ..training.thresholds import fit_thresholds
from .common import GpuId, app, load_pipeline, on_gpu, one_line_errors, open_pipeline, split_labels

Pipeline = Annotated[Path, typer.Argument(help="The folder of a saved pipeline.", exists=True, file_okay=False)]


@app.command("fit-thresholds")
@one_line_errors()
def fit_thresholds_cli(
    pipeline: Pipeline,
    data: Annotated[list[Path], typer.Argument(help="Development data: .spacy, or rows of entities in .jsonl.")],
    output: Annotated[Path | None, typer.Option(help="Where to save; over the pipeline itself if not given.")] = None,
    component: Annotated[str, typer.Option(help="The component whose thresholds are fitted.")] = "gliner_ner",
    per_label: Annotated[bool, typer.Option(help="Also fit a threshold for every label that gains by it.")] = True,
    min_gold: Annotated[int, typer.Option(min=1, help="Labels with fewer gold spans keep the common one.")] = 20,
    gpu_id: GpuId = -1,
) -> None:
    """Set thresholds to those with the best micro F1 on development data, and save the pipeline."""
    nlp = on_gpu(spacy.load(pipeline), gpu_id)
    pipe = component_of(nlp, component)
    fitted = fit_thresholds(pipe, read_examples(nlp, data), per_label=per_label, min_gold=min_gold)
    typer.echo(f"threshold {fitted.threshold} over all labels")
    for label, limit in fitted.label_thresholds.items():
        typer.echo(f"threshold {limit} for {label}")
    typer.echo(f"F1 on these {fitted.n_examples} texts: {100 * fitted.before:.1f} before, {100 * fitted.after:.1f} now")
    nlp.to_disk(output or pipeline)
    typer.echo(f"Saved {output or pipeline}.")


@app.command("self-train")
@one_line_errors()
def self_train_cli(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As --model of extract.")],
    texts: Annotated[list[Path], typer.Argument(help='Raw texts: {"text": …} in .jsonl, or a text a line in .txt.')],
    output: Annotated[Path, typer.Argument(help="A folder for the annotation and the trained pipeline (model-last).")],
    labels: Annotated[str, typer.Option(help="What to look for, separated by commas; or the pipeline's labels.")] = "",
    keep: Annotated[float, typer.Option(min=0, max=1, help="Spans that score at least this are learned.")] = 0.9,
    unsure: Annotated[float, typer.Option(min=0, max=1, help="Spans from here to --keep are left open.")] = 0.05,
    smoothing: Annotated[float, typer.Option(min=0, max=1, help="Label smoothing.")] = 0.0,
    alpha: Annotated[float, typer.Option(max=1, help="Weight of gold in the loss; -1 for equal weights.")] = 0.75,
    dev: Annotated[
        Path | None, typer.Option(exists=True, help="Annotated data that the training prints scores of.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of about 700 words.")] = 100,
    rate: Annotated[float, typer.Option(min=0, help="Learning rate of the encoder.")] = 5e-6,
    head_rate: Annotated[float, typer.Option(min=0, help="Learning rate of the rest.")] = 7e-6,
    seed: Annotated[int, typer.Option(help="Where randomness begins.")] = 0,
    gpu_id: GpuId = -1,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(help="Evaluation data: texts that share ten words in a row with one of theirs are left out."),
    ] = None,
) -> None:
    """Let a pipeline annotate raw texts and learn from what it is sure of. Started again, it goes on where it was."""
    overrides = {
        "system.seed": seed,
        "training.max_steps": steps,
        "training.eval_frequency": steps,
        "training.optimizer.learn_rate.rate": rate,
        "training.optimizer.head_learn_rate.rate": head_rate,
    }
    evaluation = [text for path in exclude or [] for file in data_files(path) for text in texts_of(file)]
    _, report = self_train(
        open_pipeline(model, "en", gpu_id),
        [text for path in texts for text in read_raw(path)],
        output,
        labels=split_labels([labels]) or None,
        keep=keep,
        unsure=unsure,
        smoothing=smoothing,
        alpha=alpha,
        dev=dev,
        overlap=Overlap(evaluation) if evaluation else None,
        overrides=overrides,
        use_gpu=gpu_id,
    )
    typer.echo(
        f"Learned from {sum(report.n_spans.values())} spans in {report.n_rows} texts; {report.n_unsure} spans were "
        f"left open, {report.n_left_out} texts left out for their overlap with evaluation data."
    )
    for label, count in sorted(report.n_spans.items(), key=lambda item: -item[1]):
        typer.echo(f"{count:6} {label}")
    typer.echo(f"Saved {output / 'model-last'}.")


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


def read_raw(path: Path) -> Iterator[str]:
    """The texts of a .txt file, one a line, or of a file of JSON lines."""
    if path.suffix == ".txt":
        yield from path.read_text(encoding="utf8").splitlines()
    else:
        yield from texts_of(path)


def read_examples(nlp: Language, paths: list[Path]) -> Iterator[Example]:
    """The Examples of .spacy files and of rows of entities."""
    for path in paths:
        yield from (Corpus(path) if path.suffix == ".spacy" else JsonCorpus(path))(nlp)


def component_of(nlp: Language, name: str) -> Extractor:
    """The component of that name. Raises ValueError where it is none of this package."""
    pipe = dict(nlp.pipeline).get(name)
    if not isinstance(pipe, Extractor):
        ours = [other for other, component in nlp.pipeline if isinstance(component, Extractor)]
        raise ValueError(
            f"'{name}' is no component of spacy-gliner in this pipeline; it has {', '.join(ours) or 'none'}."
        )
    return pipe
