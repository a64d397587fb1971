"""Summaries: the factory `gliner_summarizer`, its default config, reading gold summaries and writing found ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..decoding import drop_overlaps
from ..losses import Loss
from ..ml.architectures import GlinerModel
from ..types import Query, ScoredSpan
from .alignment import aligned_spans, missing_tokens
from .extensions import register_extensions
from .extractor import Extractor
from .labels import Label, Labels, parse_labels
from .lessons import SampleLabels
from .prompts import SUMMARY, SUMMARY_INSTRUCTION
from .results import groups_of, write_summary
from .settings import make_extractor, with_shared
from .windows import Windows
from .words import WORD

INSTRUCTION = tuple(WORD.findall(SUMMARY_INSTRUCTION))


@Language.factory(
    "gliner_summarizer",
    assigns=["doc.spans", "doc._.gliner_summary", "span._.gliner_score"],
    default_config=with_shared(
        {
            "threshold": 0.1,
            "whole_sentences": True,
            "max_sentences": 3,
            "max_words": None,
            "scorer": {"@scorers": "spacy_gliner.summary_scorer.v1"},
        }
    ),
    default_score_weights={"summary_rouge1": 1.0, "summary_rouge2": 0.0, "summary_rougeL": 0.0},
)
def make_gliner_summarizer(
    nlp: Language,
    name: str,
    threshold: Any,
    label_thresholds: Any,
    whole_sentences: bool,
    max_sentences: int | None,
    max_words: int | None,
    spans_key: str | None,
    windows: Windows,
    max_pieces: int,
    device: str,
    sample_labels: SampleLabels,
    loss: Loss,
    scorer: Callable[..., dict[str, Any]] | None,
    model: GlinerModel,
) -> Extractor:
    """A component that summarises a text by the spans that matter most.

    whole_sentences: Where the Doc has sentence boundaries, take the sentences that what was found stands in.
    max_sentences: At most so many spans (or sentences), the best ones.
    max_words: At most so many words, the best spans first; a span that is too long is passed over for a later one.
    spans_key: The span group for the summary; None for "gliner_summary".

    The other settings are those of `Extractor`.
    """
    for setting, value in (("max_sentences", max_sentences), ("max_words", max_words)):
        if value is not None and value < 1:
            raise ValueError(f"{setting} must be at least 1, or null for no limit, got {value}.")
    return make_extractor(
        nlp,
        name,
        Summary(
            spans_key or ("gliner_summary" if name == "gliner_summarizer" else name),
            whole_sentences,
            max_sentences,
            max_words,
        ),
        model,
        labels=[SUMMARY],
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
class Summary:
    """The task of `gliner_summarizer`; a `Task`."""

    spans_key: str
    whole_sentences: bool = True
    max_sentences: int | None = None
    max_words: int | None = None
    input: ClassVar[str] = ""
    hint: ClassVar[str] = f"Its only label is '{SUMMARY}'."

    def parse(self, labels: Labels) -> list[Label]:
        """The one label. Raises ValueError for any other."""
        parsed = parse_labels(labels)
        if [label.name for label in parsed] != [SUMMARY]:
            raise ValueError(f"A summarizer has one label, '{SUMMARY}', and takes no others; got {labels!r}.")
        return parsed

    def asks(self, doc: Doc, window: Span, labels: Sequence[Label]) -> list[Query]:
        """The instruction and the label "summary" (GLiNER multi-task, 2.4.3)."""
        return [Query((), (SUMMARY,), (SUMMARY,), INSTRUCTION)]

    def name_of(self, label: str) -> str:
        """The label."""
        return label

    def select(self, spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
        """The best of those that overlap."""
        return drop_overlaps(spans)

    def annotate(self, doc: Doc, spans: Sequence[ScoredSpan], labels: Sequence[Label]) -> None:
        """Write the best of all windows that fit the budget."""
        scored = [(Span(doc, span.start, span.end), span.score) for span in spans]
        if self.whole_sentences and doc.has_annotation("SENT_START"):
            scored = sentences_of(doc, scored)
        write_summary(doc, self.spans_key, self._within_budget(scored))

    def _within_budget(self, scored: Sequence[tuple[Span, float]]) -> list[tuple[Span, float]]:
        """The best-scored ones that fit; of equal score the first."""
        kept: list[tuple[Span, float]] = []
        n_words = 0
        for span, score in sorted(scored, key=lambda pair: -pair[1]):
            n_more = sum(not token.is_space for token in span)
            full = self.max_sentences is not None and len(kept) >= self.max_sentences
            if not full and (self.max_words is None or n_words + n_more <= self.max_words):
                kept.append((span, score))
                n_words += n_more
        return kept

    def given(self, example: Example) -> Doc:
        """The predicted Doc: there is nothing to give."""
        return example.predicted

    def gold(self, example: Example, labels: Sequence[Label] = ()) -> list[ScoredSpan] | None:
        """The reference's summary."""
        spans = self._gold_spans(example.reference)
        if spans is None:
            return None
        return [ScoredSpan(span.start, span.end, SUMMARY, 1.0) for span in aligned_spans(example, spans)]

    def missing(self, example: Example) -> set[int]:
        """Tokens of spans that don't align."""
        return missing_tokens(example, self._gold_spans(example.reference) or ())

    def observe(self, example: Example) -> list[str]:
        """The one label."""
        return [SUMMARY]

    def _gold_spans(self, reference: Doc) -> list[Span] | None:
        groups = list(groups_of(reference, "gliner_summarizer"))
        own = [group for group in groups if group.name == self.spans_key]
        return list((own or groups)[0]) if groups else None


def sentences_of(doc: Doc, scored: Sequence[tuple[Span, float]]) -> list[tuple[Span, float]]:
    """The sentences that spans stand in, with the best score of those.

    A span stands in the sentence that holds most of it, and where at least half of one lies in the other.
    """
    sentences = list(doc.sents)
    best: dict[int, float] = {}
    for span, score in scored:
        shared = {row: _shared(span, sentence) for row, sentence in enumerate(sentences)}
        most = max(shared, key=shared.__getitem__)
        for row, n_tokens in shared.items():
            if row == most or 2 * n_tokens >= min(len(span), len(sentences[row])):
                best[row] = max(score, best.get(row, 0.0))
    return [(sentences[row], best[row]) for row in sorted(best)]


def _shared(a: Span, b: Span) -> int:
    return min(a.end, b.end) - max(a.start, b.start)


register_extensions()
