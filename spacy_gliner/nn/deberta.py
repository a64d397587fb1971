"""DeBERTa-v2 and -v3 over packed pieces, for prediction: nothing is padded, and nothing is computed twice.

The weights are those of the Hugging Face model, and so are the results. What depends on relative positions alone is
computed once for given weights; attention to a position is looked up by a view, since it depends on the distance only.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import PretrainedConfig
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

Positions = tuple[Tensor, Tensor]


def reads(config: PretrainedConfig) -> bool:
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
    """The forward pass of a `DebertaV2Model` whose configuration `reads` accepts.

    backbone: Holds the weights.
    """

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone
        self._positions: dict[int, tuple[tuple[Any, ...], Positions]] = {}
        self._places: dict[tuple[int, torch.device], Positions] = {}

    def __call__(self, embedded: Tensor, lengths: list[int]) -> Tensor:
        """Embeddings of pieces (P, D) and the lengths of the sequences -> contextual vectors (P, D)."""
        hidden: Tensor = self.backbone.embeddings.LayerNorm(embedded)
        for number, layer in enumerate(self.backbone.encoder.layer):
            read = self._attend(number, layer.attention.self, hidden, lengths)
            output = layer.attention.output
            hidden = output.LayerNorm(output.dense(read) + hidden)
            inner = layer.intermediate.intermediate_act_fn(layer.intermediate.dense(hidden))
            hidden = layer.output.LayerNorm(layer.output.dense(inner) + hidden)
        return hidden

    def _attend(self, number: int, attention: Any, hidden: Tensor, lengths: list[int]) -> Tensor:
        """(P, D) -> (P, D), each sequence by itself."""
        n_heads = attention.num_attention_heads
        queries, keys, values = (
            projection(hidden).view(len(hidden), n_heads, -1)
            for projection in (attention.query_proj, attention.key_proj, attention.value_proj)
        )
        queries = queries / _scale(queries)
        by_key, by_query = self._projected(number, attention)
        outputs = []
        of_sequences = zip(*(rows.split(lengths) for rows in (queries, keys, values)), strict=True)
        for of_sequence in of_sequences:
            query, key, value = (rows.transpose(0, 1) for rows in of_sequence)
            forth, back = self._distances(attention, query.shape[1], query.device)
            scores = query @ key.transpose(1, 2)
            scores += _by_distance(query @ by_key[:, forth].transpose(1, 2))
            scores += _by_distance(key @ by_query[:, back].transpose(1, 2)).transpose(1, 2)
            outputs.append((scores.softmax(dim=-1) @ value).transpose(0, 1))
        return torch.cat(outputs).reshape(len(hidden), -1)

    def _projected(self, number: int, attention: Any) -> Positions:
        """Keys and queries (heads, 2 · span, width) of positions, the latter scaled; kept for these weights."""
        if attention.share_att_key:
            of_keys, of_queries = attention.key_proj, attention.query_proj
        else:
            of_keys, of_queries = attention.pos_key_proj, attention.pos_query_proj
        encoder = self.backbone.encoder
        used = [*encoder.rel_embeddings.parameters(), *of_keys.parameters(), *of_queries.parameters()]
        if "layer_norm" in encoder.norm_rel_ebd:
            used += encoder.LayerNorm.parameters()
        version = tuple((w.data_ptr(), 0 if w.is_inference() else w._version) for w in used)
        if number not in self._positions or self._positions[number][0] != version:
            embedded = encoder.get_rel_embedding()[: 2 * attention.pos_ebd_size]
            shape = (len(embedded), attention.num_attention_heads, -1)
            keys, queries = (
                linear(embedded, p.weight, p.bias).view(shape).transpose(0, 1) for p in (of_keys, of_queries)
            )
            self._positions[number] = version, (keys.contiguous(), (queries / _scale(queries)).contiguous())
        return self._positions[number][1]

    def _distances(self, attention: Any, length: int, device: torch.device) -> Positions:
        """The rows of relative positions for the distances `length - 1` to `1 - length`, and the other way round."""
        if (length, device) not in self._places:
            if len(self._places) > 1000:
                self._places.clear()
            distances = torch.arange(1 - length, length, device=device)
            span, buckets = attention.pos_ebd_size, attention.position_buckets
            rows = distances
            if buckets > 0 and attention.max_relative_positions > 0:
                rows = make_log_bucket_position(distances, buckets, attention.max_relative_positions).long()
            rows = (rows + span).clamp(0, 2 * span - 1)
            self._places[length, device] = rows.flip(0), rows
        return self._places[length, device]


def _scale(rows: Tensor) -> float:
    """The root of three times the width, for three kinds of scores; rounded as the Hugging Face model does."""
    return torch.tensor(3.0 * rows.shape[-1]).sqrt().item()


def _by_distance(scores: Tensor) -> Tensor:
    """(heads, S, 2 · S - 1) by the distance `j - i + S - 1` -> (heads, S, S) by j: a view."""
    n_heads, length, width = scores.shape
    return scores.contiguous().as_strided((n_heads, length, length), (length * width, width - 1, 1), length - 1)
