"""Scores of many labels, of which only those above a floor are wanted: on a CPU with units for bfloat16.

A first look in bfloat16 gives an upper bound of a span's scores, with all that rounding may do. Only spans that can
reach the floor are scored in full precision, so that nothing above it is lost, and every score above it is exact.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from .layers import Perceptron
from .onednn import has_x86_bfloat16, rows_of_programs

# With fewer labels there is little to save.
MANY_LABELS = 256
# The largest relative error of rounding to bfloat16, and some room for products of such errors and for their sums.
ROUNDING = 2.0**-8
ROOM = 1.1


def possible(labels: Tensor) -> bool:
    """Whether such labels, if they are many, may be looked at: in prediction, on machines made for it."""
    plain = labels.device.type == "cpu" and labels.dtype == torch.float32 and not torch.is_grad_enabled()
    return plain and has_x86_bfloat16()


def pays(perceptron: Perceptron, labels: Tensor, floor: float) -> bool:
    """Whether to look first: with a floor, and where twice as fast products are fewer than those of `onto`."""
    if floor == -torch.inf or len(labels) < MANY_LABELS or labels.dtype != torch.float32:
        return False
    width, n_hidden = perceptron.second.weight.shape
    return 2 * n_hidden * len(labels) > width * (n_hidden + len(labels))


def margins(perceptron: Perceptron, labels: Tensor) -> Tensor:
    """labels (C, D) -> (C, 3): how far a score may be above what bfloat16 gives for it.

    For rows `h` and outputs `o = W · h + b`, in parts of `|h|`, in parts of `|o|`, and at all. With a rounding error
    `u`, a score `l · o` is wrong by `l · W (h - h')`, at most `u |l · W| |h|`; by `l · (W - W') h'`; by `l · (b - b')`;
    by `u |o| |l|` and `|o| |l - l'|` as outputs and labels are rounded; and by `u |o| |l|` as it is rounded itself.
    """
    weight, bias = perceptron.second.weight, perceptron.second.bias
    by_row = ROUNDING * (labels @ weight).norm(dim=1) + (labels @ _rounding(weight)).norm(dim=1)
    by_output = 2 * ROUNDING * labels.norm(dim=1) + _rounding(labels).norm(dim=1)
    at_all = (labels @ _rounding(bias)).abs()
    return ROOM * torch.stack([by_row, by_output, at_all], dim=1)


def screened(
    perceptron: Perceptron, parts: Iterable[Tensor], n_rows: int, labels: Tensor, of_labels: Tensor, floor: float
) -> tuple[Tensor, Tensor]:
    """Scores as of `Perceptron.onto` for the rows that can reach the floor, and which these are.

    parts (…, H) of so many rows, labels (C, D) and their margins (C, 3) -> (R, C), and R places among all rows.
    """
    weight, bias, rough_labels = (t.bfloat16() for t in (perceptron.second.weight, perceptron.second.bias, labels))
    by_row, by_output, at_all = of_labels.amax(dim=0)
    found, places, first, exact = [], [], 0, None
    for part in parts:
        rows = perceptron.activate(part).flatten(0, -2)
        reach = torch.arange(len(rows))
        if exact is None:
            rough = weight.new_empty(rows_of_programs(len(rows), weight), rows.shape[1])  # those behind mean nothing
            rough[: len(rows)] = rows
            outputs = torch.addmm(bias, rough, weight.T)
            highest = (outputs @ rough_labels.T)[: len(rows)].float().amax(dim=1)
            of_outputs = outputs[: len(rows)].float().norm(dim=1)
            bound = highest + by_row * rows.norm(dim=1) + by_output * of_outputs + at_all
            reach = reach[~(bound <= floor)]  # what is no number may reach it
            if 2 * len(reach) > len(rows):  # not to look is faster
                exact = perceptron.onto(labels, n_rows)
        found.append(exact(rows) if exact and len(reach) == len(rows) else perceptron.second(rows[reach]) @ labels.T)
        places.append(reach + first)
        first += len(rows)
        del part, rows  # the next part takes their memory
    return torch.cat(found), torch.cat(places)


def _rounding(values: Tensor) -> Tensor:
    """What is lost as they are rounded to bfloat16."""
    return values - values.bfloat16().float()
