"""Reading the exports of Label Studio: JSON (tasks with annotations) and JSON-MIN (one flat item an annotation)."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .files import from_items
from .records import (
    NOT_ANNOTATED,
    Link,
    Loss,
    Mark,
    Record,
    Skip,
    add_relations,
    get,
    get_list,
    links_between,
    mark_of_dict,
    shorten,
)

DIRECTIONS = ("right", "left", "bi")
ANOTHER = "another annotation of the same task is taken"


def read_labelstudio(path: Path) -> Iterator[Record | Skip]:
    """One annotation of every task: the ground truth or, where none is, the first that was not cancelled.

    Raises ValueError that names file and place.
    """
    seen: set[Any] = set()

    def parse(where: str, item: Any) -> Iterable[Record | Skip]:
        if isinstance(item, dict) and "data" in item:
            return _of_task(where, item)
        return [_flat(where, item, seen)]

    return from_items(path, parse)


def is_flat(item: Any) -> bool:
    """Whether an item has the form of JSON-MIN: regions with their labels stand under a key of its own."""
    return isinstance(item, dict) and (
        "annotation_id" in item or any(_is_region(value) for values in item.values() for value in _as_list(values))
    )


def _of_task(where: str, task: dict[str, Any]) -> Iterator[Record | Skip]:
    annotations = [_annotation(value) for value in get_list(task, "annotations")]
    if not annotations:
        yield Skip(where, NOT_ANNOTATED)
    open_ones = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
    taken = next((one for one in open_ones if one.get("ground_truth")), open_ones[0] if open_ones else None)
    for annotation in annotations:
        if annotation is taken:
            yield _record(where, task["data"], get(annotation, "result", list, "a list"))
        else:
            yield Skip(where, "it was cancelled" if annotation.get("was_cancelled") else ANOTHER)


def _annotation(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected an annotation with its 'result', got {shorten(value)}")
    return value


def _flat(where: str, item: Any, seen: set[Any]) -> Record | Skip:
    if not isinstance(item, dict):
        raise ValueError(f'expected a task, {{"data": {{"text": "…"}}, "annotations": […]}}, got {shorten(item)}')
    if "annotation_id" in item and isinstance(item.get("id"), int | str):
        if item["id"] in seen:
            return Skip(where, ANOTHER)
        seen.add(item["id"])
    regions = [value for values in item.values() for value in _as_list(values) if _is_region(value)]
    keys = {key: value for key, value in item.items() if key not in ("created_at", "updated_at")}
    return _record(where, keys, [{"type": "labels", "value": region} for region in regions])


def _record(where: str, data: Any, results: Sequence[Any]) -> Record:
    """The record of one annotation. Relations are known to the file, not to the task: `converting` sees to that."""
    record = Record(where, text=_text_of(data))
    regions: dict[Any, Mark] = {}
    for result in results:
        kind, value = get(result, "type", str, "text"), result.get("value")
        if kind == "relation":
            continue
        if kind != "labels":
            record.passed_over.append(f"results of type {kind!r}")
            continue
        marks = _marks(value)
        if isinstance(marks, Loss):
            record.lost.append(marks)
            continue
        record.spans += marks
        if marks:
            regions[result.get("id")] = marks[0]
    relations = [result for result in results if result["type"] == "relation"]
    if relations:
        add_relations(record, (link for relation in relations for link in _links(relation, regions)))
    return record


def _text_of(data: Any) -> str:
    """The text of a task: `text` or, where it has another name, the only one there is."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}
    if "text" in texts or len(texts) == 1:
        return texts["text"] if "text" in texts else next(iter(texts.values()))
    named = ", ".join(map(repr, texts)) or "none"
    raise ValueError(f"expected the task to have a text named 'text', or one text alone; its texts: {named}")


def _marks(value: Any) -> list[Mark] | Loss:
    """A region once for each of its labels."""
    labels = get_list(value, "labels") if isinstance(value, dict) else None
    if labels is None or any(not isinstance(label, str) for label in labels):
        raise ValueError(f"expected a region with a list of labels, got {shorten(value)}")
    if isinstance(value.get("start"), str):  # a path in a page of HTML, or a line of a dialogue
        return Loss("span", str(value.get("text", "")), ", ".join(labels), "it is not a region of plain text")
    mark = mark_of_dict(value)
    return [mark._replace(label=label) for label in labels or [""]]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_region(value: Any) -> bool:
    return isinstance(value, dict) and {"start", "end", "labels"} <= set(value)


def _links(relation: dict[str, Any], regions: dict[Any, Mark]) -> Iterator[Link | Loss]:
    names = get_list(relation, "labels") or [""]
    direction = relation.get("direction") or "right"
    if direction not in DIRECTIONS:
        raise ValueError(f"expected a direction of {', '.join(DIRECTIONS)}, got {shorten(direction)}")
    ends = [get(relation, key, (str, int), "the id of a region") for key in ("from_id", "to_id")]
    pairs = {"right": [ends], "left": [ends[::-1]], "bi": [ends, ends[::-1]]}[direction]
    yield from links_between(regions, ((head, name, tail) for name in names for head, tail in pairs))
