"""Questions: the factory `gliner_qa`, its default config, reading gold answers and writing found ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..decoding import drop_overlaps_per_label
from ..losses import Loss
from ..ml.architectures import GlinerModel
from ..types import Query, ScoredSpan
from .alignment import aligned_spans, missing_tokens
from .extensions import register_extensions
from .extractor import Extractor
from .lessons import SampleLabels
from .prompts import ANSWER
from .results import Answer, answers_in, groups_of, write_answers
from .settings import make_extractor, with_shared
from .windows import Windows
from .words import WORD


@Language.factory(
    "gliner_qa",
    assigns=["doc.spans", "doc._.gliner_answers", "span._.gliner_score"],
    default_config=with_shared(
        {"questions": [], "threshold": 0.5, "scorer": {"@scorers": "spacy_gliner.answer_scorer.v1"}}
    ),
    default_score_weights={"answers_f": 1.0, "answers_em": 0.0},
)
def make_gliner_qa(
    nlp: Language,
    name: str,
    questions: list[str],
    threshold: Any,
    label_thresholds: Any,
    spans_key: str | None,
    windows: Windows,
    max_pieces: int,
    device: str,
    sample_labels: SampleLabels,
    loss: Loss,
    scorer: Callable[..., dict[str, Any]] | None,
    model: GlinerModel,
) -> Extractor:
    """A component that answers questions with spans of the text.

    questions: Asked of every Doc that has no `doc._.gliner_questions` of its own.
    spans_key: The span group for the answers; None for "gliner_answers".

    The other settings are those of `Extractor`.
    """
    return make_extractor(
        nlp,
        name,
        Questions(spans_key or ("gliner_answers" if name == "gliner_qa" else name)),
        model,
        labels=questions,
        threshold=threshold,
        label_thresholds=label_thresholds,
        windows=windows,
        max_pieces=max_pieces,
        device=device,
        sample_labels=sample_labels,
        loss=loss,
        scorer=scorer,
    )


class Question(NamedTuple):
    """A question, which is its own name."""

    name: str
    threshold: None = None

    def unparse(self) -> str:
        """The question."""
        return self.name


@dataclass(frozen=True)
class Questions:
    """The task of `gliner_qa`; a `Task`. The question stands before the text and is never scored."""

    spans_key: str
    input: ClassVar[str] = "gliner_questions"
    hint: ClassVar[str] = (
        "Give it questions, as in nlp.add_pipe('gliner_qa', config={'questions': ['Who founded it?']}), or set "
        "doc._.gliner_questions."
    )

    def parse(self, labels: Any) -> list[Question]:
        """Questions, each once. Raises ValueError for what is not text or has no words."""
        if isinstance(labels, str) or not isinstance(labels, list | tuple):
            raise ValueError(f"Questions must be a list, such as ['Who founded Microsoft?'], got {labels!r}.")
        for question in labels:
            if not isinstance(question, str) or not WORD.search(question):
                raise ValueError(f"A question must be text with at least one word, got {question!r}.")
        return [Question(question) for question in dict.fromkeys(labels)]

    def asks(self, doc: Doc, window: Span, labels: Sequence[Question]) -> list[Query]:
        """Each question by itself (GLiNER multi-task, 2.4.2)."""
        return [Query((), (label.name,), (ANSWER,), tuple(WORD.findall(label.name))) for label in labels]

    def name_of(self, label: str) -> str:
        """The question."""
        return label

    def select(self, spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
        """Of each question the best answers that don't overlap."""
        return drop_overlaps_per_label(spans)

    def annotate(self, doc: Doc, spans: Sequence[ScoredSpan], labels: Sequence[Question]) -> None:
        """Write the answers; questions without any are remembered too."""
        answers: dict[str, list[Answer | Span]] = {label.name: [] for label in labels}
        for span in spans:
            answers[span.label].append(Answer(Span(doc, span.start, span.end), span.score))
        write_answers(doc, self.spans_key, answers)

    def given(self, example: Example) -> Doc:
        """The predicted Doc with the reference's questions."""
        answers = self._gold_answers(example.reference)
        questions = dict.fromkeys(example.reference._.gliner_questions or ())
        if answers is None and not questions:
            return example.predicted
        questions |= dict.fromkeys(answers or ())
        doc = example.predicted.copy()
        doc._.gliner_questions = list(questions)
        return doc

    def gold(self, example: Example, labels: Sequence[Question] = ()) -> list[ScoredSpan] | None:
        """The reference's answers; a question without any is one that the text does not answer."""
        answers = self._gold_answers(example.reference)
        if answers is None:
            return None
        return [
            ScoredSpan(span.start, span.end, question, 1.0)
            for question, found in answers.items()
            for span in aligned_spans(example, [answer.span for answer in found])
        ]

    def missing(self, example: Example) -> set[int]:
        """Tokens of answers that don't align."""
        answers = self._gold_answers(example.reference) or {}
        return missing_tokens(example, [answer.span for found in answers.values() for answer in found])

    def observe(self, example: Example) -> list[str]:
        """Nothing: questions belong to their text."""
        return []

    def _gold_answers(self, reference: Doc) -> dict[str, list[Answer]] | None:
        groups = list(groups_of(reference, "gliner_qa"))
        if not groups:
            return None
        own = [group for group in groups if group.name == self.spans_key]
        return answers_in((own or groups)[0])


register_extensions()
