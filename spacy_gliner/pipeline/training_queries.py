"""From a Doc with its gold spans to queries with theirs: which labels to ask of which window in training."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from spacy.tokens import Doc, Span

from ..ml.shim import GlinerShim
from ..types import Query, ScoredSpan
from .parts import parts
from .tasks import Task
from .windows import word_ranges, word_tokens

Sample = Callable[[Sequence[str], Sequence[str]], list[str]]


def training_queries(
    doc: Doc,
    gold: Iterable[ScoredSpan],
    labels: Sequence[Any],
    task: Task,
    windows: Iterable[Span],
    sample: Sample,
    shim: GlinerShim,
) -> Iterator[tuple[Query, list[ScoredSpan]]]:
    """Each window of a Doc with the labels drawn for it, and its gold spans in words of the window.

    gold: In tokens of the Doc.
    labels: What would be asked of the Doc in prediction; what its gold has besides is added.
    sample: Draws labels from the gold ones of a window and all that it could be asked for.
    shim: The network whose tokenizer and limits count.
    Raises ValueError where labels can't be told apart.
    """
    words = word_tokens(doc)
    in_words = [span._replace(start=bisect_left(words, span.start), end=bisect_left(words, span.end)) for span in gold]
    in_words = [span for span in in_words if span.start < span.end]  # white space alone is nothing to find
    labels = with_gold(doc, labels, in_words, task)
    asked = []
    for place, window in word_ranges(windows, words):
        inside = [span.label for span in in_words if place.start <= span.start and span.end <= place.end]
        asked.append((place, draw(task.asks(doc, window, labels), inside, sample)))
    for part in parts(0, doc, words, asked, shim):
        start, end = part.place
        inside_part = [
            span._replace(start=span.start - start, end=span.end - start)
            for span in in_words
            if start <= span.start and span.end <= end
        ]
        yield part.query, inside_part


def with_gold(doc: Doc, labels: Sequence[Any], gold: Iterable[ScoredSpan], task: Task) -> Sequence[Any]:
    """The labels, and those that only the gold spans have."""
    missing = dict.fromkeys(task.name_of(span.label) for span in gold)
    for label in labels:
        missing.pop(label.name, None)
    if not missing:
        return labels
    try:
        return task.parse([*(label.unparse() for label in labels), *missing])
    except ValueError as error:
        raise ValueError(f"With the gold labels of '{doc.text[:60]}': {error}") from error


def draw(asks: Sequence[Query], gold_labels: Iterable[str], sample: Sample) -> list[Query]:
    """The asks of a window with only those labels that are drawn: some of its gold and some that are absent."""
    prompts = [dict(zip(ask.labels, ask.label_prompts, strict=True)) for ask in asks]
    pool = dict.fromkeys(label for ask in asks for label in ask.labels)
    drawn = sample([label for label in dict.fromkeys(gold_labels) if label in pool], list(pool))
    reduced = []
    for ask, of_ask in zip(asks, prompts, strict=True):
        labels = tuple(label for label in drawn if label in of_ask)
        if labels:
            reduced.append(replace(ask, labels=labels, prompts=tuple(of_ask[label] for label in labels)))
    return reduced
