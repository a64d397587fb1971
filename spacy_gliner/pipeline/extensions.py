"""Custom attributes of Docs and Spans.

Inputs: `doc._.gliner_labels`, `gliner_relation_labels`, `gliner_questions`, `gliner_prompts`. None leaves it to the
component, an empty list asks for nothing.
`doc._.gliner_part` of a reference names the part of the data whose scores are reported apart.
Results, read from span groups: `gliner_relations`, `gliner_answers`, `gliner_matches`, `gliner_summary`; setting them
gives gold data. `span._.gliner_score` is what a component gave these words with this label.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any

from spacy.tokens import Doc, Span
from spacy.training import Example

from . import results

INPUTS = ("gliner_labels", "gliner_relation_labels", "gliner_questions", "gliner_prompts")
RESULTS: dict[str, tuple[Callable[[Doc], Any], Callable[[Doc, Any], None]]] = {
    "gliner_relations": (results.get_relations, results.set_relations),
    "gliner_answers": (results.get_answers, results.set_answers),
    "gliner_matches": (results.get_matches, results.set_matches),
    "gliner_summary": (results.get_summary, results.set_summary),
}


def register_extensions() -> None:
    """Register the attributes, unless they are there."""
    for name in INPUTS:
        if not Doc.has_extension(name):
            Doc.set_extension(name, default=None)
    if not Doc.has_extension("gliner_part"):
        Doc.set_extension("gliner_part", default="")
    for name, (getter, setter) in RESULTS.items():
        if not Doc.has_extension(name):
            Doc.set_extension(name, getter=getter, setter=setter)
    if not Span.has_extension("gliner_score"):
        Span.set_extension("gliner_score", getter=gliner_score)


def gliner_score(span: Span) -> float | None:
    """The best score that one of our components gave these words with this label; None if none did.

    Looks into the Doc's span groups. A group that a component of ours wrote is ordered by start.
    """
    best = None
    for group in span.doc.spans.values():
        if not str(group.attrs.get("component", "")).startswith("gliner_"):
            continue
        scores = group.attrs.get("scores", [])
        for row in range(bisect_left(group, span.start, key=lambda other: other.start), min(len(group), len(scores))):
            other = group[row]
            if other.start > span.start:
                break
            if other.end == span.end and other.label == span.label and scores[row] is not None:
                best = scores[row] if best is None else max(best, scores[row])
    return best


def score_parts(scorer: Callable[..., dict[str, Any]], examples: Iterable[Example], **settings: Any) -> dict[str, Any]:
    """What a scorer says of Examples; of each part of the data (`reference._.gliner_part`) by itself."""
    parts: dict[str, list[Example]] = {"": []}
    for example in examples:
        parts.setdefault(example.reference._.gliner_part, []).append(example)
    scores: dict[str, Any] = {}
    for part, of_part in parts.items():
        found = scorer(of_part, **settings)
        scores |= {f"{part}_{key}" if part else key: value for key, value in found.items()}
    return scores
