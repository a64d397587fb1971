"""Labels, thresholds and devices as users write them, checked and brought into one form."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch

Labels = Any  # list[str | dict[str, str]] | dict[str, str]: checked here, where errors can say what to do


class Label(NamedTuple):
    """A label's name, under which spans are returned, what the network reads for it, and a threshold of its own."""

    name: str
    prompt: str
    threshold: float | None = None

    def unparse(self) -> Any:
        """The form that configs and JSON keep."""
        entry: dict[str, Any] = {"name": self.name}
        if self.prompt != self.name:
            entry["description"] = self.prompt
        if self.threshold is not None:
            entry["threshold"] = self.threshold
        return entry if len(entry) > 1 else self.name


def parse_labels(labels: Labels) -> list[Label]:
    """Labels from a list of names and `{"name": …, "description": …, "threshold": …}`, or a dict of names and
    descriptions.

    A name that is repeated counts once, where it came first.
    Raises ValueError for anything that is not text, for blank names, and where one name has two descriptions or two
    names are read as the same words.
    """
    if isinstance(labels, str) or not isinstance(labels, list | tuple | dict):
        raise ValueError(f"Labels must be a list of names, such as ['person', 'company'], got {labels!r}.")
    if isinstance(labels, dict):
        labels = [{"name": name, "description": description} for name, description in labels.items()]
    parsed: dict[str, Label] = {}
    for entry in labels:
        label = _parse_label(entry)
        if parsed.setdefault(label.name, label) != label:
            raise ValueError(f"The label '{label.name}' is given twice, with different descriptions. Keep one.")
    prompts: dict[str, str] = {}
    for label in parsed.values():
        other = prompts.setdefault(label.prompt, label.name)
        if other != label.name:
            raise ValueError(
                f"The labels '{other}' and '{label.name}' are both read as '{label.prompt}', so nothing could tell "
                f"them apart. Give one of them another description."
            )
    return list(parsed.values())


def _parse_label(entry: Any) -> Label:
    limit = None
    if isinstance(entry, Mapping) and set(entry) <= {"name", "description", "threshold"} and "name" in entry:
        name, prompt = entry["name"], entry.get("description") or entry["name"]
        limit = entry.get("threshold")
    else:
        name = prompt = entry
    for text in (name, prompt):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"A label must be a name, such as 'person', or {{'name': 'drug', 'description': 'a medicine'}}, "
                f"got {entry!r}."
            )
        if "${" in text:
            raise ValueError(f"The label {text!r} holds '${{', which a saved config would take for a variable.")
    return Label(name, prompt, None if limit is None else parse_threshold(limit, f"The threshold of label '{name}'"))


def parse_threshold(value: Any, name: str = "threshold") -> float:
    """A threshold in 0..1. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, got {value!r}.")
    return float(value)


def parse_thresholds(value: Mapping[str, Any] | Iterable[Any]) -> dict[str, float]:
    """Thresholds per label from `[["person", 0.6], …]` or a dict."""
    pairs = value.items() if isinstance(value, Mapping) else value
    thresholds = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ValueError(f"label_thresholds must hold pairs such as ['person', 0.6], got {pair!r}.")
        thresholds[pair[0]] = parse_threshold(pair[1], f"The threshold of label '{pair[0]}'")
    return thresholds


def parse_device(device: Any) -> str:
    """The word "auto", or a device that torch knows and that is there. Raises ValueError for anything else."""
    if device == "auto":
        return "auto"
    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda', 'cuda:0' or 'mps', got {device!r}.") from error
    if kind == "cuda" and not torch.cuda.is_available() or kind == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"The device '{device}' is not there: torch finds no {kind}. Use 'auto' or 'cpu'.")
    return str(device)
