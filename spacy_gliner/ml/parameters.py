"""Which weights training changes, and how fast: frozen ones, and groups with rates of their own.

Knows the names of a network's weights; does not know optimizers.
"""

import math
import re
from typing import Any, Literal

from torch import nn

from ..nn.network import Network

Freeze = Literal["nothing", "embeddings", "backbone", "labels"] | int

TEXT, LABELS = "encoder.transformer.", "encoder.labels."
LAYER = re.compile(r"\.(?:layers?|h|block)\.(\d+)\.")


def n_layers(network: Network, backbone: str = TEXT) -> int:
    """The layers of the backbone, or of that whose weights begin otherwise."""
    return 1 + max((depth(name) for name, _ in network.named_parameters() if name.startswith(backbone)), default=0)


def in_backbone(name: str) -> bool:
    """Whether a weight is part of a pretrained backbone: that of the texts, or that of labels which are read apart."""
    return name.startswith((TEXT, LABELS + "transformer."))


def depth(name: str) -> int:
    """The layer of a backbone's weight, from 0; -1 for embeddings. What belongs to no layer counts as the lowest."""
    found = LAYER.search(name)
    if found:
        return int(found.group(1))
    return -1 if "embed" in name or ".shared." in name else 0


def freeze_weights(network: Network, freeze: Freeze) -> None:
    """Let training leave these weights as they are, and change all others.

    freeze: "nothing"; of all backbones the "embeddings", everything ("backbone") or, as a number, the embeddings and so
        many of the lowest layers; or the encoder of "labels" that are read apart, whose vectors then stay as they are.
    Raises ValueError for a number of layers that the backbone does not have, and where no labels are read apart.
    """
    total = n_layers(network)
    if isinstance(freeze, int) and not 0 <= freeze <= total:
        raise ValueError(f"freeze = {freeze}, but the backbone has {total} layers; give a number from 0 to {total}.")
    if freeze == "labels" and not any(name.startswith(LABELS) for name, _ in network.named_parameters()):
        raise ValueError('freeze = "labels", but this network has no encoder of labels; only bi-encoders have one.')
    names = {"nothing": -2, "labels": -2, "embeddings": -1, "backbone": math.inf}
    top = freeze - 1 if isinstance(freeze, int) else names[freeze]
    for name, parameter in network.named_parameters():
        frozen = name.startswith(LABELS) if freeze == "labels" else in_backbone(name) and depth(name) <= top
        parameter.requires_grad = not frozen


def parameter_groups(network: Network, layer_decay: float = 1.0) -> list[dict[str, Any]]:
    """Weights for an optimizer, in groups of one rate and one weight decay; frozen ones are left out.

    Beside "params" a group has "backbone" (whether the lower rate is meant), "scale" (what its rate is multiplied by:
    `layer_decay` for every layer of the backbone above it) and "decay" (whether weight decay is meant: for matrices).
    """
    totals = {prefix: n_layers(network, prefix) for prefix in (TEXT, LABELS)}
    groups: dict[tuple[bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            total = totals[LABELS if name.startswith(LABELS) else TEXT]
            scale = layer_decay ** (total - 1 - depth(name)) if in_backbone(name) else 1.0
            groups.setdefault((in_backbone(name), scale, parameter.ndim > 1), []).append(parameter)
    return [
        {"params": params, "backbone": backbone, "scale": scale, "decay": decay}
        for (backbone, scale, decay), params in groups.items()
    ]
