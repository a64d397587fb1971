"""Custom attributes: `doc._.gliner_labels` (read) and `span._.gliner_score` (given)."""

from bisect import bisect_left

from spacy.tokens import Doc, Span


def register_extensions() -> None:
    """Register the attributes, unless they are there."""
    if not Doc.has_extension("gliner_labels"):
        Doc.set_extension("gliner_labels", default=None)
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
            if other.end == span.end and other.label == span.label:
                best = scores[row] if best is None else max(best, scores[row])
    return best
