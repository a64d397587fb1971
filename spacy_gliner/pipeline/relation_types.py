"""Relations as users ask for them: names and schemas, checked and brought into one form."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from .labels import parse_labels

SCHEMA = {"name", "description", "threshold", "head", "tail", "symmetric", "one_tail"}
SEPARATOR = "\x1f"  # between relation and head in the labels of queries; no relation's name holds it


class RelationType(NamedTuple):
    """A relation that is asked for. An empty `head` or `tail` allows all labels."""

    name: str
    prompt: str
    threshold: float | None = None
    head: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()
    symmetric: bool = False
    one_tail: bool = False

    def unparse(self) -> Any:
        """The name, or the schema where there is more to say."""
        schema: dict[str, Any] = {"name": self.name}
        if self.prompt != self.name:
            schema["description"] = self.prompt
        if self.threshold is not None:
            schema["threshold"] = self.threshold
        schema |= {side: list(labels) for side, labels in (("head", self.head), ("tail", self.tail)) if labels}
        schema |= {flag: True for flag in ("symmetric", "one_tail") if getattr(self, flag)}
        return schema if len(schema) > 1 else self.name


def parse_relations(labels: Any) -> list[RelationType]:
    """Relations from a list of names and schemas, see `make_gliner_relations`. Raises ValueError for anything else."""
    if isinstance(labels, str) or not isinstance(labels, list | tuple):
        raise ValueError(f"Relations must be a list of names or schemas, such as ['founded by'], got {labels!r}.")
    schemas = [entry if isinstance(entry, Mapping) else {"name": entry} for entry in labels]
    for schema in schemas:
        if "name" not in schema or not set(schema) <= SCHEMA:
            others = ", ".join(sorted(SCHEMA - {"name"}))
            raise ValueError(f"A relation has a 'name' and may have {others}; got {schema!r}.")
    named = parse_labels(
        [{key: schema[key] for key in ("name", "description", "threshold") if key in schema} for schema in schemas]
    )
    parsed: dict[str, RelationType] = {}
    for schema in schemas:
        label = next(label for label in named if label.name == schema["name"])
        if SEPARATOR in label.name:
            raise ValueError(f"The relation {label.name!r} holds a control character that can't be part of a name.")
        relation = RelationType(
            *label,
            head=_parse_side(schema, "head"),
            tail=_parse_side(schema, "tail"),
            symmetric=_parse_flag(schema, "symmetric"),
            one_tail=_parse_flag(schema, "one_tail"),
        )
        if parsed.setdefault(relation.name, relation) != relation:
            raise ValueError(f"The relation '{relation.name}' is given twice, with different schemas. Keep one.")
    return list(parsed.values())


def _parse_side(schema: Mapping[str, Any], side: str) -> tuple[str, ...]:
    labels = schema.get(side) or ()
    if not isinstance(labels, list | tuple) or not all(isinstance(label, str) and label for label in labels):
        raise ValueError(f"The {side} of relation '{schema['name']}' must be a list of labels, got {labels!r}.")
    return tuple(labels)


def _parse_flag(schema: Mapping[str, Any], flag: str) -> bool:
    value = schema.get(flag) or False
    if not isinstance(value, bool):
        raise ValueError(f"{flag} of relation '{schema['name']}' must be true or false, got {value!r}.")
    return value
