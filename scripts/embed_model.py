"""Turn a trained pipeline, or a checkpoint, into the embedded model.

    python scripts/embed_model.py training/embedded/model-last data/dev spacy_gliner/embedded

Finds the threshold with the best F1 on development data (the mean over files; each row is asked for the labels of its
source) and shifts the network's scores so that this threshold becomes 0.5. Then writes the checkpoint as fp16. The
model card beside it is written by hand.
"""

import math
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.training import Example

from spacy_gliner.cli.common import open_pipeline
from spacy_gliner.evaluation import only_task
from spacy_gliner.ml.architectures import shim_of
from spacy_gliner.nn.heads import TokenHead
from spacy_gliner.training.corpora import JsonCorpus, entity_files

LOWEST = 0.1
GRID = [step / 40 for step in range(5, 33)]
Spans = set[tuple[int, int, str]]


def main(
    pipeline: Path,
    dev: Path,
    folder: Path,
    gpu_id: Annotated[int, typer.Option(help="GPU to measure on, or -1 for the CPU")] = -1,
) -> None:
    """Calibrate on `dev` and write to `folder`."""
    nlp = open_pipeline(str(pipeline), "en", gpu_id)
    component = nlp.get_pipe("gliner_ner")
    component.cfg["threshold"] = LOWEST
    with only_task(nlp, "gliner_ner"):
        per_file = [find(nlp, JsonCorpus(path)) for path in entity_files(dev)]
    curve = {limit: sum(f1(rows, limit) for rows in per_file) / len(per_file) for limit in GRID}
    best = max(curve, key=curve.__getitem__)
    print(f"F1 at 0.5: {curve[0.5]:.3f}; best: {curve[best]:.3f} at {best}")
    head = shim_of(component.model).network.head
    if not isinstance(head, TokenHead):
        raise ValueError("Only the scores of token heads have a bias that can be shifted.")
    head.out_mlp.second.bias.data -= math.log(best / (1 - best))
    component.to_checkpoint(folder, half=True)


def find(nlp: spacy.Language, corpus: JsonCorpus) -> list[tuple[Spans, dict[tuple[int, int, str], float]]]:
    """Gold spans and found ones with their scores, for every row."""
    examples: list[Example] = list(corpus(nlp))
    docs = nlp.pipe(example.predicted for example in examples)
    gold = [{(ent.start, ent.end, ent.label_) for ent in example.reference.ents} for example in examples]
    found = [{(ent.start, ent.end, ent.label_): ent._.gliner_score for ent in doc.ents} for doc in docs]
    return list(zip(gold, found, strict=True))


def f1(rows: list[tuple[Spans, dict[tuple[int, int, str], float]]], limit: float) -> float:
    """Micro F1 of what scores above the limit. The best spans are chosen first, so a higher limit only takes away."""
    kept = [(gold, {span for span, score in found.items() if score > limit}) for gold, found in rows]
    n_right = sum(len(gold & spans) for gold, spans in kept)
    return 2 * n_right / max(sum(len(gold) + len(spans) for gold, spans in kept), 1)


if __name__ == "__main__":
    typer.run(main)
