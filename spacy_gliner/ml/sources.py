"""Where a network comes from: a published checkpoint (embedded, a folder, the hub), or new around a backbone.

A source is a small value, and calling it loads. Nothing is read before that.
"""

import os
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..batching import PieceTokenizer
from ..nn.encoders import BiEncoder, LabelEncoder, UniEncoder
from ..nn.network import HeadName, Network, NetworkConfig, build_network
from ..nn.transformer import Transformer
from ..types import SpanScore
from . import checkpoints
from .checkpoint_configs import CONFIG_FILE, RELATION_MARKER

# How configurations of Hugging Face encoders call their dropout.
DROPOUT_SETTINGS = {
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "embedding_dropout",
    "mlp_dropout",
    "attention_dropout",
}
EMBEDDED = Path(__file__).parent.parent / "embedded"


class Source(Protocol):
    """Loads a network with its tokenizer."""

    def __call__(self) -> checkpoints.Checkpoint: ...

    def identity(self) -> Hashable:
        """Equal for what would load the same; None when nothing loads twice the same."""


@dataclass(frozen=True)
class Checkpoint:
    """A published GLiNER checkpoint: `spacy_gliner.Checkpoint.v1`.

    name: "embedded" for the model inside the package, a folder, or a name on the Hugging Face hub.
    revision: A branch, tag or commit on the hub.
    cache_dir: Where downloads are kept; the hub's default when None.
    local_files_only: Use what was downloaded before, and no network.

    A hub token is never a setting: it comes from `huggingface-cli login` or the environment variable `HF_TOKEN`.
    """

    name: str = "embedded"
    revision: str | None = None
    cache_dir: str | None = None
    local_files_only: bool = False

    def __call__(self) -> checkpoints.Checkpoint:
        """Load it, downloading what is not there yet.

        Raises FileNotFoundError for a folder that does not exist and for a name that the hub does not give.
        """
        return checkpoints.read_checkpoint(
            self._folder(), cache_dir=self.cache_dir, local_files_only=self.local_files_only
        )

    def identity(self) -> Hashable:
        """The name and revision; for a folder also when its files last changed."""
        folder = Path(self.name).expanduser()
        changed = max((path.stat().st_mtime for path in folder.iterdir()), default=0.0) if folder.is_dir() else 0.0
        return self, changed

    def _folder(self) -> Path:
        if self.name == "embedded":
            return EMBEDDED
        path = Path(self.name).expanduser()
        looks_local = path.is_absolute() or self.name.startswith((".", "~")) or self.name.count(os.sep) > 1
        if path.is_dir() or looks_local:
            return path
        return self._download()

    def _download(self) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        try:
            folder = snapshot_download(
                self.name,
                revision=self.revision,
                cache_dir=self.cache_dir,
                local_files_only=self.local_files_only,
                allow_patterns=["*.json", "*.safetensors", "pytorch_model.bin", "*.model", "*.txt"],
                ignore_patterns=["onnx/*"],
            )
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            raise FileNotFoundError(
                f"There is no checkpoint '{self.name}': no such folder, and the Hugging Face hub did not give it "
                f"({type(error).__name__}: {error}). Check the name and the connection; for a private checkpoint, log "
                f"in with `huggingface-cli login`."
            ) from error
        return Path(folder)


@dataclass(frozen=True)
class FromComponent:
    """The network of another component of the pipeline: `spacy_gliner.FromComponent.v1`.

    The weights are saved once, with that component; whoever trains, trains it for all.

    component: The name of the component that owns the network.
    """

    component: str

    def __call__(self) -> checkpoints.Checkpoint:
        """Not used: the owner loads it."""
        raise ValueError(f"The network of '{self.component}' is loaded by that component.")

    def identity(self) -> Hashable:
        """None: the owner's is the only one."""
        return None


@dataclass(frozen=True)
class NewNetwork:
    """A network with new heads around a pretrained backbone, to be trained: `spacy_gliner.NewNetwork.v1`.

    backbone: A folder or hub name of a Hugging Face encoder; or "embedded", or the folder of a GLiNER checkpoint, for
        the encoder of that. None where another component gives the vectors of words.
    head: "token", "markerV0" or "marker".
    width: Width of word and label vectors; None for the backbone's, or that of the vectors which are given.
    max_width: Words of the widest span (span heads).
    dropout: In the head.
    backbone_dropout: In the backbones; None for what they were trained with.
    label_backbone: An encoder of their own for labels, as `backbone`, which makes a bi-encoder; such have no BiLSTM.
        None for labels that stand in the text.
    fusion: How words and labels of a bi-encoder then read each other ("l2l-l2t-t2t"), which makes a poly-encoder.
    fusion_layers: How often.
    links: "none" or one of `nn.pairs.LINKS` for a joint network, which scores relations between given spans too; "" for
        one that only knows spans.
    """

    backbone: str | None
    head: HeadName = "token"
    width: int | None = None
    max_width: int = 12
    lstm_layers: int = 1
    dropout: float = 0.1
    backbone_dropout: float | None = None
    span_score: SpanScore = "minimum"
    cache_dir: str | None = None
    local_files_only: bool = False
    label_backbone: str | None = None
    fusion: str = ""
    fusion_layers: int = 1
    links: str = ""

    def identity(self) -> Hashable:
        """None: new heads are random."""
        return None

    def __call__(self) -> checkpoints.Checkpoint:
        """Load the backbones and put new heads on them. Embeddings of the markers are new as well.

        Raises ValueError where there is no backbone.
        """
        if self.backbone is None:
            raise ValueError(
                "A new network without a backbone needs the vectors of another component: train the pipeline, or "
                "initialize it (nlp.initialize). In a model of the kind spacy_gliner.GLiNER.v1, name a backbone."
            )
        text, tokenizer = self._pretrained(self.backbone)
        if self.links:
            markers = (tokenizer.label_marker, tokenizer.separator)
            tokenizer = PieceTokenizer(tokenizer.tokenizer, *markers, relation_marker=RELATION_MARKER)
            text.resize_token_embeddings(len(tokenizer))
        backbone = self._config(self.backbone, text)
        if self.label_backbone is None:
            network = self._build(text.config.hidden_size, backbone=backbone, lstm_layers=self.lstm_layers)
        else:
            network, tokenizer = self._with_labels(tokenizer, text.config.hidden_size, backbone=backbone)
        assert network.encoder.transformer is not None
        load_backbone(network.encoder.transformer, text)
        return checkpoints.Checkpoint(network, tokenizer)

    def on_vectors(self, width: int) -> checkpoints.Checkpoint:
        """A network that is given vectors of words, of this width; only labels have an encoder."""
        network, tokenizer = self._with_labels(None, width, backbone=None, vector_width=width)
        return checkpoints.Checkpoint(network, tokenizer)

    def _with_labels(
        self, of_texts: PieceTokenizer | None, text_width: int, **shape: Any
    ) -> tuple[Network, PieceTokenizer]:
        """A network with a pretrained encoder of labels, and its tokenizer for both."""
        assert self.label_backbone is not None
        pretrained, of_labels = self._pretrained(self.label_backbone, of_labels=True)
        tokenizer = PieceTokenizer((of_texts or of_labels).tokenizer, label_tokenizer=of_labels.tokenizer)
        label_backbone = self._config(self.label_backbone, pretrained)
        network = self._build(text_width, label_backbone=label_backbone, lstm_layers=0, **shape)
        assert isinstance(network.encoder, BiEncoder) and isinstance(network.encoder.labels, LabelEncoder)
        load_backbone(network.encoder.labels.transformer, pretrained)
        return network, tokenizer

    def _build(self, text_width: int, **shape: Any) -> Network:
        """A network of this shape, with our settings."""
        keys = ("head", "max_width", "dropout", "span_score", "fusion", "fusion_layers", "links")
        shape |= {key: getattr(self, key) for key in keys}
        return build_network(NetworkConfig(width=self.width or text_width, **shape))

    def _config(self, name: str, pretrained: Any) -> dict[str, Any]:
        """The configuration of a backbone, with the dropout asked for."""
        if self.backbone_dropout is not None:
            for key in DROPOUT_SETTINGS & set(vars(pretrained.config)):
                setattr(pretrained.config, key, self.backbone_dropout)
        if Path(name).is_dir():
            pretrained.config._name_or_path = ""  # a path of this machine means nothing elsewhere
        config: dict[str, Any] = pretrained.config.to_dict()
        return config

    def _pretrained(self, name: str, of_labels: bool = False) -> tuple[Any, PieceTokenizer]:
        """An encoder and its tokenizer, with rows for the markers; of a bi-encoder that of its texts, or its labels."""
        if name == "embedded" or (Path(name).expanduser() / CONFIG_FILE).is_file():
            trained = Checkpoint(name)()
            encoder, tokenizer = trained.network.encoder, trained.tokenizer
            if isinstance(encoder, UniEncoder):
                markers = tokenizer.label_marker, tokenizer.separator
                return encoder.transformer.backbone, PieceTokenizer(tokenizer.tokenizer, *markers)
            transformer, of_these = encoder.transformer, tokenizer.tokenizer
            if of_labels and isinstance(encoder.labels, LabelEncoder):
                transformer, of_these = encoder.labels.transformer, tokenizer.label_tokenizer
            assert transformer is not None  # no checkpoint is without
            backbone: Any = transformer.backbone
            tokenizer = PieceTokenizer(of_these)
            backbone.resize_token_embeddings(len(tokenizer))
            return backbone, tokenizer
        from transformers import AutoModel

        hub: dict[str, Any] = {"cache_dir": self.cache_dir, "local_files_only": self.local_files_only}
        tokenizer = PieceTokenizer(checkpoints.read_tokenizer(name, hub))
        pretrained = AutoModel.from_pretrained(name, **hub).float()
        pretrained.resize_token_embeddings(len(tokenizer))
        return pretrained, tokenizer


def load_backbone(transformer: Transformer, pretrained: Any) -> None:
    """Give a transformer the weights of a Hugging Face encoder."""
    weights = {name: tensor for name, tensor in pretrained.state_dict().items() if not name.startswith("pooler.")}
    transformer.backbone.load_state_dict(weights, strict=True)
