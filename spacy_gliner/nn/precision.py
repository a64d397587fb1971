"""Networks as they predict: in other number formats than float32, or without the packed forward passes.

Training, saving and the vectors of labels that are read apart stay with the network these were made from.
"""

import copy
import logging
from typing import Literal, get_args

import torch
from torch import nn

from .int8 import Int8Linear
from .network import Network
from .transformer import Transformer, unpack

Precision = Literal["float32", "bfloat16", "float16", "int8"]

logger = logging.getLogger("spacy_gliner")


def for_prediction(network: Network, precision: Precision = "float32", *, packed: bool = True) -> Network:
    """The network itself, where nothing is to be changed; otherwise another, which shares what is the same.

    precision: "bfloat16" or "float16", for accelerators and for CPUs with units for them, of the whole network; or
        "int8", for CPUs, of the Linears of the backbones; see `Int8Linear`.
    packed: Whether backbones read without padding where they can (`packing`), or as the Hugging Face model does.
    Raises ValueError for int8 on an accelerator, and for an unknown precision.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision must be one of {', '.join(get_args(Precision))}, got {precision!r}.")
    if precision == "float32" and packed:
        return network
    device = next(network.parameters()).device
    if precision == "int8" and device.type != "cpu":
        raise ValueError(
            f'precision = "int8" is for CPUs, and the network runs on {device}. Choose "bfloat16" or "float16" there.'
        )
    if precision in ("bfloat16", "float16"):
        if device.type == "cpu" and precision == "bfloat16" and not has_bfloat16():
            logger.warning('This CPU has no units for bfloat16, which is slow without; "int8" may be faster.')
        changed = copy.deepcopy(network).to(getattr(torch, precision))
    else:
        changed = copy.deepcopy(network, {id(weight): weight for weight in network.parameters()})
    for transformer in [module for module in changed.modules() if isinstance(module, Transformer)]:
        if not packed:
            unpack(transformer)
        if precision == "int8":
            _quantize(transformer.backbone)
    return changed.eval()


def has_bfloat16() -> bool:
    """Whether the CPU multiplies matrices of bfloat16 faster than those of float32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _quantize(module: nn.Module) -> None:
    """Put an `Int8Linear` in place of every Linear."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear(child))
        else:
            _quantize(child)
