"""DeBERTa's attention in one kernel of torch's FlexAttention, in which no scores are written to memory.

For accelerators, and not measured on one yet: it has to be asked for, by SPACY_GLINER_FUSED_ATTENTION=1. At its first
use it is compiled, which takes Triton and a while.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..transfer import on_accelerator
from .packing import Group


def wanted(device: torch.device) -> bool:
    """Whether to take it on a device: in prediction only."""
    asked_for = os.environ.get("SPACY_GLINER_FUSED_ATTENTION") == "1" and on_accelerator(device)
    return asked_for and not torch.is_grad_enabled()


def attend(query: Tensor, key: Tensor, value: Tensor, by_key: Tensor, by_query: Tensor, group: Group) -> Tensor:
    """softmax(query · key + scores by position) · value, within each sequence: (N, B · S, E), and so the result.

    by_key, by_query: Keys and queries of positions (N, E, 2 · S - 1), the distance of a key from its query rising by
        rows of the former, and that of a query from its key by those of the latter.
    """
    n_heads, n_rows, width = query.shape
    by_sequence = (n_heads, group.n_sequences, group.length)
    of_queries, of_keys = ((rows @ near).view(*by_sequence, -1) for rows, near in ((query, by_key), (key, by_query)))
    # A tensor: a number would be compiled into the kernel, and every length would need another.
    nearest = torch.full((), group.length - 1, device=query.device)
    absent = query.new_zeros(group.n_sequences, 1, group.length) if group.mask is None else group.mask

    def score(product: Tensor, row: Tensor, head: Tensor, query_at: Tensor, key_at: Tensor) -> Tensor:
        ahead = key_at - query_at
        by_position = of_queries[head, row, query_at, nearest + ahead] + of_keys[head, row, key_at, nearest - ahead]
        return product + by_position + absent[row, 0, key_at]

    of_one = ((rows.view(*by_sequence, width)).transpose(0, 1) for rows in (query, key, value))
    read: Tensor = _kernel(query.device.type)(*of_one, score_mod=score, scale=1.0)
    return read.transpose(0, 1).reshape(n_heads, n_rows, width)


@cache
def _kernel(device_type: str) -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    kernel: Any = flex_attention
    return kernel if device_type == "cpu" else torch.compile(kernel, dynamic=True)
