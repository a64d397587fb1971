"""From a Doc with its gold spans to lessons: which labels to ask of which window in training."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

from spacy.tokens import Doc, Span
from spacy.training import Example

from ..ml.shim import GlinerShim
from ..types import Lesson, Query, ScoredSpan
from .parts import Groups, parts
from .tasks import Task
from .windows import Range, in_words, word_ranges, word_tokens


class SampleLabels(Protocol):
    """Draws labels for an example in training, and the words in which they are read; see `training.negatives`."""

    @property
    def negatives_from(self) -> Literal["given", "batch", "corpus"]: ...

    def __call__(self, gold: Sequence[str], pool: Sequence[str], rng: random.Random) -> list[str]: ...

    def reword(self, name: str, prompt: str, rng: random.Random) -> str: ...


class Teacher:
    """Makes lessons of Examples.

    sample: Which labels to ask for.
    """

    def __init__(self, sample: SampleLabels) -> None:
        self.sample = sample
        self.rng = random.Random(0)
        self.seen: dict[str, None] = {}  # labels of all that was learned

    def lessons(
        self,
        examples: Sequence[Example],
        task: Task,
        labels_for: Callable[[Doc, Sequence[str] | None], Sequence[Any]],
        windows: Callable[[Doc], Iterable[Span]],
        shim: GlinerShim,
    ) -> Iterator[Lesson]:
        """What is to be learned of those Examples that carry this task's gold.

        labels_for: Gives what to ask of a Doc, or of these labels.
        """
        others = self._others(task, examples)
        for row, example in enumerate(examples):
            gold = task.gold(example, labels_for(example.predicted, None))
            if gold is not None:
                doc = task.given(example)
                asked, missing = labels_for(doc, others), task.missing(example)
                for lesson in lessons(row, doc, gold, missing, asked, task, windows(doc), self._draw, shim):
                    yield scored_again(lesson, self.rng) if shim.network.scores_again else lesson

    def state(self) -> list[Any]:
        """What later lessons depend on."""
        return [self.rng.getstate(), list(self.seen)]

    def set_state(self, state: Sequence[Any]) -> None:
        """The inverse of `state`."""
        (version, numbers, gauss), seen = state
        self.rng.setstate((version, tuple(numbers), gauss))
        self.seen = dict.fromkeys(seen)

    def _others(self, task: Task, examples: Iterable[Example]) -> list[str] | None:
        """The labels that negatives are drawn from, where those are not the Doc's own."""
        if self.sample.negatives_from == "given":
            return None
        of_batch = dict.fromkeys(name for example in examples for name in task.observe(example))
        self.seen.update(of_batch)
        return list(of_batch if self.sample.negatives_from == "batch" else self.seen)

    def _draw(self, asks: Sequence[Query], gold_labels: Iterable[str]) -> list[Query]:
        """The asks of a window with only those labels that are drawn: some of its gold and some that are absent."""
        prompts = [dict(zip(ask.labels, ask.label_prompts, strict=True)) for ask in asks]
        pool = dict.fromkeys(label for ask in asks for label in ask.labels)
        drawn = self.sample([label for label in dict.fromkeys(gold_labels) if label in pool], list(pool), self.rng)
        reduced = []
        for ask, of_ask in zip(asks, prompts, strict=True):
            labels = tuple(label for label in drawn if label in of_ask)
            if labels:
                words = tuple(self.sample.reword(label, of_ask[label], self.rng) for label in labels)
                reduced.append(replace(ask, labels=labels, prompts=words))
        return reduced


def lessons(
    row: int,
    doc: Doc,
    gold: Iterable[ScoredSpan],
    missing: Iterable[int],
    labels: Sequence[Any],
    task: Task,
    windows: Iterable[Span],
    draw: Callable[[Sequence[Query], Iterable[str]], list[Query]],
    shim: GlinerShim,
) -> Iterator[Lesson]:
    """Each window of a Doc with the labels drawn for it, and its gold spans in words of the window.

    row: Where the Doc stands among those of a batch.
    gold: In tokens of the Doc.
    missing: Tokens of the Doc without annotation.
    labels: What would be asked of the Doc in prediction; what its gold has besides is added.
    draw: Leaves some of the labels of a window's asks, given those of its gold.
    shim: The network whose tokenizer and limits count.
    Raises ValueError where labels can't be told apart.
    """
    words = word_tokens(doc)
    found = [_in_words(span, words) for span in gold]
    found = [span for span in found if span.start < span.end]  # white space alone is nothing to find
    gaps = set(missing)
    unknown = [row for row, word in enumerate(words) if word in gaps]
    labels = with_gold(doc, labels, found, task)
    asked = []
    for place, window in word_ranges(windows, words):
        inside = [span.label for span in found if _holds(place, span)]
        asked.append((place, draw(task.asks(doc, window, labels), inside)))
    for part in parts(row, doc, words, asked, Groups(shim)):
        start, end = part.place
        inside_part = [span.moved(-start) for span in found if _holds(part.place, span)]
        yield Lesson(part.query, inside_part, tuple(word - start for word in unknown if start <= word < end))


def scored_again(lesson: Lesson, rng: random.Random) -> Lesson:
    """The lesson, with spans to score once more: gold and, of each, one as long elsewhere and one that overlaps it.

    Without gold, of the first word. The reference library draws only spans elsewhere; what a network finds and is not
    gold mostly overlaps what is.
    """
    n_words, again = len(lesson.query.words), {span[:2] for span in lesson.gold}
    for start, end in sorted(again) or [(0, 1)]:
        first = rng.randrange(max(1, n_words - (end - start) + 1))
        wider = [(start - 1, end), (start, end + 1), (start - 1, end + 1)]
        near = [(a, b) for a, b in [*wider, (start + 1, end), (start, end - 1)] if 0 <= a < b <= n_words]
        again |= {(first, min(n_words, first + end - start)), *rng.sample(near, min(1, len(near)))}
    return lesson._replace(query=replace(lesson.query, again=tuple(sorted(again)) if n_words else ()))


def _in_words(span: ScoredSpan, words: Sequence[int]) -> ScoredSpan:
    start, end = in_words(span[:2], words)
    return span._replace(start=start, end=end, head=None if span.head is None else in_words(span.head, words))


def _holds(place: Range, span: ScoredSpan) -> bool:
    first, last = span.extent
    return place.start <= first and last <= place.end


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
