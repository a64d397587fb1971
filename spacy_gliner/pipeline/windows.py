"""Long documents: windows of words that overlap, and what was found in them brought together again.

A word is a token that is not whitespace; positions are counted in words; the `Extractor` turns them into tokens.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from spacy.tokens import Doc, Span

from ..types import ScoredSpan

Windows = Callable[[Doc], list[Span]]


def strided_windows(doc: Doc, *, size: int, stride: int) -> list[Span]:
    """Windows of `size` words, each starting `stride` words after the one before; the last one ends with the text.

    10 words, size 6, stride 4 -> [0:6], [4:10]
    """
    words = word_tokens(doc)
    if not words:
        return []
    starts = [0, *range(stride, max(len(words) - size, 0) + stride, stride)] if len(words) > size else [0]
    return [doc[words[start] : words[min(start + size, len(words)) - 1] + 1] for start in starts]


def configure_strided_windows(size: int = 250, stride: int = 200) -> Windows:
    """`spacy_gliner.strided_windows.v1`: windows of `size` words, overlapping by `size - stride`."""
    if not 0 < stride <= size:
        raise ValueError(f"strided_windows needs 0 < stride <= size, got {size=}, {stride=}.")
    return partial(strided_windows, size=size, stride=stride)


def sentence_windows(doc: Doc, *, size: int) -> list[Span]:
    """As many whole sentences as fit into `size` words; a longer sentence is a window of its own.

    Raises ValueError where the Doc has no sentence boundaries.
    """
    if not len(doc):
        return []
    if not doc.has_annotation("SENT_START"):
        raise ValueError(
            "sentence_windows needs sentence boundaries, and this Doc has none. Put a 'senter', 'sentencizer' or "
            "'parser' before, or use spacy_gliner.strided_windows.v1."
        )
    windows: list[Span] = []
    n_words = 0
    for sentence in doc.sents:
        n_more = sum(not token.is_space for token in sentence)
        if windows and n_words + n_more <= size:
            windows[-1] = doc[windows[-1].start : sentence.end]
            n_words += n_more
        else:
            windows.append(sentence)
            n_words = n_more
    return windows


def configure_sentence_windows(size: int = 250) -> Windows:
    """`spacy_gliner.sentence_windows.v1`: whole sentences, up to `size` words together."""
    if size <= 0:
        raise ValueError(f"sentence_windows needs a size of at least one word, got {size}.")
    return partial(sentence_windows, size=size)


def word_tokens(doc: Doc) -> list[int]:
    """The indices of the tokens that are words: those that are not whitespace."""
    return [token.i for token in doc if not token.is_space]


def in_tokens(span: ScoredSpan, words: Sequence[int]) -> ScoredSpan:
    """A span of words, as one of tokens; the inverse of `in_words`."""
    head = None if span.head is None else (words[span.head[0]], words[span.head[1] - 1] + 1)
    return span._replace(start=words[span.start], end=words[span.end - 1] + 1, head=head)


def in_words(place: tuple[int, int], words: Sequence[int]) -> tuple[int, int]:
    """Tokens `[start, end)` as words; empty where there is only white space."""
    return bisect_left(words, place[0]), bisect_left(words, place[1])


class Range(NamedTuple):
    """Words `[start, end)` of a Doc that a network sees at once."""

    start: int
    end: int


def word_ranges(windows: Iterable[Span], words: Sequence[int]) -> Iterator[tuple[Range, Span]]:
    """The words that lie in each window, and the window; those without words are left out."""
    for window in windows:
        found = Range(bisect_left(words, window.start), bisect_left(words, window.end))
        if found.start < found.end:
            yield found, window


def fit(window: Range, sizes: Sequence[int], *, budget: int, overlap: int) -> Iterator[Range]:
    """Split a window whose words take more pieces than the budget, into ranges that overlap.

    sizes: Pieces of every word of the Doc.
    budget: Pieces that fit beside the prompt; no word has more.
    overlap: Words that neighbours share, where the budget leaves room for that.

    sizes 1 1 1 1 1, budget 3, overlap 1 -> [0:3], [2:5]
    """
    start = window.start
    while True:
        end, used = start, 0
        while end < window.end and used + sizes[end] <= budget:
            used += sizes[end]
            end += 1
        yield Range(start, end)
        if end == window.end:
            return
        start = max(end - min(overlap, (end - start) // 2), start + 1)


class Finding(NamedTuple):
    """What a network found of these labels in a range of words; the spans are counted from the start of the range."""

    place: Range
    labels: tuple[str, ...]
    spans: Sequence[ScoredSpan]


def merge(found: Sequence[Finding]) -> list[ScoredSpan]:
    """What overlapping ranges of one Doc found, in words of the Doc: every span once, with its best score.

    A span that touches the border of its range, where the text goes on, may be the visible half of a longer one. If
    another range that was asked for its label sees it with words on both sides, only that one counts. So it is not with
    relations between given spans.
    """
    text = Range(0, max((finding.place.end for finding in found), default=0))
    longest = max((finding.place.end - finding.place.start for finding in found), default=0)
    ranges: dict[str, list[Range]] = {}
    best: dict[tuple[int, int, str, tuple[int, int] | None], ScoredSpan] = {}
    if {finding.place for finding in found} == {text}:
        return [span for finding in found for span in finding.spans]  # all of them saw the whole text
    for place, _, spans in found:
        for scored in spans:
            moved, label = scored.moved(place.start), scored.label
            span = Range(moved.start, moved.end)
            if moved.head is None and not _sees_around(place, span, text):
                if label not in ranges:
                    ranges[label] = sorted({finding.place for finding in found if label in finding.labels})
                first = bisect_left(ranges[label], Range(span.start - longest, 0))
                last = bisect_left(ranges[label], Range(span.start + 1, 0))
                if any(_sees_around(other, span, text) for other in ranges[label][first:last]):
                    continue
            key = (*span, label, moved.head)
            if key not in best or best[key].score < moved.score:
                best[key] = moved
    return list(best.values())


def _sees_around(place: Range, span: Range, text: Range) -> bool:
    """Whether a range holds a span and the words next to it, as far as the text has any."""
    left = place.start < span.start or span.start == text.start
    right = span.end < place.end or span.end == place.end == text.end
    return left and right
