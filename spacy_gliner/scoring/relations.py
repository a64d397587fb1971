"""The scorer of `gliner_relations`, the measure of FewRel, and the guess that any model must beat.

A fact is what its words say: mentions with the same words count as one, wherever they stand.
"""

from collections.abc import Callable, Collection, Iterable
from statistics import fmean
from typing import Any

from spacy.scorer import PRFScore
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..pipeline.relation_types import RelationType
from ..pipeline.relations import Relations, fact_of, head_text, nearest
from ..pipeline.results import Relation, get_relations, groups_of, place, relations_in
from .answers import exact_match, token_f1

Fact = tuple[str, str, str]  # head, relation, tail
MEASURES = ("p", "r", "f")


def make_relation_scorer() -> Callable[..., dict[str, Any]]:
    """`score_relations`, for a config: `spacy_gliner.relation_scorer.v1`."""
    return score_relations


def score_relations(
    examples: Iterable[Example],
    *,
    task: Relations | None = None,
    labels: Iterable[RelationType] = (),
    **kwargs: Any,
) -> dict[str, Any]:
    """Precision, recall and F1 of the facts of each Doc: a prediction is right if head, relation and tail all are.

    task: Says which span group holds the predictions, and which of the reference's the gold; None for all of them.
    labels: The relations of the component. Of those that are symmetric, head and tail may be exchanged.
    RETURNS: `rel_micro_p`, `rel_micro_r`, `rel_micro_f` over all facts; `rel_macro_p` etc., averaged over the relations
        that occur in gold or prediction; `rel_per_type`. References without annotation are left out, and where none
        has any, all values are None.
    """
    annotated = False
    symmetric = {label.name for label in labels if label.symmetric}
    per_type: dict[str, PRFScore] = {}
    for example in examples:
        gold = gold_relations(example.reference, task)
        if gold is not None:
            annotated = True
            predicted = predicted_relations(example.predicted, task)
            count_facts(per_type, facts_of(gold, symmetric), facts_of(predicted, symmetric))
    return relation_report(per_type if annotated else None)


def count_facts(per_type: dict[str, PRFScore], gold: set[Fact], predicted: set[Fact]) -> None:
    """Add the facts of one Doc to the counts of their relations."""
    for relation in sorted({fact[1] for fact in gold | predicted}):
        of_type = per_type.setdefault(relation, PRFScore())
        of_type.score_set({f for f in predicted if f[1] == relation}, {f for f in gold if f[1] == relation})


def relation_report(per_type: dict[str, PRFScore] | None) -> dict[str, Any]:
    """The scores of `score_relations` from the counts of each relation; None gives None for each."""
    if per_type is None:
        empty = {f"rel_{mean}_{key}": None for mean in ("micro", "macro") for key in MEASURES}
        return empty | {"rel_per_type": None}
    total = sum(per_type.values(), PRFScore()).to_dict()
    of_types = {relation: score.to_dict() for relation, score in per_type.items()}
    micro = {f"rel_micro_{key}": total[key] for key in MEASURES}
    macro = {f"rel_macro_{key}": fmean(s[key] for s in of_types.values()) if of_types else 0.0 for key in MEASURES}
    return micro | macro | {"rel_per_type": of_types}


def gold_relations(reference: Doc, task: Relations | None) -> list[Relation] | None:
    """The relations that a reference was annotated with; None where it was not."""
    if task is not None:
        return task.gold_relations(reference)
    annotated = list(groups_of(reference, "gliner_relations"))  # a list, as an empty group counts as false
    return get_relations(reference) if annotated else None


def predicted_relations(doc: Doc, task: Relations | None) -> list[Relation]:
    """The relations that the component of this task found."""
    if task is None:
        return get_relations(doc)
    return relations_in(doc.spans[task.spans_key]) if task.spans_key in doc.spans else []


def facts_of(relations: Iterable[Relation], symmetric: Collection[str] = ()) -> set[Fact]:
    """What relations say, each fact once; those that are symmetric, whichever way round."""
    return {fact_of(relation, relation.label in symmetric) for relation in relations}


def tail_scores(pairs: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Exact match and token F1 of predicted tails, where head and relation are given (GLiNER multi-task, 2.4.4).

    pairs: A predicted tail ("" for none) and the gold one, for each fact. Both are normalised as answers are.
    RETURNS: `em` and `f1`, from 0 to 1. Raises ValueError where there are no pairs.
    """
    pairs = list(pairs)
    if not pairs:
        raise ValueError("There are no facts to score.")
    return {
        "em": fmean(exact_match(predicted, gold) for predicted, gold in pairs),
        "f1": fmean(token_f1(predicted, gold) for predicted, gold in pairs),
    }


def nearest_entity(head: Span, entities: Iterable[Span]) -> Span | None:
    """A guess at the tail: the entity with the fewest tokens between it and the head; the first of several.

    Entities that overlap the head or have its words are no candidates.
    """
    others = [entity for entity in sorted(entities, key=place) if head_text(entity) != head_text(head)]
    return nearest(head, others)
