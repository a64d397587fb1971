"""From places in texts to tokens: nothing is lost without a word."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_gliner.conversion.documents import HIDDEN, annotate, make_doc, row_of
from spacy_gliner.conversion.records import Link, Loss, Mark, Record
from spacy_gliner.pipeline.extensions import register_extensions
from spacy_gliner.training.corpora import check_row, make_example

from .helpers import NLP, spans_of

register_extensions()
WORDS = spacy.blank("en", config={"nlp": {"tokenizer": {"@tokenizers": "spacy_gliner.WordSplitter.v1"}}})
TEXT = "Ada lived in New York."
TEXTS = st.text(st.sampled_from("ab. ,-'\n\t\r\u00a0\u2028\u3000ß漢é\u0301😀\u200d\x00\x1f"), max_size=30)


@st.composite
def marked_texts(draw):
    """A text with up to five places, of which some lie outside of it or end before they begin."""
    text = draw(TEXTS)
    place = st.integers(-2, len(text) + 2)
    marks = st.tuples(place, place, st.sampled_from(["x", "y"])).map(lambda mark: Mark(*mark))
    return text, draw(st.lists(marks, max_size=5))


def converted(record, repair=False, nlp=NLP):
    return annotate(record, make_doc(record, nlp), repair)


def in_text(*spans, text=TEXT, repair=False, **settings):
    marks = [Mark(text.index(words), text.index(words) + len(words), label) for words, label in spans]
    return converted(Record("line 1", text=text, spans=marks, **settings), repair)


def missing(doc):
    return [token.text for token in doc if token.ent_iob == 0]


def places(doc):
    return [(span.start_char, span.end_char, span.label_) for span in doc.spans["gliner_ner"]]


@given(marked_texts(), st.sampled_from([NLP, WORDS]))
def test_every_span_is_found_with_exactly_its_text_or_reported(case, nlp):
    text, marks = case
    result = converted(Record("line 1", text=text, spans=marks), nlp=nlp)
    assert result.doc.text == text
    found = places(result.doc)
    lost = [(loss.start, loss.end, loss.label) for loss in result.lost]
    assert len(found) + len(lost) + result.repeated == len(marks)
    assert set(found).isdisjoint(lost)
    assert {*found, *lost} == {mark[:3] for mark in marks}
    assert result.repaired == 0
    for start, end, _ in found:
        assert text[start:end].strip()


@given(marked_texts(), st.sampled_from([NLP, WORDS]))
def test_with_repair_every_span_that_holds_text_is_widened_to_cover_it(case, nlp):
    text, marks = case
    result = converted(Record("line 1", text=text, spans=marks), repair=True, nlp=nlp)
    found = places(result.doc)
    for start, end, label in {mark[:3] for mark in marks}:
        if not (0 <= start < end <= len(text) and text[start:end].strip()):
            assert (start, end, label) in [(loss.start, loss.end, loss.label) for loss in result.lost]
            continue
        covered = text[start:end].strip()
        start = text.index(covered, start)
        inner = [span for span in found if span[0] <= start and start + len(covered) <= span[1] and span[2] == label]
        tight = min(inner, key=lambda span: span[1] - span[0])
        tokens = result.doc.char_span(*tight[:2])
        # no token of the narrowest one is there without need
        assert tokens[0].idx + len(tokens[0]) > start
        assert tokens[-1].idx < start + len(covered)


@given(marked_texts(), st.booleans())
def test_tokens_of_lost_spans_are_missing_unless_an_entity_holds_them(case, repair):
    text, marks = case
    result = converted(Record("line 1", text=text, spans=marks), repair=repair)
    inside = {token.i for ent in result.doc.ents for token in ent}
    touched = {
        token.i
        for loss in result.lost
        for token in result.doc
        if token.idx < loss.end and token.idx + len(token) > loss.start
    }
    assert {token.i for token in result.doc if token.ent_iob == 0} == touched - inside


@given(marked_texts(), st.booleans())
def test_every_row_is_one_that_the_corpus_reads_with_the_same_gold(case, repair):
    text, marks = case
    doc = converted(Record("line 1", text=text, spans=marks), repair=repair).doc
    example = make_example(NLP, check_row(row_of(doc, {}, False)), [], "gliner_ner")
    gold = example.reference
    assert [(span.start, span.end, span.label_) for span in gold.spans["gliner_ner"]] == [
        (span.start, span.end, span.label_) for span in doc.spans["gliner_ner"]
    ]
    assert [token.text for token in gold] == [token.text for token in doc]
    assert [token.ent_iob for token in gold] == [token.ent_iob for token in doc]


@given(st.lists(st.sampled_from(["a", "New York", " ", "😀", "b."]), min_size=1, max_size=6), st.data())
def test_spans_of_tokens_stay_where_they_are(tokens, data):
    place = st.integers(-1, len(tokens) + 1)
    marks = data.draw(st.lists(st.tuples(place, place, st.just("x")).map(lambda mark: Mark(*mark)), max_size=4))
    result = converted(Record("line 1", tokens=tokens, spans=marks))
    found = {(span.start, span.end, span.label_) for span in result.doc.spans["gliner_ner"]}
    good = {
        mark[:3]
        for mark in marks
        if 0 <= mark.start < mark.end <= len(tokens) and "".join(tokens[mark.start : mark.end]).strip()
    }
    assert found == good
    assert {(loss.start, loss.end, loss.label) for loss in result.lost} == {mark[:3] for mark in marks} - good


@pytest.mark.parametrize(
    "mark, problem",
    [
        (Mark(1, 3, "x"), "does not begin and end with tokens"),
        (Mark(0, 4, "x"), "does not begin and end with tokens"),
        (Mark(4, 4, "x"), "is empty"),
        (Mark(3, 4, "x"), "is white space alone"),
        (Mark(5, 4, "x"), "ends, at 4, before it begins, at 5"),
        (Mark(-1, 3, "x"), "outside the 22 characters"),
        (Mark(13, 23, "x"), "outside the 22 characters of the text, at 13 to 23"),
        (Mark(0, 3, ""), "has no label"),
        (Mark(0, 3, "x", "Bob"), "the text there is 'Ada', not 'Bob'"),
    ],
)
def test_a_span_that_cannot_be_placed_is_reported_with_the_reason(mark, problem):
    result = converted(Record("line 1", text=TEXT, spans=[mark]))
    assert spans_of(result.doc) == []
    (loss,) = result.lost
    assert problem in loss.problem
    assert (loss.kind, loss.start, loss.end, loss.label) == ("span", mark.start, mark.end, mark.label)


def test_repair_trims_white_space_and_widens_to_whole_tokens():
    record = Record("line 1", text=TEXT, spans=[Mark(3, 9, "verb"), Mark(14, 19, "city"), Mark(0, 3, "person")])
    result = converted(record, repair=True)
    assert spans_of(result.doc) == [("lived", "verb"), ("New York", "city"), ("Ada", "person")]
    assert (result.repaired, result.lost) == (2, [])


def test_the_tokens_of_a_lost_span_are_marked_as_missing():
    result = in_text(("Ada", "person"), ("ew Yor", "city"))
    assert missing(result.doc) == ["New", "York"]
    assert row_of(result.doc, {}, False) == {
        "tokens": ["Ada", "lived", "in", "New", "York", "."],
        "spans": [[0, 0, "person"]],
        "missing": [[3, 4]],
    }


def test_where_the_text_is_not_the_one_that_was_annotated_both_places_are_missing():
    marks = [Mark(0, 3, "city", "New\\nYork"), Mark(4, 9, "city", "York")]
    result = converted(Record("line 1", text="Ada lived in New\nYork.", spans=marks))
    assert missing(result.doc) == ["Ada", "lived", "York"]
    assert [loss.text for loss in result.lost] == ["New\\nYork", "York"]


def test_line_breaks_are_written_in_another_way_by_label_studio():
    result = converted(Record("line 1", text="New\nYork", spans=[Mark(0, 8, "city", "New\\nYork")]))
    assert spans_of(result.doc) == [("New\nYork", "city")]


def test_what_a_reader_lost_is_missing_wherever_its_text_stands():
    record = Record("line 1", text="Ada met Ada.", lost=[Loss("span", "Ada", "person", "it is no plain text")])
    result = converted(record)
    assert missing(result.doc) == ["Ada", "Ada"]
    assert result.lost == record.lost


def test_a_lost_span_inside_of_an_entity_is_counted_as_one_that_cannot_be_missing():
    result = in_text(("New York", "city"), ("ew", "part"))
    assert (missing(result.doc), result.hidden) == ([], 1)
    assert "can't be marked" in HIDDEN
    assert in_text(("Ada", "person"), ("ew", "part")).hidden == 0


def test_nested_overlapping_and_equal_spans_are_all_in_the_group():
    spans = [("New York", "city"), ("York", "part"), ("in New", "odd"), ("New York", "place")]
    result = in_text(*spans)
    assert spans_of(result.doc) == spans
    assert [(ent.text, ent.label_) for ent in result.doc.ents] == [("in New", "odd"), ("York", "part")]
    assert result.lost == []


def test_a_span_may_be_the_whole_text():
    result = in_text((TEXT, "sentence"))
    assert [(ent.text, ent.label_) for ent in result.doc.ents] == [(TEXT, "sentence")]


def test_repeated_spans_are_written_once_and_counted():
    result = in_text(("Ada", "person"), ("Ada", "person"), ("ork", "x"), ("York", "x"), repair=True)
    assert spans_of(result.doc) == [("Ada", "person"), ("York", "x")]
    assert (result.repeated, result.repaired) == (2, 1)


def test_a_record_of_which_nothing_is_known_says_so():
    assert in_text(("d", "person"), text="Ada").unknown
    assert not in_text(("d", "person"), text="Ada .").unknown
    assert not in_text(text="").unknown


def test_ends_of_relations_have_the_labels_of_the_spans_there():
    marks = [Mark(0, 3, "person"), Mark(13, 21, "city")]
    links = [Link(Mark(0, 3, ""), "lives in", Mark(13, 21, "town")), Link(Mark(4, 9, ""), "does", marks[0])]
    doc = converted(Record("line 1", text=TEXT, spans=marks, relations=links)).doc
    relations = doc._.gliner_relations
    assert [relation.to_tuple() for relation in relations] == [
        ("Ada", "lives in", "New York"),
        ("lived", "does", "Ada"),
    ]
    assert [(relation.head.label_, relation.tail.label_) for relation in relations] == [
        ("person", "town"),
        ("entity", "person"),
    ]
    first, second = row_of(doc, {}, True)["relations"]
    assert first == {
        "head": {"start": 0, "end": 0},
        "relation": "lives in",
        "tail": {"start": 3, "end": 4, "label": "town"},
    }
    assert second["head"] == {"start": 1, "end": 1}


def test_a_relation_without_name_or_with_a_lost_end_is_reported():
    ada, part = Mark(0, 3, "person"), Mark(14, 20, "city")
    links = [Link(ada, "lives in", part), Link(part, "home of", ada), Link(ada, " ", ada), Link(ada, "is", ada)]
    result = converted(Record("line 1", text=TEXT, spans=[ada, part], relations=[*links, links[-1]]))
    assert [relation.label for relation in result.doc._.gliner_relations] == ["is"]
    assert result.repeated == 1
    span, tail, head, name = result.lost
    assert span.kind == "span"
    assert (tail.text, tail.label) == ("Ada → ew Yor", "lives in")
    assert tail.problem.startswith("its tail: it does not begin and end with tokens")
    assert head.problem.startswith("its head: ")
    assert name.problem == "it has no name"


def test_the_tokens_of_the_file_are_kept_where_it_has_some():
    record = Record("line 1", text="New York.", tokens=["New York", "."], spans=[Mark(0, 8, "city")])
    assert [token.text for token in converted(record).doc] == ["New York", "."]
    assert spans_of(converted(record).doc) == [("New York", "city")]


@pytest.mark.parametrize("spaces", [None, [True, False]])
def test_tokens_that_do_not_make_up_the_text_are_an_error(spaces):
    record = Record("line 1", text="New York.", tokens=["New", "Jersey"], spaces=spaces)
    with pytest.raises(ValueError, match="tokens don't make up"):
        make_doc(record, NLP)


def test_a_tokenizer_that_changes_the_text_is_an_error():
    nlp = spacy.blank("en")
    nlp.tokenizer = lambda text: Doc(nlp.vocab, words=text.split())
    with pytest.raises(ValueError, match="--model"):
        make_doc(Record("line 1", text="New  York."), nlp)
