"""Steps of training: a native AdamW that follows the settings of a thinc optimizer."""

import logging

import torch
from thinc.api import Optimizer

from ..nn.network import Network
from .parameters import parameter_groups

# Backbones that are fine-tuned with a higher rate forget what they know.
HIGH_RATE = 5e-4

logger = logging.getLogger("spacy_gliner")


def new_optimizer(network: Network, layer_decay: float) -> torch.optim.Optimizer:
    """For all weights that are not frozen; see `parameter_groups`."""
    device = next(network.parameters()).device
    fused = device.type in ("cpu", "cuda")  # one loop over all weights: five times as fast on a CPU
    return torch.optim.AdamW(parameter_groups(network, layer_decay), fused=fused)


def step(native: torch.optim.Optimizer, network: Network, settings: Optimizer) -> None:
    """One step with the settings of a thinc optimizer, after which there are no gradients.

    `settings.learn_rate` is the backbone's rate, `settings.head_learn_rate` (where there is one) everybody else's.
    Weight decay leaves out biases and norms; the gradient is clipped by its global norm.
    """
    for group in native.param_groups:
        rate = settings.learn_rate
        group["lr"] = group["scale"] * (rate if group["backbone"] else getattr(settings, "head_learn_rate", rate))
        group["weight_decay"] = settings.L2 if group["decay"] else 0.0
        group["betas"], group["eps"] = (settings.b1, settings.b2), settings.eps
    if settings.grad_clip:
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.grad_clip)
    native.step()
    native.zero_grad(set_to_none=True)


def warn_of_high_rate(settings: Optimizer) -> None:
    """Say that a rate is too high for a pretrained network."""
    if settings.learn_rate > HIGH_RATE:
        logger.warning(
            "A learning rate of %s soon ruins a pretrained network. Use spacy_gliner.AdamW.v1, or one of about "
            "1e-5 to 2e-4; spaCy's default of 0.001 is meant for networks that start from nothing.",
            settings.learn_rate,
        )
