"""Relations between given spans, scored pair by pair, as joint entity-and-relation networks do.

Knows vectors of spans and of labels; not where they come from.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from ..types import PairLogits
from .layers import Perceptron
from .triples import build_triples

PAIRS = 1024
ATTENTION_HEADS = 8


class PairHead(nn.Module):
    """`logit = project_pair([head; tail]) · label`, the label's vector as it is; and which pairs are related at all.

    links: How the latter is scored, one of `LINKS`; or "none" where all pairs are as likely.
    triples: Another way to score head, label and tail: one of `TRIPLES`.
    """

    def __init__(self, *, width: int, dropout: float, links: str, triples: str = "") -> None:
        super().__init__()
        self.triples = build_triples(triples, width, dropout) if triples else None
        self.project_pair = Perceptron(2 * width, 4 * width, width, dropout) if self.triples is None else None
        self.links = LINKS[links](width) if links != "none" else None

    def forward(self, spans: Tensor, span_lengths: list[int], labels: Tensor, label_lengths: list[int]) -> PairLogits:
        """Spans (N, D) and labels (C, D) of all queries -> PairLogits."""
        of_spans = (rows.split(span_lengths) for rows in (spans, *self._ends(spans)))
        of_queries = zip(*of_spans, labels.split(label_lengths), strict=True)
        blocks = [self._score(*of_query).reshape(-1) for of_query in of_queries]
        scores = torch.cat([spans.new_zeros(0), *blocks])
        return PairLogits(scores, span_lengths, label_lengths, linked=self.links is not None)

    def _ends(self, spans: Tensor) -> tuple[Tensor, Tensor]:
        """Spans (N, D) as heads and as tails, (N, H) each."""
        if self.triples is not None:
            return self.triples.ends(spans)
        assert self.project_pair is not None
        by_head, by_tail = self.project_pair.first.weight.chunk(2, dim=1)
        return spans @ by_head.T, spans @ by_tail.T + self.project_pair.first.bias

    def _score(self, spans: Tensor, heads: Tensor, tails: Tensor, labels: Tensor) -> Tensor:
        """spans (N, D), heads (N, H), tails (N, H), labels (C, D) -> (N, N, C + 1)."""
        n_spans = len(spans)
        if not n_spans:
            return spans.new_zeros(0, 0, len(labels) + 1)
        if self.project_pair is not None:
            some = max(1, PAIRS // n_spans)
            score = self.project_pair.onto(labels, n_spans * n_spans)
            blocks = [score(few[:, None] + tails) for few in heads.split(some)]
        else:
            assert self.triples is not None
            score_triples, parts = self.triples.by(labels), tails[:, None].split(max(1, PAIRS // max(1, len(labels))))
            blocks = [torch.cat([score_triples(head, some) for some in parts])[None] for head in heads]
        linked = spans.new_zeros(n_spans, n_spans) if self.links is None else self.links(spans)
        return torch.cat([torch.cat(blocks), linked[:, :, None]], dim=2)


class Dot(nn.Module):
    """`spans · spans` ("dot")."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, spans: Tensor) -> Tensor:
        """(N, D) -> (N, N)."""
        return spans @ spans.T


class Concatenation(nn.Module):
    """A perceptron of `[head; tail]` ("mlp")."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, spans: Tensor) -> Tensor:
        """(N, D) -> (N, N)."""
        first = cast(nn.Linear, self.mlp[0])
        by_head, by_tail = first.weight.chunk(2, dim=1)
        hidden = (spans @ by_head.T)[:, None] + (spans @ by_tail.T + first.bias)
        scores: Tensor = self.mlp[2](self.mlp[1](hidden))[:, :, 0]
        return scores


class Bilinear(nn.Module):
    """`proj(spans) · proj(spans)` ("bilinear")."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, width)

    def forward(self, spans: Tensor) -> Tensor:
        """(N, D) -> (N, N)."""
        projected = self.proj(spans)
        scores: Tensor = projected @ projected.T
        return scores


class Attention(nn.Module):
    """How much spans attend to each other, the mean over the heads of the attention ("attention")."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, ATTENTION_HEADS, batch_first=True)

    def forward(self, spans: Tensor) -> Tensor:
        """(N, D) -> (N, N)."""
        probs: Tensor = self.attn(spans[None], spans[None], spans[None])[1][0]
        return probs.float().logit(eps=1e-6)


class AttentionNetwork(nn.Module):
    """What spans read by attention, projected, `z · z` ("gat")."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, ATTENTION_HEADS, batch_first=True)
        self.linear = nn.Linear(width, width)

    def forward(self, spans: Tensor) -> Tensor:
        """(N, D) -> (N, N)."""
        projected = self.linear(self.attn(spans[None], spans[None], spans[None], need_weights=False)[0][0])
        scores: Tensor = projected @ projected.T
        return scores


class _Convolution(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, spans: Tensor) -> Tensor:
        """One step over the graph whose edges are `sigmoid(spans · spans)`, loops included."""
        edges = (spans @ spans.T).sigmoid() + torch.eye(len(spans), dtype=spans.dtype, device=spans.device)
        root = edges.sum(dim=1).clamp(min=1e-6).rsqrt()
        read: Tensor = self.linear(root[:, None] * edges * root @ spans).relu()
        return read


class GraphConvolution(nn.Module):
    """What spans read over a graph of themselves, projected, `z · z` ("gcn")."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gcn = _Convolution(width)
        self.proj = nn.Linear(width, width)

    def forward(self, spans: Tensor) -> Tensor:
        """(N, D) -> (N, N)."""
        projected = self.proj(self.gcn(spans))
        scores: Tensor = projected @ projected.T
        return scores


LINKS: dict[str, Callable[[int], nn.Module]] = {
    "dot": Dot,
    "mlp": Concatenation,
    "bilinear": Bilinear,
    "attention": Attention,
    "attn": Attention,
    "gcn": GraphConvolution,
    "gat": AttentionNetwork,
}
