"""What a task must say: what to ask of a Doc, what its gold is, and where results are written."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

from spacy.tokens import Doc, Span
from spacy.training import Example

from ..types import Query, ScoredSpan


class Asked(Protocol):
    """Something that a user asks for: a label, a type of relation, a question, a prompt."""

    @property
    def name(self) -> str:
        """What results are called."""
        ...

    @property
    def threshold(self) -> float | None:
        """A threshold of its own."""
        ...

    def unparse(self) -> Any:
        """The form that configs and JSON keep: the name, where there is nothing else to say."""
        ...


class Task(Protocol):
    """One use of a network. Positions of spans are tokens of the Doc."""

    @property
    def spans_key(self) -> str:
        """The span group that results are written to."""
        ...

    @property
    def input(self) -> str:
        """The Doc's attribute that says what to ask of it, over the component's own; "" where there is none."""
        ...

    @property
    def hint(self) -> str:
        """What to do where nothing is configured."""
        ...

    def parse(self, labels: Any) -> list[Any]:
        """What is asked for (`Asked`), as users write it. Raises ValueError for what can't be."""
        ...

    def asks(self, doc: Doc, window: Span, labels: Sequence[Any]) -> list[Query]:
        """What to ask about a window: queries without words, which the `Extractor` fills in."""
        ...

    def name_of(self, label: str) -> str:
        """The name of what was asked for, from a query's label."""
        ...

    def select(self, spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
        """The spans of one Doc that stay, of all that scored above the threshold, in their order."""
        ...

    def annotate(self, doc: Doc, spans: Sequence[ScoredSpan], labels: Sequence[Any]) -> None:
        """Write results on the Doc of which this was asked."""
        ...

    def given(self, example: Example) -> Doc:
        """The predicted Doc with the inputs that the reference gives: questions, heads. Never with results."""
        ...

    def gold(self, example: Example, labels: Sequence[Any] = ()) -> list[ScoredSpan] | None:
        """What should be found in the predicted Doc, of which this is asked; None where the Example does not say."""
        ...

    def missing(self, example: Example) -> Collection[int]:
        """Tokens of the predicted Doc of which the Example does not say whether they are part of something."""
        ...

    def observe(self, example: Example) -> list[str]:
        """Names of what the Example was annotated with, for a component for which nothing is configured."""
        ...


def own_labels(task: Task, doc: Doc) -> Any:
    """What the Doc itself asks for; None where it leaves that to the component."""
    return doc._.get(task.input) if task.input else None


def observed(task: Task, examples: Iterable[Example]) -> list[str]:
    """What the examples have; those that bring their own labels are asked only where there are no others."""
    examples = list(examples)
    without = [example for example in examples if own_labels(task, example.predicted) is None]
    return list(dict.fromkeys(name for example in without or examples for name in task.observe(example)))
