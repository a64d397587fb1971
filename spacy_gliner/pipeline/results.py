"""What the components leave on a Doc and gold data is given by: relations, answers, matches, a summary.

All of it lives in span groups, with plain lists in their `attrs` aligned to the spans, so that it survives `to_bytes`,
`DocBin` and pickling. The values here are read from the groups and written into them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from spacy.tokens import Doc, Span, SpanGroup

from .prompts import ANSWER

Place = tuple[int, int]

# The key in `doc.user_data` of a summary in words of its own, or of a list of them, by which ROUGE is measured.
GOLD_SUMMARY = "gliner_gold_summary"


class Relation(NamedTuple):
    """A fact of the text: `head` has the relation `label` to `tail`. Gold relations have no score."""

    head: Span
    label: str
    tail: Span
    score: float | None = None

    def to_tuple(self) -> tuple[str, str, str]:
        """The texts of head, relation and tail."""
        return (self.head.text, self.label, self.tail.text)

    def to_json(self) -> dict[str, Any]:
        """Texts, labels and positions in characters."""
        return {
            "head": _span_to_json(self.head),
            "relation": self.label,
            "tail": _span_to_json(self.tail),
            "score": self.score,
        }


class Answer(NamedTuple):
    """A span that answers a question. Gold answers have no score."""

    span: Span
    score: float | None = None


class Match(NamedTuple):
    """A span that a prompt asked for. Gold matches have no score."""

    span: Span
    score: float | None = None


def groups_of(doc: Doc, component: str) -> Iterator[SpanGroup]:
    """The Doc's span groups that this kind of component wrote, by their keys."""
    for key in sorted(doc.spans):
        if doc.spans[key].attrs.get("component") == component:
            yield doc.spans[key]


def get_relations(doc: Doc) -> list[Relation]:
    """`doc._.gliner_relations`: by head, then tail, then name."""
    relations = [relation for group in groups_of(doc, "gliner_relations") for relation in relations_in(group)]
    return sorted(relations, key=_place_of_relation)


def set_relations(doc: Doc, relations: Iterable[Relation]) -> None:
    """`doc._.gliner_relations = […]`, by which gold relations are given."""
    write_relations(doc, "gliner_relations", relations)


def relations_in(group: SpanGroup) -> list[Relation]:
    """The relations that a span group holds."""
    attrs, doc = group.attrs, group.doc
    found = zip(group, attrs["heads"], attrs["head_labels"], attrs["tail_labels"], attrs["scores"], strict=True)
    return [
        Relation(
            Span(doc, head[0], head[1], label=head_label),
            tail.label_,
            Span(doc, tail.start, tail.end, label=tail_label),
            score,
        )
        for tail, head, head_label, tail_label, score in found
    ]


def write_relations(doc: Doc, key: str, relations: Iterable[Relation]) -> None:
    """A group of the tails, each labelled with its relation, with the heads in `attrs`."""
    ordered = sorted(relations, key=lambda relation: (*place(relation.tail), *place(relation.head), relation.label))
    attrs = {
        "component": "gliner_relations",
        "scores": [relation.score for relation in ordered],
        "heads": [list(place(relation.head)) for relation in ordered],
        "head_labels": [relation.head.label_ for relation in ordered],
        "tail_labels": [relation.tail.label_ for relation in ordered],
    }
    tails = [Span(doc, *place(relation.tail), label=relation.label) for relation in ordered]
    doc.spans[key] = SpanGroup(doc, name=key, attrs=attrs, spans=tails)


def get_answers(doc: Doc) -> dict[str, list[Answer]]:
    """`doc._.gliner_answers`: for every question that was asked its answers, best first; none is an empty list."""
    answers: dict[str, list[Answer]] = {}
    for group in groups_of(doc, "gliner_qa"):
        for question, found in answers_in(group).items():
            answers.setdefault(question, []).extend(found)
    return {question: _best_first(found) for question, found in answers.items()}


def set_answers(doc: Doc, answers: Mapping[str, Sequence[Answer | Span]]) -> None:
    """`doc._.gliner_answers = {question: [span, …]}`, by which gold answers are given."""
    write_answers(doc, "gliner_answers", answers)


def answers_in(group: SpanGroup) -> dict[str, list[Answer]]:
    """The answers that a span group holds."""
    answers: dict[str, list[Answer]] = {question: [] for question in group.attrs["asked"]}
    for span, question, score in zip(group, group.attrs["questions"], group.attrs["scores"], strict=True):
        answers[question].append(Answer(span, score))
    return {question: _best_first(found) for question, found in answers.items()}


def write_answers(doc: Doc, key: str, answers: Mapping[str, Sequence[Answer | Span]]) -> None:
    """One group for all questions; `attrs` says which question each span answers, and what was asked in all."""
    found = [
        (answer if isinstance(answer, Answer) else Answer(answer), question)
        for question, of_question in answers.items()
        for answer in of_question
    ]
    found.sort(key=lambda pair: place(pair[0].span))
    attrs = {
        "component": "gliner_qa",
        "scores": [answer.score for answer, _ in found],
        "questions": [question for _, question in found],
        "asked": list(answers),
    }
    spans = [Span(doc, *place(answer.span), label=ANSWER) for answer, _ in found]
    doc.spans[key] = SpanGroup(doc, name=key, attrs=attrs, spans=spans)


def get_matches(doc: Doc) -> dict[str, list[Match]]:
    """`doc._.gliner_matches`: for every prompt its matches, in document order; none is an empty list."""
    matches: dict[str, list[Match]] = {}
    for group in groups_of(doc, "gliner_openie"):
        found = [Match(span, score) for span, score in zip(group, group.attrs["scores"], strict=True)]
        matches.setdefault(group.attrs["prompt"], []).extend(found)
    return {prompt: sorted(found, key=lambda match: place(match.span)) for prompt, found in matches.items()}


def set_matches(doc: Doc, matches: Mapping[str, Sequence[Match | Span]]) -> None:
    """`doc._.gliner_matches = {prompt: [span, …]}`, by which gold matches are given."""
    write_matches(doc, "gliner_openie", matches)


def write_matches(doc: Doc, key: str, matches: Mapping[str, Sequence[Match | Span]]) -> None:
    """A group for every prompt, `KEY:PROMPT`, in place of those that were there."""
    for old in [name for name, group in doc.spans.items() if _is_of_matches(group, key)]:
        del doc.spans[old]
    for prompt, of_prompt in matches.items():
        found = [match if isinstance(match, Match) else Match(match) for match in of_prompt]
        found.sort(key=lambda match: place(match.span))
        attrs = {
            "component": "gliner_openie",
            "key": key,
            "prompt": prompt,
            "scores": [match.score for match in found],
        }
        spans = [Span(doc, *place(match.span), label=prompt) for match in found]
        name = f"{key}:{prompt}"
        doc.spans[name] = SpanGroup(doc, name=name, attrs=attrs, spans=spans)


def get_summary(doc: Doc) -> list[Span]:
    """`doc._.gliner_summary`: its spans, in document order."""
    spans = (span for group in groups_of(doc, "gliner_summarizer") for span in group)
    return sorted(spans, key=place)


def set_summary(doc: Doc, spans: Iterable[Span]) -> None:
    """`doc._.gliner_summary = [span, …]`, by which a gold summary is given."""
    write_summary(doc, "gliner_summary", [(span, None) for span in spans])


def write_summary(doc: Doc, key: str, scored: Iterable[tuple[Span, float | None]]) -> None:
    """One group of the summary's spans."""
    ordered = sorted(scored, key=lambda pair: place(pair[0]))
    attrs = {"component": "gliner_summarizer", "scores": [score for _, score in ordered]}
    spans = [Span(doc, *place(span), label="summary") for span, _ in ordered]
    doc.spans[key] = SpanGroup(doc, name=key, attrs=attrs, spans=spans)


def place(span: Span) -> Place:
    """Where a span stands, in tokens."""
    return (span.start, span.end)


def _place_of_relation(relation: Relation) -> tuple[int, int, int, int, str]:
    return (*place(relation.head), *place(relation.tail), relation.label)


def _is_of_matches(group: SpanGroup, key: str) -> bool:
    return group.attrs.get("component") == "gliner_openie" and group.attrs.get("key") == key


def _best_first(answers: list[Answer]) -> list[Answer]:
    return sorted(answers, key=lambda answer: -(answer.score or 0.0))


def _span_to_json(span: Span) -> dict[str, Any]:
    return {"text": span.text, "label": span.label_, "start": span.start_char, "end": span.end_char}
