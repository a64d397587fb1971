"""A GLiNER network: an encoder and a head. Its shape is a `NetworkConfig`, saved beside the weights.

Does not know where weights come from.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ..types import Batch, Logits, Pieces, Pooling, SpanScore, TokenLogits
from .context import ContextEncoder
from .encoders import BiEncoder, LabelEncoder, StoredLabels, UniEncoder
from .fusion import Fusion
from .heads import RepresentedSpanHead, SpanHead, TokenHead
from .pairs import LINKS, PairHead
from .spans import SPANS
from .transformer import Transformer
from .triples import TRIPLES

HeadName = Literal[
    "token",
    "markerV0",
    "marker",
    "markerV1",
    "markerV2",
    "query",
    "mlp",
    "cat",
    "conv_conv",
    "conv_max",
    "conv_mean",
    "conv_sum",
    "conv_share",
]
Head = TokenHead | SpanHead | RepresentedSpanHead


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of a network.

    backbone: The transformer's Hugging Face configuration; None where another component gives the vectors of words.
    head: "token", or how a span head represents spans: by markers, or otherwise (see `spans`).
    width: Width of word and label vectors.
    max_width: Words of the widest span that a span head scores.
    lstm_layers: Layers of the BiLSTM over words; 0 for none. Networks that read labels apart have none.
    span_score: How a token head's spans are scored; see `TokenLogits`.
    max_words: The number of words the network was trained on, kept for other libraries.
    label_backbone: Of a network that reads labels apart (a bi-encoder), the configuration of their transformer.
    fusion: How its words and labels then read each other (a poly-encoder); see `Fusion`. "" for not at all.
    fusion_layers: How often.
    pooling, embed_marker: Which pieces the vectors of words and labels come from; see `UniEncoder`.
    fuse_layers: Whether all layers of the backbones count, and not only the last.
    links: Of a network that knows relations between given spans too (a joint network), how it scores which pairs are
        related at all: one of `pairs.LINKS`, or "none". "" for networks that only know spans.
    triples: How it scores head, label and tail, if at once: one of `triples.TRIPLES`; see `PairHead`.
    embed_relation_marker: As `embed_marker`, for labels of relations.
    context: Of an encoder that reads words once more before spans are represented, the configuration; None for none.
    represent_spans: Whether a token head scores what it finds once more, by representations of spans.
    vector_width: Where another component gives the vectors of words, how wide they are; otherwise 0.
    stored_labels: Of a network that only knows some labels, by stored vectors, how many; otherwise 0.
    """

    backbone: dict[str, Any] | None = field(hash=False)
    head: HeadName
    width: int
    max_width: int = 12
    lstm_layers: int = 1
    dropout: float = 0.4
    span_score: SpanScore = "minimum"
    max_words: int = 384
    label_backbone: dict[str, Any] | None = field(default=None, hash=False)
    fusion: str = ""
    fusion_layers: int = 1
    pooling: Pooling = "first"
    embed_marker: bool = True
    fuse_layers: bool = False
    links: str = ""
    triples: str = ""
    embed_relation_marker: bool = True
    context: dict[str, Any] | None = field(default=None, hash=False)
    represent_spans: bool = False
    vector_width: int = 0
    stored_labels: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (
            ("head", get_args(HeadName)),
            ("span_score", get_args(SpanScore)),
            ("pooling", get_args(Pooling)),
            ("links", ("", "none", *LINKS)),
            ("triples", ("", *TRIPLES)),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        if self.backbone is None and (not self.vector_width or self.label_backbone is None or self.fusion):
            raise ValueError(
                "A network without a backbone reads labels apart (label_backbone) and is given vectors of words "
                "(vector_width), which can't be fused."
            )
        if self.label_backbone is None and self.fusion:
            raise ValueError("Only networks that read labels apart (label_backbone) can fuse words and labels.")
        if self.label_backbone is not None and self.lstm_layers:
            raise ValueError("Networks that read labels apart (label_backbone) have no BiLSTM; set lstm_layers to 0.")
        if self.label_backbone is not None and self.links:
            raise ValueError("Networks that know relations too (links) read labels in the text; drop label_backbone.")

    def to_json(self) -> str:
        """The inverse of `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "NetworkConfig":
        """The inverse of `to_json`."""
        return cls(**json.loads(text))


class Network(nn.Module):
    """An encoder and a head: Batch -> Reps -> Logits. A joint network has a second head, for pairs of given spans."""

    def __init__(
        self, config: NetworkConfig, encoder: UniEncoder | BiEncoder, head: Head, pairs: PairHead | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.head = head
        self.pairs = pairs

    def forward(self, batch: Batch) -> Logits:
        """Score every span or word, or every pair of the given spans, of every query for each of its labels."""
        reps = self.encoder(batch)
        if batch.spans is None:
            logits: Logits = self.head(reps)
            if batch.again is not None and self.scores_again and isinstance(logits, TokenLogits):
                assert isinstance(self.head, TokenHead)
                again = self.head.score_again(reps, batch.again)
                logits = replace(logits, scores=torch.cat([logits.scores, again]), again_lengths=batch.again.lengths)
            return logits
        if self.pairs is None:
            raise ValueError("This network knows no relations between given spans; only joint networks do.")
        spans = self.head.represent(reps, batch.spans.rows)
        of_pairs: Logits = self.pairs(spans, batch.spans.lengths, reps.labels, reps.label_lengths)
        return of_pairs

    def encode_labels(self, labels: Pieces) -> Tensor:
        """The pieces of C labels -> (C, D). Only of networks that read labels apart."""
        if not isinstance(self.encoder, BiEncoder):
            raise ValueError("This network reads labels in the text; only bi-encoders have vectors of labels alone.")
        vectors: Tensor = self.encoder.labels(labels)
        return vectors

    def read_labels(self, vectors: Tensor) -> Tensor:
        """What `encode_labels` gave -> what a Batch may bring as `labels_apart`: all that depends on no text."""
        fused = isinstance(self.encoder, BiEncoder) and self.encoder.fusion is not None
        return vectors if fused else self.head.read_labels(vectors)

    @property
    def scores_again(self) -> bool:
        """Whether what is found is scored once more; joint networks represent spans for their relations only."""
        return isinstance(self.head, TokenHead) and self.head.rescores

    @property
    def max_pieces(self) -> int | None:
        """The longest query in pieces that the backbone's positions allow; None for any length."""
        transformer = self.encoder.transformer
        return None if transformer is None else transformer.max_pieces

    @property
    def max_label_pieces(self) -> int | None:
        """The longest label that is read apart, in pieces; None for any length, or where none is."""
        return self.encoder.labels.max_pieces if isinstance(self.encoder, BiEncoder) else None


def build_network(config: NetworkConfig) -> Network:
    """A network of this shape with random weights, in evaluation mode."""
    text = None if config.backbone is None else Transformer(config.backbone, fuse_layers=config.fuse_layers)
    shape: dict[str, Any] = {"width": config.width, "pooling": config.pooling}
    if config.stored_labels:
        stored = StoredLabels(config.stored_labels, config.width)
        apart = BiEncoder(text, stored, lstm_layers=config.lstm_layers, **shape)
        return Network(config, apart, _head(config)).eval()
    if config.label_backbone is None:
        assert text is not None
        markers = {name: getattr(config, name) for name in ("embed_marker", "embed_relation_marker")}
        uni = UniEncoder(text, lstm_layers=config.lstm_layers, **markers, **shape)
        kinds = {"links": config.links, "triples": config.triples}
        pairs = PairHead(width=config.width, dropout=config.dropout, **kinds) if config.links else None
        return Network(config, uni, _head(config), pairs).eval()
    labels = LabelEncoder(Transformer(config.label_backbone, fuse_layers=config.fuse_layers), width=config.width)
    fusion = _fusion(config, text) if config.fusion and text is not None else None
    bi = BiEncoder(text, labels, vector_width=config.vector_width, fusion=fusion, **shape)
    return Network(config, bi, _head(config)).eval()


def _head(config: NetworkConfig) -> Head:
    shape: dict[str, Any] = {"width": config.width, "dropout": config.dropout}
    shape["context"] = ContextEncoder(config.width, config.context) if config.context else None
    if config.head == "token":
        joint = bool(config.links)
        shape |= {"markers": joint or config.represent_spans, "project_labels": joint}
        return TokenHead(span_score=config.span_score, **shape)
    if config.head in ("markerV0", "marker"):
        return SpanHead(max_width=config.max_width, markers=config.head, **shape)
    spans = SPANS[config.head](config.width, config.max_width, config.dropout)
    return RepresentedSpanHead(spans, max_width=config.max_width, **shape)


def _fusion(config: NetworkConfig, text: Transformer) -> Fusion:
    heads = int(text.config.num_attention_heads)
    if config.width % heads:
        raise ValueError(
            f"A fusion has as many attention heads as the backbone, {heads}, and they share the width, but "
            f"{config.width} can't be divided by that. Choose another width."
        )
    return Fusion(config.fusion, width=config.width, n_layers=config.fusion_layers, n_heads=heads)
