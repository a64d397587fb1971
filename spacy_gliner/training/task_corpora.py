"""Readers for relations, questions and summaries: JSON lines to Examples.

Gold stands on the reference (`doc._.gliner_relations`, `gliner_answers`, `gliner_summary`); what is asked, on the
predicted Doc.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import filter_spans

from ..pipeline.results import GOLD_SUMMARY, Relation
from .corpora import Row, RowCorpus, Weights, check_row, source_of

CANDIDATES = 3  # paragraphs among which an unanswerable question finds the one that is hardest to tell from its own


class RelationCorpus(RowCorpus):
    """Relations from files of JSON lines: `spacy_gliner.RelationCorpus.v1`.

    A row is `{"tokens": […], "spans": [[start, end, label], …], "relations": [{"head": {"start", "end"}, "tail": …,
    "relation": name}]}` with inclusive ends, or has one fact: `{"tokens", "head", "tail", "relation"}`. Where facts
    have "tail_mentions" ([[start, end], …]), all of these are gold. The relations to ask for are the row's own
    "relation_labels", or all of its "source" (of its file where it names none). Heads are the entities of the row,
    which stand on the predicted Doc only: this corpus teaches relations, not entities.

    The settings are those of `RowCorpus`.
    """

    prefixes = ("rel_",)

    def check(self, row: Any) -> Row:
        """The row with `tokens`, `spans` and `relations`."""
        if isinstance(row, dict) and "relations" not in row and {"head", "tail", "relation"} <= set(row):
            row = row | {"relations": [{key: row[key] for key in ("head", "tail", "relation")}]}
        row = check_row(row)
        for fact in row["relations"]:
            if not isinstance(fact["relation"], str) or not fact["relation"].strip():
                raise ValueError(f"a relation needs a name, got {fact['relation']!r}")
            for start, end in _places(fact):
                if not 0 <= start <= end < len(row["tokens"]):
                    raise ValueError(f"[{start}, {end}] of a relation is outside the row's {len(row['tokens'])} tokens")
        return row

    def examples(self, nlp: Language, files: Mapping[str, list[Row]], rng: random.Random) -> Iterator[Example]:
        """The Examples. Their tokens are the file's, whatever tokenizer the pipeline has."""
        names = {name: relations_by_source(rows) for name, rows in files.items()}
        for name, row in self.order(files, rng):
            predicted, reference = Doc(nlp.vocab, words=row["tokens"]), Doc(nlp.vocab, words=row["tokens"])
            predicted._.gliner_relation_labels = row.get("relation_labels", names[name][source_of(row)])
            types = {(start, end + 1): label for start, end, label in row["spans"]}
            relations = list(_gold_relations(reference, row, types))
            reference._.gliner_relations = relations
            heads = {place: Span(reference, *place, label=label) for place, label in types.items()}
            heads |= {(span.start, span.end): span for relation in relations for span in (relation.head, relation.tail)}
            entities = [Span(predicted, span.start, span.end, label=span.label_) for span in heads.values()]
            predicted.set_ents(filter_spans(entities))
            yield Example(predicted, reference)


def _places(fact: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    for side in ("head", "tail"):
        yield fact[side]["start"], fact[side]["end"]
    yield from fact.get("tail_mentions", ())


def _gold_relations(doc: Doc, row: Row, types: Mapping[tuple[int, int], str]) -> Iterator[Relation]:
    for fact in row["relations"]:
        head = (fact["head"]["start"], fact["head"]["end"] + 1)
        tails = [(fact["tail"]["start"], fact["tail"]["end"]), *map(tuple, fact.get("tail_mentions", ()))]
        for start, last in dict.fromkeys(tails):
            tail = (start, last + 1)
            yield Relation(
                Span(doc, *head, label=types.get(head, "entity")),
                fact["relation"],
                Span(doc, *tail, label=types.get(tail, "entity")),
            )


def relations_by_source(rows: Iterable[Row]) -> dict[str, list[str]]:
    """All relations of each source, in order of first appearance."""
    names: dict[str, dict[str, None]] = {}
    for row in rows:
        names.setdefault(source_of(row), {}).update(dict.fromkeys(fact["relation"] for fact in row["relations"]))
    return {source: list(of_source) for source, of_source in names.items()}


class QuestionCorpus(RowCorpus):
    """Questions about paragraphs, in the structure of SQuAD: `spacy_gliner.QuestionCorpus.v1`.

    A row is an article, `{"paragraphs": [{"context", "qas": [{"question", "answers": [{"text", "answer_start"}],
    "is_impossible"}]}]}`: one of the "data" of SQuAD's own files. Answers are widened to whole tokens.

    per_question: One Example for each question, for training; otherwise one for each paragraph.
    unanswerable: With `per_question`, the share of questions that are asked of another paragraph of the same article
        (of any, where it has no other), which does not answer them.
    alternatives: Whether all given answers are gold; otherwise only the one that is given most often.

    The other settings are those of `RowCorpus`.
    """

    prefixes = ("qa_", "squad")

    def __init__(
        self,
        path: str | Path,
        weights: Weights = None,
        limit: int = 0,
        per_question: bool = False,
        unanswerable: float = 0.0,
        alternatives: bool = True,
        seed: int = 0,
        n_examples: int = 0,
    ) -> None:
        super().__init__(path, weights, limit, seed, n_examples)
        if not 0 <= unanswerable <= 1:
            raise ValueError(f"unanswerable is a share from 0 to 1, got {unanswerable}.")
        self.per_question = per_question
        self.unanswerable = unanswerable
        self.alternatives = alternatives

    def check(self, row: Any) -> Row:
        """The article."""
        for paragraph in row["paragraphs"]:
            for qa in paragraph["qas"]:
                if not isinstance(qa["question"], str) or not qa["question"].strip():
                    raise ValueError(f"a question must be text, got {qa['question']!r}")
                for answer in qa.get("answers", ()):
                    start, text = answer["answer_start"], answer["text"]
                    if paragraph["context"][start : start + len(text)] != text:
                        raise ValueError(f"the answer {text!r} does not stand at {start} in its paragraph")
        return dict(row)

    def examples(self, nlp: Language, files: Mapping[str, list[Row]], rng: random.Random) -> Iterator[Example]:
        """The Examples."""
        asked = {name: list(self._paragraphs(articles)) for name, articles in files.items()}
        if self.per_question:
            asked = {name: [_only(row, qa) for row in rows for qa in row["qas"]] for name, rows in asked.items()}
        everything = [row["context"] for rows in asked.values() for row in rows]
        for _, row in self.order(asked, rng):
            if self.per_question and rng.random() < self.unanswerable:
                row = _asked_of_another(row, row["others"] or rng.sample(everything, min(len(everything), 20)), rng)
            yield self._example(nlp, row["context"], row["qas"])

    @staticmethod
    def _paragraphs(articles: Iterable[Row]) -> Iterator[Row]:
        for article in articles:
            contexts = [paragraph["context"] for paragraph in article["paragraphs"]]
            for paragraph in article["paragraphs"]:
                yield paragraph | {"others": [context for context in contexts if context != paragraph["context"]]}

    def _example(self, nlp: Language, context: str, qas: Iterable[Mapping[str, Any]]) -> Example:
        predicted, reference = nlp.make_doc(context), nlp.make_doc(context)
        gold: dict[str, list[Span]] = {}
        for qa in qas:
            answers = [] if qa.get("is_impossible") else list(qa.get("answers", ()))
            if answers and not self.alternatives:
                texts = [answer["text"] for answer in answers]
                answers = [max(answers, key=lambda answer: texts.count(answer["text"]))]
            gold.setdefault(qa["question"], []).extend(_spans(reference, answers))
        reference._.gliner_answers = gold
        predicted._.gliner_questions = list(gold)
        return Example(predicted, reference)


def _asked_of_another(row: Row, contexts: Sequence[str], rng: random.Random) -> Row:
    """The question about another paragraph that does not hold its answer: of some, the one that looks most like it."""
    (qa,) = row["qas"]
    answers = [answer["text"].lower() for answer in qa.get("answers", ())]
    others = [c for c in contexts if c != row["context"] and not any(answer in c.lower() for answer in answers)]
    if not others:
        return row
    asked = set(qa["question"].lower().split())
    near = rng.sample(others, min(len(others), CANDIDATES))
    context = max(near, key=lambda context: len(asked.intersection(context.lower().split())))
    return {"context": context, "qas": [{"question": qa["question"], "answers": []}]}


def _only(row: Row, qa: Mapping[str, Any]) -> Row:
    return row | {"qas": [qa]}


def _spans(doc: Doc, answers: Iterable[Mapping[str, Any]]) -> list[Span]:
    """The tokens of the answers, each place once."""
    found = {}
    for answer in answers:
        start = answer["answer_start"]
        span = doc.char_span(start, start + len(answer["text"]), alignment_mode="expand")
        if span is not None and span.text.strip():
            found[span.start, span.end] = span
    return list(found.values())


class SummaryCorpus(RowCorpus):
    """Summaries from files of JSON lines: `spacy_gliner.SummaryCorpus.v1`.

    A row is `{"text", "summary"}` and, for training, `sentences` with `labels` (1 for those that make the extract).
    "summary" is text, kept in `doc.user_data["gliner_gold_summary"]` of the reference for scoring; "summaries", where
    there are several.

    The settings are those of `RowCorpus`.
    """

    prefixes = ("sum_",)

    def check(self, row: Any) -> Row:
        """The row, with a text."""
        if not isinstance(row["text"], str) or ("labels" in row and len(row["labels"]) != len(row["sentences"])):
            raise ValueError("expected a text, and as many labels as sentences")
        return dict(row)

    def examples(self, nlp: Language, files: Mapping[str, list[Row]], rng: random.Random) -> Iterator[Example]:
        """The Examples."""
        for _, row in self.order(files, rng):
            predicted, reference = nlp.make_doc(row["text"]), nlp.make_doc(row["text"])
            if "labels" in row:
                reference._.gliner_summary = list(_extract(reference, row))
            if "summary" in row or "summaries" in row:
                reference.user_data[GOLD_SUMMARY] = row.get("summaries") or row["summary"]
            yield Example(predicted, reference)


def _extract(doc: Doc, row: Row) -> Iterator[Span]:
    """The sentences that make the extract. Raises ValueError for one that is not in the text."""
    end = 0
    for sentence, label in zip(row["sentences"], row["labels"], strict=True):
        start = row["text"].find(sentence.strip(), end)
        if start < 0:
            raise ValueError(f"the sentence {sentence[:60]!r} is not in its text, or not in this order")
        end = start + len(sentence.strip())
        span = doc.char_span(start, end, alignment_mode="expand")
        if label and span is not None:
            yield span
