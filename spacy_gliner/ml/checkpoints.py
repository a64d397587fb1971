"""The published GLiNER folder format: `gliner_config.json`, weights, tokenizer. Read it, write it.

What foreign files call things is kept in tables. Where a folder comes from is the matter of `sources`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from tokenizers import Tokenizer, models

from ..batching import PieceTokenizer
from ..nn.encoders import BiEncoder, LabelEncoder
from ..nn.network import Network
from ..nn.spans import SPANS
from ..nn.transformer import Transformer
from .checkpoint_configs import (
    CONFIG_FILE,
    HEADS,
    RELATION_MARKER,
    network_config,
    read_config,
    stored_labels,
    their_config,
)
from .folders import whole_or_nothing
from .weights import (
    UNUSED_IN_BI_ENCODERS,
    UNUSED_IN_UNI_ENCODERS,
    network_weights,
    read_weights,
    their_name,
    trained_network,
)

LABEL_TOKENIZER = "labels_tokenizer"
UNKNOWN = "\0unknown"


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
    values = read_config(folder)
    apart = bool(values.get("labels_encoder"))
    unused = UNUSED_IN_BI_ENCODERS if apart else UNUSED_IN_UNI_ENCODERS
    head = HEADS[values.get("span_mode", "markerV0")]
    spans = "head.markers." if head == "token" else "head.spans." if head in SPANS else "head."
    state = {name: tensor for name, tensor in read_weights(folder, spans).items() if not name.startswith(unused)}
    config = network_config(values, state, folder, hub)
    label_tokenizer = _read_tokenizer(folder / LABEL_TOKENIZER, values["labels_encoder"], hub) if apart else None
    if config.stored_labels:
        label_tokenizer = _rows_of(stored_labels(values))
    rows = (config.backbone or {})["vocab_size"]
    tokenizer = PieceTokenizer(
        _read_tokenizer(folder, str(values.get("model_name")), hub),
        values.get("ent_token") or "<<ENT>>",
        values.get("sep_token") or "<<SEP>>",
        label_tokenizer=label_tokenizer,
        separator_first=bool(config.stored_labels),
        relation_marker=(values.get("rel_token") or RELATION_MARKER) if config.links else None,
        n_ids=rows if apart else None,
        n_label_ids=config.label_backbone["vocab_size"] if config.label_backbone else None,
    )
    if not apart and max(tokenizer.marker_ids) >= rows:
        raise ValueError(
            f"The tokenizer of {folder} gives its markers the ids {' and '.join(map(str, tokenizer.marker_ids))}, but "
            f"the weights have only {rows} embedding rows: the two don't belong together."
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
        config = their_config(checkpoint.network, checkpoint.tokenizer)
        (scratch / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf8")
        _write_tokenizers(checkpoint, scratch)


def _read_tokenizer(folder: Path, model_name: str, hub: dict[str, Any]) -> Any:
    has_own = (folder / "tokenizer_config.json").is_file() or (folder / "tokenizer.json").is_file()
    return read_tokenizer(str(folder) if has_own else model_name, {} if has_own else hub)


def read_tokenizer(name: str, hub: dict[str, Any]) -> Any:
    """The `tokenizers.Tokenizer` of a folder or hub name; converted where only an older form is there.

    Raises FileNotFoundError or ValueError that names it.
    """
    if (plain := _plain_tokenizer(Path(name))) is not None:
        return plain
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


def _plain_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer of a folder to which the Hugging Face library would add nothing; its import is slow."""
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        settings, specials, added = (
            json.loads(path.read_bytes()) if (path := folder / name).is_file() else {}
            for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
        )
        rows = {token["content"]: int(row) for row, token in settings.get("added_tokens_decoder", {}).items()} | added
        named = [*_tokens_of(settings), *_tokens_of(specials)]
    except Exception:  # what is missing or damaged is named by who reads it next
        return None
    plain = settings.get("tokenizer_class") == "PreTrainedTokenizerFast" and not settings.get("split_special_tokens")
    whole = all(tokenizer.token_to_id(token) == row for token, row in rows.items())
    return tokenizer if plain and whole and all(tokenizer.token_to_id(token) is not None for token in named) else None


def _tokens_of(settings: dict[str, Any]) -> Iterator[str]:
    """The special tokens that a file of the Hugging Face library names, one by one or in a list."""
    for key, value in settings.items():
        if key.endswith("_token") or key == "additional_special_tokens":
            values = value if isinstance(value, list) else [value]
            yield from (each["content"] if isinstance(each, dict) else each for each in values if each is not None)


def _rows_of(labels: list[str]) -> Tokenizer:
    """A tokenizer to which every label is one piece, its row; others are the row behind the last."""
    rows = {label: row for row, label in enumerate(labels)}
    return Tokenizer(models.WordLevel(rows | {UNKNOWN: len(rows)}, unk_token=UNKNOWN))


def _write_tokenizers(checkpoint: Checkpoint, folder: Path) -> None:
    network, of_labels = checkpoint.network, checkpoint.tokenizer.label_tokenizer
    if network.encoder.transformer is not None:
        _write_tokenizer(checkpoint.tokenizer.tokenizer, network.encoder.transformer, folder)
    if of_labels is not None and isinstance(network.encoder, BiEncoder) and not network.config.stored_labels:
        assert isinstance(network.encoder.labels, LabelEncoder)
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
