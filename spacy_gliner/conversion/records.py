"""One text with its annotation, before it has tokens of ours: what every reader of `conversion` makes.

Finding the tokens is left to `documents`, the files to the readers.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

KEPT = ("id", "source", "labels", "negatives", "relation_labels")  # what rows say besides, and is handed on

NOT_ANNOTATED = "it has no annotation"


class Mark(NamedTuple):
    """A marked place, its end exclusive: in characters where the record has a text, otherwise in its tokens.

    text: What the file says that stands there, if it says so.
    """

    start: int
    end: int
    label: str
    text: str | None = None


class Link(NamedTuple):
    """A relation between two places, which need not be marked themselves."""

    head: Mark
    name: str
    tail: Mark


class Loss(NamedTuple):
    """A span or relation that can't be converted, and why. `start` and `end` are those of the file."""

    kind: str
    text: str
    label: str
    problem: str
    start: int | None = None
    end: int | None = None


@dataclass
class Record:
    """A text, tokens or both, with spans and relations.

    where: Its place in the file, in words.
    spaces: With both text and tokens, which tokens are followed by a space; None where that must be found out.
    relations: None where nobody looked for relations.
    missing: Tokens without annotation, as (start, end).
    extra: What else its row says, see `KEPT`.
    lost: What the reader itself could not make sense of.
    passed_over: What has no place in our data, in words.
    """

    where: str
    text: str | None = None
    tokens: Sequence[str] | None = None
    spaces: Sequence[bool] | None = None
    spans: list[Mark] = field(default_factory=list)
    relations: list[Link] | None = None
    missing: list[tuple[int, int]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    lost: list[Loss] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)


class Skip(NamedTuple):
    """A record of the file that is no annotation, and why not."""

    where: str
    reason: str


Reader = Callable[[Path], Iterator[Record | Skip]]


def get(row: Any, key: str, kind: type | tuple[type, ...], expected: str) -> Any:
    """The value of a key. Raises ValueError where there is none or it is not of this kind."""
    value = row.get(key) if isinstance(row, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"expected {key!r} to be {expected}, got {shorten(value)}")
    return value


def get_list(row: Any, key: str) -> list[Any]:
    """A list, or an empty one where the key is missing or null. Raises ValueError for anything else."""
    return [] if row.get(key) is None else list(get(row, key, list, "a list"))


def get_tokens(row: Any, key: str) -> list[str]:
    """Words that are not empty. Raises ValueError for anything else."""
    tokens = list(get(row, key, list, "a list of tokens"))
    for token in tokens:
        if not isinstance(token, str) or not token:
            raise ValueError(f"expected {key!r} to be a list of tokens that are not empty, one is {shorten(token)}")
    return tokens


def mark_of_list(value: Any, last: int = 0) -> Mark:
    """`[start, end, label]` -> Mark.

    last: 1 where the end is inclusive.
    Raises ValueError for anything else.
    """
    if not isinstance(value, list) or len(value) != 3 or not _is_place(*value[:2]) or not isinstance(value[2], str):
        raise ValueError(f'expected a span [start, end, "label"], got {shorten(value)}')
    return Mark(value[0], value[1] + last, value[2])


def mark_of_dict(value: Any, keys: tuple[str, str] = ("start", "end"), last: int = 0) -> Mark:
    """`{"start", "end", "label"}` -> Mark; label and text may be missing.

    keys: Those of start and end.
    last: 1 where the end is inclusive.
    Raises ValueError for anything else.
    """
    place: list[Any] = [value.get(key) for key in keys] if isinstance(value, dict) else []
    if not place or not _is_place(*place):
        raise ValueError(f"expected a span with {keys[0]!r} and {keys[1]!r}, got {shorten(value)}")
    label, text = value.get("label"), value.get("text")
    if not isinstance(label, str | None) or not isinstance(text, str | None):
        raise ValueError(f"expected the label and the text of a span to be text, got {shorten(value)}")
    return Mark(place[0], place[1] + last, label or "", text)


def links_between(
    marks: Sequence[Mark] | dict[Any, Mark], found: Iterable[tuple[Any, Any, Any]]
) -> Iterator[Link | Loss]:
    """Relations of (head, name, tail), whose ends are named by what `marks` has them under."""
    places = marks if isinstance(marks, dict) else dict(enumerate(marks))
    for head, name, tail in found:
        lost = [repr(end) for end in (head, tail) if end not in places]
        name = name if isinstance(name, str) else ""
        if lost:
            yield Loss("relation", "", name, f"no span has the number or id {' or '.join(lost)}")
        else:
            yield Link(places[head], name, places[tail])


def add_relations(record: Record, found: Iterable[Link | Loss]) -> None:
    """Write relations into a record, which then is one that relations were looked for in."""
    record.relations = [] if record.relations is None else record.relations
    for link in found:
        if isinstance(link, Link):
            record.relations.append(link)
        else:
            record.lost.append(link)


def shorten(value: Any) -> str:
    """A value as one short line, for messages."""
    line = repr(value)
    return line if len(line) <= 80 else f"{line[:79]}…"


def _is_place(start: Any, end: Any) -> bool:
    return type(start) is int and type(end) is int
