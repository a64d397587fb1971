"""What a task must say: what to ask of a Doc, what its gold is, and where results are written."""

from collections.abc import Sequence
from typing import Protocol

from spacy.tokens import Doc
from spacy.training import Example

from ..types import Query, ScoredSpan
from .labels import Label


class Task(Protocol):
    """One use of a network. Positions of spans are tokens of the Doc."""

    spans_key: str
    nested: bool
    multi_label: bool

    def asks(self, doc: Doc, labels: Sequence[Label]) -> list[Query]:
        """Queries without words: the `Extractor` fills in those of every window."""
        ...

    def gold(self, example: Example) -> list[ScoredSpan] | None:
        """What should be found in the predicted Doc; None where the Example does not say."""
        ...

    def annotate(self, doc: Doc, spans: Sequence[ScoredSpan]) -> None:
        """Write results on the Doc."""
        ...
