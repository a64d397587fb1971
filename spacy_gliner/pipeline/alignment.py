"""From the tokens of a reference to those of the predicted Doc."""

import logging
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence

from spacy.tokens import Span
from spacy.training import Example
from spacy.util import filter_spans

logger = logging.getLogger("spacy_gliner")


def aligned_spans(example: Example, spans: Sequence[Span]) -> list[Span]:
    """Gold spans in the predicted Doc. Warns of those that don't fall on its token borders, which are left out."""
    aligned: list[Span] = example.get_aligned_spans_y2x(spans, allow_overlap=True)
    if len(aligned) < len(spans):
        logger.warning(
            "%d of %d gold spans don't fall on token borders and are not learned: '%s…'",
            len(spans) - len(aligned),
            len(spans),
            example.reference.text[:60],
        )
    return aligned


def spans_apart(
    ends: Sequence[Span], key: Callable[[Span], Hashable], needed: Collection[Hashable] | None = None
) -> list[Span]:
    """Ends of gold relations that can be entities together, longer ones before shorter.

    Warns of needed keys (None: all) that none of them has.
    """
    apart: list[Span] = filter_spans(ends)
    kept = {key(span) for span in apart}
    if lost := [span for span in ends if key(span) not in kept and (needed is None or key(span) in needed)]:
        logger.warning(
            "Of gold relations, ends overlap each other and doc.ents can't hold both. Nothing is learned of relations "
            "of: %s. Have a span group hold the entities (entities_key).",
            ", ".join(f"'{text[:60]}'" for text in dict.fromkeys(span.text for span in lost)),
        )
    return apart


def missing_tokens(example: Example, spans: Iterable[Span], unknown: Iterable[int] = ()) -> set[int]:
    """Tokens of the predicted Doc that overlap unknown ones of the reference, or gold spans that don't align."""
    broken = [span for span in spans if not example.get_aligned_spans_y2x([span], allow_overlap=True)]
    tokens = {*unknown, *(token for span in broken for token in range(span.start, span.end))}
    return {row for token in tokens for row in example.alignment.y2x[token]}


def aligned_span(example: Example, span: Span) -> Span | None:
    """A gold span in the predicted Doc; None where it does not fall on token borders."""
    return next(iter(aligned_spans(example, [span])), None)
