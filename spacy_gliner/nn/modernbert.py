"""ModernBERT and its kin (Ettin) over packed pieces: nothing is padded, and what is far is not read.

The weights are those of the Hugging Face model, and so are the results. Layers with local attention take time and
memory with the length, not with its square.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout

from .packing import Group, activated, added, attend, fed_forward, grouped, places_of

Turns = tuple[Tensor, Tensor]


def reads(config: Any) -> bool:
    """Whether this is a ModernBERT whose rotary positions are the plain ones."""
    return (
        config.model_type == "modernbert"
        and getattr(config, "global_rope_theta", None) is not None
        and not getattr(config, "rope_scaling", None)
    )


class PackedModernBert:
    """The forward pass of a `ModernBertModel` whose configuration `reads` accepts, in training too.

    backbone: Holds the weights.
    """

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone
        self.config = backbone.config
        self.width_of_head = self.config.hidden_size // self.config.num_attention_heads

    def __call__(self, ids: Tensor, lengths: list[int], rows: Tensor | None = None) -> Tensor:
        """Ids of pieces (P) and the lengths of the sequences -> contextual vectors (P, D).

        Pieces behind the last sequence belong to none, and mean nothing.

        rows: Those of the pieces (R) whose vectors (R, D) are wanted, where not all are.
        """
        groups = grouped(lengths, self.config.num_attention_heads, ids.device)
        places = places_of(lengths, len(ids), ids.device)
        embedded = self.backbone.get_input_embeddings()(ids)
        far, near = self.config.global_rope_theta, self.config.local_rope_theta
        turns = self._turns(places, far, embedded), self._turns(places, near or far, embedded)
        hidden = dropout(self.backbone.embeddings.norm(embedded), self._dropped("embedding"))
        for number, layer in enumerate(self.backbone.layers):
            local = number % self.config.global_attn_every_n_layers != 0
            reach = self.config.local_attention // 2 if local else None
            read = self._attend(layer.attn.Wqkv(layer.attn_norm(hidden)), turns[local], groups, reach)
            if rows is not None and number == len(self.backbone.layers) - 1:
                read, hidden = read[rows], hidden[rows]
            hidden = added(layer.attn.Wo, read, hidden, self._dropped("attention"))
            hidden = fed_forward(hidden, _gated(layer, self._dropped("mlp")), layer.mlp.Wo)
        normed: Tensor = self.backbone.final_norm(hidden)
        return normed

    def _attend(self, projected: Tensor, turns: Turns, groups: list[Group], reach: int | None) -> Tensor:
        """Queries, keys and values (P, 3 · D) -> (P, D), each sequence by itself."""
        queries, keys, values = (part.contiguous() for part in projected.chunk(3, dim=1))
        queries, keys = (_turned(part, turns) for part in (queries, keys))
        read = values.new_empty(len(values) + 1, values.shape[1])
        for group in groups:
            query, key, value = (group.heads(part) for part in (queries, keys, values))
            group.put(attend(query, key, value, group, reach=reach, dropped=self._dropped("attention")), read)
        return read[:-1]

    def _dropped(self, where: str) -> float:
        """How much is dropped there, in training."""
        share: float = getattr(self.config, f"{where}_dropout") if self.backbone.training else 0.0
        return share

    def _turns(self, places: Tensor, theta: float, like: Tensor) -> Turns:
        """The cosine and sine (P, 1, E / 2) of what a pair of the E dimensions of a head turns by at each place."""
        even = torch.arange(0, self.width_of_head, 2, device=places.device)
        angles = places[:, None, None] * theta ** (-even / self.width_of_head)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def _gated(layer: Any, dropped: float) -> Callable[[Tensor], Tensor]:
    def gated(hidden: Tensor) -> Tensor:
        inner, gate = layer.mlp.Wi(layer.mlp_norm(hidden)).chunk(2, dim=-1)
        active = activated(layer.mlp.act, inner.contiguous())
        if dropped or torch.is_grad_enabled():
            return dropout(active * gate, dropped)
        return active.mul_(gate)

    return gated


def _turned(hidden: Tensor, turns: Turns) -> Tensor:
    """(P, D): the first half of each head's dimensions and the second turned against each other (rotary positions)."""
    cos, sin = turns
    a, b = hidden.view(len(hidden), -1, 2 * cos.shape[2]).chunk(2, dim=2)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=2).view(hidden.shape)
