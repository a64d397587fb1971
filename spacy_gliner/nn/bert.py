"""BERT, of our own; and its forward pass over packed pieces, which reads its kin of the Hugging Face library as well.

Names of weights are those of Hugging Face models, and so are the results. Their library is slow to import, and this is
what the embedded model needs of it.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from .int8 import each
from .packing import Group, added, attend, fed_forward, grouped, places_of, wide

# Their positions start behind the padding index; those of the others at 0.
BEHIND_PADDING = ("roberta", "xlm-roberta", "camembert")
OTHERS = ("bert", "electra")
NEEDED = {
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
    "layer_norm_eps",
    "pad_token_id",
}
ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU}


def reads(config: Any) -> bool:
    """Whether this is one of them, with absolute positions and vectors of pieces as wide as all others."""
    return (
        config.model_type in (*BEHIND_PADDING, *OTHERS)
        and getattr(config, "position_embedding_type", None) in (None, "absolute")
        and getattr(config, "embedding_size", config.hidden_size) == config.hidden_size
        and not getattr(config, "is_decoder", False)
    )


def builds(config: dict[str, Any]) -> bool:
    """Whether `Bert` is the network of this Hugging Face configuration, which leaves nothing to their defaults."""
    whole = config.get("model_type") == "bert" and config.keys() >= NEEDED
    return whole and config["hidden_act"] in ACTIVATIONS and reads(SimpleNamespace(**config))


class Settings(SimpleNamespace):
    """A Hugging Face configuration, without their library."""

    def to_dict(self) -> dict[str, Any]:
        """As it was given."""
        return dict(vars(self))


class Bert(nn.Module):
    """The weights of a BERT without pooler; random ones, as a BERT begins with. `PackedBert` reads with them."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = Settings(**config)
        self.embeddings = _Embeddings(self.config)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(_Layer(self.config) for _ in range(self.config.num_hidden_layers))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding) and not module.weight.is_meta:
                nn.init.normal_(module.weight, std=self.config.initializer_range)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def get_input_embeddings(self) -> nn.Embedding:
        """The vectors of pieces."""
        embeddings: nn.Embedding = self.embeddings.word_embeddings
        return embeddings

    def resize_token_embeddings(self, n_ids: int) -> None:
        """Have so many vectors of pieces; new ones are the mean of those there were."""
        old = self.get_input_embeddings().weight.detach()
        new = old.mean(dim=0).repeat(n_ids, 1)
        new[: len(old)] = old[:n_ids]
        self.embeddings.word_embeddings = nn.Embedding.from_pretrained(new, freeze=False)
        self.config.vocab_size = n_ids


class _Embeddings(nn.Module):
    word_embeddings: Any

    def __init__(self, config: Settings) -> None:
        super().__init__()
        sizes = {"word": "vocab_size", "position": "max_position_embeddings", "token_type": "type_vocab_size"}
        for kind, size in sizes.items():  # without random numbers, which are slow on "meta"
            vectors = torch.empty(getattr(config, size), config.hidden_size)
            setattr(self, f"{kind}_embeddings", nn.Embedding.from_pretrained(vectors, freeze=False))
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class _Layer(nn.Module):
    def __init__(self, config: Settings) -> None:
        super().__init__()
        width = config.hidden_size
        self.attention = nn.Module()
        self.attention.self = nn.Module()
        for name in ("query", "key", "value"):
            setattr(self.attention.self, name, nn.Linear(width, width))
        self.attention.self.num_attention_heads = config.num_attention_heads
        self.attention.output = _Output(width, config)
        self.intermediate = nn.Module()
        self.intermediate.dense = nn.Linear(width, config.intermediate_size)
        self.intermediate.intermediate_act_fn = ACTIVATIONS[config.hidden_act]()
        self.output = _Output(config.intermediate_size, config)


class _Output(nn.Module):
    def __init__(self, n_in: int, config: Settings) -> None:
        super().__init__()
        self.dense = nn.Linear(n_in, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class PackedBert:
    """The forward pass of a `Bert`, or of a Hugging Face model whose configuration `reads` accepts, in training too.

    backbone: Holds the weights.
    """

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone
        config = backbone.config
        self.first_position = int(config.pad_token_id or 0) + 1 if config.model_type in BEHIND_PADDING else 0

    def __call__(self, ids: Tensor, lengths: list[int], rows: Tensor | None = None) -> Tensor:
        """Ids of pieces (P) and the lengths of the sequences -> contextual vectors (P, D).

        Pieces behind the last sequence belong to none, and mean nothing.

        rows: Those of the pieces (R) whose vectors (R, D) are wanted, where not all are.
        """
        groups = grouped(lengths, self.backbone.config.num_attention_heads, ids.device)
        of_all = self.backbone.embeddings
        places = places_of(lengths, len(ids), ids.device)
        embedded = self.backbone.get_input_embeddings()(ids) + of_all.token_type_embeddings.weight[0]
        p = self.backbone.config.hidden_dropout_prob if self.backbone.training else 0.0
        embedded = embedded + of_all.position_embeddings(places + self.first_position)
        hidden = dropout(of_all.LayerNorm(embedded), p)
        layers = self.backbone.encoder.layer
        for number, layer in enumerate(layers):
            read = self._attend(layer.attention.self, hidden, groups)
            if rows is not None and number == len(layers) - 1:
                read, hidden = read[rows], hidden[rows]
            output = layer.attention.output
            hidden = output.LayerNorm(added(output.dense, read, hidden, p))
            hidden = layer.output.LayerNorm(fed_forward(hidden, wide(layer.intermediate), layer.output.dense, p))
        return hidden

    def _attend(self, attention: Any, hidden: Tensor, groups: list[Group]) -> Tensor:
        """(P, D) -> (P, D), each sequence by itself."""
        projected = each((attention.query, attention.key, attention.value), hidden)
        read = projected[0].new_empty(len(hidden) + 1, hidden.shape[1])
        p = self.backbone.config.attention_probs_dropout_prob if self.backbone.training else 0.0
        for group in groups:
            query, key, value = (group.heads(rows) for rows in projected)
            group.put(attend(query, key, value, group, dropped=p), read)
        return read[:-1]
