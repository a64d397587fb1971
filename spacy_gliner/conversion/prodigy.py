"""Reading what `prodigy db-out` writes: JSON lines with a text, spans, relations and an answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .files import from_items
from .records import NOT_ANNOTATED, Link, Loss, Mark, Record, Skip, add_relations, get, get_list, mark_of_dict, shorten

ANSWERS = ("accept", "reject", "ignore")


def read_prodigy(path: Path) -> Iterator[Record | Skip]:
    """The accepted tasks, the others skipped. Raises ValueError that names file and place."""
    return from_items(path, lambda where, row: [_record(where, row)])


def _record(where: str, row: Any) -> Record | Skip:
    text = get(row, "text", str, "text")
    answer = row.get("answer", "accept")
    if answer not in ANSWERS:
        raise ValueError(f"expected the answer to be one of {', '.join(ANSWERS)}, got {shorten(answer)}")
    if answer != "accept":
        return Skip(where, f"the answer is {answer!r}")
    if "answer" not in row and row.get("spans") is None and row.get("relations") is None:
        return Skip(where, NOT_ANNOTATED)
    tokens = [_token(token) for token in get_list(row, "tokens")]
    words = [token.text or "" for token in tokens if (token.text or "").strip()]
    spans = [mark_of_dict(span) for span in get_list(row, "spans")]
    record = Record(where, text=text, tokens=words or None, spans=spans)
    if row.get("relations") is not None:
        add_relations(record, (_link(relation, tokens) for relation in get_list(row, "relations")))
    return record


def _token(value: Any) -> Mark:
    mark = mark_of_dict(value)
    if not mark.text:
        raise ValueError(f"expected a token with its text, got {shorten(value)}")
    return mark


def _link(relation: Any, tokens: list[Mark]) -> Link | Loss:
    name = get(relation, "label", str, "the name of a relation")
    ends = []
    for side in ("head", "child"):
        if relation.get(f"{side}_span") is not None:
            ends.append(mark_of_dict(relation[f"{side}_span"]))
            continue
        number = get(relation, side, int, "the number of a token")
        if not 0 <= number < len(tokens):
            return Loss("relation", "", name, f"its {side} is token {number}, of {len(tokens)}")
        ends.append(tokens[number])
    return Link(ends[0], name, ends[1])
