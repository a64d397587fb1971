"""Reading the formats: what each says, how it is told from the others, and how it is found to be broken."""

import gzip
import json

import pytest
from spacy.tokens import Doc, DocBin, Span, SpanGroup

from spacy_gliner.conversion.columns import spans_of
from spacy_gliner.conversion.formats import Format, guess_format
from spacy_gliner.conversion.records import Link, Mark, Skip
from spacy_gliner.pipeline.results import Relation

from .helpers import NLP, lines, read, save

ADA = Mark(0, 3, "person")
LONDON = Mark(13, 19, "city")
TEXT = "Ada lived in London."
PRODIGY = {
    "text": TEXT,
    "_task_hash": 1,
    "tokens": [
        {"text": "Ada", "start": 0, "end": 3, "id": 0, "ws": True},
        {"text": "lived", "start": 4, "end": 9, "id": 1, "ws": True},
        {"text": "in", "start": 10, "end": 12, "id": 2, "ws": True},
        {"text": "London", "start": 13, "end": 19, "id": 3, "ws": False},
        {"text": ".", "start": 19, "end": 20, "id": 4, "ws": False},
    ],
    "spans": [{"start": 0, "end": 3, "label": "person"}, {"start": 13, "end": 19, "label": "city"}],
    "answer": "accept",
}


def region(start, end, *labels, id="a", text=None):
    value = {"start": start, "end": end, "labels": list(labels), "text": TEXT[start:end] if text is None else text}
    return {"id": id, "type": "labels", "value": value, "from_name": "label", "to_name": "text"}


def arc(head, tail, *labels, direction="right"):
    return {"type": "relation", "from_id": head, "to_id": tail, "labels": list(labels), "direction": direction}


def task(*results, text=TEXT, **settings):
    return {"id": 7, "data": {"text": text}, "annotations": [{"result": list(results), **settings}]}


def label_studio(folder, *tasks):
    return read(save(folder, "export.json", json.dumps(tasks)), "labelstudio")


# The reference library's rows


def test_gliner_rows_are_read_from_an_array_and_from_lines(tmp_path):
    row = {
        "tokenized_text": ["Ada", "of", "New", "York"],
        "ner": [[0, 0, "person"], [2, 3, "city"]],
        "relations": [[0, 1, "lives in"]],
        "ner_negatives": ["drug"],
    }
    (of_array,) = read(save(tmp_path, "a.json", json.dumps([row], indent=1)), "gliner")
    (of_line,) = read(save(tmp_path, "b.jsonl", lines(row)), "gliner")
    for record in (of_array, of_line):
        assert record.spans == [Mark(0, 1, "person"), Mark(2, 4, "city")]
        assert record.relations == [Link(record.spans[0], "lives in", record.spans[1])]
        assert record.extra == {"negatives": ["drug"]}
    assert (of_array.where, of_line.where) == ("line 2, item 1", "line 1")


@pytest.mark.parametrize("relation", [[0, 1, "knows"], [-1, 0, "knows"]])
def test_a_gliner_relation_between_spans_that_are_not_there_is_reported(tmp_path, relation):
    row = {"tokenized_text": ["Ada"], "ner": [[0, 0, "person"]], "relations": [relation]}
    (record,) = read(save(tmp_path, "a.jsonl", lines(row)), "gliner")
    assert record.relations == []
    (loss,) = record.lost
    assert (loss.kind, loss.label) == ("relation", "knows")
    assert "no span has the number" in loss.problem


# Our own rows, and texts


@pytest.mark.parametrize(
    "row",
    [
        {"text": TEXT, "entities": [[0, 3, "person"], [13, 19, "city"]]},
        {"text": TEXT, "label": [[0, 3, "person"], [13, 19, "city"]]},
        {"text": TEXT, "spans": [[0, 3, "person"], [13, 19, "city"]]},
        {"text": TEXT, "spans": PRODIGY["spans"]},
        {
            "text": TEXT,
            "entities": [
                {"id": 1, "label": "person", "start_offset": 0, "end_offset": 3},
                {"id": 2, "label": "city", "start_offset": 13, "end_offset": 19},
            ],
        },
    ],
)
def test_texts_with_offsets_are_read_however_they_are_written(tmp_path, row):
    path = save(tmp_path, "a.jsonl", lines(row))
    assert guess_format(path) == Format.jsonl
    (record,) = read(path, "jsonl")
    assert (record.text, record.tokens) == (TEXT, None)
    assert record.spans == [ADA, LONDON]
    assert record.relations is None


def test_a_text_is_annotated_with_nothing_only_where_it_says_so(tmp_path):
    empty, bare = read(save(tmp_path, "a.jsonl", lines({"text": TEXT, "entities": []}, {"text": TEXT})), "jsonl")
    assert (empty.text, empty.spans) == (TEXT, [])
    assert bare == Skip("line 2", "it has no annotation")


def test_relations_of_doccano_are_named_by_ids(tmp_path):
    entities = [
        {"id": 11, "label": "person", "start_offset": 0, "end_offset": 3},
        {"id": 12, "label": "city", "start_offset": 13, "end_offset": 19},
    ]
    relations = [{"id": 1, "from_id": 11, "to_id": 12, "type": "lives in"}, {"from_id": 11, "to_id": 9, "type": "x"}]
    path = save(tmp_path, "a.jsonl", lines({"text": TEXT, "entities": entities, "relations": relations}))
    assert guess_format(path) == Format.jsonl
    (record,) = read(path, "jsonl")
    assert record.relations == [Link(ADA, "lives in", LONDON)]
    assert [loss.label for loss in record.lost] == ["x"]


def test_our_rows_keep_labels_sources_and_missing_tokens(tmp_path):
    row = {"tokens": ["Ada", "saw", "it"], "spans": [[0, 0, "person"]], "missing": [[2, 2]]}
    extra = {"labels": ["person", "city"], "source": "one", "id": "x", "negatives": ["drug"]}
    (record,) = read(save(tmp_path, "a.jsonl", lines({**row, **extra})), "jsonl")
    assert record.spans == [Mark(0, 1, "person")]
    assert record.missing == [(2, 3)]
    assert record.extra == extra


def test_relations_of_our_rows_may_be_one_fact_and_have_several_tails(tmp_path):
    fact = {"head": {"start": 0, "end": 0}, "tail": {"start": 1, "end": 2}, "relation": "lives in"}
    row = {"tokens": ["Ada", "New", "York", "NYC"], "spans": [[1, 2, "city"]]}
    mentions = [[1, 2], [3, 3]]
    path = save(
        tmp_path, "a.jsonl", lines({**row, **fact}, {**row, "relations": [{**fact, "tail_mentions": mentions}]})
    )
    one, several = read(path, "jsonl")
    assert one.relations == [Link(Mark(0, 1, ""), "lives in", Mark(1, 3, "city"))]
    assert several.relations == [*one.relations, Link(Mark(0, 1, ""), "lives in", Mark(3, 4, ""))]


# Columns


@pytest.mark.parametrize(
    "tags",
    [
        "B-p I-p B-p O B-c",  # IOB2
        "I-p I-p B-p O I-c",  # IOB1
        "B-p L-p U-p O U-c",  # BILUO
        "B-p E-p S-p O S-c",  # BIOES
    ],
)
def test_all_tagging_schemes_make_the_same_spans(tags):
    assert spans_of(tags.split()) == [Mark(0, 2, "p"), Mark(2, 3, "p"), Mark(4, 5, "c")]


def test_a_change_of_label_begins_a_span():
    assert spans_of(["I-p", "I-c", "E-c", "I-c"]) == [Mark(0, 1, "p"), Mark(1, 3, "c"), Mark(3, 4, "c")]


def test_conll_files_are_read_sentence_by_sentence(tmp_path):
    text = (
        "-DOCSTART- -X- -X- O\n\nAda NNP B-NP B-per\nin IN O O\nNew NNP I-NP B-loc-x\nYork NNP I-NP I-loc-x\n"
        "\n \n-DOCSTART- -X- O O\n# id 3\tdomain=en\n#\tO\nB\u00a0C\u2028\tB-no name"
    )
    path = save(tmp_path, "a.txt", text)
    assert guess_format(path) == Format.conll
    first, second = read(path, "conll")
    assert (first.where, list(first.tokens)) == ("line 3", ["Ada", "in", "New", "York"])
    assert first.spans == [Mark(0, 1, "per"), Mark(2, 4, "loc-x")]
    assert (second.where, list(second.tokens)) == ("line 11", ["#", "B\u00a0C\u2028"])
    assert second.spans == [Mark(1, 2, "no name")]


def test_a_dash_as_tag_means_that_the_annotation_is_missing(tmp_path):
    (record,) = read(save(tmp_path, "a.conll", "Ada B-per\nsaw -\nit O\n"), "conll")
    assert (record.spans, record.missing) == ([Mark(0, 1, "per")], [(1, 2)])


# spaCy


def spacy_file(folder, *docs):
    path = folder / "docs.spacy"
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return path


def test_entities_span_groups_and_relations_of_docs_are_read(tmp_path):
    doc = NLP(TEXT)
    doc.set_ents([Span(doc, 0, 1, label="person")], missing=[doc[1:2]], default="outside")
    doc.spans["mine"] = [Span(doc, 0, 1, label="person"), Span(doc, 3, 4, label="city")]
    relation = Relation(Span(doc, 0, 1, label="person"), "lives in", Span(doc, 3, 4, label="city"))
    doc._.gliner_relations = [relation]
    doc._.gliner_answers = {"Who?": [doc[0:1]]}
    doc._.gliner_labels = ["person", "city"]
    path = spacy_file(tmp_path, doc)
    assert guess_format(path) == Format.spacy
    (record,) = read(path, "spacy")
    assert record.text == TEXT
    assert record.spans == [ADA, LONDON]
    assert record.relations == [Link(ADA, "lives in", LONDON)]
    assert record.missing == [(1, 2)]
    assert record.passed_over == ["results of gliner_qa"]
    assert record.extra == {"labels": ["person", "city"]}


def test_docs_without_annotation_are_skipped(tmp_path):
    annotated = NLP(TEXT)
    annotated.spans["empty"] = SpanGroup(annotated, name="empty")
    first, empty, second = read(spacy_file(tmp_path, NLP(TEXT), Doc(NLP.vocab), annotated), "spacy")
    assert first == Skip("document 1", "it has no annotation")
    assert (empty.where, second.where) == ("document 2", "document 3")
    assert second.missing == []


# Prodigy


def test_accepted_tasks_of_prodigy_are_read_and_others_skipped(tmp_path):
    rows = [
        PRODIGY,
        {**PRODIGY, "answer": "reject"},
        {**PRODIGY, "answer": "ignore"},
        {"text": TEXT, "answer": "accept"},
    ]
    rows += [{"text": TEXT}]
    path = save(tmp_path, "a.jsonl", lines(*rows))
    assert guess_format(path) == Format.prodigy
    accepted, rejected, ignored, plain, unanswered = read(path, "prodigy")
    assert unanswered == Skip("line 5", "it has no annotation")
    assert (accepted.tokens, accepted.spans) == (["Ada", "lived", "in", "London", "."], [ADA, LONDON])
    assert (rejected.reason, ignored.reason) == ("the answer is 'reject'", "the answer is 'ignore'")
    assert (plain.tokens, plain.spans) == (None, [])


def test_relations_of_prodigy_stand_between_spans_or_tokens(tmp_path):
    first = {"head_span": PRODIGY["spans"][0], "child_span": PRODIGY["spans"][1], "label": "lives in", "head": 0}
    second = {"head": 1, "child": 3, "label": "where"}
    third = {"head": 1, "child": 9, "label": "lost"}
    path = save(tmp_path, "a.jsonl", lines({**PRODIGY, "relations": [first, second, third]}))
    (record,) = read(path, "prodigy")
    assert record.relations == [
        Link(ADA, "lives in", LONDON),
        Link(Mark(4, 9, "", "lived"), "where", Mark(13, 19, "", "London")),
    ]
    assert [(loss.label, loss.problem) for loss in record.lost] == [("lost", "its child is token 9, of 5")]


# Label Studio


def test_a_region_of_label_studio_is_a_span_for_each_of_its_labels(tmp_path):
    path = save(tmp_path, "export.json", json.dumps([task(region(0, 3, "person", "writer"))]))
    assert guess_format(path) == Format.labelstudio
    (record,) = read(path, "labelstudio")
    assert [mark[:3] for mark in record.spans] == [(0, 3, "person"), (0, 3, "writer")]
    assert record.relations is None


@pytest.mark.parametrize(
    "direction, expected", [("right", ["Ada"]), ("left", ["London"]), ("bi", ["Ada", "London"]), (None, ["Ada"])]
)
def test_relations_of_label_studio_have_directions(tmp_path, direction, expected):
    results = [arc("a", "b", "lives in", direction=direction), region(0, 3, "person"), region(13, 19, "city", id="b")]
    (record,) = label_studio(tmp_path, task(*results))
    assert [link.head.text for link in record.relations] == expected
    assert {link.name for link in record.relations} == {"lives in"}


def test_relations_of_label_studio_with_a_lost_end_are_reported(tmp_path):
    (record,) = label_studio(tmp_path, task(region(0, 3, "person"), arc("a", "zz", "lives in")))
    assert record.relations == []
    assert [(loss.label, loss.problem) for loss in record.lost] == [("lives in", "no span has the number or id 'zz'")]


def test_one_annotation_of_a_task_is_taken_and_the_others_are_skipped(tmp_path):
    three = [
        {"result": [region(0, 3, "cancelled")], "was_cancelled": True},
        {"result": [region(0, 3, "first")]},
        {"result": [region(0, 3, "truth")], "ground_truth": True},
    ]
    tasks = [{"data": {"text": TEXT}, "annotations": three[:count]} for count in (0, 1, 2, 3)]
    found = label_studio(tmp_path, *tasks)
    taken = [[mark.label for mark in record.spans] for record in found if not isinstance(record, Skip)]
    assert taken == [["first"], ["truth"]]
    another = "another annotation of the same task is taken"
    assert sorted(record.reason for record in found if isinstance(record, Skip)) == sorted(
        ["it has no annotation", *["it was cancelled"] * 3, another]
    )


def test_regions_of_pages_and_other_results_are_not_passed_over_silently(tmp_path):
    html = {"type": "labels", "value": {"start": "/div[1]/text()[1]", "end": "/div[1]", "labels": ["x"], "text": "Ada"}}
    (record,) = label_studio(tmp_path, task(html, {"type": "choices", "value": {"choices": ["good"]}}))
    assert [(loss.text, loss.label) for loss in record.lost] == [("Ada", "x")]
    assert record.passed_over == ["results of type 'choices'"]


def test_the_flat_form_of_label_studio_is_read(tmp_path):
    flat = [
        {"id": 1, "text": TEXT, "label": [region(0, 3, "person")["value"]], "annotation_id": 5, "annotator": 1},
        {"id": 1, "text": TEXT, "label": [], "annotation_id": 6},
        {"id": 2, "text": TEXT, "annotation_id": 7},
    ]
    path = save(tmp_path, "min.json", json.dumps(flat))
    assert guess_format(path) == Format.labelstudio
    first, again, second = read(path, "labelstudio")
    assert [mark[:3] for mark in first.spans] == [ADA[:3]]
    assert again.reason == "another annotation of the same task is taken"
    assert second.spans == []


def test_the_text_of_a_task_may_have_another_name_if_it_is_the_only_one(tmp_path):
    (record,) = label_studio(tmp_path, {"data": {"body": TEXT, "size": 3}, "annotations": [{"result": []}]})
    assert record.text == TEXT
    with pytest.raises(ValueError, match="line 1, item 1: .*'body', 'title'"):
        label_studio(tmp_path, {"data": {"body": "a", "title": "b"}, "annotations": [{"result": []}]})


def test_a_region_that_nobody_labelled_is_a_span_without_label(tmp_path):
    (record,) = label_studio(tmp_path, task(region(0, 3)))
    assert [mark[:3] for mark in record.spans] == [(0, 3, "")]


# Telling formats, and saying no


def test_a_format_that_cannot_be_told_is_an_error_that_lists_them(tmp_path):
    for content in ("Just some text.", lines({"sentence": "x"}), "[3]"):
        with pytest.raises(ValueError, match="a.txt: .*--from.*gliner, jsonl, conll, spacy, prodigy, labelstudio"):
            guess_format(save(tmp_path, "a.txt", content))


@pytest.mark.parametrize("name", [name.value for name in Format if name != Format.spacy])
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\r\n \r\n"])
def test_empty_files_hold_no_records_in_any_format(tmp_path, name, content):
    path = save(tmp_path, "empty.txt", content)
    assert read(path, name) == []
    assert guess_format(path) == Format.jsonl


@pytest.mark.parametrize("name, content", [("gliner", "[]"), ("labelstudio", "[]"), ("conll", "-DOCSTART- O\n\n")])
def test_files_without_records_hold_none(tmp_path, name, content):
    assert read(save(tmp_path, "empty.txt", content), name) == []


@pytest.mark.parametrize(
    "name, content",
    [
        ("conll", "Ada B-person\nin O\n\nLondon B-city\n"),
        ("jsonl", lines({"tokens": ["Zoë"], "spans": [[0, 0, "person"]]}, {"text": TEXT, "label": []})),
        ("gliner", json.dumps([{"tokenized_text": ["Zoë"], "ner": []}], indent=2)),
    ],
)
def test_byte_order_marks_windows_line_ends_and_compression_change_nothing(tmp_path, name, content):
    plain = save(tmp_path, "plain.txt", content)
    windows = save(tmp_path, "windows.txt", b"\xef\xbb\xbf" + content.replace("\n", "\r\n").encode("utf8"))
    packed = save(tmp_path, "packed.gz", gzip.compress(content.encode("utf8")))
    assert guess_format(plain) == guess_format(windows) == guess_format(packed) == Format(name)
    assert read(plain, name) == read(windows, name) == read(packed, name) != []


GOOD = {
    "gliner": {"tokenized_text": ["a"], "ner": []},
    "jsonl": {"tokens": ["a"], "spans": []},
    "prodigy": PRODIGY,
    "labelstudio": task(),
}


@pytest.mark.parametrize(
    "name, bad, message",
    [
        ("gliner", {"tokens": ["a"]}, "'tokenized_text' to be a list of tokens, got None"),
        ("gliner", {"tokenized_text": ["a", ""]}, "tokens that are not empty"),
        ("gliner", {"tokenized_text": ["a"], "ner": [[0, "x"]]}, r'a span \[start, end, "label"\]'),
        ("gliner", {"tokenized_text": ["a"], "ner": [["0", 0, "x"]]}, "got \\['0', 0, 'x'\\]"),
        ("gliner", {"tokenized_text": ["a"], "ner": [[False, 0, "x"]]}, "expected a span"),
        ("gliner", {"tokenized_text": ["a"], "ner": 7}, "'ner' to be a list, got 7"),
        ("gliner", {"tokenized_text": ["a"], "relations": [[0, "x"]]}, "expected a relation"),
        ("gliner", {"tokenized_text": ["a"], "ner_labels": [3]}, "'labels' to be a list of names"),
        ("gliner", None, "tokenized_text"),
        ("jsonl", 3, "got 3"),
        ("jsonl", {"sentence": "x"}, "'sentence'"),
        ("jsonl", {"text": 3}, "'text' to be text, got 3"),
        ("jsonl", {"text": "a", "label": ["sport"]}, "got 'sport'"),
        ("jsonl", {"text": "a", "entities": [{"start": 0}]}, "'start' and 'end'"),
        ("jsonl", {"text": "a", "entities": [], "spans": []}, "one list of spans, got 'entities' and 'spans'"),
        ("jsonl", {"text": "a", "spans": [{"start": 0, "end": 1, "label": 3}]}, "to be text"),
        ("jsonl", {"tokens": ["a"], "missing": [3]}, "a place"),
        ("jsonl", {"tokens": ["a"], "relations": [{"head": {"start": 0, "end": 0}}]}, "the name of a relation"),
        ("jsonl", {"tokens": ["a"], "relations": [{"relation": "x", "head": 3}]}, "'head' to be a place, got 3"),
        ("prodigy", {"spans": []}, "'text' to be text, got None"),
        ("prodigy", {"text": "a", "answer": "maybe"}, "accept, reject, ignore, got 'maybe'"),
        ("prodigy", {"text": "a", "answer": "accept", "tokens": [{"start": 0, "end": 1}]}, "a token with its text"),
        ("prodigy", {"text": "a", "relations": [{"label": "x", "head": None, "child": 1}]}, "the number of a token"),
        ("labelstudio", 3, "expected a task"),
        ("labelstudio", {"data": {"text": "a"}, "annotations": [3]}, "expected an annotation"),
        ("labelstudio", {"data": {"text": "a"}, "annotations": [{}]}, "'result' to be a list"),
        ("labelstudio", {"data": 3, "annotations": [{"result": []}]}, "its texts: none"),
        ("labelstudio", task({"type": "labels", "value": 7}), "a region with a list of labels"),
        ("labelstudio", task({"type": "labels", "value": {"start": 0.5, "end": 1, "labels": ["x"]}}), "'start'"),
        ("labelstudio", task(arc("a", "b", "x", direction="up")), "right, left, bi, got 'up'"),
    ],
)
def test_a_broken_item_is_an_error_that_names_file_and_place(tmp_path, name, bad, message):
    path = save(tmp_path, "lines.txt", "\n" + lines(GOOD[name]) + lines(bad))
    with pytest.raises(ValueError, match=message) as caught:
        read(path, name)
    assert str(caught.value).startswith(f"{path}, line 3: ")
    good = json.dumps(GOOD[name], indent=1)
    path = save(tmp_path, "array.txt", f"\n[ {good}\n\n, {json.dumps(bad)}]\n")
    with pytest.raises(ValueError, match=message) as caught:
        read(path, name)
    assert str(caught.value).startswith(f"{path}, line {good.count(chr(10)) + 4}, item 2: ")


@pytest.mark.parametrize(
    "content, message",
    [
        ("Ada B-per\nin\n", "line 2: expected a token and a tag, got 'in' alone"),
        ("\nAda NNP\n", "line 2: expected a tag .* got 'NNP'"),
        ("Ada b-per\n", "line 1: expected a tag .* got 'b-per'"),
        ("Ada B-\n", "line 1: expected a tag .* got 'B-'"),
        ("Ada O\n\n # O\nx\ty\tB-a\n \tO\n", "line 5: expected a token in the first column"),
    ],
)
def test_a_broken_line_of_columns_is_an_error_that_names_file_and_line(tmp_path, content, message):
    path = save(tmp_path, "a.conll", content)
    with pytest.raises(ValueError, match=f"a.conll, {message}"):
        read(path, "conll")


@pytest.mark.parametrize(
    "content, message",
    [
        (lines({"tokens": ["a"]}) + "{", "line 2: not JSON"),
        ('[{"tokens": ["a"]},\n{]', "line 2: not JSON"),
        (lines({"tokens": ["a"]}).encode() + "Zürich".encode("latin-1"), "line 2: not UTF-8"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_not_json_is_an_error_that_names_the_line(tmp_path, content, message):
    with pytest.raises(ValueError, match=f"a.jsonl, line [12]: .*|{message}") as caught:
        read(save(tmp_path, "a.jsonl", content), "jsonl")
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path):
    for name in Format:
        with pytest.raises(FileNotFoundError, match="nothing"):
            read(tmp_path / "nothing", name)
    with pytest.raises(IsADirectoryError, match="Give the files in it"):
        guess_format(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no docs", lines(PRODIGY).encode()])
def test_a_file_without_docs_is_an_error_that_names_it(tmp_path, content):
    with pytest.raises(ValueError, match=r"a\.spacy is not a file of Docs"):
        read(save(tmp_path, "a.spacy", content), "spacy")
