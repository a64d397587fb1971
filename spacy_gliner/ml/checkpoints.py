"""The published GLiNER folder format: `gliner_config.json`, weights, tokenizer. Read it, write it.

What foreign files call things is kept in tables. Where a folder comes from is the matter of `sources`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from ..batching import PieceTokenizer
from ..nn.encoders import BiEncoder
from ..nn.network import HeadName, Network, NetworkConfig
from ..nn.spans import SPANS
from ..nn.transformer import Transformer
from ..types import Pooling
from .folders import whole_or_nothing
from .weights import (
    UNUSED_IN_BI_ENCODERS,
    UNUSED_IN_UNI_ENCODERS,
    network_weights,
    read_weights,
    their_name,
    trained_network,
)

CONFIG_FILE = "gliner_config.json"
LABEL_TOKENIZER = "labels_tokenizer"
TEXT_WEIGHTS, LABEL_WEIGHTS = "encoder.transformer.backbone.", "encoder.labels.transformer.backbone."
HEADS: dict[str, HeadName] = {"token_level" if head == "token" else head: head for head in get_args(HeadName)}

# Configuration values of networks that are of another kind, and what they stand for.
UNSUPPORTED = {
    "labels_decoder": "a generative label decoder",
    "relations_layer": "a joint entity-and-relation network",
    "represent_spans": "a span head on top of a token head",
    "span_encoder_config": "a context encoder before the span head",
    "precomputed_prompts_mode": "precomputed prompts",
}


@dataclass(frozen=True)
class Checkpoint:
    """A network and the tokenizer whose ids its embedding rows belong to."""

    network: Network
    tokenizer: PieceTokenizer


def read_checkpoint(folder: Path, **hub: Any) -> Checkpoint:
    """Read a published uni-, bi- or poly-encoder checkpoint, old forms included.

    What can be derived is derived from the weights: embedding rows, widths, depth of the BiLSTM and of the fusion.

    folder: With `gliner_config.json` and weights; where the tokenizer or the backbone's configuration is missing, they
        come from the checkpoint's `model_name`.
    **hub: How to download these (`revision` is not passed on): cache_dir, local_files_only.
    Raises FileNotFoundError for missing files; ValueError for networks of another kind, broken weights, and missing,
    unexpected or misshapen parameters, which it names.
    """
    values = _read_config(folder)
    apart = bool(values.get("labels_encoder"))
    unused = UNUSED_IN_BI_ENCODERS if apart else UNUSED_IN_UNI_ENCODERS
    state = {name: tensor for name, tensor in read_weights(folder).items() if not name.startswith(unused)}
    if HEADS[values.get("span_mode", "markerV0")] in SPANS:
        state = {re.sub(r"^head\.(?!project_label\.)", "head.spans.", name): tensor for name, tensor in state.items()}
    config = _network_config(values, state, folder, hub)
    rows = config.backbone["vocab_size"]
    tokenizer = PieceTokenizer(
        _read_tokenizer(folder, str(values.get("model_name")), hub),
        values.get("ent_token") or "<<ENT>>",
        values.get("sep_token") or "<<SEP>>",
        label_tokenizer=_read_tokenizer(folder / LABEL_TOKENIZER, values["labels_encoder"], hub) if apart else None,
        n_ids=rows if apart else None,
        n_label_ids=config.label_backbone["vocab_size"] if config.label_backbone else None,
    )
    if not apart and max(tokenizer.label_marker_id, tokenizer.separator_id) >= rows:
        raise ValueError(
            f"The tokenizer of {folder} gives its markers the ids {tokenizer.label_marker_id} and "
            f"{tokenizer.separator_id}, but the weights have only {rows} embedding rows: the two don't belong together."
        )
    network = trained_network(config, state, where=str(folder))
    return Checkpoint(network, tokenizer)


def write_checkpoint(checkpoint: Checkpoint, folder: Path, *, half: bool = False) -> None:
    """Write a folder that `read_checkpoint` and the reference library read. All of it, or nothing.

    half: Store the weights as fp16.
    """
    state = {their_name(name): tensor for name, tensor in network_weights(checkpoint.network).items()}
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    with whole_or_nothing(folder) as scratch:
        save_file(state, scratch / "model.safetensors", metadata={"format": "pt"})
        (scratch / CONFIG_FILE).write_text(json.dumps(_their_config(checkpoint), indent=2) + "\n", encoding="utf8")
        _write_tokenizers(checkpoint, scratch)


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise FileNotFoundError(f"No such checkpoint folder: {folder}.")
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a GLiNER checkpoint: it has no {CONFIG_FILE}.")
    try:
        values = json.loads(path.read_text(encoding="utf8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(values, dict):
        raise ValueError(
            f"{path} should hold a JSON object with the checkpoint's settings, got {type(values).__name__}."
        )
    kinds = [what for key, what in UNSUPPORTED.items() if values.get(key)]
    if values.get("model_type") == "gliner_streaming_span":
        kinds.append("a streaming network")
    if values.get("subtoken_pooling", "first") not in get_args(Pooling):
        kinds.append(f"subtoken_pooling '{values['subtoken_pooling']}'")
    if values.get("span_mode", "markerV0") not in HEADS:
        kinds.append(f"span_mode '{values['span_mode']}'")
    if kinds:
        raise ValueError(
            f"{folder} holds {' and '.join(kinds)}. Supported are uni-, bi- and poly-encoders with span_mode "
            f"{', '.join(HEADS)}; choose a checkpoint of that kind."
        )
    return values


def _network_config(
    values: dict[str, Any], state: Mapping[str, Tensor], folder: Path, hub: dict[str, Any]
) -> NetworkConfig:
    head = HEADS[values.get("span_mode", "markerV0")]
    name = {"token": "head.proj_label.weight"}.get(head, "head.project_label.0.weight")
    if name not in state:
        raise ValueError(f"The weights of {folder} don't fit its configuration. Missing: {their_name(name)}.")
    label_backbone = None
    if values.get("labels_encoder"):
        names = ("labels_encoder_config", "labels_encoder")
        label_backbone = _backbone_config(values, state, folder, hub, *names, LABEL_WEIGHTS)
    fusion = str(values.get("post_fusion_schema") or "") if label_backbone else ""
    layers = {name.split(".")[3] for name in state if name.startswith("encoder.fusion.layers.")}
    return NetworkConfig(
        backbone=_backbone_config(values, state, folder, hub, "encoder_config", "model_name", TEXT_WEIGHTS),
        head=head,
        width=state[name].shape[1],
        max_width=int(values.get("max_width", 12)),
        lstm_layers=sum(name.startswith("encoder.lstm.lstm.weight_ih_l") for name in state) // 2,
        dropout=float(values.get("dropout", 0.4)),
        span_score=values.get("span_score", "minimum"),
        max_words=int(values.get("max_len", 384)),
        label_backbone=label_backbone,
        fusion=fusion,
        fusion_layers=len(layers) if fusion else 1,
        pooling=values.get("subtoken_pooling", "first"),
        embed_marker=values.get("embed_ent_token") is not False,
        fuse_layers=bool(values.get("fuse_layers")),
    )


def _backbone_config(
    values: dict[str, Any],
    state: Mapping[str, Tensor],
    folder: Path,
    hub: dict[str, Any],
    config_key: str,
    name_key: str,
    prefix: str,
) -> dict[str, Any]:
    """The configuration of a transformer whose weights begin with `prefix`, with the rows that its embedding has."""
    config = dict(values.get(config_key) or _fetch_config(values.get(name_key), folder, hub, config_key, name_key))
    config.setdefault("model_type", "deberta-v2")
    config["vocab_size"] = _embedding_rows(state, folder, prefix)
    return config


def _embedding_rows(state: Mapping[str, Tensor], folder: Path, prefix: str) -> int:
    endings = ("word_embeddings.weight", "tok_embeddings.weight", "shared.weight", "embed_tokens.weight")
    rows = [len(tensor) for name, tensor in state.items() if name.startswith(prefix) and name.endswith(endings)]
    if not rows:
        raise ValueError(
            f"The weights of {folder} hold no word embeddings (a name that begins with {their_name(prefix)} and ends "
            f"in {', '.join(endings)})."
        )
    return rows[0]


def _fetch_config(
    name: str | None, folder: Path, hub: dict[str, Any], config_key: str, name_key: str
) -> dict[str, Any]:
    from transformers import AutoConfig

    if not name:
        raise ValueError(
            f"{folder} says neither what its backbone looks like ({config_key}) nor its name ({name_key})."
        )
    try:
        config: dict[str, Any] = AutoConfig.from_pretrained(name, **hub).to_dict()
    except OSError as error:
        raise FileNotFoundError(
            f"{folder} needs the configuration of its backbone '{name}', which can't be had: {error}"
        ) from error
    return config


def _read_tokenizer(folder: Path, model_name: str, hub: dict[str, Any]) -> Any:
    has_own = (folder / "tokenizer_config.json").is_file() or (folder / "tokenizer.json").is_file()
    return read_tokenizer(str(folder) if has_own else model_name, {} if has_own else hub)


def read_tokenizer(name: str, hub: dict[str, Any]) -> Any:
    """The `tokenizers.Tokenizer` of a folder or hub name; converted where only an older form is there.

    Raises FileNotFoundError or ValueError that names it.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, **hub)
    except OSError as error:
        raise FileNotFoundError(f"There is no tokenizer '{name}': {error}") from error
    except Exception as error:  # the tokenizers library raises bare exceptions for damaged files
        raise ValueError(f"The tokenizer of {name} can't be read: {error}") from error
    if not tokenizer.is_fast:
        raise ValueError(f"The tokenizer of {name} ({type(tokenizer).__name__}) has no fast form, which is needed.")
    return tokenizer.backend_tokenizer


def _write_tokenizers(checkpoint: Checkpoint, folder: Path) -> None:
    network, of_labels = checkpoint.network, checkpoint.tokenizer.label_tokenizer
    _write_tokenizer(checkpoint.tokenizer.tokenizer, network.encoder.transformer, folder)
    if of_labels is not None and isinstance(network.encoder, BiEncoder):
        _write_tokenizer(of_labels, network.encoder.labels.transformer, folder / LABEL_TOKENIZER)


def _write_tokenizer(tokenizer: Tokenizer, transformer: Transformer, folder: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    settings: dict[str, Any] = {
        "pad_token": tokenizer.id_to_token(transformer.config.pad_token_id or 0),
        "unk_token": getattr(tokenizer.model, "unk_token", None),
        "model_max_length": transformer.max_pieces,
    }
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{key: value for key, value in settings.items() if value is not None}
    ).save_pretrained(folder)  # type: ignore[attr-defined]  # it has, but transformers 4 does not say so


def _their_config(checkpoint: Checkpoint) -> dict[str, Any]:
    config, of_labels = checkpoint.network.config, checkpoint.network.config.label_backbone
    apart: dict[str, Any] = {}
    if of_labels is not None:
        apart = {
            "labels_encoder": of_labels.get("_name_or_path") or of_labels["model_type"],
            "labels_encoder_config": of_labels,
            "post_fusion_schema": config.fusion,
            "num_post_fusion_layers": config.fusion_layers,
        }
    return apart | {
        "model_name": config.backbone.get("_name_or_path") or config.backbone["model_type"],
        "name": "spacy-gliner",
        "model_type": None,
        "span_mode": {head: mode for mode, head in HEADS.items()}[config.head],
        "hidden_size": config.width,
        "max_width": config.max_width,
        "max_len": config.max_words,
        "dropout": config.dropout,
        "num_rnn_layers": config.lstm_layers,
        "subtoken_pooling": config.pooling,
        "embed_ent_token": config.embed_marker,
        "fuse_layers": config.fuse_layers,
        "span_score": config.span_score,
        "ent_token": checkpoint.tokenizer.label_marker,
        "sep_token": checkpoint.tokenizer.separator,
        "class_token_index": -1 if apart else checkpoint.tokenizer.label_marker_id,
        "vocab_size": config.backbone["vocab_size"],
        "encoder_config": config.backbone,
    }
