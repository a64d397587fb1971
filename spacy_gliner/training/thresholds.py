"""Thresholds fitted on development data: one for all labels, and others for labels that gain by them.

The network stays as it is. What it finds with the lowest threshold is found once; thresholds are then tried on that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spacy.training import Example

from ..pipeline.extractor import Extractor

GRID = [step / 40 for step in range(2, 39)]
Found = tuple[str, float, bool]  # the label of a span, its score, whether it is gold


@dataclass(frozen=True)
class Fitted:
    """Thresholds, and the micro F1 on the data they were fitted on, before and after."""

    threshold: float
    label_thresholds: dict[str, float]
    before: float
    after: float
    n_examples: int


def fit_thresholds(
    component: Extractor, examples: Iterable[Example], *, per_label: bool = True, min_gold: int = 20
) -> Fitted:
    """Set the thresholds of a component to those with the best micro F1.

    component: Any component of this package. Its own thresholds are replaced.
    examples: Development data, with gold for this component; others are passed over.
    per_label: Also fit a threshold for every label.
    min_gold: Labels with fewer gold spans keep the common threshold, as do those that gain nothing.
    Raises ValueError without any gold span.
    """
    examples = [example for example in examples if component.task.gold(example) is not None]
    before = dict(component.cfg)
    component.cfg |= {"threshold": GRID[0], "label_thresholds": {}}
    try:
        found, n_gold = find(component, examples)
    finally:
        component.cfg |= before
    if not sum(n_gold.values()):
        raise ValueError(
            f"There are no gold spans for '{component.name}' in these {len(examples)} examples, so no threshold can be "
            f"fitted. Give development data that is annotated."
        )
    limit = best_limit(found, sum(n_gold.values()), before["threshold"])
    own = _of_labels(found, n_gold, limit, min_gold) if per_label else {}
    old = {name: before["label_thresholds"].get(name, before["threshold"]) for name in n_gold}
    new = {name: own.get(name, limit) for name in n_gold}
    component.cfg |= {"threshold": limit, "label_thresholds": own}
    return Fitted(
        limit, own, _f1(found, n_gold, old, before["threshold"]), _f1(found, n_gold, new, limit), len(examples)
    )


def find(component: Extractor, examples: Sequence[Example]) -> tuple[list[Found], dict[str, int]]:
    """Everything found in the Examples with the component's threshold, and the number of gold spans of each label."""
    task = component.task
    found: list[Found] = []
    n_gold: dict[str, int] = {}
    for example, spans in zip(examples, component.predict(map(task.given, examples)), strict=True):
        gold = {span[:3] for span in task.gold(example) or ()}
        for _, _, label in gold:
            n_gold[task.name_of(label)] = n_gold.get(task.name_of(label), 0) + 1
        found += [(task.name_of(span.label), span.score, span[:3] in gold) for span in spans]
    return found, n_gold


def best_limit(found: Iterable[Found], n_gold: int, default: float) -> float:
    """The threshold of the grid with the best F1; of equal ones, the nearest to the default."""
    found = list(found)
    scores = {limit: f1_at(found, n_gold, limit) for limit in GRID}
    return min(GRID, key=lambda limit: (-scores[limit], abs(limit - default)))


def f1_at(found: Iterable[Found], n_gold: int, limit: float) -> float:
    """F1 of what scores above a threshold."""
    kept = [right for _, score, right in found if score > limit]
    return 2 * sum(kept) / max(len(kept) + n_gold, 1)


def _of_labels(found: list[Found], n_gold: dict[str, int], limit: float, min_gold: int) -> dict[str, float]:
    own = {}
    for name, n_of_label in n_gold.items():
        of_label = [entry for entry in found if entry[0] == name]
        if n_of_label >= min_gold:
            best = best_limit(of_label, n_of_label, limit)
            if f1_at(of_label, n_of_label, best) > f1_at(of_label, n_of_label, limit):
                own[name] = best
    return own


def _f1(found: Iterable[Found], n_gold: dict[str, int], limits: dict[str, float], default: float) -> float:
    kept = [right for name, score, right in found if score > limits.get(name, default)]
    return 2 * sum(kept) / max(len(kept) + sum(n_gold.values()), 1)
