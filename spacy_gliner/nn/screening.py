"""Scores of many labels, of which only those above a floor are wanted: on a CPU with matrix units for bfloat16.

A first look in bfloat16 gives an upper bound of every score, with all that rounding may do. Only spans that can reach
the floor are scored in full precision, so that nothing above it is lost, and every score above it is exact.
"""

import torch
from torch import Tensor

from .layers import Perceptron

# With fewer labels, less is computed anyway: they are folded into the last Linear.
MANY_LABELS = 256
# The largest relative error of rounding to bfloat16, and some room for products of such errors and for their sums.
ROUNDING = 2.0**-8
ROOM = 1.1


def pays(labels: Tensor, floor: float) -> bool:
    """Whether to screen: in prediction, with a floor and many labels, where the machine is made for it."""
    possible = floor > -torch.inf and len(labels) >= MANY_LABELS and not torch.is_grad_enabled()
    return possible and labels.device.type == "cpu" and labels.dtype == torch.float32 and _has_matrix_units()


def screened_products(perceptron: Perceptron, hidden: Tensor, labels: Tensor, floor: float) -> Tensor:
    """As what `Perceptron.onto` gives, where scores above the floor are wanted; others are only not above it.

    hidden (…, H), labels (C, D) -> (…, C).
    """
    rows = perceptron.activate(hidden).reshape(-1, hidden.shape[-1])
    bound = _upper_bound(perceptron, rows, labels)
    reach = (bound.amax(dim=1).float() > floor).nonzero()[:, 0]  # bfloat16 would round the floor
    scores = bound.float()
    scores[reach] = perceptron.second(rows[reach]) @ labels.T
    return scores.view(*hidden.shape[:-1], len(labels))


def _upper_bound(perceptron: Perceptron, rows: Tensor, labels: Tensor) -> Tensor:
    """rows (N, H), none of them negative, labels (C, D) -> (N, C): no score is higher, in bfloat16.

    With a rounding error `u`, an output `o = W · row + b` is wrong by at most `2u |W| · row + u |b| + u |o|`, and its
    product with a label by that times the label, and `2u |o| · |label|` more.
    """
    weight, bias, rows = (t.bfloat16() for t in (perceptron.second.weight, perceptron.second.bias, rows))
    outputs = torch.addmm(bias, rows, weight.T)
    errors = torch.addmm(bias.abs() / 2, rows, weight.abs().T).mul_(2).add_(outputs.abs(), alpha=3)
    both = torch.cat([outputs, errors.mul_(ROUNDING * ROOM)], dim=1)
    labels = labels.bfloat16()
    return both @ torch.cat([labels, labels.abs()], dim=1).T


def _has_matrix_units() -> bool:
    known = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(known is not None and known())
