"""From files to files: what was read comes out again, and everything is accounted for."""

import json

import pytest
import spacy
from spacy.training import Corpus

from spacy_gliner.conversion.converting import convert
from spacy_gliner.conversion.formats import Format
from spacy_gliner.training.corpora import JsonCorpus
from spacy_gliner.training.task_corpora import RelationCorpus

from .helpers import NLP, lines, save, spans_of, to_docs, to_rows, words_of
from .test_readers import PRODIGY, TEXT, arc, region, task

SPANS = [("Ada", "person"), ("London", "city")]
FACT = ("Ada", "London", "lives in")
TOKENS = ["Ada", "lived", "in", "London", "."]
MARKS = [[0, 0, "person"], [3, 3, "city"]]
ENDS = {"head": {"start": 0, "end": 0}, "relation": "lives in", "tail": {"start": 3, "end": 3}}
CHILD = {"head_span": PRODIGY["spans"][0], "child_span": PRODIGY["spans"][1], "label": "lives in"}

# The same sentence in every format
FILES = {
    "gliner": json.dumps([{"tokenized_text": TOKENS, "ner": MARKS, "relations": [[0, 1, "lives in"]]}]),
    "jsonl": lines({"tokens": TOKENS, "spans": MARKS, "relations": [ENDS]}),
    "conll": "Ada B-person\nlived O\nin O\nLondon B-city\n. O\n",
    "prodigy": lines({**PRODIGY, "relations": [CHILD]}),
    "labelstudio": json.dumps(
        [task(region(0, 3, "person"), region(13, 19, "city", id="b"), arc("a", "b", "lives in"))]
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_becomes_rows_and_docs_and_comes_back_the_same(tmp_path, name):
    path = save(tmp_path, "input.txt", FILES[name])
    facts = [] if name == "conll" else [FACT]
    (row,), account = to_rows(tmp_path, path)
    assert account.formats == {str(path): name}
    assert (row["tokens"], words_of(row)) == (TOKENS, (SPANS, facts))
    assert ("relations" in row) == bool(facts)
    (doc,), _ = to_docs(tmp_path, path)
    assert spans_of(doc) == [(ent.text, ent.label_) for ent in doc.ents] == SPANS
    assert [(r.head.text, r.tail.text, r.label) for r in doc._.gliner_relations] == facts
    (again,), of_rows = to_rows(tmp_path, (tmp_path / "output.jsonl").rename(tmp_path / "rows.jsonl"))
    (through_docs,), of_docs = to_rows(tmp_path, tmp_path / "output.spacy")
    assert again == through_docs == row
    for counted in (account, of_rows, of_docs):
        assert (counted.read, counted.written, counted.spans, counted.relations) == (1, 1, 2, len(facts))
        assert (counted.left_out, counted.repaired, counted.skipped, counted.passed_over) == ([], 0, {}, {})


def test_texts_keep_their_white_space_on_the_way_through_docs(tmp_path):
    text = " Ada\u00a0 lived\n\nin  London.\n"
    places = [[text.index(words), text.index(words) + len(words), label] for words, label in SPANS]
    path = save(tmp_path, "a.jsonl", lines({"text": text, "entities": places}))
    (doc,), _ = to_docs(tmp_path, path)
    assert doc.text == text
    (again,), _ = to_docs(tmp_path, (tmp_path / "output.spacy").rename(tmp_path / "first.spacy"))
    assert (again.text, [token.text for token in again]) == (text, [token.text for token in doc])
    assert spans_of(again) == SPANS


def test_our_corpora_read_what_was_written(tmp_path):
    path = save(tmp_path, "a.jsonl", FILES["prodigy"])
    to_rows(tmp_path, path)
    (entities,) = JsonCorpus(tmp_path / "output.jsonl")(NLP)
    assert spans_of(entities.reference) == SPANS
    assert entities.predicted._.gliner_labels == ["person", "city"]
    (facts,) = RelationCorpus(tmp_path / "output.jsonl")(NLP)
    assert [relation.to_tuple() for relation in facts.reference._.gliner_relations] == [("Ada", "lives in", "London")]


def test_the_corpus_of_spacy_reads_what_was_written(tmp_path):
    row = {"text": "Ada lived in New York.", "entities": [[0, 3, "person"], [14, 21, "city"]]}
    to_docs(tmp_path, save(tmp_path, "a.jsonl", lines(row)))
    (example,) = Corpus(tmp_path / "output.spacy")(spacy.blank("en"))
    assert spans_of(example.reference) == [("Ada", "person")]
    assert [token.ent_iob for token in example.reference] == [3, 2, 2, 0, 0, 2]


def test_missing_tokens_and_what_else_a_row_says_survive_both_outputs(tmp_path):
    extra = {"id": "x", "source": "one", "labels": ["person", "drug"], "negatives": ["plant"], "relation_labels": ["r"]}
    row = {"tokens": TOKENS, "spans": MARKS[:1], "missing": [[2, 4]], **extra}
    path = save(tmp_path, "a.jsonl", lines(row))
    assert to_rows(tmp_path, path)[0] == [row]
    (doc,), _ = to_docs(tmp_path, path)
    assert list(doc._.gliner_labels) == ["person", "drug"]
    assert to_rows(tmp_path, tmp_path / "output.spacy")[0] == [row]


def test_nested_and_equal_spans_survive_both_outputs(tmp_path):
    spans = [[0, 3, "all"], [0, 0, "person"], [0, 0, "writer"], [2, 4, "odd"]]
    path = save(tmp_path, "a.jsonl", lines({"tokens": TOKENS, "spans": spans}))
    (row,), _ = to_rows(tmp_path, path)
    assert row["spans"] == spans
    (doc,), _ = to_docs(tmp_path, path)
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("Ada lived in London", "all")]
    assert to_rows(tmp_path, tmp_path / "output.spacy")[0] == [row]


def test_everything_is_accounted_for(tmp_path):
    rows = [
        {"text": TEXT, "spans": [{"start": 1, "end": 3, "label": "x"}], "answer": "accept"},
        {"text": TEXT, "spans": [{"start": 4, "end": 8, "label": "y"}]},
        {"text": TEXT, "answer": "reject"},
        {"text": " ", "spans": [{"start": 0, "end": 5, "label": "z"}]},
        {"text": "Ada", "spans": [{"start": 1, "end": 3, "label": "x"}]},
    ]
    path = save(tmp_path, "a.jsonl", lines(*rows))
    written, account = to_rows(tmp_path, path)
    assert [row["missing"] for row in written] == [[[0, 0]], [[1, 1]]]
    assert (account.read, account.written, account.repaired) == (5, 2, 0)
    assert account.skipped == {
        "the answer is 'reject'": 1,
        "it has no text": 1,
        "all of its tokens are without annotation": 1,
    }
    assert [(issue.where, issue.loss.label) for issue in account.left_out] == [
        ("line 1", "x"),
        ("line 2", "y"),
        ("line 4", "z"),
        ("line 5", "x"),
    ]
    assert str(account.left_out[0]).startswith(f"{path}, line 1: span 'da' (x): it does not begin")
    assert account.left_out[0].to_json() == {
        "file": str(path),
        "where": "line 1",
        "kind": "span",
        "text": "da",
        "label": "x",
        "problem": "it does not begin and end with tokens (--repair widens it)",
        "start": 1,
        "end": 3,
    }
    repaired, account = to_rows(tmp_path, path, repair=True)
    assert [words_of(row)[0] for row in repaired] == [[("Ada", "x")], [("lived", "y")], [("Ada", "x")]]
    assert (account.repaired, account.spans, len(account.left_out)) == (3, 3, 1)


def test_relations_of_a_record_that_is_skipped_are_reported(tmp_path):
    relation = {"head": {"start": 0, "end": 3}, "relation": "is", "tail": {"start": 0, "end": 3}}
    row = {"text": "Ada", "spans": [[1, 3, "x"]], "relations": [relation]}
    written, account = to_rows(tmp_path, save(tmp_path, "a.jsonl", lines(row)))
    assert written == []
    assert [(issue.loss.kind, issue.loss.text) for issue in account.left_out] == [
        ("span", "da"),
        ("relation", "Ada → Ada"),
    ]


def test_where_one_record_has_relations_they_were_looked_for_in_the_whole_file(tmp_path):
    both = json.dumps([*json.loads(FILES["labelstudio"]), task(region(0, 3, "person"))])
    rows, _ = to_rows(tmp_path, save(tmp_path, "a.json", both))
    assert [len(row["relations"]) for row in rows] == [1, 0]
    docs, _ = to_docs(tmp_path, tmp_path / "a.json")
    assert ["gliner_relations" in doc.spans for doc in docs] == [True, True]
    alone = save(tmp_path, "b.json", json.dumps([task(region(0, 3, "person"))]))
    (doc,), _ = to_docs(tmp_path, alone)
    assert "gliner_relations" not in doc.spans


def test_rows_of_several_files_ask_for_the_labels_of_their_own_file(tmp_path):
    people = save(tmp_path, "people.conll", "Ada B-person\n. O\n")
    cities = save(tmp_path, "cities.jsonl", lines({"tokens": ["Rome"], "spans": [[0, 0, "city"]], "source": "own"}))
    rows, _ = to_rows(tmp_path, people, cities)
    assert [row["source"] for row in rows] == ["people", "own"]
    asked = [example.predicted._.gliner_labels for example in JsonCorpus(tmp_path / "output.jsonl")(NLP)]
    assert asked == [["person"], ["city"]]
    (tmp_path / "more").mkdir()
    same = save(tmp_path / "more", "people.conll", "Ada B-person\n")
    rows, _ = to_rows(tmp_path, people, same)
    assert rows[0]["source"] != rows[1]["source"]


def test_a_named_format_is_not_guessed(tmp_path):
    path = save(tmp_path, "a.jsonl", lines({"text": TEXT, "answer": "reject", "entities": []}))
    assert to_rows(tmp_path, path)[0] == []
    assert len(to_rows(tmp_path, path, source=Format.jsonl)[0]) == 1


@pytest.mark.parametrize("output", ["output.jsonl", "output.spacy"])
def test_empty_files_become_an_empty_file(tmp_path, output):
    account = convert([save(tmp_path, "empty.jsonl", "")], tmp_path / "new" / output, NLP)
    assert (account.read, account.written) == (0, 0)
    again = convert([tmp_path / "new" / output], tmp_path / "again.jsonl", NLP)
    assert (again.read, (tmp_path / "again.jsonl").read_bytes()) == (0, b"")


def test_nothing_is_written_where_a_file_cannot_be_read(tmp_path):
    good = save(tmp_path, "good.jsonl", lines({"tokens": ["a"], "spans": []}))
    bad = save(tmp_path, "bad.jsonl", lines({"tokens": ["a"], "spans": []}, {"tokens": 3}))
    with pytest.raises(ValueError, match=r"bad\.jsonl, line 2: "):
        to_rows(tmp_path, good, bad)
    assert not (tmp_path / "output.jsonl").exists()


@pytest.mark.parametrize(
    "row, message",
    [
        ({**PRODIGY, "tokens": [{"text": "Bob", "start": 0, "end": 3}]}, "its tokens don't make up its text"),
        ({"text": "\ud800", "entities": []}, "surrogates not allowed"),
    ],
)
def test_a_text_that_cannot_be_cut_is_an_error_that_names_file_and_line(tmp_path, row, message):
    path = save(tmp_path, "a.jsonl", json.dumps(row))
    with pytest.raises(ValueError, match=message) as caught:
        to_rows(tmp_path, path)
    assert str(caught.value).startswith(f"{path}, line 1: ")


def test_an_output_of_another_kind_or_among_the_inputs_is_an_error(tmp_path):
    path = save(tmp_path, "a.jsonl", FILES["jsonl"])
    with pytest.raises(ValueError, match=r"ends in \.jsonl or \.spacy"):
        convert([path], tmp_path / "a.json", NLP)
    with pytest.raises(ValueError, match="one of the files to read"):
        convert([path], tmp_path / "." / "a.jsonl", NLP)
    assert path.read_text(encoding="utf8") == FILES["jsonl"]
