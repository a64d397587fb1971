"""What a task must say: what to ask of a Doc, what its gold is, and where results are written."""

from collections.abc import Sequence
from typing import Protocol

from spacy.tokens import Doc
from spacy.training import Example

from ..types import Query, ScoredSpan
from .labels import Label


class Task(Protocol):
    """One use of a network. Positions of spans are tokens of the Doc."""

    @property
    def spans_key(self) -> str:
        """The span group that results are written to."""
        ...

    @property
    def nested(self) -> bool:
        """Whether spans may contain others."""
        ...

    @property
    def multi_label(self) -> bool:
        """Whether the same words may have several labels."""
        ...

    def asks(self, doc: Doc, labels: Sequence[Label]) -> list[Query]:
        """Queries without words: the `Extractor` fills in those of every window."""
        ...

    def gold(self, example: Example) -> list[ScoredSpan] | None:
        """What should be found in the predicted Doc; None where the Example does not say."""
        ...

    def annotate(self, doc: Doc, spans: Sequence[ScoredSpan]) -> None:
        """Write results on the Doc."""
        ...
