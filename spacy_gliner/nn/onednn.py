"""Linears that oneDNN multiplies for prediction on x86 CPUs, with weights as it reads them and few numbers of rows.

In bfloat16, torch takes oneDNN anyway. In float32 it takes MKL, which is made for Intel's processors; on those of AMD
that have AVX-512, oneDNN takes a tenth less time, of few rows a quarter less.
"""

import platform
from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, pad

Activation = Literal["none", "gelu"]


class OneDnnLinear(nn.Module):
    """A Linear for prediction, with packed weights in bfloat16, and in float32 with those of the Linear it is like."""

    def __init__(self, like: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = like.in_features, like.out_features
        self.bias = like.bias
        shared = like.weight.dtype == torch.float32
        self.weight: Tensor = like.weight if shared else _packed(like.weight)

    def forward(self, rows: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        return self._multiplied(rows, "none")

    def gelu(self, rows: Tensor) -> Tensor:
        """GELU of what `forward` gives, while it is at hand."""
        return self._multiplied(rows, "gelu")

    def _multiplied(self, rows: Tensor, activation: Activation) -> Tensor:
        if self.weight.dtype == torch.float32 and not (rows.dtype == torch.float32 and _predicts()):
            hidden = linear(rows, self.weight, self.bias)
            return hidden if activation == "none" else gelu(hidden)
        if not rows.numel():
            return rows.new_zeros(*rows.shape[:-1], self.out_features)
        return _multiply(rows, self.weight, self.bias, activation)


def _packed(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())
    return packed


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """rows (N, in) · weight (out, in) + bias (out) -> (N, out), by the faster library."""
    # Of weights that lie apart, as some columns of a Linear's by output, oneDNN reads number by number.
    lies_together = weight.is_contiguous() or weight.T.is_contiguous()
    if lies_together and takes_onednn(rows) and rows.numel():
        return _multiply(rows, weight, bias, "none")
    return linear(rows, weight, bias)


def _multiply(rows: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation) -> Tensor:
    """By oneDNN, which would read a bias wrongly that does not lie together."""
    multiplied: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, activation, [], "none")
    return multiplied


def _predicts() -> bool:
    """Whether no gradient is wanted, and no other number format."""
    return not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")


def takes_onednn(rows: Tensor) -> bool:
    """Whether oneDNN is to multiply float32 here, for prediction."""
    in_float32 = rows.dtype == torch.float32 and rows.device.type == "cpu" and has_faster_onednn()
    return in_float32 and _predicts()


def rows_of_programs(n_rows: int, like: Tensor) -> int:
    """How many rows to multiply in place of so many: the next of few numbers, where oneDNN multiplies on a CPU.

    For every number of rows, it makes a program of about half a megabyte, and keeps up to a thousand. So there are 16
    numbers for each doubling: at most a sixteenth more rows; of few, they are multiples of 16, or of 8 in float32.

    like: Of the dtype and on the device of what is multiplied.
    """
    in_bfloat16 = like.dtype == torch.bfloat16 and like.device.type == "cpu"
    if not in_bfloat16 and not takes_onednn(like):
        return n_rows
    step = max(16 if in_bfloat16 else 8, 1 << max(0, n_rows.bit_length() - 5))
    return -(-n_rows // step) * step


def for_programs(rows: Tensor, like: Tensor | None = None) -> Tensor:
    """(N) or (N, D) -> (N or more, …), zeros behind them; see `rows_of_programs`.

    like: Where these are ids, the vectors that they stand for.
    """
    more = rows_of_programs(len(rows), rows if like is None else like) - len(rows)
    return pad(rows, (0, 0) * (rows.dim() - 1) + (0, more)) if more else rows


def is_x86() -> bool:
    """Whether this is a processor of Intel's or AMD's kind."""
    return platform.machine().lower() in ("x86_64", "amd64")


def has_x86_bfloat16() -> bool:
    """Whether it is, and has units for matrices of bfloat16, which oneDNN knows to use."""
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    known = is_x86() and torch.backends.mkldnn.is_available()
    return known and any(getattr(torch.cpu, name, bool)() for name in asked)


def has_faster_onednn() -> bool:
    """Whether oneDNN multiplies float32 faster than MKL, which torch takes: on AMD's processors with AVX-512.

    `torch.backends.mkldnn.enabled = False` forbids it.
    """
    return bool(torch.backends.mkldnn.enabled) and _is_amd_with_avx512()


@cache
def _is_amd_with_avx512() -> bool:
    ask = getattr(torch.cpu, "get_capabilities", None)
    if not is_x86() or ask is None or not torch.backends.mkldnn.is_available():
        return False
    known = ask()
    return "AMD" in str(known.get("cpu_name")) and bool(known.get("avx512_f"))
