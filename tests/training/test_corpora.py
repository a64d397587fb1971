"""Reading annotation: GLiNER-style JSON lines."""

import gzip
import itertools
import json
from collections import Counter

import pytest
import spacy
from spacy.util import registry
from thinc.api import Config

from spacy_gliner.training.corpora import JsonCorpus, labels_by_source, read_rows

NLP = spacy.blank("en")

ROWS = [
    {"tokens": ["Ada", "met", "Bill", "Gates"], "spans": [[0, 0, "person"], [2, 3, "person"]], "source": "one"},
    {"tokens": ["In", "New", "York"], "spans": [[1, 2, "city"]], "source": "one"},
    {"tokens": ["It", "works"], "spans": [], "source": "two"},
    {"tokens": ["Aspirin"], "spans": [[0, 0, "drug"]], "source": "two", "negatives": ["plant"]},
]


@pytest.fixture
def write(tmp_path):
    """A function that writes rows, or lines, into a file of the folder."""

    def write(name, rows):
        text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


def read(path, **settings):
    return list(JsonCorpus(path, **settings)(NLP))


def gold(example, key="gliner_ner"):
    return [(span.start, span.end, span.label_) for span in example.reference.spans[key]]


def texts(examples):
    return [" ".join(token.text for token in example.reference) for example in examples]


def test_tokens_are_those_of_the_file_and_ends_are_inclusive(write):
    first, second, third, fourth = read(write("a.jsonl", ROWS))
    assert [token.text for token in first.predicted] == [token.text for token in first.reference] == ROWS[0]["tokens"]
    assert gold(first) == [(0, 1, "person"), (2, 4, "person")]
    assert [(ent.text, ent.label_) for ent in second.reference.ents] == [("New York", "city")]
    assert gold(third) == []
    assert third.reference.has_annotation("ENT_IOB")
    assert gold(fourth) == [(0, 1, "drug")]


def test_every_row_asks_for_the_labels_of_its_source(write):
    asked = [example.predicted._.gliner_labels for example in read(write("a.jsonl", ROWS))]
    assert asked == [["person", "city"], ["person", "city"], ["drug", "plant"], ["drug", "plant"]]
    assert labels_by_source(read_rows(write("b.jsonl", ROWS))) == {"one": ["person", "city"], "two": ["drug", "plant"]}


def test_a_row_can_name_its_labels(write):
    example, other = read(write("a.jsonl", [{**ROWS[0], "labels": ["person", "river"]}, ROWS[1]]))
    assert example.predicted._.gliner_labels == ["person", "river"]
    assert other.predicted._.gliner_labels == ["person", "city"]


def test_files_without_sources_have_labels_of_their_own(write):
    rows = [{key: row[key] for key in ("tokens", "spans")} for row in ROWS]
    folder = write("a.jsonl", rows[:2]).parent
    write("b.jsonl", rows[2:])
    asked = [example.predicted._.gliner_labels for example in read(folder)]
    assert asked == [["person", "city"], ["person", "city"], ["drug"], ["drug"]]


def test_nested_gold_stands_in_the_span_group_and_the_longest_as_entities(write):
    row = {"tokens": ["New", "York", "City", "Hall"], "spans": [[0, 1, "city"], [0, 3, "building"], [2, 2, "city"]]}
    (example,) = read(write("a.jsonl", [row]), spans_key="sc")
    assert sorted(gold(example, "sc")) == [(0, 2, "city"), (0, 4, "building"), (2, 3, "city")]
    assert [(ent.text, ent.label_) for ent in example.reference.ents] == [("New York City Hall", "building")]


def test_rows_of_the_reference_library_are_read(write):
    rows = [{"tokenized_text": ["Ada", "met", "Bill"], "ner": [[0, 0, "person"], [2, 2, "person"]]}]
    rows += [{"tokenized_text": ["Nobody", "came"]}]
    one, none = read(write("a.jsonl", rows))
    assert gold(one) == [(0, 1, "person"), (2, 3, "person")]
    assert gold(none) == []


def test_gzipped_files_and_folders_are_read_by_name(write):
    folder = write("b.jsonl.gz", ROWS[2:]).parent
    write("a.jsonl", ROWS[:2])
    write("notes.txt", ["nothing"])
    assert texts(read(folder)) == ["Ada met Bill Gates", "In New York", "It works", "Aspirin"]
    assert texts(read(folder / "b.jsonl.gz")) == ["It works", "Aspirin"]


def test_blank_lines_are_skipped(write):
    assert len(read(write("a.jsonl", ["", json.dumps(ROWS[0]), "  ", json.dumps(ROWS[1]), ""]))) == 2


def test_a_limit_takes_rows_from_all_over_the_file(write):
    path = write("a.jsonl", [{"tokens": [f"t{number}"], "spans": []} for number in range(10)])
    assert texts(read(path, limit=4)) == ["t0", "t2", "t5", "t7"]
    assert len(read(path, limit=99)) == 10
    assert len(read(path, limit=0)) == 10


def test_weights_draw_without_end_from_the_named_files_alone(write):
    folder = write("a.jsonl", ROWS[:2]).parent
    write("b.jsonl.gz", ROWS[2:])
    write("c.jsonl", [{"tokens": ["never"], "spans": []}])
    corpus = JsonCorpus(folder, weights={"a": 3, "b": 1})
    drawn = Counter(texts(itertools.islice(corpus(NLP), 800)))
    assert set(drawn) == {"Ada met Bill Gates", "In New York", "It works", "Aspirin"}
    assert 550 < drawn["Ada met Bill Gates"] + drawn["In New York"] < 650
    # without replacement: no row of a file comes more often than another
    assert abs(drawn["Ada met Bill Gates"] - drawn["In New York"]) <= 1


def test_a_weighted_order_depends_on_the_seed_alone(write):
    path = write("a.jsonl", [{"tokens": [f"t{number}"], "spans": []} for number in range(10)])
    orders = [texts(itertools.islice(JsonCorpus(path, {"a": 1}, seed=seed)(NLP), 30)) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    corpus = JsonCorpus(path, {"a": 1})
    assert texts(itertools.islice(corpus(NLP), 5)) == texts(itertools.islice(corpus(NLP), 5))


def test_a_name_among_the_weights_that_is_no_file_is_an_error(write):
    folder = write("a.jsonl", ROWS).parent
    with pytest.raises(FileNotFoundError, match="no data files named wikigold"):
        next(JsonCorpus(folder, weights={"a": 1, "wikigold": 1})(NLP))


def test_a_weighted_file_without_rows_is_an_error(write):
    folder = write("a.jsonl", ROWS).parent
    write("empty.jsonl", [""])
    with pytest.raises(ValueError, match="empty"):
        list(itertools.islice(JsonCorpus(folder, weights={"a": 1, "empty": 5})(NLP), 20))


@pytest.mark.parametrize("path", ["nothing.jsonl", "."])
def test_a_path_without_data_is_an_error_that_says_what_is_expected(tmp_path, path):
    with pytest.raises(FileNotFoundError, match="expected a .jsonl"):
        read(tmp_path / path)


@pytest.mark.parametrize(
    "line, message",
    [
        ("{", "line 3"),
        ("[1]", "expected"),
        ("3", "line 3"),
        ('"text"', "expected"),
        ("null", "line 3"),
        ("{}", "expected"),
        ('{"tokens": "Ada"}', "expected"),
        ('{"tokens": ["Ada", 3]}', "expected"),
        ('{"tokens": ["Ada", ""]}', "expected"),
        ('{"tokens": ["Ada"], "spans": [[0, 1, "x"]]}', "outside the row's 1 tokens"),
        ('{"tokens": ["Ada"], "spans": [[-1, 0, "x"]]}', "outside"),
        ('{"tokens": ["Ada", "x"], "spans": [[1, 0, "x"]]}', "outside"),
        ('{"tokens": ["Ada"], "spans": [[0, 0, ""]]}', "no label"),
        ('{"tokens": ["Ada"], "spans": [[0, 0, null]]}', "no label"),
        ('{"tokens": ["Ada"], "spans": [[0, 0]]}', "line 3"),
        ('{"tokens": ["Ada"], "spans": [["0", "0", "x"]]}', "line 3"),
        ('{"tokens": ["Ada"], "spans": 7}', "line 3"),
        ('{"tokenized_text": ["Ada"], "ner": null}', "line 3"),
    ],
)
def test_a_row_that_cannot_be_read_is_an_error_that_names_file_and_line(write, line, message):
    path = write("broken.jsonl", [json.dumps(ROWS[0]), "", line])
    with pytest.raises(ValueError, match=message) as caught:
        read(path)
    assert f"{path}, line 3: " in str(caught.value)


def test_a_file_in_another_encoding_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "latin.jsonl"
    path.write_bytes('{"tokens": ["Zürich"], "spans": []}'.encode("latin-1"))
    with pytest.raises(ValueError, match="latin.jsonl"):
        read(path)


def test_the_sample_in_the_assets_is_read(pytestconfig):
    examples = read(pytestconfig.rootpath / "assets" / "ner_sample.jsonl")
    assert len(examples) == 24
    assert {label for example in examples for _, _, label in gold(example)} == set(
        examples[0].predicted._.gliner_labels
    )


def test_a_config_can_name_it(write):
    path = write("a.jsonl", ROWS)
    config = Config({"corpus": {"@readers": "spacy_gliner.JsonCorpus.v1", "path": str(path), "limit": 2}})
    assert len(list(registry.resolve(config)["corpus"](NLP))) == 2


def test_all_files_of_a_folder_can_be_drawn_alike(write):
    write("big.jsonl", [{"tokens": ["a"], "spans": []}] * 50)
    folder = write("small.jsonl", [{"tokens": ["b"], "spans": []}]).parent
    drawn = [e.reference[0].text for e in itertools.islice(JsonCorpus(folder, weights="equal")(NLP), 400)]
    assert 0.4 < drawn.count("b") / 400 < 0.6


def test_files_of_other_tasks_are_left_to_their_readers(write):
    write("qa_some.jsonl", [{"paragraphs": []}])
    assert len(read(write("things.jsonl", [{"tokens": ["a"], "spans": []}]).parent)) == 1
