"""Measure relations: all facts of a text, or the tail where head and relation are given; beside the nearest entity."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

from spacy.language import Language
from spacy.scorer import PRFScore
from spacy.tokens import Doc, Span
from spacy.training import Example

from .evaluation import Evaluation, ask_all, examples_of, ready, spread
from .pipeline.relations import Relations, head_text
from .scoring.relations import (
    Fact,
    count_facts,
    facts_of,
    nearest_entity,
    predicted_relations,
    relation_report,
    tail_scores,
)
from .training.corpora import Row, read_rows, source_of
from .training.task_corpora import RelationCorpus, relations_by_source

LABELS = ("person", "organization", "location", "date", "event", "work of art", "product")
NER_THRESHOLD = 0.3
NEAREST = "nearest entity"


def evaluate_tails(nlp: Language, path: Path, threshold: float | None, limit: int) -> Evaluation:
    """Exact match and F1 of the best tail, where head and relation are given (GLiNER multi-task, 2.4.4).

    There is one, so without a threshold the best counts, however low its score. (A relation with a threshold of its own
    keeps that.)
    """
    threshold = 0.0 if threshold is None else threshold
    task = relations_task(nlp)
    pairs = []
    asked = ((asking_one_fact(example, task), gold_tail(example)) for _, example in relation_texts(nlp, path, limit))
    for doc, gold in ask_all(nlp, "gliner_relations", asked, threshold):
        best = max(predicted_relations(doc, task), key=lambda relation: relation.score or 0.0, default=None)
        pairs.append(("" if best is None else head_text(best.tail), gold))
    guesses = list(nearest_tails(nlp, path, limit))
    return Evaluation("tails", {"facts": len(pairs)}, tail_scores(pairs), {NEAREST: tail_scores(guesses)})


def asking_one_fact(example: Example, task: Relations) -> Doc:
    """The predicted Doc with the head of its only fact as its only entity, to be asked for that relation alone."""
    relation = example.reference._.gliner_relations[0]
    doc = task.given(example)
    head = Span(doc, relation.head.start, relation.head.end, label=relation.head.label)
    if task.entities_key is None:
        doc.set_ents([head])
    else:
        doc.spans[task.entities_key] = [head]
    doc._.gliner_relation_labels = [relation.label]
    return doc


def gold_tail(example: Example) -> str:
    """The tail of the only fact."""
    return head_text(example.reference._.gliner_relations[0].tail)


def nearest_tails(nlp: Language, path: Path, limit: int) -> Iterator[tuple[str, str]]:
    """A baseline: the entity nearest to the head, and the gold tail.

    Entities are the row's "spans" or, without any, what a `gliner_ner` with the same network finds.
    """
    component = ready(nlp, "gliner_ner")
    found = []
    for row, example in relation_texts(nlp, path, limit):
        if row["spans"]:
            yield text_of(nearest_to_head(example, example.predicted.ents)), gold_tail(example)
        else:
            doc = Doc(nlp.vocab, words=row["tokens"])
            doc._.gliner_labels = list(LABELS)
            found.append((doc, example))
    for doc, example in ask_all(nlp, "gliner_ner", found, NER_THRESHOLD):
        yield text_of(nearest_to_head(example, doc.spans[component.task.spans_key])), gold_tail(example)


def nearest_to_head(example: Example, entities: Iterable[Span]) -> Span | None:
    """The entity nearest to the head of the only fact."""
    return nearest_entity(example.reference._.gliner_relations[0].head, entities)


def evaluate_facts(nlp: Language, path: Path, threshold: float | None, limit: int) -> Evaluation:
    """Precision, recall and F1 of all facts between the given entities; the baseline is told heads and relations."""
    task = relations_task(nlp)
    ours: dict[str, PRFScore] = {}
    nearest: dict[str, PRFScore] = {}
    counts = {"texts": 0, "facts": 0}
    texts = ((task.given(example), (row, example)) for row, example in relation_texts(nlp, path, limit))
    for doc, (row, example) in ask_all(nlp, "gliner_relations", texts, threshold):
        names = names_of_facts(example.reference, row)
        gold = set(names.values())
        guessed = guessed_facts(example)
        count_facts(ours, gold, {names.get(fact, fact) for fact in facts_of(predicted_relations(doc, task))})
        count_facts(nearest, gold, {names.get(fact, fact) for fact in guessed})
        counts = {"texts": counts["texts"] + 1, "facts": counts["facts"] + len(gold)}
    return Evaluation("facts", counts, relation_report(ours), {NEAREST: relation_report(nearest)})


def names_of_facts(doc: Doc, row: Row) -> dict[Fact, Fact]:
    """The facts of a row in all words that say them, and the one way in which each is counted.

    Where a fact has "head_mentions" or "tail_mentions", any of them names its head or tail.
    """
    names: dict[Fact, Fact] = {}
    for fact in row["relations"]:
        heads, tails = (mentions(doc, fact, side) for side in ("head", "tail"))
        first = names.get((heads[0], fact["relation"], tails[0]), (heads[0], fact["relation"], tails[0]))
        for head in heads:
            for tail in tails:
                names.setdefault((head, fact["relation"], tail), first)
    return names


def mentions(doc: Doc, fact: Row, side: str) -> list[str]:
    """The words of the head or tail of a fact, and of its other mentions."""
    places = [(fact[side]["start"], fact[side]["end"]), *fact.get(f"{side}_mentions", ())]
    return [head_text(doc[start : last + 1]) for start, last in places]


def guessed_facts(example: Example) -> set[Fact]:
    """For every gold head and relation, the nearest of the given entities as the tail."""
    guesses = set()
    for relation in example.reference._.gliner_relations:
        tail = nearest_entity(relation.head, example.predicted.ents)
        if tail is not None:
            guesses.add((head_text(relation.head), relation.label, head_text(tail)))
    return guesses


def relations_task(nlp: Language) -> Relations:
    """The task of the pipeline's `gliner_relations`."""
    return cast(Relations, ready(nlp, "gliner_relations").task)


def relation_texts(nlp: Language, path: Path, limit: int) -> Iterator[tuple[Row, Example]]:
    """Rows of relations with their Examples. A limit does not change what is asked of a row."""
    corpus = RelationCorpus(path)
    rows = list(read_rows(path, corpus.check))
    names = relations_by_source(rows)
    return examples_of(corpus, nlp, [{"relation_labels": names[source_of(row)], **row} for row in spread(rows, limit)])


def text_of(span: Span | None) -> str:
    """The words of a span; "" for none."""
    return "" if span is None else head_text(span)
