"""`gliner_config.json`: what published files say of a network, as a `NetworkConfig`, and the other way round.

What foreign files call things is kept in tables.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from torch import Tensor

from ..batching import PieceTokenizer
from ..nn.context import context_config
from ..nn.network import HeadName, Network, NetworkConfig
from ..nn.triples import TRIPLES
from ..types import Pooling
from .weights import their_name

CONFIG_FILE = "gliner_config.json"
RELATION_MARKER = "<<REL>>"
TEXT_WEIGHTS, LABEL_WEIGHTS = "encoder.transformer.backbone.", "encoder.labels.transformer.backbone."
HEADS: dict[str, HeadName] = {"token_level" if head == "token" else head: head for head in get_args(HeadName)}

# Configuration values of networks that are of another kind, and what they stand for.
UNSUPPORTED = {
    "labels_decoder": "a generative label decoder (it writes labels by itself; here, spans get labels that are named)",
}


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a published checkpoint, as it is.

    Raises FileNotFoundError where there is none; ValueError for what it can't be and for networks of another kind.
    """
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
    if values.get("precomputed_prompts_mode") and (values.get("relations_layer") or not stored_labels(values)):
        kinds.append("precomputed prompts of a joint network, or without their names (id_to_classes)")
    if values.get("model_type") == "gliner_streaming_span":
        kinds.append("a streaming network (it reads a text bit by bit with a causal model; a Doc is read as a whole)")
    if values.get("subtoken_pooling", "first") not in get_args(Pooling):
        kinds.append(f"subtoken_pooling '{values['subtoken_pooling']}'")
    if values.get("span_mode", "markerV0") not in HEADS:
        kinds.append(f"span_mode '{values['span_mode']}'")
    if values.get("triples_layer") not in (None, "", *TRIPLES):
        kinds.append(f"triples_layer '{values['triples_layer']}', which is none of {', '.join(TRIPLES)}")
    if kinds:
        raise ValueError(
            f"{folder} holds {' and '.join(kinds)}. Supported are uni-, bi- and poly-encoders with span_mode "
            f"{', '.join(HEADS)}; choose a checkpoint of that kind."
        )
    return values


def network_config(
    values: dict[str, Any], state: Mapping[str, Tensor], folder: Path, hub: dict[str, Any]
) -> NetworkConfig:
    """The shape of a network; what can be derived from its weights is.

    values: Its configuration.
    state: Its weights, under our names.
    hub: How to download what the folder lacks.
    """
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
    context = values.get("span_encoder_config")
    labels = stored_labels(values)
    width = state[name].shape[1]
    return NetworkConfig(
        backbone=_backbone_config(values, state, folder, hub, "encoder_config", "model_name", TEXT_WEIGHTS),
        head=head,
        width=width,
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
        stored_labels=len(labels),
        context=context_config(context, width) if context else None,
        represent_spans=bool(values.get("represent_spans")) and head == "token",
        links=str(values.get("relations_layer") or "").lower(),
        triples=str(values.get("triples_layer") or ""),
        embed_relation_marker=values.get("embed_rel_token") is not False,
    )


def stored_labels(values: dict[str, Any]) -> list[str]:
    """The labels whose vectors a checkpoint stores (`precomputed_prompts`), in their order; none of others."""
    if not values.get("precomputed_prompts_mode"):
        return []
    names = values.get("id_to_classes") or {}
    return [names[key] for key in sorted(names, key=int)]


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


def their_config(network: Network, tokenizer: PieceTokenizer) -> dict[str, Any]:
    """The configuration with which a network is published; the inverse of `network_config`."""
    config, of_labels = network.config, network.config.label_backbone
    if config.backbone is None:
        raise ValueError(
            "This network gets the vectors of words from another component, so that it is no checkpoint by itself. "
            "Save the pipeline instead (nlp.to_disk)."
        )
    of_kind: dict[str, Any] = {}  # what only some kinds of networks have
    if config.stored_labels and tokenizer.label_tokenizer is not None:
        names = (tokenizer.label_tokenizer.id_to_token(row) for row in range(config.stored_labels))
        of_kind |= {"precomputed_prompts_mode": True, "id_to_classes": dict(enumerate(names, start=1))}
    if config.links:
        of_kind |= {
            "relations_layer": config.links,
            "triples_layer": config.triples or None,
            "rel_token": tokenizer.relation_marker,
            "rel_token_index": tokenizer.tokenizer.token_to_id(tokenizer.relation_marker),
            "embed_rel_token": config.embed_relation_marker,
        }
    if of_labels is not None:
        of_kind |= {
            "labels_encoder": of_labels.get("_name_or_path") or of_labels["model_type"],
            "labels_encoder_config": of_labels,
            "post_fusion_schema": config.fusion,
            "num_post_fusion_layers": config.fusion_layers,
        }
    return of_kind | {
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
        "represent_spans": config.represent_spans,
        "span_encoder_config": config.context,
        "span_score": config.span_score,
        "ent_token": tokenizer.label_marker,
        "sep_token": tokenizer.separator,
        "class_token_index": -1 if of_labels else tokenizer.label_marker_id,
        "vocab_size": config.backbone["vocab_size"],
        "encoder_config": config.backbone,
    }
