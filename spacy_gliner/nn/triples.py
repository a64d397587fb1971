"""Scores of head, relation and tail at once, without weights: how knowledge graphs are embedded, by published names.

Every function takes heads, relations and tails whose shapes broadcast (…, D) and gives scores (…).
"""

from collections.abc import Callable

import torch
from torch import Tensor

FARTHEST = 10.0


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


TRIPLES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
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
