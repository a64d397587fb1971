"""Relations, answers, matches and summaries on a Doc: setters and getters, their values, several groups of a kind."""

import json
import pickle

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from spacy_gliner.pipeline.extensions import RESULTS
from spacy_gliner.pipeline.results import (
    Answer,
    Match,
    Relation,
    write_answers,
    write_matches,
    write_relations,
    write_summary,
)

VOCAB = spacy.blank("xx").vocab
WORDS = "Ada met Bill Gates in New York City yesterday .".split()

places = st.tuples(st.integers(0, 9), st.integers(1, 4)).map(lambda x: (x[0], min(sum(x), 10)))
names = st.sampled_from(["founded by", "a:b", "who?", "名前", "\n"])
labels = st.sampled_from(["", "person", "city"])
scores = st.none() | st.floats(0, 1)


def make_doc():
    return Doc(VOCAB, words=WORDS)


def span(doc, place, label=""):
    return Span(doc, *place, label=label)


def travels(doc):
    """The Doc itself, and what becomes of it on its ways into files and processes."""
    data = DocBin(docs=[doc]).to_bytes()
    return [
        doc,
        doc.copy(),
        Doc(Vocab()).from_bytes(doc.to_bytes()),
        pickle.loads(pickle.dumps(doc)),
        *DocBin().from_bytes(data).get_docs(Vocab()),
    ]


@given(st.lists(st.tuples(places, labels, names, places, labels, scores), max_size=6, unique_by=lambda row: row[:5]))
def test_relations_come_out_as_they_went_in(rows):
    doc = make_doc()
    relations = [Relation(span(doc, h, hl), name, span(doc, t, tl), score) for h, hl, name, t, tl, score in rows]
    doc._.gliner_relations = relations
    assert set(doc._.gliner_relations) == set(relations)
    order = [(r.head.start, r.head.end, r.tail.start, r.tail.end, r.label) for r in doc._.gliner_relations]
    assert order == sorted(order)
    for other in travels(doc):
        assert [relation.to_json() for relation in other._.gliner_relations] == [
            relation.to_json() for relation in doc._.gliner_relations
        ]


@given(st.dictionaries(names, st.lists(st.tuples(places, scores), max_size=4, unique_by=lambda row: row[0])))
def test_answers_come_out_as_they_went_in_best_first(rows):
    doc = make_doc()
    given = {q: [Answer(span(doc, place, "answer"), score) for place, score in found] for q, found in rows.items()}
    doc._.gliner_answers = given
    assert list(doc._.gliner_answers) == list(given)
    for question, answers in doc._.gliner_answers.items():
        assert set(answers) == set(given[question])
        assert [answer.score or 0.0 for answer in answers] == sorted((a.score or 0.0 for a in answers), reverse=True)
    for other in travels(doc):
        assert in_numbers(other._.gliner_answers) == in_numbers(doc._.gliner_answers)


@given(st.dictionaries(names, st.lists(st.tuples(places, scores), max_size=4, unique_by=lambda row: row[0])))
def test_matches_come_out_as_they_went_in_by_their_place(rows):
    doc = make_doc()
    given = {p: [Match(span(doc, place, p), score) for place, score in found] for p, found in rows.items()}
    doc._.gliner_matches = given
    assert doc._.gliner_matches == {
        prompt: sorted(found, key=lambda match: (match.span.start, match.span.end)) for prompt, found in given.items()
    }
    for other in travels(doc):
        assert in_numbers(other._.gliner_matches) == in_numbers(doc._.gliner_matches)


@given(st.lists(places, max_size=5, unique=True))
def test_a_summary_comes_out_as_it_went_in_by_its_place(rows):
    doc = make_doc()
    doc._.gliner_summary = [span(doc, place) for place in rows]
    assert [(sentence.start, sentence.end) for sentence in doc._.gliner_summary] == sorted(rows)
    for other in travels(doc):
        assert [(sentence.start, sentence.end) for sentence in other._.gliner_summary] == sorted(rows)


def in_numbers(results):
    return {name: [(s.start, s.end, s.label_, score) for s, score in found] for name, found in results.items()}


def test_plain_spans_are_gold_without_scores():
    doc = make_doc()
    doc._.gliner_answers = {"Who?": [doc[0:1]], "Where?": []}
    doc._.gliner_matches = {"a city": [doc[5:8]], "a river": []}
    assert doc._.gliner_answers == {"Who?": [Answer(span(doc, (0, 1), "answer"))], "Where?": []}
    assert doc._.gliner_matches == {"a city": [Match(span(doc, (5, 8), "a city"))], "a river": []}


@pytest.mark.parametrize("name, empty", [("relations", []), ("answers", {}), ("matches", {}), ("summary", [])])
def test_a_doc_that_nobody_wrote_on_has_empty_results(name, empty):
    doc = make_doc()
    doc.spans["others"] = [doc[0:1]]
    assert doc._.get(f"gliner_{name}") == empty
    doc._.set(f"gliner_{name}", empty)
    assert doc._.get(f"gliner_{name}") == empty
    assert set(RESULTS) == {"gliner_relations", "gliner_answers", "gliner_matches", "gliner_summary"}


def test_setting_again_replaces_what_was_there():
    doc = make_doc()
    for words in (doc[0:1], doc[2:4]):
        doc._.gliner_relations = [Relation(words, "met", doc[4:5])]
        doc._.gliner_answers = {words.text: [words]}
        doc._.gliner_matches = {words.text: [words]}
        doc._.gliner_summary = [words]
    assert [relation.head.text for relation in doc._.gliner_relations] == ["Bill Gates"]
    assert list(doc._.gliner_answers) == list(doc._.gliner_matches) == ["Bill Gates"]
    assert [sentence.text for sentence in doc._.gliner_summary] == ["Bill Gates"]


def test_results_of_two_components_of_a_kind_are_read_as_one():
    doc = make_doc()
    for key, (start, end), score in [("one", (5, 8), 0.6), ("two", (0, 1), 0.9)]:
        found = span(doc, (start, end))
        write_relations(doc, key, [Relation(found, "met", doc[2:4], score)])
        write_answers(doc, key + " a", {"Who?": [Answer(found, score)], key: []})
        write_matches(doc, key + " m", {"it": [Match(found, score)], key: []})
        write_summary(doc, key + " s", [(found, score)])
    assert [relation.head.text for relation in doc._.gliner_relations] == ["Ada", "New York City"]
    assert [(answer.span.text, answer.score) for answer in doc._.gliner_answers["Who?"]] == [
        ("Ada", 0.9),
        ("New York City", 0.6),
    ]
    assert [match.span.text for match in doc._.gliner_matches["it"]] == ["Ada", "New York City"]
    assert [sentence.text for sentence in doc._.gliner_summary] == ["Ada", "New York City"]
    assert {"one", "two"} <= set(doc._.gliner_answers) & set(doc._.gliner_matches)


def test_writing_matches_again_removes_the_groups_of_this_component_alone():
    doc = make_doc()
    doc.spans["first:mine"] = [doc[0:1]]
    write_matches(doc, "first", {"a": [doc[0:1]], "b": []})
    write_matches(doc, "second", {"a": [doc[0:1]]})
    doc.spans["another name"] = doc.spans["first:a"]
    write_matches(doc, "first", {"c": []})
    assert {"first:mine", "first:c", "second:a"} <= set(doc.spans)
    assert not {"first:a", "first:b"} & set(doc.spans)


def test_the_same_words_can_be_several_things():
    doc = make_doc()
    relations = [Relation(doc[0:1], name, doc[2:4]) for name in ("met", "likes")]
    doc._.gliner_relations = [*relations, Relation(doc[5:8], "met", doc[2:4])]
    assert [relation.to_tuple() for relation in doc._.gliner_relations] == [
        ("Ada", "likes", "Bill Gates"),
        ("Ada", "met", "Bill Gates"),
        ("New York City", "met", "Bill Gates"),
    ]
    doc._.gliner_answers = {"Who?": [doc[0:1]], "Who else?": [doc[0:1]]}
    assert [answers[0].span.text for answers in doc._.gliner_answers.values()] == ["Ada", "Ada"]


def test_a_relation_becomes_a_tuple_and_json():
    doc = make_doc()
    relation = Relation(span(doc, (0, 1), "person"), "met", span(doc, (2, 4)), 0.75)
    assert relation.to_tuple() == ("Ada", "met", "Bill Gates")
    assert json.loads(json.dumps(relation.to_json())) == {
        "head": {"text": "Ada", "label": "person", "start": 0, "end": 3},
        "relation": "met",
        "tail": {"text": "Bill Gates", "label": "", "start": 8, "end": 18},
        "score": 0.75,
    }


def test_joined_docs_lose_results_and_nothing_else():
    docs = [make_doc(), make_doc()]
    for doc in docs:
        doc._.gliner_relations = [Relation(doc[0:1], "met", doc[2:4])]
        doc._.gliner_answers = {"Who?": [doc[0:1]]}
    joined = Doc.from_docs(docs)
    assert joined._.gliner_relations == []
    assert joined._.gliner_answers == {}
    assert joined.spans["gliner_relations"][0]._.gliner_score is None
