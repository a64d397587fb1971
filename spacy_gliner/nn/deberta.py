"""DeBERTa-v2 and -v3 over packed pieces: nothing is padded, and in prediction nothing is computed twice.

The weights are those of the Hugging Face model, and so are the results. What depends on relative positions alone is
computed once for given weights; attention to a position is looked up by a view, since it depends on the distance only.
"""

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout

from ..transfer import on_accelerator
from . import fused
from .int8 import each
from .onednn import for_programs
from .packing import Group, added, fed_forward, grouped, wide

Positions = tuple[Tensor, Tensor]

BLOCK = 128  # pieces of a long sequence whose scores by position are computed together
CACHED_SCORES = 360_000  # scores of several heads that stay near a CPU's core while they are summed and weighed


def reads(config: Any) -> bool:
    """Whether this is a DeBERTa of the published kind, without parts that only few have."""
    return (
        config.model_type == "deberta-v2"
        and bool(config.relative_attention)
        and set(config.pos_att_type or ()) == {"c2p", "p2c"}
        and not config.position_biased_input
        and not config.type_vocab_size
        and getattr(config, "embedding_size", config.hidden_size) == config.hidden_size
        and getattr(config, "attention_head_size", None) in (None, config.hidden_size // config.num_attention_heads)
        and not getattr(config, "conv_kernel_size", 0)
    )


class PackedDeberta:
    """The forward pass of a `DebertaV2Model` whose configuration `reads` accepts, in training too.

    backbone: Holds the weights.
    """

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone
        self._positions: dict[int, tuple[tuple[Any, ...], Positions]] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> "PackedDeberta":
        return type(self)(copy.deepcopy(self.backbone, memo))  # what is kept is made again

    def __call__(self, ids: Tensor, lengths: list[int], rows: Tensor | None = None) -> Tensor:
        """Ids of pieces (P) and the lengths of the sequences -> contextual vectors (P, D).

        Pieces behind the last sequence belong to none, and mean nothing.

        rows: Those of the pieces (R) whose vectors (R, D) are wanted, where not all are.
        """
        which = None
        p = self.backbone.config.hidden_dropout_prob if self.backbone.training else 0.0
        # An accelerator would have to wait until it is known how many there are.
        if not on_accelerator(ids.device) and not torch.is_grad_enabled():
            ids, which = ids.unique(return_inverse=True)
            ids = for_programs(ids, self.backbone.get_input_embeddings().weight)
        hidden = dropout(self.backbone.embeddings.LayerNorm(self.backbone.get_input_embeddings()(ids)), p)
        layers = self.backbone.encoder.layer
        groups = grouped(lengths, layers[0].attention.self.num_attention_heads, ids.device)
        places = _places(layers[0].attention.self, max(lengths, default=0), ids.device)
        for number, layer in enumerate(layers):
            attention = layer.attention.self
            projected = each((attention.query_proj, attention.key_proj, attention.value_proj), hidden)
            if number == 0 and which is not None:
                hidden, *projected = (part.index_select(0, which) for part in (hidden, *projected))
            read = self._attend(number, attention, projected, groups, places)
            if rows is not None and number == len(layers) - 1:
                read, hidden = read[rows], hidden[rows]
            output = layer.attention.output
            hidden = output.LayerNorm(added(output.dense, read, hidden, p))
            hidden = layer.output.LayerNorm(fed_forward(hidden, wide(layer.intermediate), layer.output.dense, p))
        return hidden

    def _attend(
        self, number: int, attention: Any, projected: list[Tensor], groups: list[Group], places: Tensor
    ) -> Tensor:
        """Queries, keys and values (P, D) -> (P, D), each sequence by itself."""
        n_heads = attention.num_attention_heads
        queries, keys, values = projected
        queries /= _scale(queries.shape[1] // n_heads)
        of_keys, of_queries = self._projected(number, attention, queries.dtype)
        by_key, by_query = (
            of_all.index_select(0, near).view(len(near), n_heads, -1).permute(1, 2, 0)
            for of_all, near in ((of_keys, places.flip(0)), (of_queries, places))
        )
        reach, fuses = len(places) // 2, fused.wanted(queries.device)
        p = self.backbone.config.attention_probs_dropout_prob if self.backbone.training else 0.0
        read = queries.new_empty(len(queries) + 1, queries.shape[1])
        for group in groups:
            near = slice(reach - group.length + 1, reach + group.length)
            query, key, value = (group.heads(rows) for rows in (queries, keys, values))
            of_group = query, key, value, by_key[:, :, near], by_query[:, :, near], group
            group.put(fused.attend(*of_group) if fuses else _attend(*of_group, p), read)
        return read[:-1]

    def _projected(self, number: int, attention: Any, dtype: torch.dtype) -> Positions:
        """Keys and queries (2 · span, D) of positions, the latter scaled; in prediction kept for these weights."""
        encoder = self.backbone.encoder
        if attention.share_att_key:
            of_keys, of_queries = attention.key_proj, attention.query_proj
        else:
            of_keys, of_queries = attention.pos_key_proj, attention.pos_query_proj

        def computed() -> Positions:
            embedded = encoder.get_rel_embedding()[: 2 * attention.pos_ebd_size]
            embedded = dropout(embedded, self.backbone.config.hidden_dropout_prob, self.backbone.training)
            return of_keys(embedded), of_queries(embedded) / _scale(embedded.shape[1] // attention.num_attention_heads)

        if self.backbone.training or torch.is_grad_enabled():
            return computed()
        used = [*encoder.rel_embeddings.parameters(), *of_keys.parameters(), *of_queries.parameters()]
        if "layer_norm" in encoder.norm_rel_ebd:
            used += encoder.LayerNorm.parameters()
        version = (dtype, *((w.data_ptr(), 0 if w.is_inference() else w._version) for w in used))
        kept = self._positions.get(number)
        if kept is None or kept[0] != version:
            self._positions[number] = kept = version, computed()
        return kept[1]


def _places(attention: Any, length: int, device: torch.device) -> Tensor:
    """The rows of relative positions for the distances `1 - length` to `length - 1`."""
    from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

    rows = torch.arange(1 - length, length, device=device)
    span, buckets = attention.pos_ebd_size, attention.position_buckets
    if buckets > 0 and attention.max_relative_positions > 0:
        rows = make_log_bucket_position(rows, buckets, attention.max_relative_positions).long()
    return (rows + span).clamp(0, 2 * span - 1)


def _scale(width: int) -> float:
    """The root of three times the width, for three kinds of scores; rounded as the Hugging Face model does."""
    return torch.tensor(3.0 * width).sqrt().item()


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, by_key: Tensor, by_query: Tensor, group: Group, dropped: float
) -> Tensor:
    """softmax(scores) · values (heads, B · S, width); keys and queries of positions (heads, width, 2 · S - 1).

    dropped: How much of the softmax is dropped, in training.

    On a CPU, of so many heads at once that their scores stay in its cache.
    """
    n_heads, n_rows, width = values.shape
    n_parts = min(n_heads, -(-n_heads * n_rows * group.length // CACHED_SCORES))
    some = n_heads if on_accelerator(values.device) else -(-n_heads // n_parts)
    read = []
    of_group = (part.split(some) for part in (queries, keys, values, by_key, by_query))
    for query, key, value, near_key, near_query in zip(*of_group, strict=True):
        scores = _scores(query, key, near_key, near_query, group.n_sequences)
        if group.mask is not None:
            scores.view(len(query), -1, group.length, group.length).add_(group.mask)
        of_one = (len(scores), group.length, width)
        probs = dropout(scores.softmax(dim=-1), dropped)
        read.append((probs @ value.reshape(of_one)).view(-1, n_rows, width))
    return torch.cat(read)


def _scores(query: Tensor, key: Tensor, by_key: Tensor, by_query: Tensor, n_sequences: int) -> Tensor:
    """Of queries and keys (heads, B · S, width), and those of positions (heads, width, 2 · S - 1): (heads · B, S, S).

    A long sequence goes in blocks, which are near to fewer positions than all of it.
    """
    n_heads, n_rows, width = query.shape
    length = n_rows // n_sequences
    of_one = (n_heads * n_sequences, length, width)
    n_blocks = -(-length // BLOCK) if n_sequences == 1 and length > 1.5 * BLOCK else 1
    firsts = range(0, length, -(-length // n_blocks))
    blocks = [(first, min(first + firsts.step, length)) for first in firsts]
    by_sequence, of_keys = query.reshape(of_one), key.reshape(of_one).transpose(1, 2)
    if torch.is_grad_enabled():
        return _scores_to_learn(query, key, by_key, by_query, by_sequence, of_keys, blocks)
    scores = query.new_empty(len(by_sequence), length, length)
    for first, last in blocks:
        rows, near = _block(first, last, length, n_sequences)
        by_distance = _by_distance(query[:, rows] @ by_key[:, :, near], last - first)
        torch.baddbmm(by_distance, by_sequence[:, first:last], of_keys, out=scores[:, first:last])
    for first, last in blocks:
        rows, near = _block(first, last, length, n_sequences)
        by_distance = _by_distance(key[:, rows] @ by_query[:, :, near], last - first)
        scores[:, :, first:last] += by_distance.transpose(1, 2)
    return scores


def _scores_to_learn(
    query: Tensor,
    key: Tensor,
    by_key: Tensor,
    by_query: Tensor,
    by_sequence: Tensor,
    of_keys: Tensor,
    blocks: list[tuple[int, int]],
) -> Tensor:
    """The same, of which nothing is overwritten."""
    n_sequences, length = len(by_sequence) // len(query), by_sequence.shape[1]
    of_queries, of_distances = [], []
    for first, last in blocks:
        rows, near = _block(first, last, length, n_sequences)
        by_distance = _by_distance(query[:, rows] @ by_key[:, :, near], last - first)
        of_queries.append(torch.baddbmm(by_distance, by_sequence[:, first:last], of_keys))
        of_distances.append(_by_distance(key[:, rows] @ by_query[:, :, near], last - first).transpose(1, 2))
    return torch.cat(of_queries, dim=1) + torch.cat(of_distances, dim=2)


def _block(first: int, last: int, length: int, n_sequences: int) -> tuple[slice, slice]:
    """The rows of a block, or of several sequences all, and the positions that are near to it."""
    return slice(first, last * n_sequences), slice(length - last, 2 * length - 1 - first)


def _by_distance(scores: Tensor, n_rows: int) -> Tensor:
    """(heads, B · R, S + R - 1) by the distance `j - i + R - 1` -> (heads · B, R, S) by j: a view."""
    n_heads, n_all, width = scores.shape
    shape = (n_heads * n_all // n_rows, n_rows, width - n_rows + 1)
    return scores.contiguous().as_strided(shape, (n_rows * width, width - 1, 1), n_rows - 1)
