"""Thresholds of labels, for queries about them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..types import Query


def of_labels(query: Query, thresholds: Mapping[str, float], name_of: Callable[[str], str]) -> dict[str, float]:
    """The thresholds of names, as those of the labels of a query."""
    names = {label: name_of(label) for label in query.labels} if thresholds else {}
    return {label: thresholds[name] for label, name in names.items() if name in thresholds}


def with_floor(query: Query, threshold: float, own: Mapping[str, float]) -> Query:
    """The query, which does not want scores below all thresholds: that of the component, and those of its labels."""
    return replace(query, floor=min([threshold, *own.values()]))
