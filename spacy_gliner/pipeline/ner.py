"""Named entities: the factory `gliner_ner`, its default config, reading gold entities and writing found ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example

from ..decoding import drop_overlaps, merge_neighbours
from ..losses import Loss
from ..ml.architectures import GlinerModel
from ..types import Query, ScoredSpan
from .alignment import aligned_spans, missing_tokens
from .extensions import register_extensions
from .extractor import Extractor
from .labels import Label, Labels, parse_labels
from .lessons import SampleLabels
from .settings import make_extractor, with_shared
from .windows import Windows

MISSING = 0  # the `ent_iob` of a token without annotation
BLOCKED = 3  # the `ent_iob` of a token that begins an entity; without a type, of one that must not be in any


@Language.factory(
    "gliner_ner",
    assigns=["doc.ents", "token.ent_iob", "token.ent_type", "doc.spans", "doc._.gliner_labels", "span._.gliner_score"],
    default_config=with_shared(
        {
            "labels": [],
            "threshold": 0.5,
            "annotate_ents": True,
            "overwrite_ents": False,
            "nested": False,
            "multi_label": False,
            "merge_adjacent": False,
            "beside": [],
            "scorer": {"@scorers": "spacy_gliner.entity_scorer.v1"},
        }
    ),
    default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0, "ents_per_type": None},
)
def make_gliner_ner(
    nlp: Language,
    name: str,
    labels: Labels,
    threshold: Any,
    label_thresholds: Any,
    annotate_ents: bool,
    overwrite_ents: bool,
    spans_key: str | None,
    nested: bool,
    multi_label: bool,
    merge_adjacent: bool,
    beside: list[str],
    windows: Windows,
    max_pieces: int,
    device: str,
    sample_labels: SampleLabels,
    loss: Loss,
    scorer: Callable[..., dict[str, Any]] | None,
    model: GlinerModel,
) -> Extractor:
    """A component that finds entities of any type you can name.

    annotate_ents: Write `doc.ents`, besides the span group.
    overwrite_ents: Let new entities replace those that they overlap; otherwise those stay.
    spans_key: The span group for everything found, with scores; None for the component's name.
    nested: Let spans contain others.
    multi_label: Let the same words have several labels.
    merge_adjacent: Make one entity of neighbouring ones with the same label, for networks that name single words.
    beside: Of joint networks: relations that are read beside the labels, as those did in training; not looked for here.

    The other settings are those of `Extractor`.
    """
    how = (annotate_ents, overwrite_ents, nested, multi_label, merge_adjacent, tuple(beside))
    return make_extractor(
        nlp,
        name,
        Entities(spans_key or name, *how),
        model,
        labels=labels,
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
class Entities:
    """The task of `gliner_ner`; a `Task`."""

    spans_key: str
    annotate_ents: bool
    overwrite_ents: bool
    nested: bool
    multi_label: bool
    merge_adjacent: bool = False
    beside: tuple[str, ...] = ()
    input: ClassVar[str] = "gliner_labels"
    hint: ClassVar[str] = (
        "Give it labels, as in nlp.add_pipe('gliner_ner', config={'labels': ['person', 'company']}), or set "
        "doc._.gliner_labels."
    )

    def parse(self, labels: Labels) -> list[Label]:
        """Labels as users write them."""
        return parse_labels(labels)

    def asks(self, doc: Doc, window: Span, labels: Sequence[Label]) -> list[Query]:
        """One question: all the labels."""
        names, prompts = tuple(label.name for label in labels), tuple(label.prompt for label in labels)
        return [Query((), names, prompts, beside=self.beside)]

    def name_of(self, label: str) -> str:
        """The label itself."""
        return label

    def select(self, spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
        """The best of those that clash; on request, neighbours with the same label as one."""
        kept = drop_overlaps(spans, nested=self.nested, multi_label=self.multi_label)
        return merge_neighbours(kept) if self.merge_adjacent else kept

    def given(self, example: Example) -> Doc:
        """The predicted Doc, with the labels that the reference was annotated for."""
        labels = example.reference._.gliner_labels
        if labels is None or example.predicted._.gliner_labels is not None:
            return example.predicted
        doc = example.predicted.copy()
        doc._.gliner_labels = labels
        return doc

    def observe(self, example: Example) -> list[str]:
        """The labels of the gold spans."""
        return list(dict.fromkeys(span.label for span in self.gold(example) or ()))

    def gold(self, example: Example, labels: Sequence[Label] = ()) -> list[ScoredSpan] | None:
        """The spans of the reference's group, or its entities; None where it has neither."""
        spans = self._gold_spans(example.reference)
        if spans is None:
            return None
        aligned = aligned_spans(example, spans)
        return [ScoredSpan(span.start, span.end, span.label_, 1.0) for span in aligned]

    def missing(self, example: Example) -> set[int]:
        """Tokens whose annotation is missing beside others' (`Doc.set_ents`), or whose entity can't be aligned."""
        reference = example.reference
        unknown = {token.i for token in reference if token.ent_iob == MISSING}
        if len(unknown) == len(reference):
            unknown = set()
        return missing_tokens(example, self._gold_spans(reference) or (), unknown)

    def annotate(self, doc: Doc, spans: Sequence[ScoredSpan], labels: Sequence[Label] = ()) -> None:
        """Write the span group and, if so configured, entities that clash with no others."""
        group = [Span(doc, span.start, span.end, label=span.label) for span in spans]
        attrs = {"scores": [span.score for span in spans], "component": "gliner_ner"}
        doc.spans[self.spans_key] = SpanGroup(doc, name=self.spans_key, attrs=attrs, spans=group)
        if self.annotate_ents:
            self._annotate_ents(doc, spans)

    def _gold_spans(self, reference: Doc) -> list[Span] | None:
        if self.spans_key in reference.spans:
            return list(reference.spans[self.spans_key])
        return list(reference.ents) if reference.has_annotation("ENT_IOB") else None

    def _annotate_ents(self, doc: Doc, spans: Sequence[ScoredSpan]) -> None:
        """Bring new entities together with those that are there. Blocked tokens (`Doc.set_ents`) stay without one."""
        blocked = [doc[token.i : token.i + 1] for token in doc if token.ent_iob == BLOCKED and not token.ent_type]
        taken = {span.start for span in blocked}
        if not self.overwrite_ents:
            taken.update(token for ent in doc.ents for token in range(ent.start, ent.end))
        free = [span for span in spans if taken.isdisjoint(range(span.start, span.end))]
        new = [Span(doc, span.start, span.end, label=span.label) for span in drop_overlaps(free)]
        taken = {token for span in new for token in range(span.start, span.end)}
        old = [ent for ent in doc.ents if taken.isdisjoint(range(ent.start, ent.end))]
        doc.set_ents([*old, *new], blocked=blocked, default="outside")


register_extensions()
