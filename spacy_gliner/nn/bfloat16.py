"""bfloat16 on CPUs with units for it: weights in the order that these read, and few numbers of rows."""

import platform

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


class PackedLinear(nn.Module):
    """A Linear for prediction, whose weights are packed for oneDNN once, and not in every product."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().contiguous())

    @property
    def weight(self) -> Tensor:
        """The weights as they are packed; T5 models ask of what kind they are."""
        return self.packed

    def forward(self, rows: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        return self._multiplied(rows, "none")

    def gelu(self, rows: Tensor) -> Tensor:
        """GELU of what `forward` gives, while it is at hand."""
        return self._multiplied(rows, "gelu")

    def _multiplied(self, rows: Tensor, activation: str) -> Tensor:
        if not rows.numel():
            return rows.new_zeros(*rows.shape[:-1], self.out_features)
        multiplied: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.packed, self.bias, activation, [], "none")
        return multiplied


def rows_of_programs(n_rows: int, like: Tensor) -> int:
    """How many rows to multiply in place of so many: in bfloat16 on a CPU the next of few numbers, otherwise as many.

    For every number of rows, oneDNN makes a program of about half a megabyte, and keeps up to a thousand. So there are
    16 numbers for each doubling: at most a sixteenth more rows, or 15 of few.
    """
    if like.dtype != torch.bfloat16 or like.device.type != "cpu":
        return n_rows
    step = max(16, 1 << max(0, n_rows.bit_length() - 5))
    return -(-n_rows // step) * step


def for_programs(rows: Tensor) -> Tensor:
    """(N, D) -> (N or more, D), zeros behind them; see `rows_of_programs`."""
    more = rows_of_programs(len(rows), rows) - len(rows)
    return pad(rows, (0, 0, 0, more)) if more else rows


def is_x86() -> bool:
    """Whether this is a processor of Intel's or AMD's kind."""
    return platform.machine().lower() in ("x86_64", "amd64")


def has_x86_bfloat16() -> bool:
    """Whether it is, and has units for matrices of bfloat16, which oneDNN knows to use."""
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    known = is_x86() and torch.backends.mkldnn.is_available()
    return known and any(getattr(torch.cpu, name, bool)() for name in asked)
