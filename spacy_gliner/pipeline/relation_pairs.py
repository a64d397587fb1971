"""What `gliner_relations` asks of joint networks, which score pairs of entities, and what it makes of their answers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from spacy.tokens import Span
from spacy.training import Example

from ..ml.architectures import GlinerModel, shim_of
from ..types import Query, ScoredSpan
from .alignment import aligned_span
from .relation_types import RelationType
from .results import Place, Relation, place


def pairs_by(model: GlinerModel) -> Callable[[], bool]:
    """Whether the network of a model scores pairs; asked when it is needed, as that loads the network."""
    return partial(_reads_pairs, model)


def _reads_pairs(model: GlinerModel) -> bool:
    return shim_of(model).network.pairs is not None


def pair_asks(
    entities: Iterable[Span], window: Span, relations: Sequence[RelationType], beside: Sequence[str]
) -> list[Query]:
    """One question: all relations between the entities of the window, in tokens of the Doc.

    beside: Labels of entities that are read with them; those of all the entities where there are none.
    """
    entities = list(entities)
    inside = [entity for entity in entities if window.start <= entity.start and entity.end <= window.end]
    places = tuple(sorted({trimmed(entity) for entity in inside}))
    if len(places) < 2 or not relations:
        return []
    names, prompts = (tuple(texts) for texts in zip(*((r.name, r.prompt) for r in relations), strict=True))
    types = tuple(beside) or tuple(dict.fromkeys(entity.label_ for entity in entities if entity.label_))
    return [Query((), names, prompts, spans=places, beside=types)]


def pair_relations(
    spans: Iterable[ScoredSpan], entities: Iterable[Span], types: Mapping[str, RelationType]
) -> Iterator[Relation]:
    """Scored pairs as relations between entities that don't overlap, as far as the types of these allow it."""
    at: dict[Place, list[Span]] = {}
    for entity in entities:
        at.setdefault(trimmed(entity), []).append(entity)
    for start, end, label, score, head in spans:
        assert head is not None
        heads, tails = allowed(at[head], types[label].head), allowed(at[start, end], types[label].tail)
        if heads and tails and (head[1] <= start or end <= head[0]):
            yield Relation(heads[0], label, tails[0], score)


def gold_pairs(example: Example, relations: Iterable[Relation], symmetric: set[str]) -> list[ScoredSpan]:
    """Gold relations as tails with their heads, in tokens of the predicted Doc; symmetric ones both ways round."""
    found: dict[ScoredSpan, None] = {}
    for relation in relations:
        ends = aligned_span(example, relation.head), aligned_span(example, relation.tail)
        for head, tail in (ends, ends[::-1]) if relation.label in symmetric else (ends,):
            if head is not None and tail is not None:
                found[ScoredSpan(*trimmed(tail), relation.label, 1.0, trimmed(head))] = None
    return list(found)


def trimmed(span: Span) -> Place:
    """The place of a span without the white space at its ends; that of the span itself, if it has nothing else."""
    words = [token.i for token in span if not token.is_space]
    return (words[0], words[-1] + 1) if words else place(span)


def allowed(entities: Iterable[Span], labels: Iterable[str]) -> list[Span]:
    """The entities with one of these labels; all of them where there are no labels."""
    names = set(labels)
    return [entity for entity in entities if not names or entity.label_ in names]
