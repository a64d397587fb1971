"""A GLiNER network: an encoder and a head. Its shape is a `NetworkConfig`, saved beside the weights.

Does not know where weights come from.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from torch import nn

from ..types import Batch, Logits, SpanScore
from .encoders import UniEncoder
from .heads import SpanHead, TokenHead
from .transformer import Transformer

HeadName = Literal["markerV0", "marker", "token"]


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of a network.

    backbone: The transformer's Hugging Face configuration.
    head: "token", or the markers of a span head.
    width: Width of word and label vectors.
    max_width: Words of the widest span that a span head scores.
    lstm_layers: Layers of the BiLSTM over words; 0 for none.
    span_score: How a token head's spans are scored; see `TokenLogits`.
    max_words: The number of words the network was trained on, kept for other libraries.
    """

    backbone: dict[str, Any] = field(hash=False)
    head: HeadName
    width: int
    max_width: int = 12
    lstm_layers: int = 1
    dropout: float = 0.4
    span_score: SpanScore = "minimum"
    max_words: int = 384

    def __post_init__(self) -> None:
        for name, allowed in (("head", get_args(HeadName)), ("span_score", get_args(SpanScore))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}.")

    def to_json(self) -> str:
        """The inverse of `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "NetworkConfig":
        """The inverse of `to_json`."""
        return cls(**json.loads(text))


class Network(nn.Module):
    """An encoder and a head: Batch -> Reps -> Logits."""

    def __init__(self, config: NetworkConfig, encoder: UniEncoder, head: SpanHead | TokenHead) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.head = head

    def forward(self, batch: Batch) -> Logits:
        """Score every span or word of every query for each of its labels."""
        logits: Logits = self.head(self.encoder(batch))
        return logits

    @property
    def max_pieces(self) -> int | None:
        """The longest query in pieces that the backbone's positions allow; None for any length."""
        return self.encoder.transformer.max_pieces


def build_network(config: NetworkConfig) -> Network:
    """A network of this shape with random weights, in evaluation mode."""
    encoder = UniEncoder(Transformer(config.backbone), width=config.width, lstm_layers=config.lstm_layers)
    head: SpanHead | TokenHead
    if config.head == "token":
        head = TokenHead(width=config.width, dropout=config.dropout, span_score=config.span_score)
    else:
        head = SpanHead(width=config.width, max_width=config.max_width, dropout=config.dropout, markers=config.head)
    return Network(config, encoder, head).eval()
