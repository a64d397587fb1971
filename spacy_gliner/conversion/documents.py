"""From a record to a Doc with gold data, and from there to a row of JSON.

Where tokens stand is left to `placing`. What can't be placed is given back, with its tokens marked as unknown.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import filter_spans, get_words_and_spaces

from ..pipeline.results import Place, Relation, get_relations, place
from .docbins import ROW
from .placing import Placed, Placing
from .records import Link, Loss, Mark, Record

SPANS_KEY = "gliner_ner"
UNNAMED = "entity"  # the label of a relation's end that has none
HIDDEN = "lost spans inside of others, whose tokens can't be marked as missing"


@dataclass
class Annotated:
    """A Doc with gold data, and what became of the record besides.

    repaired: Spans that were trimmed or widened.
    repeated: Spans and relations that were there before; they are written once.
    hidden: Lost spans whose tokens stand in an entity, so that they can't be marked as missing.
    unknown: Whether nothing is known of any of its tokens.
    """

    doc: Doc
    lost: list[Loss] = field(default_factory=list)
    repaired: int = 0
    repeated: int = 0
    hidden: int = 0
    unknown: bool = False


def make_doc(record: Record, nlp: Language) -> Doc:
    """The record's own tokens or, where it has none, those of the pipeline's tokenizer.

    Raises ValueError where tokens don't make up the text.
    """
    if record.tokens is None:
        doc = nlp.make_doc(record.text or "")
    elif record.text is None:
        return Doc(nlp.vocab, words=list(record.tokens))
    elif record.spaces is not None:
        doc = Doc(nlp.vocab, words=list(record.tokens), spaces=list(record.spaces))
    else:
        doc = _with_spaces(nlp, record.tokens, record.text)
    if doc.text != record.text:
        raise ValueError("the tokens don't make up the text. Choose another tokenizer with --lang or --model.")
    return doc


def annotate(record: Record, doc: Doc, repair: bool) -> Annotated:
    """Write the record's annotation on its Doc, as far as it falls on tokens.

    repair: Widen spans to whole tokens.
    """
    placing = Placing(record, doc, repair)
    found = {mark: placing.find(mark) for mark in record.spans + _ends(record.relations or ())}
    result = Annotated(doc, lost=list(record.lost))
    kept = [mark for mark in record.spans if mark.label] + _ends(record.relations or ())
    result.repaired = len({mark[:3] for mark in kept if isinstance(found[mark], Placed) and found[mark][2]})
    missing = {token for start, end in record.missing for token in range(max(start, 0), min(end, len(doc)))}
    hidden = [placing.unknown(None, None, loss.text) for loss in record.lost if loss.kind == "span"]
    spans: dict[tuple[int, int, str], Span] = {}
    for mark in record.spans:
        where = found[mark] if mark.label else "it has no label"
        if isinstance(where, str):
            result.lost.append(Loss("span", mark.text or placing.text_of(mark), mark.label, where, *mark[:2]))
            hidden.append(placing.unknown(mark.start, mark.end, mark.text))
        else:
            key = (where.start, where.end, mark.label)
            result.repeated += key in spans
            spans[key] = Span(doc, where.start, where.end, label=mark.label)
    _write_spans(result, list(spans.values()), missing, hidden)
    if record.relations is not None:
        _write_relations(
            result, record.relations, found, placing, {place(span): span.label_ for span in spans.values()}
        )
    _write_extra(doc, record.extra)
    return result


def row_of(doc: Doc, extra: dict[str, Any], with_relations: bool) -> dict[str, Any]:
    """The row that `JsonCorpus` and, with relations, `RelationCorpus` read."""
    spans = list(doc.spans[SPANS_KEY])
    row = {
        **({"id": extra["id"]} if "id" in extra else {}),
        "tokens": [token.text for token in doc],
        "spans": [[span.start, span.end - 1, span.label_] for span in spans],
    }
    missing = _ranges(token.i for token in doc if token.ent_iob == 0)
    if missing:
        row["missing"] = missing
    if with_relations:
        types = {place(span): span.label_ for span in spans}
        row["relations"] = [_fact(relation, types) for relation in get_relations(doc)]
    return row | extra


def _with_spaces(nlp: Language, tokens: Iterable[str], text: str) -> Doc:
    try:
        words, spaces = get_words_and_spaces(list(tokens), text)
    except ValueError as error:
        raise ValueError("its tokens don't make up its text") from error
    return Doc(nlp.vocab, words=words, spaces=spaces)


def _ends(relations: Iterable[Link]) -> list[Mark]:
    return [mark for link in relations for mark in (link.head, link.tail)]


def _write_spans(result: Annotated, spans: list[Span], missing: set[int], hidden: list[set[int]]) -> None:
    """All spans in the group, those that don't overlap as entities, and the tokens of which nothing is known."""
    doc, entities = result.doc, filter_spans(spans)
    taken = {token for span in entities for token in range(span.start, span.end)}
    result.hidden = sum(bool(tokens) and tokens <= taken for tokens in hidden)
    unknown = missing.union(*hidden) - taken
    result.unknown = len(unknown) == len(doc) > 0
    doc.spans[SPANS_KEY] = spans
    places = [doc[start : last + 1] for start, last in _ranges(sorted(unknown))]
    doc.set_ents(entities, missing=places, default="outside")


def _write_relations(
    result: Annotated,
    links: Iterable[Link],
    found: dict[Mark, Placed | str],
    placing: Placing,
    types: dict[Place, str],
) -> None:
    """The relations whose ends have tokens."""
    relations: dict[tuple[Place, str, Place], Relation] = {}
    for link in links:
        head, tail = found[link.head], found[link.tail]
        if isinstance(head, str) or isinstance(tail, str) or not link.name.strip():
            text = f"{placing.text_of(link.head)} → {placing.text_of(link.tail)}"
            result.lost.append(Loss("relation", text, link.name, _problem(link, head, tail)))
            continue
        spans = [
            Span(result.doc, *where[:2], label=mark.label or types.get(where[:2], UNNAMED))
            for where, mark in ((head, link.head), (tail, link.tail))
        ]
        key = (head[:2], link.name, tail[:2])
        result.repeated += key in relations
        relations[key] = Relation(spans[0], link.name, spans[1])
    result.doc._.gliner_relations = list(relations.values())


def _problem(link: Link, head: Placed | str, tail: Placed | str) -> str:
    if not link.name.strip():
        return "it has no name"
    wrong = [f"its {side}: {where}" for side, where in (("head", head), ("tail", tail)) if isinstance(where, str)]
    return "; ".join(wrong)


def _write_extra(doc: Doc, extra: dict[str, Any]) -> None:
    doc._.gliner_labels = extra.get("labels")
    doc._.gliner_relation_labels = extra.get("relation_labels")
    rest = {key: value for key, value in extra.items() if key not in ("labels", "relation_labels")}
    if rest:
        doc.user_data[ROW] = rest


def _ranges(tokens: Iterable[int]) -> list[list[int]]:
    """`[1, 2, 5]` -> `[[1, 2], [5, 5]]`."""
    runs = groupby(enumerate(tokens), lambda pair: pair[1] - pair[0])
    return [[run[0][1], run[-1][1]] for run in ([*pairs] for _, pairs in runs)]


def _fact(relation: Relation, types: dict[Place, str]) -> dict[str, Any]:
    return {"head": _end(relation.head, types), "relation": relation.label, "tail": _end(relation.tail, types)}


def _end(span: Span, types: dict[Place, str]) -> dict[str, Any]:
    """The place, with its label where the spans of the row don't give it the same."""
    named = {} if types.get(place(span), UNNAMED) == span.label_ else {"label": span.label_}
    return {"start": span.start, "end": span.end - 1, **named}
