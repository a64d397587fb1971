"""Gold spans to target tensors: the inverse of decoding.

Does not know how gold spans were found in a document, nor what loss will read the targets.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import singledispatch

import torch
from torch import Tensor

from .decoding import valid_spans
from .types import Lesson, Logits, PairLogits, Query, SpanLogits, TokenLogits

IGNORE = -1.0


@singledispatch
def make_targets(logits: Logits, lessons: Sequence[Lesson]) -> Tensor:
    """A tensor of the logits' shape: 1 for what is gold, 0 for what is not, `IGNORE` for what means nothing.

    Missing words, and spans that have one and are not gold, are ignored too; of relations, pairs of other mentions with
    the same words. Gold of labels that the query does not ask
    for is left out, as are spans wider than span logits can name.
    """
    raise TypeError(f"Can't make targets for {type(logits).__name__}; expected SpanLogits, TokenLogits or PairLogits.")


@make_targets.register
def _(logits: SpanLogits, lessons: Sequence[Lesson]) -> Tensor:
    target = torch.zeros(logits.scores.shape)
    for (query, spans, missing), block in zip(lessons, logits.per_query(target), strict=True):
        block[~valid_spans(len(query.words), logits.width)] = IGNORE
        for word in missing:
            for width in range(1, logits.width + 1):
                block[max(word - width + 1, 0) : word + 1, width - 1] = IGNORE
        rows = {label: row for row, label in enumerate(query.labels)}
        for span in spans:
            if span.label in rows and span.end - span.start <= logits.width:
                block[span.start, span.end - span.start - 1, rows[span.label]] = 1.0
    return target.to(logits.scores.device)


@make_targets.register
def _(logits: PairLogits, lessons: Sequence[Lesson]) -> Tensor:
    target = torch.zeros(logits.scores.shape)
    for (query, gold, missing), block in zip(lessons, logits.per_query(target), strict=True):
        spans = query.spans or ()
        for row, (start, end) in enumerate(spans):
            block[row, row] = IGNORE
            if any(start <= word < end for word in missing):
                block[row] = block[:, row] = IGNORE
        if not logits.linked:
            block[:, :, -1] = IGNORE
        rows = {label: row for row, label in enumerate(query.labels)}
        places = {span: row for row, span in enumerate(spans)}
        for start, end, label, _, head in gold:
            for one, other in _same_words(query, head, (start, end)):
                block[places[one], places[other], [-1, rows.get(label, -1)]] = IGNORE
        for start, end, label, _, head in gold:
            if head in places and (start, end) in places:
                pair = block[places[head], places[start, end]]
                pair[-1] = 1.0 if logits.linked else IGNORE
                if label in rows:
                    pair[rows[label]] = 1.0
    return target.to(logits.scores.device)


Place = tuple[int, int]


def _same_words(query: Query, head: Place | None, tail: Place) -> Iterator[tuple[Place, Place]]:
    """Pairs of a query's spans that read as these two: of these, gold that names other mentions says nothing."""
    spans = query.spans or ()
    if head is not None:
        words = [query.words[slice(*span)] for span in (head, tail)]
        heads, tails = ([span for span in spans if query.words[slice(*span)] == alike] for alike in words)
        yield from itertools.product(heads, tails)


@make_targets.register
def _(logits: TokenLogits, lessons: Sequence[Lesson]) -> Tensor:
    target = torch.zeros(logits.scores.shape)
    for (query, spans, missing), block in zip(lessons, logits.per_query(target), strict=True):
        block[list(missing)] = IGNORE
        rows = {label: row for row, label in enumerate(query.labels)}
        for span in spans:
            if span.label in rows:
                row = rows[span.label]
                block[span.start, row, 0] = 1.0
                block[span.end - 1, row, 1] = 1.0
                block[span.start : span.end, row, 2] = 1.0
    for (query, spans, missing), block in zip(lessons, logits.again_per_query(target), strict=False):
        again = {span: row for row, span in enumerate(query.again or ())}
        block[[any(word in missing for word in range(*span)) for span in again]] = IGNORE
        for span in spans:
            if span.label in query.labels and span[:2] in again:
                block[again[span[:2]], query.labels.index(span.label)] = 1.0
    return target.to(logits.scores.device)
