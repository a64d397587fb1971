"""Words per second of a bi-encoder whose label vectors are known, for one label and for many.

    python benchmarks/many_labels.py path/to/bi-encoder --labels 1,32,1024 [--reference]

A text of 150 words, threads as torch has them, the median of 25 rounds in one process, in which all take turns. With
`--reference`, the reference library's bi-encoder on the same checkpoint, with the label vectors that it precomputed.
Without a checkpoint, one is made of the embedded model's encoder, twice, with a random head. Weights change the speed
only where spans are screened (CPUs with units for bfloat16): the more can reach the threshold, the less is saved.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import spacy
import typer

TEXT = (
    "Satya Nadella of Microsoft presented a new version of the operating system in Seattle on Tuesday , and said that "
    "the company would open another office in Berlin next year . "
)
ROUNDS = 25


def main(
    checkpoint: Annotated[str, typer.Argument(help="A bi-encoder's folder")] = "",
    labels: Annotated[str, typer.Option(help="Numbers of labels, with commas between them")] = "1,32,1024",
    words: Annotated[int, typer.Option(help="Words of the text")] = 150,
    reference: Annotated[bool, typer.Option(help="Measure the reference library too")] = False,
) -> None:
    """Print a line for every number of labels."""
    text = " ".join((TEXT.split() * (words // 10))[:words])
    with TemporaryDirectory() as folder:
        checkpoint = checkpoint or random_bi_encoder(Path(folder) / "random")
        runs: dict[tuple[str, int], Callable[[], Any]] = {}
        for number in map(int, labels.split(",")):
            names = [f"label {i} of many" for i in range(number)]
            runs["spacy-gliner", number] = ours(checkpoint, names, text)
            if reference:
                runs["reference", number] = theirs(checkpoint, names, text)
        first: dict[str, float] = {}
        for (system, number), seconds in median_seconds(runs).items():
            share = first.setdefault(system, seconds) / seconds
            print(f"{system:13} {number:6} labels {words / seconds:7.0f} words/s {100 * share:4.0f} % of the first")


def ours(checkpoint: str, labels: list[str], text: str) -> Callable[[], Any]:
    """Reads the text, with known label vectors."""
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner_ner", config={"labels": labels, "threshold": 0.9, "model": {"source": {"name": checkpoint}}})
    doc = nlp.make_doc(text)
    pipe: Any = nlp.get_pipe("gliner_ner")
    return lambda: pipe.predict([doc])


def theirs(checkpoint: str, labels: list[str], text: str) -> Callable[[], Any]:
    """The reference library reads the text, with label vectors that it precomputed."""
    from gliner import GLiNER

    model = GLiNER.from_pretrained(checkpoint)
    vectors = model.encode_labels(labels)
    return lambda: model.batch_predict_with_embeds([text], vectors, labels, threshold=0.9)


def median_seconds(runs: dict[tuple[str, int], Callable[[], Any]]) -> dict[tuple[str, int], float]:
    """Of some rounds in which all take turns, after one that does not count."""
    seconds: dict[tuple[str, int], list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS + 1):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(measured) for name, measured in seconds.items()}


def random_bi_encoder(folder: Path) -> str:
    """A bi-encoder with a span head around the embedded model's encoder, twice."""
    from spacy_gliner.ml.checkpoints import write_checkpoint
    from spacy_gliner.ml.sources import NewNetwork

    new = NewNetwork("embedded", head="markerV0", label_backbone="embedded")()
    write_checkpoint(new, folder)
    return str(folder)


if __name__ == "__main__":
    typer.run(main)
