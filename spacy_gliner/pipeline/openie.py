"""Open extraction: the factory `gliner_openie`, its default config, reading gold matches and writing found ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

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
from .labels import Label, Labels, parse_labels
from .lessons import SampleLabels
from .prompts import MATCH
from .results import Match, get_matches, groups_of, write_matches
from .settings import make_extractor, with_shared
from .windows import Windows
from .words import WORD


@Language.factory(
    "gliner_openie",
    assigns=["doc.spans", "doc._.gliner_matches", "span._.gliner_score"],
    default_config=with_shared(
        {"prompts": [], "threshold": 0.5, "scorer": {"@scorers": "spacy_gliner.match_scorer.v1"}}
    ),
    default_score_weights={"matches_f": 1.0, "matches_p": 0.0, "matches_r": 0.0},
)
def make_gliner_openie(
    nlp: Language,
    name: str,
    prompts: Labels,
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
    """A component that finds what a free prompt asks for, such as "all products of the company".

    prompts: Asked of every Doc that has no `doc._.gliner_prompts` of its own. With a description, that is read and
        the name is what matches are called.
    spans_key: What the span groups' names begin with, `KEY:PROMPT`; None for "gliner_openie".

    The other settings are those of `Extractor`.
    """
    return make_extractor(
        nlp,
        name,
        Prompts(spans_key or name),
        model,
        labels=prompts,
        threshold=threshold,
        label_thresholds=label_thresholds,
        windows=windows,
        max_pieces=max_pieces,
        device=device,
        sample_labels=sample_labels,
        loss=loss,
        scorer=scorer,
    )


@dataclass(frozen=True)
class Prompts:
    """The task of `gliner_openie`; a `Task`. The prompt stands before the text and is never scored."""

    spans_key: str
    input: ClassVar[str] = "gliner_prompts"
    hint: ClassVar[str] = (
        "Give it prompts, as in nlp.add_pipe('gliner_openie', config={'prompts': ['all products of the company']}), "
        "or set doc._.gliner_prompts."
    )

    def parse(self, labels: Labels) -> list[Label]:
        """Prompts, as labels are written. Raises ValueError for one without words."""
        prompts = parse_labels(labels)
        for prompt in prompts:
            if not WORD.search(prompt.prompt):
                raise ValueError(f"A prompt must have at least one word, got {prompt.prompt!r}.")
        return prompts

    def asks(self, doc: Doc, window: Span, labels: Sequence[Label]) -> list[Query]:
        """Each prompt by itself (GLiNER multi-task, 2.2: the label is "match")."""
        return [Query((), (label.name,), (MATCH,), tuple(WORD.findall(label.prompt))) for label in labels]

    def name_of(self, label: str) -> str:
        """The prompt's name."""
        return label

    def select(self, spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
        """Of each prompt the best matches that don't overlap."""
        return drop_overlaps_per_label(spans)

    def annotate(self, doc: Doc, spans: Sequence[ScoredSpan], labels: Sequence[Label]) -> None:
        """Write a span group for each prompt."""
        matches: dict[str, list[Match | Span]] = {label.name: [] for label in labels}
        for span in spans:
            matches[span.label].append(Match(Span(doc, span.start, span.end), span.score))
        write_matches(doc, self.spans_key, matches)

    def given(self, example: Example) -> Doc:
        """The predicted Doc with the reference's prompts."""
        prompts = list(example.reference._.gliner_prompts or ())
        named = {label.name for label in self.parse(prompts)}
        prompts += [prompt for prompt in get_matches(example.reference) if prompt not in named]
        if not prompts:
            return example.predicted
        doc = example.predicted.copy()
        doc._.gliner_prompts = prompts
        return doc

    def gold(self, example: Example, labels: Sequence[Label] = ()) -> list[ScoredSpan] | None:
        """The reference's matches; a prompt without any is one that the text has nothing for."""
        if not list(groups_of(example.reference, "gliner_openie")):  # an empty group is false
            return None
        return [
            ScoredSpan(span.start, span.end, prompt, 1.0)
            for prompt, found in get_matches(example.reference).items()
            for span in aligned_spans(example, [match.span for match in found])
        ]

    def missing(self, example: Example) -> set[int]:
        """Tokens of matches that don't align."""
        matches = get_matches(example.reference)
        return missing_tokens(example, [match.span for found in matches.values() for match in found])

    def observe(self, example: Example) -> list[str]:
        """Nothing: prompts belong to their text."""
        return []


register_extensions()
