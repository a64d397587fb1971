"""Linears in 8 bits, for CPUs: weights are rounded once, inputs row by row as they come."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Rounded = tuple[Tensor, Tensor]


class Int8Linear(nn.Module):
    """A Linear in 8 bits: weights by output, inputs by row, each with a scale of its own; sums in 32 bits.

    Since a row has its own scale, what is found in a text doesn't depend on others in the same pass.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().contiguous()  # oneDNN would read others wrongly
        scales = weight.abs().amax(dim=1).clamp(min=torch.finfo(weight.dtype).tiny) / largest_weight()
        rounded = (weight / scales[:, None]).round().to(torch.int8)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self.scales = scales
        self.zeros = torch.zeros(len(scales), dtype=torch.long)
        self.weight8 = torch.ops.onednn.qlinear_prepack(rounded, None)

    @property
    def weight(self) -> Tensor:
        """The weights in 8 bits, in whatever order; T5 models ask of what kind they are."""
        return self.weight8

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, in) -> (…, out), in float32."""
        rows = hidden.reshape(-1, self.in_features)
        return self.of_rounded(rounded_by_row(rows)).view(*hidden.shape[:-1], self.out_features)

    def of_rounded(self, rounded: Rounded) -> Tensor:
        """What `rounded_by_row` gave for (N, in) -> (N, out)."""
        rows, scale = rounded
        if not len(rows):
            return scale.new_zeros(0, self.out_features)
        weights = (self.weight8, self.scales, self.zeros)
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            rows, 1.0, 128, *weights, None, 1.0, 0, torch.float32, "none", [], ""
        )
        product.mul_(scale)
        return product if self.bias is None else product.add_(self.bias)


def largest_weight() -> int:
    """The largest whole number of a weight. CPUs without VNNI add two products in 16 bits, where 127 is too much."""
    asked = ("_is_vnni_supported", "_is_avx512_vnni_supported", "_is_amx_tile_supported")  # its name has changed
    return 127 if any(getattr(torch.cpu, name, bool)() for name in asked) else 63


def rounded_by_row(rows: Tensor) -> Rounded:
    """(N, D) -> whole numbers from 1 to 255, of which 128 stands for 0, and the scale (N, 1) of each row."""
    largest = torch.maximum(rows.amax(dim=1, keepdim=True), -rows.amin(dim=1, keepdim=True))
    scale = largest.clamp_(min=1e-30) / 127
    return (rows * scale.reciprocal()).add_(128.5).to(torch.uint8), scale


def each(linears: Sequence[nn.Module], hidden: Tensor) -> list[Tensor]:
    """What several Linears give for the same rows (N, in), which are rounded once."""
    of_8_bits = [linear for linear in linears if isinstance(linear, Int8Linear)]
    if len(of_8_bits) < len(linears):
        return [linear(hidden) for linear in linears]
    rounded = rounded_by_row(hidden)
    return [linear.of_rounded(rounded) for linear in of_8_bits]
