"""The four small vocabularies of the package: `Query`, `Batch`, `Reps`, logits; and what comes out, `ScoredSpan`.

Everything is ragged: the rows of all queries stand one after the other, with a list of lengths beside them. Nothing is
padded, so an answer cannot depend on its neighbours and every index is a plain row number. Shapes: Q queries of a
batch, P pieces, W words, C labels (each summed over the queries), K span width, D width of a vector.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .transfer import sent

SpanScore = Literal["minimum", "mean"]
Pooling = Literal["first", "last", "mean", "max"]


class Origin(NamedTuple):
    """One of the texts that a caller asks about, and which of its tokens the words of a query are."""

    text: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """One question to a network: which of these labels stand where in these words?

    words: The words of the text, without whitespace tokens.
    labels: The names under which spans are returned.
    prompts: What the network reads for each label (a description, say); the labels themselves when empty.
    instruction: Words that stand before the text and are read, but never scored.
    spans: Spans `[start, end)` of words; then labels are relations, and scored for every ordered pair of these. None
        where labels are those of spans. Only for networks that know both.
    beside: What such a network reads for labels of the other kind, which are not scored.
    again: Spans to score once more, to learn from; only for networks that do so with what they find. None otherwise.
    origin: Where the words come from, for networks that are given their vectors.
    floor: In 0..1; scores that are not above it are not wanted: they may be anything that is not above it.
    """

    words: tuple[str, ...]
    labels: tuple[str, ...]
    prompts: tuple[str, ...] = ()
    instruction: tuple[str, ...] = ()
    spans: tuple[tuple[int, int], ...] | None = None
    beside: tuple[str, ...] = ()
    again: tuple[tuple[int, int], ...] | None = None
    origin: Origin | None = field(default=None, compare=False, repr=False)
    floor: float = field(default=0.0, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.prompts and len(self.prompts) != len(self.labels):
            raise ValueError(f"A Query needs one prompt per label, got {len(self.prompts)} for {len(self.labels)}.")

    @property
    def label_prompts(self) -> tuple[str, ...]:
        """What the network reads for each label."""
        return self.prompts or self.labels


class ScoredSpan(NamedTuple):
    """A span of words `[start, end)` with its label and its score in 0..1.

    head: Where the span is the tail of a relation between two given spans, the other one.
    """

    start: int
    end: int
    label: str
    score: float
    head: tuple[int, int] | None = None

    def moved(self, by: int) -> "ScoredSpan":
        """The same span, so many words further on."""
        head = None if self.head is None else (self.head[0] + by, self.head[1] + by)
        return ScoredSpan(self.start + by, self.end + by, self.label, self.score, head)

    @property
    def extent(self) -> tuple[int, int]:
        """From the first to the last word of what is named."""
        others = () if self.head is None else (self.head,)
        return min([self[:2], *others])[0], max(end for _, end in [self[:2], *others])


class Lesson(NamedTuple):
    """A query with what should be found, to learn from.

    gold: The spans, in words of the query.
    missing: Words of which nobody knows what they are (an annotation that has gaps): nothing is learned of them, nor of
        spans with one of them that are not gold.
    """

    query: Query
    gold: list[ScoredSpan]
    missing: tuple[int, ...] = ()


@dataclass(frozen=True)
class Pieces:
    """Texts as vocabulary ids (P), one after the other, and how many each has."""

    ids: Tensor
    lengths: list[int]


@dataclass(frozen=True)
class GivenSpans:
    """The first and last words of spans (N, 2), as rows of all text words, and how many spans each query has."""

    rows: Tensor
    lengths: list[int]


@dataclass(frozen=True)
class Batch:
    """Queries as numbers, in the layout `<prefix> (marker label)* separator instruction words <suffix>`.

    Of networks that read labels apart from the text, the layout is `<prefix> instruction words <suffix>`; of those that
    know relations between given spans too, it is `<prefix> (marker label)* separator (relation marker label)* separator
    instruction words <suffix>`.

    piece_ids (P): Vocabulary ids of all pieces.
    word_starts (W): Row of the first piece of every instruction and text word; -1 for a word without pieces.
    word_sizes (W): How many pieces each of these words has.
    label_marks (C): Row of every label's marker; or its row among the labels that are read apart.
    prompts_apart: What is read for the distinct labels that are read apart; None where labels stand in the text.
    labels_apart: Their pieces, or their vectors.
    labels_read: Whether they are vectors that went through `Network.read_labels`, and not only `encode_labels`.
    spans: Those between which labels are relations; None where labels are of spans.
    again: Those to score once more, to learn from.
    vectors (W, E): Of words, where another component gives them; then there are no pieces.
    floors: Of each query, as a logit.
    """

    piece_ids: Tensor
    piece_lengths: list[int]
    word_starts: Tensor
    word_sizes: Tensor
    word_lengths: list[int]
    instruction_lengths: list[int]
    label_marks: Tensor
    label_lengths: list[int]
    prompts_apart: list[str] | None = None
    labels_apart: Pieces | Tensor | None = None
    labels_read: bool = False
    spans: GivenSpans | None = None
    again: GivenSpans | None = None
    vectors: Tensor | None = None
    floors: list[float] | None = None

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> "Batch":
        """The same batch with its tensors on `device`, and vectors as `dtype`.

        Rows among labels that are read apart stay where they are: they are compared before they are used.
        """
        apart = self.labels_apart
        if isinstance(apart, Pieces):
            apart = replace(apart, ids=sent(apart.ids, device))
        elif apart is not None:
            apart = sent(apart, device).to(dtype)
        vectors = None if self.vectors is None else sent(self.vectors, device).to(dtype)
        if self.piece_ids.device == device:
            return replace(self, labels_apart=apart, vectors=vectors)
        return replace(
            self,
            piece_ids=sent(self.piece_ids, device),
            word_starts=sent(self.word_starts, device),
            word_sizes=sent(self.word_sizes, device),
            label_marks=self.label_marks if self.prompts_apart is not None else sent(self.label_marks, device),
            labels_apart=apart,
            spans=None if self.spans is None else replace(self.spans, rows=sent(self.spans.rows, device)),
            again=None if self.again is None else replace(self.again, rows=sent(self.again.rows, device)),
            vectors=vectors,
        )


@dataclass(frozen=True)
class Reps:
    """Contextual vectors of the words of the texts (W, D) and of labels (C, D).

    label_rows (C): Of labels that several queries may share, the rows of those that each query asks for; None where
        the labels of all queries stand one after the other.
    labels_read: Whether the labels went through `read_labels` of the head already.
    floors: Of each query, as a logit: scores that are not above it are not wanted. None where all are.
    """

    words: Tensor
    word_lengths: list[int]
    labels: Tensor
    label_lengths: list[int]
    label_rows: Tensor | None = None
    labels_read: bool = False
    floors: list[float] | None = None

    def per_query(self, labels: Tensor) -> Iterator[Tensor]:
        """Each query's rows of something computed for every label."""
        if self.label_rows is None:
            yield from labels.split(self.label_lengths)
            return
        everything = torch.arange(len(labels), device=self.label_rows.device)
        for rows in self.label_rows.split(self.label_lengths):
            yield labels if torch.equal(rows, everything) else labels[sent(rows, labels.device)]


class _AtOnce:
    def parts(self, scores: Tensor) -> tuple[Tensor, ...]:
        """Of a tensor like the scores what a loss is taken of: all."""
        return (scores,)


@dataclass(frozen=True)
class SpanLogits(_AtOnce):
    """A score for every span of up to `width` words and every label.

    scores: All queries' (W, K, C) blocks, flattened, one after the other. `[start, width - 1, label]`; where
        `start + width` passes the end of the words the value means nothing.
    reached: Of each query the only spans (R) that are there, as places in (W, K), and its block is (R, C); or None.
    """

    scores: Tensor
    word_lengths: list[int]
    label_lengths: list[int]
    width: int
    reached: Sequence[Tensor | None] | None = None

    def per_query(self, scores: Tensor | None = None) -> list[Tensor]:
        """One (words, K, labels) view per query, of the scores or of another tensor of their shape; or (R, labels)."""
        reached = self.reached or [None] * len(self.word_lengths)
        of_queries = zip(self.word_lengths, self.label_lengths, reached, strict=True)
        shapes = [(w, self.width, c) if r is None else (len(r), c) for w, c, r in of_queries]
        return _views(self.scores if scores is None else scores, shapes)


@dataclass(frozen=True)
class TokenLogits:
    """Start, end and inside scores for every word and label (GLiNER multi-task, 2.1).

    scores: All queries' (W, C, 3) blocks, flattened, one after the other; behind them the (N, C) blocks of spans that
        were to be scored once more.
    span_score: How a span's score follows from its words' probabilities: the minimum of start, end and inside (the
        reference library since 0.2.17), or the mean of inside (the paper).
    rescore: Of a network that scores what it finds once more: a query's row and spans (N, 2) of its words, by their
        first and last, -> scores (N, C), which count in place of those.
    again_lengths: How many spans of each query were to be scored once more; None where none were.
    """

    scores: Tensor
    word_lengths: list[int]
    label_lengths: list[int]
    span_score: SpanScore = "minimum"
    rescore: Callable[[int, Tensor], Tensor] | None = None
    again_lengths: list[int] | None = None

    def per_query(self, scores: Tensor | None = None) -> list[Tensor]:
        """One (words, labels, 3) view per query, of the scores or of another tensor of their shape."""
        shapes = [(w, c, 3) for w, c in zip(self.word_lengths, self.label_lengths, strict=True)]
        return _views(self.parts(self.scores if scores is None else scores)[0], shapes)

    def again_per_query(self, scores: Tensor | None = None) -> list[Tensor]:
        """One (spans, labels) view per query, of the spans that were to be scored once more."""
        shapes = list(zip(self.again_lengths or (), self.label_lengths, strict=False))
        return _views(self.parts(self.scores if scores is None else scores)[-1], shapes) if shapes else []

    def parts(self, scores: Tensor) -> tuple[Tensor, ...]:
        """Of a tensor like the scores what is of words and, if there is any, what is of spans: a loss for each."""
        if self.again_lengths is None:
            return (scores,)
        n_spans = sum(n * c for n, c in zip(self.again_lengths, self.label_lengths, strict=True))
        return scores.split([len(scores) - n_spans, n_spans])


@dataclass(frozen=True)
class PairLogits(_AtOnce):
    """A score for every ordered pair of given spans and every label of relations.

    scores: All queries' (N, N, C + 1) blocks, flattened, one after the other. `[head, tail, label]`, where the last
        stands for any relation at all; of a span with itself the values mean nothing.
    linked: Whether the network says which pairs have any relation; if not, that column means nothing.
    """

    scores: Tensor
    span_lengths: list[int]
    label_lengths: list[int]
    linked: bool

    def per_query(self, scores: Tensor | None = None) -> list[Tensor]:
        """One (spans, spans, labels + 1) view per query, of the scores or of another tensor of their shape."""
        shapes = [(n, n, c + 1) for n, c in zip(self.span_lengths, self.label_lengths, strict=True)]
        return _views(self.scores if scores is None else scores, shapes)


Logits = SpanLogits | TokenLogits | PairLogits


def _views(scores: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    flat = scores.split([torch.Size(shape).numel() for shape in shapes])
    return [block.view(shape) for block, shape in zip(flat, shapes, strict=True)]
