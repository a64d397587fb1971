"""The scorer of `gliner_ner`: entities, and the spans of its group."""

from collections.abc import Callable, Iterable
from typing import Any

from spacy.scorer import Scorer, get_ner_prf
from spacy.training import Example

from ..pipeline.tasks import Task


def make_entity_scorer() -> Callable[..., dict[str, Any]]:
    """`score_entities`, for a config: `spacy_gliner.entity_scorer.v1`."""
    return score_entities


def score_entities(examples: Iterable[Example], *, task: Task | None = None, **kwargs: Any) -> dict[str, Any]:
    """Scores of `doc.ents` as spaCy reports them: `ents_p`, `ents_r`, `ents_f`, `ents_per_type`; None without gold.

    task: Where the references have its span group, that is scored too, overlapping spans included: `spans_KEY_f` etc.
    """
    examples = list(examples)
    scores: dict[str, Any] = get_ner_prf(examples)
    if task is not None and any(task.spans_key in example.reference.spans for example in examples):
        scores |= Scorer.score_spans(
            examples,
            f"spans_{task.spans_key}",
            getter=lambda doc, _: doc.spans.get(task.spans_key, ()),
            has_annotation=lambda doc: task.spans_key in doc.spans,
            allow_overlap=True,
        )
    return scores
