"""The focal loss with label smoothing, from logits, and its gradient.

Does not know what the targets stand for; see `targets`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from .targets import IGNORE

Loss = Callable[[Tensor, Tensor], Tensor]
Parts = Callable[[Tensor], Sequence[Tensor]]


def focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: float = -1.0,
    gamma: float = 0.0,
    smoothing: float = 0.0,
    reduction: Literal["sum", "mean"] = "mean",
    weight: float = 1.0,
) -> Tensor:
    """Focal binary cross entropy over what is not ignored (GLiNER multi-task, 2.3, eq. 1 for the smoothing).

    logits, target: Of one shape; elements whose target is `IGNORE` do not count.
    alpha: Weight of positives, `1 - alpha` that of negatives; off when negative.
    gamma: The exponent by which easy elements count less; 0 is plain cross entropy.
    smoothing: In 0..1, moves the targets towards 0.5.
    reduction: The sum over the elements, or their mean.
    weight: What the loss counts beside those of other components that train the same network.
    RETURNS (Tensor): A scalar.
    """
    keep = target != IGNORE
    logits, target = logits[keep].float(), target[keep]
    target = target * (1 - smoothing) + 0.5 * smoothing
    loss = binary_cross_entropy_with_logits(logits, target, reduction="none")
    if gamma > 0:
        probs = logits.sigmoid()
        wrong = 1 - (probs * target + (1 - probs) * (1 - target))
        loss = loss * wrong.clamp(min=1e-6) ** gamma  # at 0 the slope of a root is infinite
    if alpha >= 0:
        loss = loss * (alpha * target + (1 - alpha) * (1 - target))
    return weight * (loss.sum() if reduction == "sum" else loss.sum() / max(loss.numel(), 1))


def configure_focal_loss(
    alpha: float = -1.0,
    gamma: float = 0.0,
    smoothing: float = 0.0,
    reduction: Literal["sum", "mean"] = "mean",
    weight: float = 1.0,
) -> Loss:
    """`focal_loss` with its settings, for a config: `spacy_gliner.focal_loss.v1`."""
    if alpha > 1 or gamma < 0 or not 0 <= smoothing <= 1 or reduction not in ("sum", "mean") or weight < 0:
        raise ValueError(
            f"focal_loss needs alpha <= 1 (negative: off), gamma >= 0, smoothing in 0..1, reduction 'sum' or 'mean', "
            f"weight >= 0, got {alpha=}, {gamma=}, {smoothing=}, {reduction=}, {weight=}."
        )
    return partial(focal_loss, alpha=alpha, gamma=gamma, smoothing=smoothing, reduction=reduction, weight=weight)


def _whole(scores: Tensor) -> Sequence[Tensor]:
    return (scores,)


def loss_and_gradient(scores: Tensor, target: Tensor, loss: Loss, parts: Parts = _whole) -> tuple[float, Tensor]:
    """The value of the loss at these scores and its gradient, a tensor of their shape.

    parts: What the loss is taken of one by one, and summed.
    """
    leaf = scores.detach().requires_grad_()
    value = torch.stack([loss(*part) for part in zip(parts(leaf), parts(target), strict=True)]).sum()
    return float(value.detach()), torch.autograd.grad(value, leaf)[0]
