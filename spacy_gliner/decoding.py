"""Logits to spans: candidates above a threshold, then the best of those that clash. Pure functions.

Does not know documents, windows, or which network gave the logits.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor

from .types import Logits, PairLogits, Query, ScoredSpan, SpanLogits, SpanScore, TokenLogits


def candidates(
    logits: Logits,
    queries: Sequence[Query],
    *,
    threshold: float = 0.5,
    label_thresholds: Sequence[Mapping[str, float]] = (),
) -> list[list[ScoredSpan]]:
    """All spans that score above the threshold, per query, in order of start, then of width or label.

    Of relations, the tails with their heads, in order of the head, then of the tail, as the query gives them. Where the
    network says which pairs are related at all, that needs more than the threshold as well.

    threshold: In 0..1; a span needs more than this.
    label_thresholds: Other thresholds for some labels of each query; none where it is empty.
    RETURNS: One list per query; positions are words of the query's text.
    """
    return _candidates(logits, queries, list(_limits(queries, threshold, label_thresholds)))


@singledispatch
def _candidates(logits: Logits, queries: Sequence[Query], limits: Sequence[list[float]]) -> list[list[ScoredSpan]]:
    """limits: The threshold of each label of each query."""
    raise TypeError(f"Can't decode {type(logits).__name__}; expected SpanLogits, TokenLogits or PairLogits.")


@_candidates.register
def _(logits: SpanLogits, queries: Sequence[Query], limits: Sequence[list[float]]) -> list[list[ScoredSpan]]:
    blocks = logits.per_query(logits.scores.detach())
    if len(set(itertools.chain.from_iterable(limits))) == 1:
        above = _above_one_limit(logits.scores.detach(), next(filter(None, limits))[0], [b.shape for b in blocks])
    else:
        above = (_above(block, of_query) for block, of_query in zip(blocks, limits, strict=True))
    places = logits.reached or [None] * len(queries)
    return [
        [
            ScoredSpan(start, start + extra + 1, query.labels[label], score)
            for (start, extra, label), score in zip(_spans(rows, of_rows, logits.width), probs.tolist(), strict=True)
            if start + extra < len(query.words)
        ]
        for query, (rows, probs), of_rows in zip(queries, above, places, strict=True)
    ]


def _spans(rows: Tensor, places: Tensor | None, width: int) -> list[list[int]]:
    """Start, width - 1 and label of indices (N, 3); or of indices (N, 2), of a place among all spans and a label."""
    if places is None:
        return rows.tolist()
    place = places[rows[:, 0]]
    return torch.stack([place // width, place % width, rows[:, 1]], dim=1).tolist()


def _above_one_limit(scores: Tensor, limit: float, shapes: Sequence[torch.Size]) -> Iterator[tuple[Tensor, Tensor]]:
    """As `_above` for blocks of these shapes, all at once: an accelerator is waited for once."""
    rows, probs = _above(scores[:, None], [limit])
    sizes = [shape.numel() for shape in shapes]
    ends = torch.tensor(sizes).cumsum(0)
    n_of_blocks = torch.searchsorted(rows[:, 0].contiguous(), ends).diff(prepend=torch.tensor([0])).tolist()
    of_blocks = zip(rows[:, 0].split(n_of_blocks), probs.split(n_of_blocks), shapes, ends.tolist(), sizes, strict=True)
    for places, of_block, shape, end, size in of_blocks:
        yield torch.stack(torch.unravel_index(places - (end - size), shape), dim=1), of_block


def _above(scores: Tensor, limits_of_labels: Sequence[float]) -> tuple[Tensor, Tensor]:
    """The indices of those scores (…, C) whose probability is above the limit (C) of their label, and that probability.

    Probabilities are taken only of scores that are about high enough: among thousands of labels, of very few.
    """
    limits = torch.tensor(limits_of_labels, dtype=torch.float32)
    low = (limits.double().logit() - 1e-3).to(scores.device, scores.dtype)
    rows = (scores > low).nonzero()
    probs = scores[rows.unbind(1)].float().sigmoid().cpu()
    rows = rows.cpu()
    above = probs > limits[rows[:, -1]]
    return rows[above], probs[above]


@_candidates.register
def _(logits: TokenLogits, queries: Sequence[Query], limits: Sequence[list[float]]) -> list[list[ScoredSpan]]:
    found = []
    blocks = logits.per_query(logits.scores.detach().float().sigmoid().cpu())
    for row, (query, probs, of_query) in enumerate(zip(queries, blocks, limits, strict=True)):
        spans = _token_candidates(probs.numpy(), np.array(of_query), query.labels, logits.span_score)
        if logits.rescore is not None and spans:
            places = sorted({span[:2] for span in spans})
            scores = logits.rescore(row, torch.tensor([(start, end - 1) for start, end in places]))
            spans = _rescored(places, scores, of_query, query.labels)
        found.append(spans)
    return found


def _rescored(
    places: Sequence[tuple[int, int]], scores: Tensor, limits: Sequence[float], labels: Sequence[str]
) -> list[ScoredSpan]:
    """Spans with those labels for which their new scores (N, C) are above the limit."""
    rows, probs = _above(scores, limits)
    return [
        ScoredSpan(places[place][0], places[place][1], labels[label], score)
        for (place, label), score in zip(rows.tolist(), probs.tolist(), strict=True)
    ]


@_candidates.register
def _(logits: PairLogits, queries: Sequence[Query], limits: Sequence[list[float]]) -> list[list[ScoredSpan]]:
    found = []
    for query, scores, of_query in zip(queries, logits.per_query(logits.scores.detach()), limits, strict=True):
        rows, probs = _above(scores[:, :, :-1], of_query)
        linked = scores[:, :, -1].float().sigmoid().cpu()
        spans = query.spans or ()
        found.append(
            [
                ScoredSpan(spans[tail][0], spans[tail][1], query.labels[label], score, spans[head])
                for (head, tail, label), score in zip(rows.tolist(), probs.tolist(), strict=True)
                if head != tail and (not logits.linked or linked[head, tail] > of_query[label])
            ]
        )
    return found


def _token_candidates(
    probs: np.ndarray, limits: np.ndarray, labels: Sequence[str], span_score: SpanScore
) -> list[ScoredSpan]:
    """Every start with every later end of the same label, if no word between them falls below the limit.

    probs (W, C, 3): Start, end and inside probabilities.
    limits (C): The threshold of each label.
    """
    above = probs[:, :, :2] > limits[None, :, None].astype(np.float32)
    outside = probs[:, :, 2].astype(np.float64) < limits
    spans = []
    for start, label in np.argwhere(above[:, :, 0] & ~outside).tolist():
        gap = outside[start:, label]
        n_inside = int(gap.argmax()) if gap.any() else len(gap)
        inside = probs[start : start + n_inside, label, 2]
        ends = np.flatnonzero(above[start : start + n_inside, label, 1])
        if span_score == "minimum":
            scores = np.minimum.accumulate(inside)[ends]
            scores = np.minimum(np.minimum(scores, probs[start, label, 0]), probs[start + ends, label, 1])
        else:
            scores = inside.cumsum()[ends] / (ends + 1)
        spans += [
            ScoredSpan(start, start + end + 1, labels[label], score)
            for end, score in zip(ends.tolist(), scores.tolist(), strict=True)
        ]
    return spans


def valid_spans(n_words: int, width: int) -> Tensor:
    """(n_words, width) True where the span of words `[start, start + width]` lies inside the text."""
    return torch.arange(n_words)[:, None] + torch.arange(width) < n_words


def drop_overlaps(spans: Iterable[ScoredSpan], *, nested: bool = False, multi_label: bool = False) -> list[ScoredSpan]:
    """Keep the best-scored spans, greedily, so that no two of them clash.

    Spans clash when they share a word; with `nested`, only when they share words and neither contains the other.
    The same boundaries with two labels clash unless `multi_label`. Ties go to the span that came first.

    RETURNS: The spans that stay, by start; those of equal start by score.

    [0:2] 0.9, [1:3] 0.8, [3:4] 0.7 -> [0:2], [3:4]
    """
    kept: list[ScoredSpan] = []
    covering: dict[int, list[ScoredSpan]] = {}
    for span in sorted(spans, key=lambda span: -span.score):
        words = range(span.start, span.end)
        if any(_clash(span, other, nested, multi_label) for word in words for other in covering.get(word, ())):
            continue
        kept.append(span)
        for word in words:
            covering.setdefault(word, []).append(span)
    return sorted(kept, key=lambda span: span.start)


def drop_overlaps_per_label(spans: Iterable[ScoredSpan]) -> list[ScoredSpan]:
    """Like `drop_overlaps`, but spans of different labels never clash."""
    of_label: dict[str, list[ScoredSpan]] = {}
    for span in spans:
        of_label.setdefault(span.label, []).append(span)
    return [span for of_one in of_label.values() for span in drop_overlaps(of_one)]


def merge_neighbours(spans: Iterable[ScoredSpan]) -> list[ScoredSpan]:
    """Make one span of those with the same label where one begins as another ends; its score is their lowest.

    So NuNER Zero is read, whose network names single words.

    New/city 0.9, York/city 0.8, Times/company 0.7 -> New York/city 0.8, Times/company 0.7
    """
    merged: list[ScoredSpan] = []
    open_spans: dict[tuple[str, int], int] = {}  # by label and end, their place among the merged
    for span in sorted(spans, key=lambda span: span.start):
        row = open_spans.pop((span.label, span.start), None)
        if row is None:
            row = len(merged)
            merged.append(span)
        else:
            before = merged[row]
            merged[row] = before._replace(end=span.end, score=min(before.score, span.score))
        open_spans[span.label, span.end] = row
    return merged


def _clash(a: ScoredSpan, b: ScoredSpan, nested: bool, multi_label: bool) -> bool:
    """Whether two spans that share a word exclude each other."""
    if (a.start, a.end) == (b.start, b.end):
        return not multi_label or a.label == b.label
    contains = (a.start <= b.start and b.end <= a.end) or (b.start <= a.start and a.end <= b.end)
    return not (nested and contains)


def _limits(
    queries: Sequence[Query], threshold: float, label_thresholds: Sequence[Mapping[str, float]]
) -> Iterator[list[float]]:
    """The threshold of every label of every query."""
    for query, limits in zip(queries, label_thresholds or [{}] * len(queries), strict=True):
        yield [limits.get(label, threshold) for label in query.labels]
