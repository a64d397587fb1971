"""Reading rows of JSON: the reference library's, our own, and texts with character offsets (doccano's among them)."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .files import from_items
from .records import (
    KEPT,
    NOT_ANNOTATED,
    Link,
    Loss,
    Mark,
    Record,
    Skip,
    add_relations,
    get,
    get_list,
    get_tokens,
    links_between,
    mark_of_dict,
    mark_of_list,
    shorten,
)

# What the reference library calls what our rows say.
NAMES = {"ner_labels": "labels", "ner_negatives": "negatives", "rel_labels": "relation_labels"}
SPANS = ("entities", "spans", "label")  # keys of the spans of a text
DOCCANO = ("start_offset", "end_offset")


def read_gliner(path: Path) -> Iterator[Record | Skip]:
    """Rows of the reference library. Raises ValueError that names file and place."""
    return from_items(path, lambda where, row: [_gliner_record(where, row)])


def read_jsonl(path: Path) -> Iterator[Record | Skip]:
    """Rows with tokens, or with a text. Raises ValueError that names file and place."""
    return from_items(path, lambda where, row: [_record(where, row)])


def _gliner_record(where: str, row: Any) -> Record:
    tokens = get_tokens(row, "tokenized_text")
    spans = [mark_of_list(span, last=1) for span in get_list(row, "ner")]
    record = Record(where, tokens=tokens, spans=spans, extra=_extra(row))
    if row.get("relations") is not None:
        found = (_numbered(relation) for relation in get_list(row, "relations"))
        add_relations(record, links_between(spans, found))
    if row.get("rel_negatives"):
        record.passed_over.append("negatives of relations")
    return record


def _record(where: str, row: Any) -> Record | Skip:
    if isinstance(row, dict) and "tokenized_text" in row:
        return _gliner_record(where, row)
    if isinstance(row, dict) and "tokens" in row:
        return _token_record(where, row)
    if isinstance(row, dict) and "text" in row:
        return _text_record(where, row)
    raise ValueError(
        'expected {"tokens": […], "spans": [[start, end, "label"], …]} or {"text": "…", "entities": [[start, end, '
        f'"label"], …]}}, got {shorten(row)}'
    )


def _token_record(where: str, row: dict[str, Any]) -> Record | Skip:
    tokens = get_tokens(row, "tokens")
    spans = [mark_of_list(span, last=1) for span in get_list(row, "spans")]
    missing = [mark_of_list([*_pair(place), ""], last=1)[:2] for place in get_list(row, "missing")]
    if not any(row.get(key) is not None for key in ("spans", "relations", "relation")):
        return Skip(where, NOT_ANNOTATED)
    record = Record(where, tokens=tokens, spans=spans, missing=missing, extra=_extra(row))
    _add_facts(record, row, last=1)
    return record


def _text_record(where: str, row: dict[str, Any]) -> Record | Skip:
    """A text with its annotation, if it has any: a list of spans that is empty is one, a list that is missing none."""
    text = get(row, "text", str, "text")
    if not any(row.get(key) is not None for key in (*SPANS, "relations", "relation")):
        return Skip(where, NOT_ANNOTATED)
    keys = [key for key in SPANS if row.get(key) is not None]
    if len(keys) > 1:
        raise ValueError(f"expected one list of spans, got {' and '.join(map(repr, keys))}")
    values = get_list(row, keys[0]) if keys else []
    spans = [_mark(value) for value in values]
    record = Record(where, text=text, spans=spans, extra=_extra(row))
    if any(isinstance(fact, dict) and "from_id" in fact for fact in get_list(row, "relations")):
        ids = {value["id"]: mark for value, mark in zip(values, spans, strict=True) if "id" in value}
        found = ((get(f, "from_id", int, "an id"), f.get("type"), f.get("to_id")) for f in row["relations"])
        add_relations(record, links_between(ids, found))
    else:
        _add_facts(record, row, last=0)
    return record


def _mark(value: Any) -> Mark:
    if isinstance(value, dict):
        return mark_of_dict(value, DOCCANO if "start_offset" in value else ("start", "end"))
    return mark_of_list(value)


def _add_facts(record: Record, row: dict[str, Any], last: int) -> None:
    """The relations as `RelationCorpus` reads them, which may be one fact a row."""
    facts = get_list(row, "relations")
    if "relations" not in row and {"head", "tail", "relation"} <= set(row):
        facts = [row]
    elif row.get("relations") is None:
        return
    labels = {mark[:2]: mark.label for mark in record.spans}
    add_relations(record, (link for fact in facts for link in _links(fact, labels, last)))


def _links(fact: Any, labels: dict[tuple[int, int], str], last: int) -> Iterable[Link | Loss]:
    name = get(fact, "relation", str, "the name of a relation")
    head, tail = (mark_of_dict(get(fact, side, dict, "a place"), last=last) for side in ("head", "tail"))
    mentions = [mark_of_list([*_pair(place), ""], last) for place in get_list(fact, "tail_mentions")]
    tails = dict.fromkeys([tail, *(mention for mention in mentions if mention[:2] != tail[:2])])
    for end in tails:
        yield Link(_labelled(head, labels), name, _labelled(end, labels))


def _labelled(mark: Mark, labels: dict[tuple[int, int], str]) -> Mark:
    return mark if mark.label else mark._replace(label=labels.get(mark[:2], ""))


def _numbered(relation: Any) -> tuple[int, str, int]:
    """`[head, tail, name]` -> (head, name, tail). Raises ValueError for anything else."""
    if isinstance(relation, list) and len(relation) == 3:
        head, tail, name = relation
        if type(head) is int and type(tail) is int and isinstance(name, str):
            return head, name, tail
    raise ValueError(
        f'expected a relation [head span, tail span, "name"] with numbers of spans, got {shorten(relation)}'
    )


def _pair(place: Any) -> list[Any]:
    if not isinstance(place, list) or len(place) != 2:
        raise ValueError(f"expected a place [start, end], got {shorten(place)}")
    return place


def _extra(row: dict[str, Any]) -> dict[str, Any]:
    """What else the row says. A doccano row's "label" and "id" are not in the way."""
    named = {NAMES.get(key, key): value for key, value in row.items()}
    for key in ("labels", "negatives", "relation_labels"):
        if any(not isinstance(name, str) for name in get_list(named, key)):
            raise ValueError(f"expected {key!r} to be a list of names, got {shorten(named[key])}")
    return {key: named[key] for key in KEPT if named.get(key) is not None}
