"""Passes that an accelerator is asked for before the results of earlier ones are read, so that it need not wait."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from typing import TypeVar

from spacy.tokens import Doc
from torch import Tensor

from ..decoding import candidates
from ..ml.architectures import GlinerModel, shim_of
from ..ml.listening import asked as with_vectors
from ..transfer import reading
from ..types import ScoredSpan
from .freed import freed
from .parts import Part, passes
from .thresholds import of_labels, with_floor
from .windows import Finding

Item = TypeVar("Item")
Predicted = list[list[ScoredSpan]]
# What was found in one Doc, for each instruction.
Findings = dict[tuple[str, ...], list[Finding]]
# What was found in a pass, part by part.
Read = Callable[[], list[tuple[Part, list[ScoredSpan]]]]

# So many passes, and batches, an accelerator is asked for ahead. Each keeps its scores until they are read.
AHEAD = 1


def n_ahead(model: GlinerModel) -> int:
    """How many passes to ask for ahead. A CPU is done with one when it returns; so nothing is kept there."""
    with suppress(ValueError):  # where there is no network, who needs it will say so
        return 0 if shim_of(model).device.type == "cpu" else AHEAD
    return 0


def look_ahead(items: Iterable[Item], n: int) -> Iterator[Item]:
    """Each item, after the n behind it have been made. When making one fails, those before it come first."""
    made: deque[Item] = deque()
    try:
        for item in items:
            made.append(item)
            del item  # only who gets it is to keep it
            if len(made) > n:
                yield made.popleft()
    except Exception:
        yield from made
        raise
    yield from made


def begun(
    batches: Iterable[list[Doc]],
    begin: Callable[[list[Doc]], Callable[[], Predicted]],
    predict: Callable[[list[Doc]], Predicted],
    n: int,
) -> Iterator[tuple[list[Doc], Callable[[], Predicted]]]:
    """Each batch with what predicts it; where n passes are to be asked for ahead, these have been.

    When asking fails, `predict` is what predicts, so that errors come in the order of batches.
    """
    for docs in batches:
        predicted: Callable[[], Predicted] = partial(predict, docs)
        if n:
            with suppress(Exception):
                predicted = begin(docs)
        yield docs, predicted


def begin_passes(
    model: GlinerModel,
    asked: Sequence[Part],
    vectors: list[Tensor] | None,
    *,
    threshold: float,
    limits: Sequence[Mapping[str, float]],
    name_of: Callable[[str], str],
    max_pieces: int,
) -> Callable[[], list[Findings]]:
    """Ask an accelerator for the first pass; the callback, to be called once, does the rest.

    vectors: Of the tokens of the Docs, where another component gives them.
    limits: Of each Doc, the thresholds of labels that have one of their own, by their names.
    name_of: The name of the label that a query's label is about.
    max_pieces: Pieces of a pass.
    RETURNS: What was found in each Doc.
    """

    def ask(rows: Sequence[int]) -> Read:
        of_pass = [asked[row] for row in rows]
        own = [of_labels(part.query, limits[part.doc], name_of) for part in of_pass]
        queries = [with_floor(part.query, threshold, of) for part, of in zip(of_pass, own, strict=True)]
        logits = model.predict(with_vectors(queries, vectors))
        when_there = reading(logits.scores)

        def read() -> list[tuple[Part, list[ScoredSpan]]]:
            with when_there:
                spans = candidates(logits, queries, threshold=threshold, label_thresholds=own)
            return list(zip(of_pass, spans, strict=True))

        return read

    n = n_ahead(model)
    launched = map(ask, passes(asked, max_pieces))
    first = iter(list(islice(launched, n)))

    def findings() -> list[Findings]:
        found: list[Findings] = [{} for _ in limits]
        for read in look_ahead(chain(first, launched), n):
            of_pass = read()
            del read  # and with it the scores
            for part, spans in of_pass:
                of_instruction = found[part.doc].setdefault(part.query.instruction, [])
                of_instruction.append(Finding(part.place, part.query.labels, spans))
            if not n:  # on a CPU
                freed.after(sum(part.n_pieces for part, _ in of_pass))
        return found

    return findings
