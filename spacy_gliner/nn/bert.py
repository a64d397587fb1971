"""BERT and its kin (MiniLM, RoBERTa, XLM-RoBERTa, ELECTRA) over packed pieces, for prediction: nothing is padded.

The weights are those of the Hugging Face model, and so are the results.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig

from .int8 import each
from .packing import Group, activated, attend, grouped

# Their positions start behind the padding index; those of the others at 0.
BEHIND_PADDING = ("roberta", "xlm-roberta", "camembert")
OTHERS = ("bert", "electra")


def reads(config: PretrainedConfig) -> bool:
    """Whether this is one of them, with absolute positions and vectors of pieces as wide as all others."""
    return (
        config.model_type in (*BEHIND_PADDING, *OTHERS)
        and getattr(config, "position_embedding_type", None) in (None, "absolute")
        and getattr(config, "embedding_size", config.hidden_size) == config.hidden_size
        and not config.is_decoder
    )


class PackedBert:
    """The forward pass of a Hugging Face model whose configuration `reads` accepts.

    backbone: Holds the weights.
    """

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone
        config = backbone.config
        self.first_position = int(config.pad_token_id or 0) + 1 if config.model_type in BEHIND_PADDING else 0

    def __call__(self, embedded: Tensor, lengths: list[int], rows: Tensor | None = None) -> Tensor:
        """Embeddings of pieces (P, D) and the lengths of the sequences -> contextual vectors (P, D).

        rows: Those of the pieces (R) whose vectors (R, D) are wanted, where not all are.
        """
        groups = grouped(lengths, embedded.device)
        of_all = self.backbone.embeddings
        places = torch.cat([torch.arange(length, device=embedded.device) for length in lengths])
        embedded = embedded + of_all.token_type_embeddings.weight[0]
        hidden: Tensor = of_all.LayerNorm(embedded.add_(of_all.position_embeddings(places + self.first_position)))
        layers = self.backbone.encoder.layer
        for number, layer in enumerate(layers):
            read = self._attend(layer.attention.self, hidden, groups)
            if rows is not None and number == len(layers) - 1:
                read, hidden = read[rows], hidden[rows]
            output = layer.attention.output
            hidden = output.LayerNorm(output.dense(read).add_(hidden))
            inner = activated(layer.intermediate.intermediate_act_fn, layer.intermediate.dense(hidden))
            hidden = layer.output.LayerNorm(layer.output.dense(inner).add_(hidden))
        return hidden

    def _attend(self, attention: Any, hidden: Tensor, groups: list[Group]) -> Tensor:
        """(P, D) -> (P, D), each sequence by itself."""
        n_heads = attention.num_attention_heads
        projected = each((attention.query, attention.key, attention.value), hidden)
        read = hidden.new_empty(len(hidden) + 1, hidden.shape[1])
        for group in groups:
            query, key, value = (group.heads(rows, n_heads) for rows in projected)
            group.put(attend(query, key, value, group), read)
        return read[:-1]
