"""Thresholds fitted on development data: one for all labels, and others for labels that gain by them.

The network stays as it is. What it finds with the lowest threshold is found once; thresholds are then tried on that.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from spacy.training import Example

from ..pipeline.extractor import Extractor

ROUNDS = 2  # how often every label is tried: a change of one may make another worth while
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
    with one_threshold(component, GRID[0]):
        found, n_gold = find(component, examples)
    if not sum(n_gold.values()):
        raise ValueError(
            f"There are no gold spans for '{component.name}' in these {len(examples)} examples, so no threshold can be "
            f"fitted. Give development data that is annotated."
        )
    brought = {label.name: label.threshold for label in component.task.parse(component.cfg["labels"])}
    old = {name: limit for name, limit in brought.items() if limit is not None} | before["label_thresholds"]
    limit = best_limit(found, sum(n_gold.values()), before["threshold"])
    own = of_labels(found, n_gold, limit, min_gold) if per_label else {}
    own |= {name: limit for name, brings in brought.items() if brings is not None and name not in own}
    component.cfg |= {"threshold": limit, "label_thresholds": own}
    f1_before = micro_f1(found, n_gold, old, before["threshold"])
    return Fitted(limit, own, f1_before, micro_f1(found, n_gold, own, limit), len(examples))


@contextmanager
def one_threshold(component: Extractor, threshold: float) -> Iterator[None]:
    """Let this be the threshold of all labels of a component for a while, whatever they bring."""
    before = dict(component.cfg)
    component.cfg |= {"threshold": threshold, "label_thresholds": dict.fromkeys(component.labels, threshold)}
    try:
        yield
    finally:
        component.cfg |= before


def find(component: Extractor, examples: Sequence[Example]) -> tuple[list[Found], dict[str, int]]:
    """Everything found in the Examples with the component's threshold, and the number of gold spans of each label.

    What touches tokens without annotation is left out.
    """
    task = component.task
    found: list[Found] = []
    n_gold: dict[str, int] = {}
    for example, spans in zip(examples, component.predict(map(task.given, examples)), strict=True):
        gold = {span[:3] for span in task.gold(example) or ()}
        for _, _, label in gold:
            n_gold[task.name_of(label)] = n_gold.get(task.name_of(label), 0) + 1
        missing = set(task.missing(example))
        known = [span for span in spans if span[:3] in gold or missing.isdisjoint(range(span.start, span.end))]
        found += [(task.name_of(span.label), span.score, span[:3] in gold) for span in known]
    return found, n_gold


def best_limit(found: Iterable[Found], n_gold: int, default: float) -> float:
    """The threshold of the grid with the best F1; of equal ones, the nearest to the default."""
    found = list(found)
    scores = {limit: f1_at(found, n_gold, limit) for limit in GRID}
    return min(GRID, key=lambda limit: (-scores[limit], abs(limit - default)))


def f1_at(found: Iterable[Found], n_gold: int, limit: float) -> float:
    """F1 of what scores above a threshold."""
    return _f1(*_kept(((score, right) for _, score, right in found), limit), n_gold)


def of_labels(found: Sequence[Found], n_gold: dict[str, int], limit: float, min_gold: int) -> dict[str, float]:
    """Thresholds of labels, changed one after the other as long as the micro F1 over all labels rises."""
    of_label: dict[str, list[tuple[float, bool]]] = {}
    for name, score, right in found:
        of_label.setdefault(name, []).append((score, right))
    own: dict[str, float] = {}
    n_kept, n_right, all_gold = *_kept(((score, right) for _, score, right in found), limit), sum(n_gold.values())
    for name in [name for name, count in n_gold.items() if count >= min_gold and name in of_label] * ROUNDS:
        less, less_right = _kept(of_label[name], own.get(name, limit))
        tried = {other: _kept(of_label[name], other) for other in GRID}
        scores = {
            other: _f1(n_kept - less + more, n_right - less_right + more_right, all_gold)
            for other, (more, more_right) in tried.items()
        }
        best = max(GRID, key=scores.__getitem__)
        if scores[best] > _f1(n_kept, n_right, all_gold):
            own[name] = best
            n_kept, n_right = n_kept - less + tried[best][0], n_right - less_right + tried[best][1]
    return {name: other for name, other in own.items() if other != limit}


def _kept(found: Iterable[tuple[float, bool]], limit: float) -> tuple[int, int]:
    """How many score above a threshold, and how many of those are right."""
    kept = [right for score, right in found if score > limit]
    return len(kept), sum(kept)


def _f1(n_kept: int, n_right: int, n_gold: int) -> float:
    return 2 * n_right / max(n_kept + n_gold, 1)


def micro_f1(found: Iterable[Found], n_gold: dict[str, int], limits: dict[str, float], default: float) -> float:
    """F1 over all labels, each with its own threshold or the default."""
    kept = [right for name, score, right in found if score > limits.get(name, default)]
    return _f1(len(kept), sum(kept), sum(n_gold.values()))
