"""Measure entities: zero-shot precision, recall and F1 over datasets; and what measuring any task needs.

A dataset is a file of JSON lines as `training.corpora` reads them. Its tokens become the Doc as they are, so no
tokenizer stands between the numbers and the annotation. Other tasks are left to `evaluation_tasks`.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, TypeVar, cast

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from .ml.borrowing import BorrowingShim
from .pipeline.extractor import Extractor
from .training.corpora import Row, RowCorpus, name_of, read_rows

FACTORIES = ("gliner_ner", "gliner_openie", "gliner_qa", "gliner_relations", "gliner_summarizer")
BATCH_SIZE = 32  # Docs that are asked together; a paragraph of SQuAD brings a pass or two by itself

Kind = Literal["entities", "tails", "facts", "questions", "summaries"]
Context = TypeVar("Context")


@dataclass(frozen=True)
class SetScore:
    """Exact-match scores of one dataset, and the counts they come from."""

    precision: float
    recall: float
    f1: float
    n_rows: int
    n_gold: int
    n_predicted: int


@dataclass(frozen=True)
class Evaluation:
    """What was measured on one file.

    kind: What its rows hold. "tails" are relations with one fact a row, "facts" those with several.
    counts: How many there were of what, such as {"paragraphs": 636, "questions": 6307}.
    scores: The model's, from 0 to 1.
    baselines: Scores with the same keys, by the name of the baseline.
    """

    kind: Kind
    counts: dict[str, int]
    scores: dict[str, Any]
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)


def benchmark(
    nlp: Language,
    paths: Iterable[Path],
    *,
    threshold: float | None = None,
    exclude_labels: Iterable[str] = ("else",),
    limit: int = 0,
) -> dict[str, SetScore]:
    """Ask each dataset for all labels that occur in it and compare `doc.ents` with the annotation.

    nlp (Language): A pipeline with a `gliner_ner` component.
    paths (Iterable[Path]): Files of JSON lines, plain or gzipped.
    threshold (float | None): The lowest score of an entity; None leaves the component's own.
    exclude_labels (Iterable[str]): Labels neither asked for nor counted.
    limit (int): Rows of each file, spread over it, with the labels of the whole file; 0 for all.
    RETURNS: The scores of each file, by its name without endings.
    """
    excluded = frozenset(exclude_labels)
    datasets = {name_of(path): list(read_rows(path)) for path in paths}
    with using_threshold(nlp, threshold), only_task(nlp, "gliner_ner"):
        return {
            name: score_set(nlp, spread(rows, limit), labels_of(rows) - excluded) for name, rows in datasets.items()
        }


def score_set(nlp: Language, rows: Sequence[Row], labels: Iterable[str]) -> SetScore:
    """Ask all rows for all labels. Gold and prediction are sets of (start, end, label); repeated gold counts once."""
    asked = sorted(labels)
    gold = [{(start, end + 1, label) for start, end, label in row["spans"] if label in asked} for row in rows]
    docs = nlp.pipe(ask(Doc(nlp.vocab, words=row["tokens"]), asked) for row in rows)
    found = [{(ent.start, ent.end, ent.label_) for ent in doc.ents} for doc in docs]
    predicted = [_known(spans, row) | (spans & right) for spans, row, right in zip(found, rows, gold, strict=True)]
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


def _known(spans: set[tuple[int, int, str]], row: Row) -> set[tuple[int, int, str]]:
    """The spans that don't touch a token without annotation."""
    missing = {token for start, end in row.get("missing", ()) for token in range(start, end + 1)}
    return {span for span in spans if missing.isdisjoint(range(span[0], span[1]))}


def labels_of(rows: Iterable[Row]) -> set[str]:
    """All labels that occur in the rows."""
    return {label for row in rows for _, _, label in row["spans"]}


def average(scores: dict[str, SetScore]) -> dict[str, float]:
    """Precision, recall and F1, each averaged over the datasets."""
    return {key: fmean(getattr(score, key) for score in scores.values()) for key in ("precision", "recall", "f1")}


def ask(doc: Doc, labels: list[str]) -> Doc:
    """Say which labels to look for in this Doc, over those of the component."""
    doc._.gliner_labels = labels
    return doc


@contextmanager
def using_threshold(nlp: Language, threshold: float | None, factory: str = "gliner_ner") -> Iterator[None]:
    """Set the threshold of all components of this factory for a while; None leaves it as it is."""
    configs = [] if threshold is None else [pipe.cfg for pipe in gliner_pipes(nlp, factory)]
    before = [config["threshold"] for config in configs]
    try:
        for config in configs:
            config["threshold"] = threshold
        yield
    finally:
        for config, own in zip(configs, before, strict=True):
            config["threshold"] = own


@contextmanager
def only_task(nlp: Language, factory: str) -> Iterator[None]:
    """Switch off our components of other factories for a while: nothing is asked of them.

    Where the factory finds other things than entities, what sets entities is switched off too: they are given.
    """
    metas = {name: nlp.get_pipe_meta(name) for name in nlp.pipe_names}
    others = [name for name, meta in metas.items() if meta.factory in FACTORIES and meta.factory != factory]
    if factory != "gliner_ner":
        others += [name for name, meta in metas.items() if "doc.ents" in meta.assigns and name not in others]
    with nlp.select_pipes(disable=others):
        yield


def gliner_pipes(nlp: Language, factory: str = "gliner_ner") -> list[Any]:
    """The components of the pipeline that this factory made."""
    return [nlp.get_pipe(name) for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory == factory]


def ready(nlp: Language, factory: str) -> Extractor:
    """The first component of this factory; where there is none, one is added that borrows the network of another.

    Raises ValueError for a pipeline without a component of ours.
    """
    if not gliner_pipes(nlp, factory):
        ours = {name: pipe.model for name, pipe in nlp.pipeline if isinstance(pipe, Extractor)}
        owners = [name for name, network in ours.items() if not isinstance(network.shims[0], BorrowingShim)]
        if not owners:
            raise ValueError("The pipeline has no component of spacy-gliner with a network of its own.")
        source = {"@misc": "spacy_gliner.FromComponent.v1", "component": owners[0]}
        nlp.add_pipe(factory, config={"model": {"source": source}}, before=_who_needs_it(nlp, factory))
    return cast(Extractor, gliner_pipes(nlp, factory)[0])


def with_sentences(nlp: Language) -> None:
    """Add a `sentencizer` to a pipeline that finds no sentences: summaries are made of them."""
    if not any("token.is_sent_start" in nlp.get_pipe_meta(name).assigns for name in nlp.pipe_names):
        nlp.add_pipe("sentencizer", first=True)


def _who_needs_it(nlp: Language, factory: str) -> str | None:
    """The first component that reads what this factory writes: relations stand between entities."""
    readers = [name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory == "gliner_relations"]
    return readers[0] if readers and factory == "gliner_ner" else None


def ask_all(
    nlp: Language, factory: str, asked: Iterable[tuple[Doc, Context]], threshold: float | None
) -> Iterator[tuple[Doc, Context]]:
    """Run Docs through the components of one factory and what does not disturb them, a batch at a time."""
    with using_threshold(nlp, threshold, factory), only_task(nlp, factory):
        yield from nlp.pipe(asked, as_tuples=True, batch_size=BATCH_SIZE)


def examples_of(corpus: RowCorpus, nlp: Language, rows: list[Row]) -> Iterator[tuple[Row, Example]]:
    """Each row, which makes one Example, with that."""
    return zip(rows, corpus.examples(nlp, {str(corpus.path): rows}, random.Random(0)), strict=True)


def spread(rows: list[Row], limit: int) -> list[Row]:
    """So many rows, from all parts of the list; all for 0."""
    if not limit or len(rows) <= limit:
        return rows
    return [rows[number * len(rows) // limit] for number in range(limit)]
