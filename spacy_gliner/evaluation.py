"""Measure entities: the scorer of the component, and zero-shot precision, recall and F1 over datasets.

A dataset is a file of JSON lines as `training.corpora` reads them. Its tokens become the Doc as they are, so no
tokenizer stands between the numbers and the annotation.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from spacy.language import Language
from spacy.scorer import Scorer, get_ner_prf
from spacy.tokens import Doc
from spacy.training import Example

from .pipeline.tasks import Task
from .training.corpora import Row, name_of, read_rows


@dataclass(frozen=True)
class SetScore:
    """Exact-match scores of one dataset, and the counts they come from."""

    precision: float
    recall: float
    f1: float
    n_rows: int
    n_gold: int
    n_predicted: int


def make_entity_scorer() -> Callable[..., dict[str, Any]]:
    """`score_entities`, for a config: `spacy_gliner.entity_scorer.v1`."""
    return score_entities


def score_entities(examples: Iterable[Example], *, task: Task | None = None, **kwargs: Any) -> dict[str, Any]:
    """Scores of `doc.ents` as spaCy reports them: `ents_p`, `ents_r`, `ents_f`, `ents_per_type`; None without gold.

    task: Where the references have its span group, that is scored too, overlapping spans included: `spans_KEY_f` etc.
    """
    examples = list(examples)
    scores: dict[str, Any] = get_ner_prf(examples)
    if task is not None and any(task.spans_key in example.reference.spans for example in examples):
        scores |= Scorer.score_spans(
            examples,
            f"spans_{task.spans_key}",
            getter=lambda doc, _: doc.spans.get(task.spans_key, ()),
            has_annotation=lambda doc: task.spans_key in doc.spans,
            allow_overlap=True,
        )
    return scores


def benchmark(
    nlp: Language,
    paths: Iterable[Path],
    *,
    threshold: float | None = None,
    exclude_labels: Iterable[str] = ("else",),
) -> dict[str, SetScore]:
    """Ask each dataset for all labels that occur in it and compare `doc.ents` with the annotation.

    nlp (Language): A pipeline with a `gliner_ner` component.
    paths (Iterable[Path]): Files of JSON lines, plain or gzipped.
    threshold (float | None): The lowest score of an entity; None leaves the component's own.
    exclude_labels (Iterable[str]): Labels neither asked for nor counted.
    RETURNS: The scores of each file, by its name without endings.
    """
    excluded = frozenset(exclude_labels)
    datasets = {name_of(path): list(read_rows(path)) for path in paths}
    with using_threshold(nlp, threshold):
        return {name: score_set(nlp, rows, excluded) for name, rows in datasets.items()}


def score_set(nlp: Language, rows: list[Row], excluded: frozenset[str]) -> SetScore:
    """Score one dataset. Gold and prediction are sets of (start, end, label), repeated annotation counts once."""
    gold = [{(start, end + 1, label) for start, end, label in row["spans"] if label not in excluded} for row in rows]
    labels = sorted({label for spans in gold for _, _, label in spans})
    docs = nlp.pipe(ask(Doc(nlp.vocab, words=row["tokens"]), labels) for row in rows)
    predicted = [{(ent.start, ent.end, ent.label_) for ent in doc.ents} for doc in docs]
    n_gold, n_predicted = sum(map(len, gold)), sum(map(len, predicted))
    n_correct = sum(len(g & p) for g, p in zip(gold, predicted, strict=True))
    return SetScore(
        precision=n_correct / max(n_predicted, 1),
        recall=n_correct / max(n_gold, 1),
        f1=2 * n_correct / max(n_gold + n_predicted, 1),
        n_rows=len(rows),
        n_gold=n_gold,
        n_predicted=n_predicted,
    )


def average(scores: dict[str, SetScore]) -> dict[str, float]:
    """Precision, recall and F1, each averaged over the datasets."""
    return {key: fmean(getattr(score, key) for score in scores.values()) for key in ("precision", "recall", "f1")}


def ask(doc: Doc, labels: list[str]) -> Doc:
    """Say which labels to look for in this Doc, over those of the component."""
    doc._.gliner_labels = labels
    return doc


@contextmanager
def using_threshold(nlp: Language, threshold: float | None) -> Iterator[None]:
    """Set the threshold of all `gliner_ner` components for a while; None leaves it as it is."""
    configs = [] if threshold is None else [pipe.cfg for pipe in gliner_pipes(nlp)]
    before = [config["threshold"] for config in configs]
    try:
        for config in configs:
            config["threshold"] = threshold
        yield
    finally:
        for config, own in zip(configs, before, strict=True):
            config["threshold"] = own


def gliner_pipes(nlp: Language) -> list[Any]:
    """The components of the pipeline that the `gliner_ner` factory made."""
    return [nlp.get_pipe(name) for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory == "gliner_ner"]
