"""Attention over packed sequences: which of them are read together, and their rows as heads and back.

Outside attention a piece is a row and sequences don't matter. Inside, those of about the same length are padded to
one; on a CPU, long ones stand alone, as views. Which backbone it is, and where its scores come from, is not known here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, pad, scaled_dot_product_attention

from ..transfer import on_accelerator, sent
from .onednn import OneDnnLinear

# Sequences of so many pieces fill a product of a CPU by themselves.
ALONE = 128
# So many pieces are read together between two Linears, whose wide vectors are not to fill the memory.
ROWS = 1024
# How much longer the longest of a group may be than its shortest.
SPREAD = 1.125
# An accelerator minds padding less than many small products.
SPREAD_OF_ACCELERATORS = 1.5


@dataclass(frozen=True)
class Group:
    """B sequences of S pieces, the shorter ones padded, and N attention heads.

    rows: Where the pieces stand (B · S), those of padding being the first of their sequence; a slice, where B is 1.
    back: The same, those of padding being `P`, behind all pieces. None, where B is 1.
    mask: (B, 1, S), 0 for pieces and minus infinity for padding; None where there is none.
    """

    n_heads: int
    n_sequences: int
    length: int
    rows: Tensor | slice
    back: Tensor | None = None
    mask: Tensor | None = None

    @cached_property
    def rows_of_heads(self) -> Tensor:
        """Where the pieces stand (N · B · S), head by head, if every row is one for each head."""
        assert isinstance(self.rows, Tensor)
        return self._of_heads(self.rows)

    @cached_property
    def back_of_heads(self) -> Tensor:
        """The same for `back`."""
        assert self.back is not None
        return self._of_heads(self.back)

    def _of_heads(self, rows: Tensor) -> Tensor:
        return (rows * self.n_heads + torch.arange(self.n_heads, device=rows.device)[:, None]).view(-1)

    def heads(self, hidden: Tensor) -> Tensor:
        """The rows (P, D) of these sequences by head: (N, B · S, D / N)."""
        if isinstance(self.rows, slice):
            return hidden[self.rows].view(self.length, self.n_heads, -1).transpose(0, 1)
        if not torch.is_grad_enabled():
            of_heads = hidden.view(len(hidden) * self.n_heads, -1).index_select(0, self.rows_of_heads)
            return of_heads.view(self.n_heads, len(self.rows), -1)
        rows = hidden.index_select(0, self.rows)  # whole ones, whose gradients are faster summed
        return rows.view(len(rows), self.n_heads, -1).transpose(0, 1).contiguous()

    def put(self, read: Tensor, hidden: Tensor) -> None:
        """The inverse of `heads`: read (N, B · S, D / N) into rows of hidden; those behind all pieces are waste."""
        if self.back is None:
            hidden.view(len(hidden), len(read), -1)[self.rows] = read.transpose(0, 1)
        elif not torch.is_grad_enabled():
            of_heads = hidden.view(len(hidden) * self.n_heads, -1)
            of_heads.index_copy_(0, self.back_of_heads, read.reshape(len(self.back_of_heads), -1))
        else:
            hidden.index_copy_(0, self.back, read.transpose(0, 1).reshape(len(self.back), -1))


def grouped(lengths: Sequence[int], n_heads: int, device: torch.device) -> list[Group]:
    """Groups of all sequences, which stand one after the other."""
    firsts = torch.tensor([0, *lengths]).cumsum(0).tolist()
    alone, spread = (torch.inf, SPREAD_OF_ACCELERATORS) if on_accelerator(device) else (ALONE, SPREAD)
    together: list[list[int]] = []
    for row in sorted(filter(lengths.__getitem__, range(len(lengths))), key=lengths.__getitem__):
        fits = together and lengths[row] < alone and lengths[row] <= spread * lengths[together[-1][0]]
        if fits:
            together[-1].append(row)
        else:
            together.append([row])
    groups = []
    for rows in together:
        if len(rows) == 1:
            first, length = firsts[rows[0]], lengths[rows[0]]
            groups.append(Group(n_heads, 1, length, slice(first, first + length)))
        else:
            of_group = [firsts[row] for row in rows], [lengths[row] for row in rows]
            groups.append(_padded(n_heads, *of_group, firsts[-1], device))
    return groups


def _padded(n_heads: int, firsts: list[int], lengths: list[int], n_pieces: int, device: torch.device) -> Group:
    sizes = torch.tensor(lengths)[:, None]
    places = torch.arange(lengths[-1])
    rows = torch.tensor(firsts)[:, None] + places
    outside = places >= sizes
    mask = torch.zeros(outside.shape).masked_fill_(outside, -torch.inf)[:, None] if outside.any() else None
    back = rows.masked_fill(outside, n_pieces).reshape(-1)
    rows = torch.where(outside, rows[:, :1], rows).reshape(-1)
    if mask is not None:
        mask = sent(mask, device)
    return Group(n_heads, len(lengths), lengths[-1], sent(rows, device), sent(back, device), mask)


def places_of(lengths: Sequence[int], n_rows: int, device: torch.device) -> Tensor:
    """Where each piece stands in its sequence (N); zeros for rows behind all sequences."""
    places = torch.cat([torch.arange(length, device=device) for length in lengths])
    return pad(places, (0, n_rows - len(places)))


def added(linear: nn.Module, inputs: Tensor, hidden: Tensor, dropped: float = 0.0) -> Tensor:
    """`linear(inputs) + hidden`, of the former so much dropped; without a gradient, hidden itself is overwritten.

    New memory costs as much as a sum, and a product can be added where it is made.
    """
    if dropped or torch.is_grad_enabled():
        return dropout(linear(inputs), dropped) + hidden
    if isinstance(linear, OneDnnLinear):
        for part, of_part in zip(hidden.split(ROWS), inputs.split(ROWS), strict=True):
            part.add_(linear(of_part))
        return hidden
    if not isinstance(linear, nn.Linear) or not inputs.dtype == hidden.dtype == linear.weight.dtype:
        return hidden.add_(linear(inputs))  # in 8 bits, or cast as it is needed (autocast)
    if linear.bias is not None:
        hidden.add_(linear.bias)
    return hidden.addmm_(inputs, linear.weight.T)


def activated(activation: Callable[[Tensor], Tensor], hidden: Tensor) -> Tensor:
    """`activation(hidden)`; without a gradient, hidden itself is overwritten where possible."""
    if _is_gelu(activation) and not torch.is_grad_enabled():
        overwritten: Tensor = torch.ops.aten.gelu_(hidden)
        return overwritten
    return activation(hidden)


def wide(intermediate: Any) -> Callable[[Tensor], Tensor]:
    """The first half of the feed-forward layer of BERT and DeBERTa."""
    activation, dense = intermediate.intermediate_act_fn, intermediate.dense
    if isinstance(dense, OneDnnLinear) and _is_gelu(activation):
        return dense.gelu
    return lambda hidden: activated(activation, dense(hidden))


def _is_gelu(activation: Callable[[Tensor], Tensor]) -> bool:
    """Whether it is the exact one, of torch or of the Hugging Face library."""
    exact = isinstance(activation, nn.GELU) and activation.approximate == "none"
    return exact or getattr(activation, "act", None) is gelu


def fed_forward(hidden: Tensor, inner: Callable[[Tensor], Tensor], outer: nn.Module, dropped: float = 0.0) -> Tensor:
    """`outer(inner(hidden)) + hidden`, row by row; without a gradient, hidden itself is overwritten, part by part."""
    if dropped or torch.is_grad_enabled() or on_accelerator(hidden.device):
        return added(outer, inner(hidden), hidden, dropped)
    for part in hidden.split(ROWS):
        added(outer, inner(part), part)
    return hidden


def attend(
    query: Tensor, key: Tensor, value: Tensor, group: Group, *, reach: int | None = None, dropped: float = 0.0
) -> Tensor:
    """softmax(query · key / root of the width) · value, within each sequence: (N, B · S, D / N) each, and the result.

    reach: The largest distance of pieces that read each other; None for any.
    dropped: How much of the softmax is dropped, in training.
    """
    shape = (len(query), group.n_sequences, group.length, -1)
    query, key, value = (rows.view(shape) for rows in (query, key, value))
    mask = None if group.mask is None else group.mask.to(query.dtype)
    if reach is None or reach >= group.length - 1:
        return _attend(query, key, value, mask, dropped).flatten(1, 2)
    read = []
    block = max(ALONE, 2 * reach)
    for first in range(0, group.length, block):
        last = min(first + block, group.length)
        begin, end = max(0, first - reach), min(last + reach, group.length)
        places = torch.arange(begin, end, device=query.device)
        far = (places - torch.arange(first, last, device=query.device)[:, None]).abs() > reach
        near = torch.zeros(far.shape, dtype=query.dtype, device=query.device).masked_fill_(far, -torch.inf)
        if mask is not None:
            near = near + mask[:, :, begin:end]
        of_block = (query[:, :, first:last], key[:, :, begin:end], value[:, :, begin:end])
        read.append(_attend(*of_block, near.expand(group.n_sequences, -1, -1), dropped))
    return torch.cat(read, dim=2).flatten(1, 2)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropped: float) -> Tensor:
    """query (N, B, R, E), key and value (N, B, S, E), mask (B, 1 or R, S) -> (N, B, R, E).

    On a CPU, plain products take a third of the time of the fused function where there is a mask or little to do.
    """
    if on_accelerator(query.device) or (mask is None and query.shape[2] >= ALONE):
        return scaled_dot_product_attention(query, key, value, mask, dropped)
    of_one = [part.flatten(0, 1) for part in (query, key, value)]
    scores = (torch.bmm(of_one[0], of_one[1].transpose(1, 2)).mul_(query.shape[3] ** -0.5)).view(*query.shape[:3], -1)
    if mask is not None:
        scores += mask
    probs = dropout(scores.softmax(dim=-1), dropped)
    return torch.bmm(probs.flatten(0, 1), of_one[2]).view(query.shape)
