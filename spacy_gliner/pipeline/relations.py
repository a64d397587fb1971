"""Relations: the factory `gliner_relations`, its default config, reading gold relations and writing found ones."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..decoding import drop_overlaps_per_label
from ..losses import Loss
from ..ml.architectures import GlinerModel
from ..types import Query, ScoredSpan
from .alignment import aligned_span, aligned_spans, missing_tokens, spans_apart
from .extensions import register_extensions
from .extractor import Extractor
from .lessons import SampleLabels
from .prompts import RELATION_INSTRUCTION, relation_prompt
from .relation_pairs import allowed, gold_pairs, pair_asks, pair_relations, pairs_by
from .relation_types import SEPARATOR, RelationType, parse_relations
from .results import Place, Relation, groups_of, place, relations_in, write_relations
from .settings import make_extractor, with_shared
from .windows import Windows
from .words import WORD

logger = logging.getLogger("spacy_gliner")

INSTRUCTION = tuple(WORD.findall(RELATION_INSTRUCTION))
LONGEST_HEAD = 200  # characters; such as a URL or a paragraph, which would leave no room for the text
ENTITY = "entity"  # the label of a gold head or tail that has none


@Language.factory(
    "gliner_relations",
    requires=["doc.ents"],
    assigns=["doc.spans", "doc._.gliner_relations", "span._.gliner_score"],
    default_config=with_shared(
        {
            "relations": [],
            "threshold": 0.5,
            "entities_key": None,
            "tails": "spans",
            "beside": [],
            "scorer": {"@scorers": "spacy_gliner.relation_scorer.v1"},
        }
    ),
    default_score_weights={"rel_micro_f": 1.0, "rel_micro_p": 0.0, "rel_micro_r": 0.0, "rel_macro_f": 0.0},
)
def make_gliner_relations(
    nlp: Language,
    name: str,
    relations: list[Any],
    threshold: Any,
    label_thresholds: Any,
    entities_key: str | None,
    tails: Literal["spans", "entities"],
    beside: list[str],
    spans_key: str | None,
    windows: Windows,
    max_pieces: int,
    device: str,
    sample_labels: SampleLabels,
    loss: Loss,
    scorer: Callable[..., dict[str, Any]] | None,
    model: GlinerModel,
) -> Extractor:
    """A component that finds relations between the entities of a Doc and other spans.

    relations: Names, or schemas: `name`, and where wanted `description` (what is read in place of the name), `head`
        and `tail` (the labels that these entities must have), `threshold`, `symmetric` (a pair is reported once,
        whichever way round scored best) and `one_tail` (a head has only its best tail).
    entities_key: The span group whose spans are the heads; None for `doc.ents`.
    tails: "spans" for any, "entities" for only those. Joint networks find relations between entities only.
    beside: Of joint networks: labels of entities that are read beside the relations; those of the Doc's where empty.
    spans_key: The span group for the tails; None for "gliner_relations".

    The other settings are those of `Extractor`.
    """
    return make_extractor(
        nlp,
        name,
        Relations(spans_key or name, entities_key, tails, tuple(beside), pairs_by(model)),
        model,
        labels=relations,
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
class Relations:
    """The task of `gliner_relations`; a `Task`.

    Mentions with the same text are one head: it is asked for once, and the mention next to a tail becomes its head.
    """

    spans_key: str
    entities_key: str | None = None
    tails: Literal["spans", "entities"] = "spans"
    beside: tuple[str, ...] = ()
    pairs: Callable[[], bool] = field(default=bool, compare=False)  # whether the network scores pairs of entities
    input: ClassVar[str] = "gliner_relation_labels"
    hint: ClassVar[str] = (
        "Give it relations, as in nlp.add_pipe('gliner_relations', config={'relations': ['founded by']}), or set "
        "doc._.gliner_relation_labels."
    )

    def parse(self, labels: Any) -> list[RelationType]:
        """Relations from names and schemas. Raises ValueError for anything else."""
        return parse_relations(labels)

    def asks(self, doc: Doc, window: Span, labels: Sequence[RelationType]) -> list[Query]:
        """One question: every head of the window with every relation it may have (GLiNER multi-task, 2.4.4).

        Of joint networks: all relations between all entities of the window.
        """
        if self.pairs():
            return pair_asks(self.entities(doc), window, labels, self.beside)
        heads: dict[str, set[str]] = {}
        for entity in self.entities(doc):
            text = head_text(entity)
            if not text or entity.start < window.start or window.end < entity.end:
                continue
            if len(text) > LONGEST_HEAD:
                logger.warning(
                    "No relations of the entity '%s…': it has more than %d characters.", text[:60], LONGEST_HEAD
                )
                continue
            heads.setdefault(text, set()).add(entity.label_)
        asked = {
            relation_label(relation.name, head): relation_prompt(head, relation.prompt)
            for head, types in heads.items()
            for relation in labels
            if not relation.head or types.intersection(relation.head)
        }
        return [Query((), tuple(asked), tuple(asked.values()), INSTRUCTION, beside=self.beside)] if asked else []

    def name_of(self, label: str) -> str:
        """The name of the relation."""
        return label.partition(SEPARATOR)[0]

    def select(self, spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
        """All of them: which tails stay depends on the entities that they stand for, and is decided on the Doc."""
        return list(spans)

    def annotate(self, doc: Doc, spans: Sequence[ScoredSpan], labels: Sequence[RelationType]) -> None:
        """Write the relations."""
        types = {relation.name: relation for relation in labels}
        entities = self.entities(doc) if spans else []
        if self.pairs():
            found_pairs = pair_relations(spans, entities, types)
            others = [relation for relation in found_pairs if head_text(relation.head) != head_text(relation.tail)]
            return write_relations(doc, self.spans_key, _each_once(others, types))
        mentions: dict[str, list[Span]] = {}
        entities_at: dict[Place, list[Span]] = {}
        for entity in entities:
            mentions.setdefault(head_text(entity), []).append(entity)
            entities_at.setdefault(place(entity), []).append(entity)
        found: dict[ScoredSpan, Relation] = {}
        for span in spans:
            name, _, text = span.label.partition(SEPARATOR)
            for tail in self._tails(doc, span, types[name], entities):
                there = allowed(entities_at.get(place(tail), ()), types[name].tail)
                tail = there[0] if there else tail
                head = nearest(tail, allowed(mentions[text], types[name].head))
                if head is not None and head_text(tail) != text:
                    of_tail = span._replace(start=tail.start, end=tail.end)
                    found.setdefault(of_tail, Relation(head, name, tail, span.score))
        kept = [found[span] for span in drop_overlaps_per_label(found)]
        write_relations(doc, self.spans_key, _each_once(kept, types))

    def _tails(self, doc: Doc, span: ScoredSpan, relation: RelationType, entities: Iterable[Span]) -> list[Span]:
        """The tail that a found span stands for: itself or, where only entities may be, the one it shares most with."""
        if self.tails == "spans" and not relation.tail:
            return [doc[span.start : span.end]]
        shared = [
            (min(span.end, entity.end) - max(span.start, entity.start), -len(entity), -entity.start, entity)
            for entity in allowed(entities, relation.tail)
        ]
        best = max((candidate for candidate in shared if candidate[0] > 0), default=None, key=lambda c: c[:3])
        return [] if best is None else [best[3]]

    def entities(self, doc: Doc) -> list[Span]:
        """Those that may be heads. Raises ValueError where the Doc lacks the configured span group."""
        if self.entities_key is None:
            return list(doc.ents)
        if self.entities_key not in doc.spans:
            raise ValueError(
                f"The Doc has no span group '{self.entities_key}', which is to hold the heads of relations. Put the "
                f"component that writes it before, or set entities_key to null for doc.ents."
            )
        return list(doc.spans[self.entities_key])

    def given(self, example: Example) -> Doc:
        """The predicted Doc with the reference's entities (its own, where that has none) and ends of relations.

        Entities don't overlap: where `doc.ents` holds them, ends of relations come first, longer ones before shorter.
        """
        reference = example.reference
        relations = self.gold_relations(reference) or []
        ends = aligned_spans(example, [span for relation in relations for span in (relation.head, relation.tail)])
        doc = example.predicted.copy()
        if self.entities_key is not None:
            given = reference.spans[self.entities_key] if self.entities_key in reference.spans else ()
            others = aligned_spans(example, list(given)) or list(doc.spans.get(self.entities_key, ()))
            spans = {(*place(span), span.label): span for span in [*others, *ends]}
            doc.spans[self.entities_key] = [Span(doc, *where[:2], label=where[2]) for where in spans]
            return doc
        others = aligned_spans(example, list(reference.ents)) if reference.has_annotation("ENT_IOB") else list(doc.ents)
        labels = {place(span): span.label_ for span in [*others, *(end for end in ends if end.label)]}
        of_heads = {head_text(relation.head) for relation in relations}
        heads = spans_apart(ends, place) if self.pairs() else spans_apart(ends, head_text, of_heads)
        others = [span for span in others if not any(span.start < h.end and h.start < span.end for h in heads)]
        entities = [  # spaCy has no entities without a label
            Span(doc, span.start, span.end, label=labels.get(place(span)) or ENTITY) for span in [*heads, *others]
        ]
        doc.set_ents(entities)
        return doc

    def gold(self, example: Example, labels: Sequence[RelationType] = ()) -> list[ScoredSpan] | None:
        """The tails of the reference's relations; of symmetric ones, both ends."""
        relations = self.gold_relations(example.reference)
        if relations is None:
            return None
        symmetric = {label.name for label in labels if label.symmetric}
        if self.pairs():
            return gold_pairs(example, relations, symmetric)
        found: dict[ScoredSpan, None] = {}
        for relation in relations:
            ends = aligned_span(example, relation.head), aligned_span(example, relation.tail)
            for head, tail in (ends, ends[::-1]) if relation.label in symmetric else (ends,):
                if head is not None and tail is not None:
                    label = relation_label(relation.label, head_text(head))
                    found[ScoredSpan(tail.start, tail.end, label, 1.0)] = None
        return list(found)

    def missing(self, example: Example) -> set[int]:
        """Tokens of tails that don't align."""
        relations = self.gold_relations(example.reference) or ()
        return missing_tokens(example, [relation.tail for relation in relations])

    def observe(self, example: Example) -> list[str]:
        """The names of the gold relations."""
        return list(dict.fromkeys(relation.label for relation in self.gold_relations(example.reference) or ()))

    def gold_relations(self, reference: Doc) -> list[Relation] | None:
        """The relations of the reference's group, or of any that holds some; None where there is none."""
        groups = list(groups_of(reference, "gliner_relations"))
        own = [group for group in groups if group.name == self.spans_key]
        return relations_in((own or groups)[0]) if groups else None


def relation_label(relation: str, head: str) -> str:
    """What a query calls the tails of a head."""
    return relation + SEPARATOR + head


def head_text(span: Span) -> str:
    """The words of an entity, whatever white space stands between them."""
    return " ".join(span.text.split())


def nearest(tail: Span, mentions: Iterable[Span]) -> Span | None:
    """The mention with the fewest tokens between it and a tail that it does not overlap; the first of several."""
    apart = [(max(tail.start - m.end, m.start - tail.end), m) for m in mentions]
    return min((pair for pair in apart if pair[0] >= 0), default=(0, None), key=lambda pair: pair[0])[1]


def _each_once(relations: Iterable[Relation], types: Mapping[str, RelationType]) -> list[Relation]:
    """Every fact once, as it scored best, and what `symmetric` and `one_tail` leave of them."""
    kept: dict[tuple[str, str, str], Relation] = {}
    taken: set[tuple[str, str]] = set()  # relations with those of their heads that have a tail
    for relation in sorted(relations, key=lambda r: (-(r.score or 0.0), place(r.head), place(r.tail), r.label)):
        type_of = types[relation.label]
        fact = fact_of(relation, type_of.symmetric)
        heads = {(relation.label, head) for head in ((fact[0], fact[2]) if type_of.symmetric else fact[:1])}
        if fact in kept or (type_of.one_tail and heads & taken):
            continue
        kept[fact] = relation
        taken |= heads
    return list(kept.values())


def fact_of(relation: Relation, symmetric: bool = False) -> tuple[str, str, str]:
    """The words of head, relation and tail; of a symmetric relation head and tail in alphabetic order."""
    head, tail = head_text(relation.head), head_text(relation.tail)
    if symmetric:
        head, tail = sorted((head, tail))
    return (head, relation.label, tail)


register_extensions()
