"""How words and labels are scored: `Reps` to logits.

Both heads use that the first Linear of their last perceptron acts on each part of its input by itself: it is applied
per word and per label, and only summed per pair. The results are those of the formulas in the docstrings.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..transfer import on_accelerator
from ..types import GivenSpans, Reps, SpanLogits, SpanScore, TokenLogits
from .context import ContextEncoder
from .layers import Folded, Perceptron
from .onednn import for_programs, product, rows_of_programs, takes_onednn
from .screening import MANY_LABELS, margins, pays, possible, screened
from .spans import Markers, in_context

# Of so many words beside labels, what lies between two products stays near a CPU's core; small products take longer.
PAIRS = 1024
PAIRS_OF_ACCELERATORS = 4096

Pairs = tuple[Tensor, Tensor]  # words and labels, to be combined each with each


class SpanHead(Markers):
    """Every span up to `max_width` words: marker representation · label representation (GLiNER, 2.2).

    `span = out_project(relu([project_start(first word); project_end(last word)]))`,
    `logit = span · project_label(label)`.

    markers, context: As of `Markers`.
    """

    def __init__(
        self,
        *,
        width: int,
        max_width: int,
        dropout: float,
        markers: Literal["markerV0", "marker"] = "markerV0",
        context: ContextEncoder | None = None,
    ) -> None:
        super().__init__(width, dropout, markers, context)
        self.max_width = max_width
        self.project_label = Perceptron(width, 4 * width, width, dropout)

    def read_labels(self, labels: Tensor) -> Tensor:
        """labels (C, D) -> (C, D or D + 3), the part of the head that knows no words; behind it margins, if need be."""
        read: Tensor = self.project_label(labels)
        if isinstance(self.out_project, nn.Linear) or not possible(read):
            return read
        return torch.cat([read, margins(self.out_project, read)], dim=1)

    def forward(self, reps: Reps) -> SpanLogits:
        """Reps -> SpanLogits."""
        first = self.out_project if isinstance(self.out_project, nn.Linear) else self.out_project.first
        by_start, by_end = first.weight.chunk(2, dim=1)
        words = for_programs(in_context(self.context, reps))
        n_words = len(reps.words)
        starts = product(self.project_start(words).relu(), by_start)[:n_words]
        ends = product(self.project_end(words).relu(), by_end, first.bias)[:n_words]
        labels = reps.labels if reps.labels_read else self.project_label(reps.labels)
        floors = reps.floors or [-torch.inf] * len(reps.word_lengths)
        of_words = (rows.split(reps.word_lengths) for rows in (starts, ends))
        of_queries = zip(*of_words, reps.per_query(labels), self._folded(reps, labels), floors, strict=True)
        scored = [self._score(*of_query) for of_query in of_queries]
        blocks = _joined([scores.reshape(-1) for scores, _ in scored], reps)
        reached = [places for _, places in scored]
        return SpanLogits(blocks, reps.word_lengths, reps.label_lengths, self.max_width, reached)

    def _folded(self, reps: Reps, labels: Tensor) -> Iterable[Folded | None]:
        """For each query its labels with the last Linear taken into them, at once: its weights are large, labels few.

        None, where queries are to decide for themselves: where most of the work would be for some that gain nothing,
        or labels are hundreds, which may be looked at first.
        """
        project, lengths = self.out_project, reps.label_lengths
        if isinstance(project, nn.Linear) or max(lengths, default=0) >= MANY_LABELS:
            return [None] * len(lengths)
        of_queries = zip(lengths, reps.word_lengths, strict=True)
        n_gain = sum(n for n, n_words in of_queries if project.folds(n, n_words * self.max_width))
        if 2 * n_gain < max(1, len(labels)):
            return [None] * len(lengths)
        weights, biases = project.folded(labels[:, : project.second.out_features])
        return zip(reps.per_query(weights), reps.per_query(biases), strict=True)

    def _score(
        self, starts: Tensor, ends: Tensor, labels: Tensor, folded: Folded | None, floor: float
    ) -> tuple[Tensor, Tensor | None]:
        """starts (W, H), ends (W, H), labels (C, D) -> (W, K, C); or of some spans only (R, C), and which these are."""
        n_words = len(starts)
        if not n_words:
            return labels.new_zeros(0, self.max_width, len(labels)), None
        # A view of the ends of all widths; those behind the last word mean nothing.
        of_widths = pad(ends, (0, 0, 0, self.max_width - 1)).unfold(0, self.max_width, 1).transpose(1, 2)
        whole = torch.is_grad_enabled() or on_accelerator(starts.device)
        some = n_words if whole else max(1, PAIRS // self.max_width)
        few = zip(starts.split(some), of_widths.split(some), strict=True)
        parts = (of_starts[:, None] + of_ends for of_starts, of_ends in few)
        project = self.out_project
        if isinstance(project, nn.Linear):
            return torch.cat([part @ labels.T for part in parts]), None
        labels, of_labels = labels.tensor_split([project.second.out_features], dim=1)
        n_spans = n_words * self.max_width
        if of_labels.shape[1] and pays(project, labels, floor):
            return screened(project, parts, n_spans, labels, of_labels, floor)
        return torch.cat(list(map(project.onto(labels, n_spans, folded), parts))), None


class RepresentedSpanHead(nn.Module):
    """Every span up to `max_width` words: its representation · label representation (the other modes of `spans`).

    spans: `words (W, H) -> (W, K, H)`.
    context: Reads the words first.
    """

    def __init__(
        self, spans: nn.Module, *, width: int, max_width: int, dropout: float, context: ContextEncoder | None = None
    ) -> None:
        super().__init__()
        self.context = context
        self.max_width = max_width
        self.spans = spans
        self.project_label = Perceptron(width, 4 * width, width, dropout)

    def read_labels(self, labels: Tensor) -> Tensor:
        """labels (C, D) -> (C, D), the part of the head that knows no words."""
        read: Tensor = self.project_label(labels)
        return read

    def represent(self, reps: Reps, spans: Tensor) -> Tensor:
        """Spans (N, 2) by their first and last word -> (N, D). Of a span wider than `max_width`, the beginning."""
        texts = [text for text in in_context(self.context, reps).split(reps.word_lengths) if len(text)]
        represented = torch.cat([reps.words.new_zeros(0, self.max_width, reps.words.shape[1]), *map(self.spans, texts)])
        return represented[spans[:, 0], (spans[:, 1] - spans[:, 0]).clamp(max=self.max_width - 1)]

    def forward(self, reps: Reps) -> SpanLogits:
        """Reps -> SpanLogits."""
        read = reps.labels if reps.labels_read else self.read_labels(reps.labels)
        texts = in_context(self.context, reps).split(reps.word_lengths)
        blocks = [
            (self.spans(words) @ labels.T).reshape(-1)
            for words, labels in zip(texts, reps.per_query(read), strict=True)
            if len(words)
        ]
        return SpanLogits(_joined(blocks, reps), reps.word_lengths, reps.label_lengths, self.max_width)


class TokenHead(nn.Module):
    """Start, end and inside scores of every word for every label (GLiNER multi-task, 2.1).

    `[a; b] = proj_token(word)`, `[c; d] = proj_label(label)`, `scores = out_mlp([a; c; b ⊙ d])`.

    span_score: How spans are scored in decoding; see `TokenLogits`.
    markers: Whether there are markers that represent given spans: in networks that know relations too, and in those
        that score once more what they find, by `markers · label`.
    project_labels: Whether labels are projected before all else, as in the former.
    context: Reads the words before spans are represented.
    """

    def __init__(
        self,
        *,
        width: int,
        dropout: float,
        span_score: SpanScore = "minimum",
        markers: bool = False,
        project_labels: bool = False,
        context: ContextEncoder | None = None,
    ) -> None:
        super().__init__()
        self.span_score: SpanScore = span_score
        self.markers = Markers(width, dropout, context=context) if markers else None
        self.project_label = Perceptron(width, 4 * width, width, dropout) if project_labels else nn.Identity()
        self.rescores = markers and not project_labels
        self.proj_token = nn.Linear(width, 2 * width)
        self.proj_label = nn.Linear(width, 2 * width)
        self.out_mlp = Perceptron(3 * width, 4 * width, 3, dropout)

    def read_labels(self, labels: Tensor) -> Tensor:
        """labels (C, D) -> (C, 5 · D), the part of the head that knows no words; behind it the labels, if need be."""
        by_label = self.out_mlp.first.weight.chunk(3, dim=1)[1]
        sums, factors = self.proj_label(self.project_label(labels)).chunk(2, dim=1)
        read = [sums @ by_label.T + self.out_mlp.first.bias, factors]
        return torch.cat([*read, labels] if self.rescores else read, dim=1)

    def represent(self, reps: Reps, spans: Tensor) -> Tensor:
        """Spans (N, 2) by their first and last word -> (N, D)."""
        assert self.markers is not None
        return self.markers.represent(reps, spans)

    def forward(self, reps: Reps) -> TokenLogits:
        """Reps -> TokenLogits."""
        by_word = self.out_mlp.first.weight.chunk(3, dim=1)[0]
        projected = product(for_programs(reps.words), self.proj_token.weight, self.proj_token.bias)
        sums, factors = projected.chunk(2, dim=1)
        words = list(torch.cat([product(sums, by_word), factors], dim=1)[: len(reps.words)].split(reps.word_lengths))
        labels = list(reps.per_query(reps.labels if reps.labels_read else self.read_labels(reps.labels)))
        rescore = None
        if self.rescores:
            width = self.proj_label.in_features
            rescore = self._rescorer(reps, [of_query[:, -width:] for of_query in labels])
            labels = [of_query[:, :-width] for of_query in labels]
        scores = self._score(words, labels) if words else reps.words.new_zeros(0)
        return TokenLogits(scores, reps.word_lengths, reps.label_lengths, self.span_score, rescore)

    def score_again(self, reps: Reps, spans: GivenSpans) -> Tensor:
        """Of each query's spans the (N, C) of all its labels, flattened: what `TokenLogits.rescore` gives."""
        labels = reps.per_query(reps.labels[:, -self.proj_label.in_features :])
        represented = self.represent(reps, spans.rows).split(spans.lengths)
        blocks = [(rows @ of_query.T).view(-1) for rows, of_query in zip(represented, labels, strict=True)]
        return torch.cat([reps.words.new_zeros(0), *blocks])

    def _rescorer(self, reps: Reps, labels: list[Tensor]) -> Callable[[int, Tensor], Tensor]:
        first_words = [0, *itertools.accumulate(reps.word_lengths)]

        @torch.inference_mode()
        def rescore(row: int, spans: Tensor) -> Tensor:
            scores = self.represent(reps, spans.to(reps.words.device) + first_words[row]) @ labels[row].T
            return scores.float()

        return rescore

    def _score(self, words: list[Tensor], labels: list[Tensor]) -> Tensor:
        """Of each query words (W, 5 · D) and labels (C, 5 · D) -> the (W, C, 3) of all, flattened."""
        most = PAIRS_OF_ACCELERATORS if on_accelerator(self.proj_token.weight.device) else PAIRS
        queries = list(zip(words, labels, strict=True))
        if all(len(c) <= most for c in labels):
            parts = [(few, c) for w, c in queries for few in w.split(max(1, most // max(1, len(c))))]
            groups = list(_groups(parts, most))
            rooms = self._rooms(words[0], max(sum(len(w) * len(c) for w, c in group) for group in groups))
            return torch.cat([self._score_pairs(group, *rooms) for group in groups]).view(-1)
        return torch.cat([self._score_many(w, c.split(most)).view(-1) for w, c in queries])

    def _score_many(self, words: Tensor, labels: Sequence[Tensor]) -> Tensor:
        """words (W, 5 · D) and parts of the labels -> (W, C, 3)."""
        scores = [self._score([words], [some]).view(len(words), len(some), 3) for some in labels]
        return torch.cat(scores, dim=1)

    def _rooms(self, words: Tensor, n_pairs: int) -> tuple[Tensor | None, Tensor | None]:
        """Memory (N, 4 · D) and (N, D) for what is computed of pairs, group by group; none with a gradient."""
        if torch.is_grad_enabled():
            return None, None
        width, n_rows = self.proj_token.in_features, rows_of_programs(n_pairs, words)
        return words.new_empty(n_rows, words.shape[1] - width), words.new_empty(n_rows, width)

    def _score_pairs(self, parts: list[Pairs], of_sums: Tensor | None, of_products: Tensor | None) -> Tensor:
        """Every word beside every label of a part: (N, 3), part by part, word by word. Overwrites the rooms."""
        by_product = self.out_mlp.first.weight.chunk(3, dim=1)[2]
        width = by_product.shape[1]
        products = _pairs([(w[:, -width:], c[:, -width:]) for w, c in parts], torch.mul, of_products)
        sums = _pairs([(w[:, :-width], c[:, :-width]) for w, c in parts], torch.add, of_sums)
        if takes_onednn(products):
            sums += product(products, by_product)
        else:
            in_place = not torch.is_grad_enabled() and sums.dtype == by_product.dtype
            sums = (sums.addmm_ if in_place else sums.addmm)(products, by_product.T)
        scores: Tensor = self.out_mlp.second(self.out_mlp.activate(sums))
        return scores[: sum(len(w) * len(c) for w, c in parts)]


def _joined(blocks: list[Tensor], reps: Reps) -> Tensor:
    """One after the other; a single one, which may be large, is not copied."""
    return blocks[0] if len(blocks) == 1 else torch.cat([reps.words.new_zeros(0), *blocks])


def _pairs(parts: list[Pairs], combine: Callable[..., Tensor], room: Tensor | None) -> Tensor:
    """Of each part words (W, D) and labels (C, D) -> (W · C, D), word by word.

    In the room, if there is one, whose rows behind them may be part of the result, and mean nothing.
    """
    if room is None:
        return torch.cat([combine(words[:, None], labels).flatten(0, 1) for words, labels in parts])
    first = 0
    for words, labels in parts:
        last = first + len(words) * len(labels)
        combine(words[:, None], labels, out=room[first:last].view(len(words), len(labels), room.shape[1]))
        first = last
    return room[: rows_of_programs(first, room)]


def _groups(parts: Iterable[Pairs], most: int) -> Iterator[list[Pairs]]:
    """Neighbours, so many pairs together: large products, and memory that stays small."""
    group: list[Pairs] = []
    n_pairs = 0
    for part in parts:
        size = len(part[0]) * len(part[1])
        if group and n_pairs + size > most:
            yield group
            group, n_pairs = [], 0
        group.append(part)
        n_pairs += size
    yield group
