"""The formats that can be read, and telling which one a file has."""

from enum import Enum
from pathlib import Path
from typing import Any

from .columns import looks_like_conll, read_conll
from .docbins import read_spacy
from .files import read_items, read_text
from .labelstudio import is_flat, read_labelstudio
from .prodigy import read_prodigy
from .records import Reader
from .rows import read_gliner, read_jsonl

LOOKED_AT = 20  # lines, in search of one that is surely of a column file


class Format(str, Enum):
    """A format of annotation."""

    gliner = "gliner"
    jsonl = "jsonl"
    conll = "conll"
    spacy = "spacy"
    prodigy = "prodigy"
    labelstudio = "labelstudio"


READERS: dict[Format, Reader] = {
    Format.gliner: read_gliner,
    Format.jsonl: read_jsonl,
    Format.conll: read_conll,
    Format.spacy: read_spacy,
    Format.prodigy: read_prodigy,
    Format.labelstudio: read_labelstudio,
}


def guess_format(path: Path) -> Format:
    """The format of a file, by its ending (`.spacy`) or its first lines.

    Raises ValueError that lists the formats where it can't be told, and OSError. An empty file has them all.
    """
    if path.suffix == ".spacy":
        return Format.spacy
    lines = [line.removesuffix("\r") for line in read_text(path).split("\n") if line.strip()]
    if any(looks_like_conll(line) for line in lines[:LOOKED_AT]):
        return Format.conll
    if not lines:
        return Format.jsonl
    if lines[0].lstrip().startswith(("{", "[")):
        item = next((item for _, item in read_items(path)), {"text": ""})
        found = _of_item(item) if isinstance(item, dict) else None
        if found is not None:
            return found
    names = ", ".join(Format)
    raise ValueError(f"{path}: can't tell its format. Name it with --from; there are {names}.")


def _of_item(item: dict[str, Any]) -> Format | None:
    if ("data" in item and "tokens" not in item) or is_flat(item):
        return Format.labelstudio
    if "tokenized_text" in item:
        return Format.gliner
    if "text" in item and _is_prodigy(item):
        return Format.prodigy
    return Format.jsonl if "text" in item or "tokens" in item else None


def _is_prodigy(item: dict[str, Any]) -> bool:
    of_lists = [value for key in ("tokens", "relations") for value in _as_list(item.get(key))]
    tokens_or_arcs = any(isinstance(value, dict) and ("id" in value or "child" in value) for value in of_lists)
    doccano = any(isinstance(value, dict) and "from_id" in value for value in of_lists)
    return bool({"answer", "_task_hash", "_input_hash"} & set(item)) or (tokens_or_arcs and not doccano)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
