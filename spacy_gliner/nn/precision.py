"""Networks as they predict: in other number formats, with other Linears, or without the packed forward passes.

Training, saving and the vectors of labels that are read apart stay with the network these were made from.
"""

import copy
import logging
from typing import Literal, get_args

import torch
from torch import nn

from .int8 import Int8Linear
from .layout import by_output
from .network import Network
from .onednn import OneDnnLinear, has_faster_onednn, has_x86_bfloat16, is_x86
from .transformer import Transformer, unpack_all

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
    device = next(network.parameters()).device
    by_onednn = packed and device.type == "cpu" and has_faster_onednn() and any(map(_is_packed, network.modules()))
    if precision == "float32" and packed and not by_onednn:
        return network
    if precision == "int8" and device.type != "cpu":
        raise ValueError(
            f'precision = "int8" is for CPUs, and the network runs on {device}. Choose "bfloat16" or "float16" there.'
        )
    if precision == "int8" and not torch.backends.mkldnn.is_available():
        raise ValueError('precision = "int8" needs a torch that was built with oneDNN, which this one was not.')
    if precision in ("bfloat16", "float16"):
        if device.type == "cpu" and not (has_bfloat16() if precision == "bfloat16" else has_float16()):
            logger.warning('This CPU has no units for %s, which is slow without; "int8" may be faster.', precision)
        changed = copy.deepcopy(network)
        buffers = [(m, n, b) for m in changed.modules() for n, b in m.named_buffers(recurse=False)]
        changed.to(getattr(torch, precision))
        by_output(changed)
        for module, name, buffer in buffers:  # of rotary positions, which bfloat16 is too coarse for
            module._buffers[name] = buffer
    else:
        changed = copy.deepcopy(network, {id(weight): weight for weight in network.parameters()})
    if not packed:
        unpack_all(changed)
    for transformer in [module for module in changed.modules() if isinstance(module, Transformer)]:
        if precision == "int8":
            _replace_linears(transformer.backbone, Int8Linear)
        if precision == "bfloat16" and device.type == "cpu" and has_x86_bfloat16():
            _replace_linears(transformer.backbone, OneDnnLinear)
        if precision == "float32" and _is_packed(transformer):
            _replace_linears(transformer.backbone, OneDnnLinear)
    return changed.eval()


def has_bfloat16() -> bool:
    """Whether the CPU has units for matrices of bfloat16."""
    return has_x86_bfloat16() if is_x86() else _supported("_is_mkldnn_bf16_supported")


def has_float16() -> bool:
    """Whether the CPU has units for matrices of float16."""
    return _supported("_is_mkldnn_fp16_supported")


def _supported(name: str) -> bool:
    return torch.backends.mkldnn.is_available() and bool(getattr(torch.ops.mkldnn, name)())


def _is_packed(module: nn.Module) -> bool:
    return isinstance(module, Transformer) and module.packed is not None


def _replace_linears(module: nn.Module, kind: type[Int8Linear] | type[OneDnnLinear]) -> None:
    """Put one of this kind in place of every Linear."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, kind(child))
        else:
            _replace_linears(child, kind)
