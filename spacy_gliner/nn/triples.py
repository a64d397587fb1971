"""Scores of head, relation and tail at once: how knowledge graphs are embedded, by published names.

Formulas take heads, relations and tails whose shapes broadcast (…, D) and give scores (…). All others have weights, and
do what depends on a relation or on a span alone once for each.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, normalize

FARTHEST = 10.0
FILTERS = 32
HIDDEN = 2048

Score = Callable[[Tensor, Tensor], Tensor]  # of a head (H) and tails (N, 1, H), by C relations: (N, C)


class Triples(nn.Module):
    """How triples are scored. width: that of spans and relations, D."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.dropout = dropout

    def ends(self, spans: Tensor) -> tuple[Tensor, Tensor]:
        """Spans (N, D) as heads and as tails, (N, H) each."""
        return spans, spans

    def by(self, relations: Tensor) -> Score:
        """Relations (C, D) -> what scores by them."""
        raise NotImplementedError

    def dropped(self, hidden: Tensor) -> Tensor:
        """Some of it, in training."""
        return dropout(hidden, self.dropout, self.training)

    def _square(self) -> nn.Linear:
        return nn.Linear(self.width, self.width)


def _near(difference: Tensor, order: int = 2) -> Tensor:
    return -torch.linalg.vector_norm(difference, ord=order, dim=-1).clamp(max=FARTHEST)


def _simple(h: Tensor, r: Tensor, t: Tensor) -> Tensor:
    (h1, h2), (r1, r2), (t1, t2) = (each.chunk(2, dim=-1) for each in (h, r, t))
    return 0.5 * ((h1 * r1 * t2).sum(dim=-1) + (t1 * r2 * h2).sum(dim=-1))


def _complex(h: Tensor, r: Tensor, t: Tensor) -> Tensor:
    (h1, h2), (r1, r2), (t1, t2) = (each.chunk(2, dim=-1) for each in (h, r, t))
    return (h1 * r1 * t1 + h1 * r2 * t2 + h2 * r1 * t2 - h2 * r2 * t1).sum(dim=-1)


def _quaternions(h: Tensor, r: Tensor, t: Tensor) -> Tensor:
    (a, b, c, d), (p, q, u, v), of_tail = (each.chunk(4, dim=-1) for each in (h, r, t))
    turned = (
        a * p - b * q - c * u - d * v,
        a * q + b * p + c * v - d * u,
        a * u - b * v + c * p + d * q,
        a * v + b * u - c * q + d * p,
    )
    return torch.stack([(x * y).sum(dim=-1) for x, y in zip(turned, of_tail, strict=True)]).sum(dim=0)


def _holographic(h: Tensor, r: Tensor, t: Tensor) -> Tensor:
    h, r, t = h.float(), r.float(), t.float()
    correlated = torch.fft.irfft(torch.fft.rfft(h).conj() * torch.fft.rfft(t), n=h.shape[-1])
    return (correlated * r).sum(dim=-1)


FORMULAS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "UM": lambda h, r, t: _near(h - t + 0 * r),
    "SE": lambda h, r, t: _near(r * h - r * t),
    "TransE": lambda h, r, t: _near(h + r - t, order=1),
    "DistMult": lambda h, r, t: (h * r * t).sum(dim=-1),
    "DistMA": lambda h, r, t: (h * r).sum(dim=-1) + (h * t).sum(dim=-1) + (r * t).sum(dim=-1),
    "SimplE": _simple,
    "ComplEx": _complex,
    "QuatE": _quaternions,
    "HolE": _holographic,
}


class Formula(Triples):
    """One of `FORMULAS`, which have no weights."""

    def __init__(self, width: int, dropout: float, name: str) -> None:
        super().__init__(width, dropout)
        self.formula = FORMULAS[name]

    def by(self, relations: Tensor) -> Score:
        """As the formula says."""
        return lambda head, tails: self.formula(head, relations, tails)


class TransH(Triples):
    """`h + shift - t` without what points along a normal of the relation's."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(width, dropout)
        self.r_to_rtr, self.r_to_w = self._square(), self._square()

    def by(self, relations: Tensor) -> Score:
        """`-|d - (d · w) w + shift|`, `d = h - t`."""
        shift, normal = self.r_to_rtr(relations), normalize(self.r_to_w(relations), dim=-1)

        def score(head: Tensor, tails: Tensor) -> Tensor:
            apart = head - tails
            return _near(apart - (apart * normal).sum(dim=-1, keepdim=True) * normal + shift)

        return score


class TransF(Triples):
    """`alpha ⊙ h + shift - beta ⊙ t`, of the relation; in the beginning `h + r - t`."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(width, dropout)
        self.r_to_rvec, self.r_to_alpha, self.r_to_beta = (self._square() for _ in range(3))
        nn.init.eye_(self.r_to_rvec.weight)
        nn.init.zeros_(self.r_to_rvec.bias)
        for scale in (self.r_to_alpha, self.r_to_beta):
            nn.init.zeros_(scale.weight)
            nn.init.ones_(scale.bias)

    def by(self, relations: Tensor) -> Score:
        """`-|alpha ⊙ h + shift - beta ⊙ t|`."""
        shift, alpha, beta = self.r_to_rvec(relations), self.r_to_alpha(relations), self.r_to_beta(relations)
        return lambda head, tails: _near(alpha * head + shift - beta * tails)


class PairRE(Triples):
    """`alpha ⊙ h - beta ⊙ t`, of the relation."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(width, dropout)
        self.r_to_alpha, self.r_to_beta = self._square(), self._square()

    def by(self, relations: Tensor) -> Score:
        """`-|alpha ⊙ h - beta ⊙ t|`."""
        alpha, beta = self.r_to_alpha(relations), self.r_to_beta(relations)
        return lambda head, tails: _near(alpha * head - beta * tails)


class TripleRE(PairRE):
    """`alpha ⊙ h + delta - beta ⊙ t`, and how much it counts, of the relation."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(width, dropout)
        self.r_to_delta, self.r_to_gamma = self._square(), nn.Linear(width, 1)

    def by(self, relations: Tensor) -> Score:
        """`-gamma |alpha ⊙ h + delta - beta ⊙ t|`."""
        alpha, beta, delta = (to(relations) for to in (self.r_to_alpha, self.r_to_beta, self.r_to_delta))
        gamma = self.r_to_gamma(relations)[:, 0]
        return lambda head, tails: gamma * _near(alpha * head + delta - beta * tails)


class TuckER(Triples):
    """A core tensor `W` (D, D, D) of heads, relations and tails: the sum of `norm(h)_i r_j norm(t)_k W_ijk`."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(width, dropout)
        self.W = nn.Parameter(nn.init.xavier_uniform_(torch.empty(width, width, width)))
        self.bn0, self.bn1 = nn.BatchNorm1d(width), nn.BatchNorm1d(width)

    def ends(self, spans: Tensor) -> tuple[Tensor, Tensor]:
        """Normed, each end by itself: in training by these spans, which count once, in prediction by those of then."""
        heads, tails = (self.dropped(self._normed(norm, spans)) for norm in (self.bn0, self.bn1))
        return heads, tails

    def _normed(self, norm: nn.BatchNorm1d, spans: Tensor) -> Tensor:
        if self.training and len(spans) > 1:
            learned: Tensor = norm(spans)
            return learned
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight.float() * (norm.running_var.float() + norm.eps).rsqrt()
        return (scale * (spans.float() - norm.running_mean.float()) + norm.bias.float()).to(spans.dtype)

    def by(self, relations: Tensor) -> Score:
        """The sum over relations first: a matrix for each."""
        cores = self.dropped((relations @ self.W).transpose(0, 1))
        return lambda head, tails: ((head @ cores) * tails).sum(dim=-1)


class ERMLP(Triples):
    """A perceptron of `[h; r; t]`."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(width, dropout)
        self.mlp = nn.Sequential(nn.Linear(3 * width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))

    @property
    def first(self) -> nn.Linear:
        """The Linear that reads all three."""
        return cast(nn.Linear, self.mlp[0])

    def ends(self, spans: Tensor) -> tuple[Tensor, Tensor]:
        """The parts of the first sums."""
        by_head, _, by_tail = self.first.weight.chunk(3, dim=1)
        return spans @ by_head.T, spans @ by_tail.T

    def by(self, relations: Tensor) -> Score:
        """What is left of it."""
        of_relations = relations @ self.first.weight.chunk(3, dim=1)[1].T + self.first.bias
        return lambda head, tails: self.mlp[2]((head + of_relations + tails).relu())[..., 0]


class ConvKB(Triples):
    """Filters over the three numbers of each dimension, ReLU, and a Linear of all."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(width, dropout)
        self.conv = nn.Conv1d(3, FILTERS, kernel_size=1)
        self.fc = nn.Linear(FILTERS * width, 1)

    def by(self, relations: Tensor) -> Score:
        """Filter by filter (F, 1) and dimension by dimension (D)."""
        by_head, by_relation, by_tail = self.conv.weight.unbind(dim=1)
        assert self.conv.bias is not None
        of_relations = by_relation * relations[:, None] + self.conv.bias[:, None]

        def score(head: Tensor, tails: Tensor) -> Tensor:
            filtered = (by_head * head + of_relations + by_tail * tails[:, :, None]).relu()
            scores: Tensor = self.fc(self.dropped(filtered.flatten(-2)))[..., 0]
            return scores

        return score


WEIGHTED: dict[str, type[Triples]] = {
    kind.__name__: kind for kind in (TransH, TransF, PairRE, TripleRE, TuckER, ERMLP, ConvKB)
}
TRIPLES = (*FORMULAS, *WEIGHTED)


def build_triples(name: str, width: int, dropout: float) -> Triples:
    """How triples are scored, by its name, one of `TRIPLES`."""
    return WEIGHTED[name](width, dropout) if name in WEIGHTED else Formula(width, dropout, name)
