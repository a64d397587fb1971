"""Linears in prediction, multiplied by the faster of the two libraries that come with torch.

In float32 torch multiplies with MKL, which is made for Intel's processors. On those of AMD that have AVX-512, oneDNN
takes a tenth less time, of few rows a quarter less, and activates what it multiplies while it is at hand.
"""

import platform
from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

Activation = Literal["none", "relu", "gelu"]


class PackedLinear(nn.Module):
    """A Linear for prediction in bfloat16 on a CPU with units for it, whose weights are packed for them once."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().contiguous())

    @property
    def weight(self) -> Tensor:
        """The weights as they are packed; T5 models ask of what kind they are."""
        return self.packed

    def forward(self, rows: Tensor, activation: Activation = "none") -> Tensor:
        """(…, in) -> activation of (…, out)."""
        if not rows.numel():
            return rows.new_zeros(*rows.shape[:-1], self.out_features)
        return _multiplied(rows, self.packed, self.bias, activation)


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None, activation: Activation = "none") -> Tensor:
    """rows (…, in), weight (out, in), bias (out) -> activation(rows · weight + bias) (…, out)."""
    if _takes_onednn(rows, weight):
        return _multiplied(rows, weight, bias, activation)
    return _activated(linear(rows, weight, bias), activation)


def applied(module: nn.Module, rows: Tensor, activation: Activation = "none") -> Tensor:
    """`activation(module(rows))`, of a Linear or of what stands in its place."""
    if type(module) is nn.Linear:
        return product(rows, module.weight, module.bias, activation)
    if isinstance(module, PackedLinear):
        packed: Tensor = module(rows, activation)
        return packed
    return _activated(module(rows), activation)


def has_faster_onednn() -> bool:
    """Whether oneDNN multiplies float32 faster than what torch takes. `torch.backends.mkldnn.enabled` can forbid it."""
    return bool(torch.backends.mkldnn.enabled) and _is_amd_with_avx512()


def is_x86() -> bool:
    """Whether this is a processor of Intel's or AMD's kind."""
    return platform.machine().lower() in ("x86_64", "amd64")


def has_x86_bfloat16() -> bool:
    """Whether it is, and has units for matrices of bfloat16."""
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return is_x86() and any(getattr(torch.cpu, name, bool)() for name in asked)


def _takes_onednn(rows: Tensor, weight: Tensor) -> bool:
    predicts = not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
    fits = rows.dtype == weight.dtype == torch.float32 and rows.device.type == "cpu" and rows.numel() > 0
    return predicts and fits and has_faster_onednn()


@cache
def _is_amd_with_avx512() -> bool:
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkl.is_available():
        return False
    ask = getattr(torch.cpu, "get_capabilities", None)
    if not is_x86() or ask is None:
        return False
    known = ask()
    return "AMD" in str(known.get("cpu_name")) and bool(known.get("avx512_f"))


def _multiplied(rows: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation) -> Tensor:
    multiplied: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, activation, [], "none")
    return multiplied


def _activated(hidden: Tensor, activation: Activation) -> Tensor:
    """Without a gradient, hidden itself is overwritten."""
    if activation == "none":
        return hidden
    in_place = not torch.is_grad_enabled()
    if activation == "relu":
        return hidden.relu_() if in_place else hidden.relu()
    activated: Tensor = torch.ops.aten.gelu_(hidden) if in_place else torch.nn.functional.gelu(hidden)
    return activated
