"""What the tests of the component share: hard texts, what was found in a Doc, a network that finds planted words."""

import math
import multiprocessing
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest
import torch
from spacy.language import Language
from spacy.tokens import Doc

from spacy_gliner.types import Query, ScoredSpan, SpanLogits

TEXTS = [
    "Bill Gates founded Microsoft in Seattle.",
    "",
    " ",
    "\n\n\t",
    "a",
    "🙂",
    "👩‍👩‍👧 met Ada",
    "東京で会った。",
    "\x00\x01",
    "Ada\u200b \x07 met\r\nBabbage",
    "  Ada   met\n\nBabbage\tin  London  ",
    "the company of Steve Jobs works with an apple from New York City " * 12,
]

Finder = Callable[[Query], Iterable[ScoredSpan]]


def found(doc: Doc, key: str = "gliner_ner") -> list[tuple[int, int, str, float]]:
    """Everything in a span group, with scores that compare approximately."""
    group = doc.spans[key]
    return [
        (span.start, span.end, span.label_, pytest.approx(score, abs=1e-5))
        for span, score in zip(group, group.attrs["scores"], strict=True)
    ]


def scored(doc: Doc, key: str = "gliner_ner") -> list[tuple[int, int, str, float]]:
    """Everything in a span group, with its scores as they are."""
    group = doc.spans[key]
    return [(s.start, s.end, s.label_, score) for s, score in zip(group, group.attrs["scores"], strict=True)]


def ents(doc: Doc) -> list[tuple[str, str]]:
    """The texts and labels of the entities."""
    return [(ent.text, ent.label_) for ent in doc.ents]


def assert_same(docs: Iterable[Doc], others: Iterable[Doc]) -> None:
    """That Docs have the same text, spans, entities and, but for rounding, scores."""
    for doc, other in zip(docs, others, strict=True):
        assert doc.text == other.text
        assert scored(doc) == found(other)
        assert ents(doc) == ents(other)


def stub_network(nlp: Language, find: Finder, *, width: int = 12, name: str = "gliner_ner") -> list[Query]:
    """Replace the network of a component by a function. Returns the list in which the queries it gets are noted.

    find: Gives the spans of a query with their scores; all others score near zero.
    """
    seen: list[Query] = []

    def forward(model, queries, is_train):
        seen.extend(queries)
        blocks = []
        for query in queries:
            block = torch.full((len(query.words), width, len(query.labels)), -12.0)
            for start, end, label, score, *_ in find(query):
                block[start, end - start - 1, query.labels.index(label)] = math.log(score / (1 - score))
            blocks.append(block.reshape(-1))
        lengths = [len(query.words) for query in queries], [len(query.labels) for query in queries]
        return SpanLogits(torch.cat(blocks), *lengths, width), lambda gradient: []

    nlp.get_pipe(name).model._func = forward
    return seen


def find_planted(query: Query) -> Iterator[ScoredSpan]:
    """Finds runs of the words `B I I …`. A run at the border of a window, perhaps torn there, scores even higher."""
    letters = "".join(query.words)
    for run in re.finditer("[BI]I*", letters):
        at_border = run.start() == 0 or run.end() == len(letters)
        yield ScoredSpan(run.start(), run.end(), query.labels[0], 0.99 if at_border else 0.9)


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise TimeoutError when the block takes longer, where the system has such an alarm. Its processes end."""

    def stop(number, frame):
        for child in multiprocessing.active_children():
            child.kill()
        raise TimeoutError(f"still not done after {seconds} s")

    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
