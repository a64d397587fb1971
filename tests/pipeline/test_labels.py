"""What may be asked for: names, descriptions, odd labels, many labels, labels per Doc, thresholds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_gliner.decoding import candidates
from spacy_gliner.ml.architectures import shim_of
from spacy_gliner.pipeline import parts
from spacy_gliner.pipeline.labels import Label, parse_labels, parse_threshold, parse_thresholds
from spacy_gliner.types import Query, ScoredSpan

from .helpers import found, scored, stub_network

TEXT = "Bill Gates founded Microsoft in Seattle with Steve Jobs."
EVERYTHING = {"threshold": 0.0, "nested": True, "multi_label": True}

names = st.text(min_size=1, max_size=6).filter(str.strip)
limits = st.none() | st.floats(0, 1)


@given(st.dictionaries(names, names, max_size=5), st.lists(limits, min_size=5, max_size=5))
def test_parsing_inverts_unparsing(described, limits):
    labels = [Label(name, prompt) for name, prompt in described.items()]
    limited = [label._replace(threshold=limit) for label, limit in zip(labels, limits, strict=False)]
    if len(set(described.values())) == len(described):
        assert parse_labels([label.unparse() for label in labels]) == labels
        assert parse_labels([label.unparse() for label in limited]) == limited
        assert parse_labels(described) == labels


@given(st.lists(names, max_size=8))
def test_repeated_names_count_once_where_they_came_first(labels):
    assert [label.name for label in parse_labels(labels)] == list(dict.fromkeys(labels))
    assert all(label.name == label.prompt for label in parse_labels(labels))


def test_names_descriptions_and_dicts_are_read():
    assert parse_labels(["person", {"name": "drug", "description": "a medicine"}, {"name": "city"}]) == [
        Label("person", "person"),
        Label("drug", "a medicine"),
        Label("city", "city"),
    ]
    assert parse_labels({"drug": "a medicine", "city": None, "person": ""}) == [
        Label("drug", "a medicine"),
        Label("city", "city"),
        Label("person", "person"),
    ]
    assert parse_labels(()) == []


@pytest.mark.parametrize(
    "labels",
    ["person", None, 3, {"person", "city"}, [""], ["  "], ["\n"], [None], [3], [["person"]], {1: "x"}, {"": "x"}]
    + [[{"description": "x"}], [{"name": ""}], [{"name": "a", "description": 3}], [{"name": "a", "descripton": "x"}]],
)
def test_what_is_no_label_is_an_error_that_shows_one(labels):
    with pytest.raises(ValueError, match="'person'"):
        parse_labels(labels)


def test_conflicting_descriptions_are_an_error():
    twice = [{"name": "drug", "description": "a medicine"}, {"name": "drug", "description": "a plant"}]
    with pytest.raises(ValueError, match="'drug' is given twice, with different descriptions"):
        parse_labels(twice)
    assert len(parse_labels([twice[0], dict(twice[0])])) == 1


def test_two_names_that_are_read_as_the_same_words_are_an_error():
    with pytest.raises(ValueError, match="'medicine' and 'drug' are both read as 'medicine'"):
        parse_labels(["medicine", {"name": "drug", "description": "medicine"}])


@pytest.mark.parametrize("labels", [[""], "person", ["a", {"name": "a", "description": "b"}]])
def test_bad_labels_are_errors_wherever_they_are_given(make_nlp, tiny_checkpoint, labels):
    nlp = make_nlp(labels=["a"])
    doc = nlp.make_doc(TEXT)
    doc._.gliner_labels = labels
    with pytest.raises(ValueError, match="[Ll]abel"):
        nlp(doc)
    with pytest.raises(ValueError, match="[Ll]abel"):
        nlp.add_pipe("gliner_ner", name="other", config={"labels": labels})
    with pytest.raises(ValueError, match="[Ll]abel"):
        nlp.get_pipe("gliner_ner").add_label("")
    assert nlp.get_pipe("gliner_ner").labels == ("a",)


@pytest.mark.parametrize("value", [-0.001, 1.001, float("nan"), "0.5", None, True])
def test_thresholds_lie_between_zero_and_one(value):
    with pytest.raises(ValueError, match="0 to 1"):
        parse_threshold(value)
    with pytest.raises(ValueError, match="label 'person'"):
        parse_thresholds([["person", value]])


def test_thresholds_of_labels_come_as_pairs_or_a_dict():
    assert parse_thresholds([["person", 0.6], ("city", 1)]) == {"person": 0.6, "city": 1.0}
    assert parse_thresholds({"person": 0}) == {"person": 0.0}
    assert parse_thresholds([]) == {}


def test_the_description_is_read_and_the_name_is_returned(make_nlp, any_checkpoint):
    described = [{"name": "ORG", "description": "company"}, "person"]
    by_name = make_nlp(labels=["company", "person"], checkpoint=any_checkpoint, **EVERYTHING)(TEXT)
    by_description = make_nlp(labels=described, checkpoint=any_checkpoint, **EVERYTHING)(TEXT)
    renamed = [(start, end, {"company": "ORG"}.get(label, label), score) for start, end, label, score in found(by_name)]
    assert len(renamed) > 10
    assert scored(by_description) == renamed


def test_a_description_changes_what_is_found(make_nlp):
    plain = make_nlp(labels=["company", "person"], **EVERYTHING)(TEXT)
    described = [{"name": "company", "description": "the date she was born on"}, "person"]
    assert scored(make_nlp(labels=described, **EVERYTHING)(TEXT)) != found(plain)


@pytest.mark.parametrize("odd", ["<<ENT>>", "<<SEP>>", "[SEP]", "[CLS] <<ENT>> city", "[PAD]", "[FLERT]", "\x00", "🙂"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_odd_label_does_not_shift_the_others(make_nlp, any_checkpoint, odd, place):
    labels = ["person", "city"]
    labels.insert(place, odd)
    nlp = make_nlp(labels=labels, checkpoint=any_checkpoint, **EVERYTHING)
    doc = nlp(TEXT)
    shim = shim_of(nlp.get_pipe("gliner_ner").model)
    # the same prompt, column by column, under names that mean nothing to anybody
    query = Query(tuple(token.text for token in doc), tuple("abc"), tuple(labels))
    (expected,) = candidates(nlp.get_pipe("gliner_ner").model.predict([query]), [query], threshold=0.0)
    names = dict(zip("abc", labels, strict=True))
    assert len(shim.tokenizer.pieces([odd])) == 1
    by_span = {span[:3]: span[3] for span in scored(doc)}
    assert {label for _, _, label in by_span} <= set(labels)
    assert {"person", "city"} <= {label for _, _, label in by_span}
    asked = {(start, end, names[label]): score for start, end, label, score, _ in expected}
    assert all(asked[key] == pytest.approx(score, abs=1e-5) for key, score in by_span.items())


def test_a_label_that_would_fill_a_pass_is_an_error_that_names_it(make_nlp):
    nlp = make_nlp(labels=["person", "any company that works in " + "New York " * 40])
    with pytest.raises(ValueError, match="The label 'any company that works in New York .* fewer words"):
        nlp(TEXT)


def test_a_label_of_a_doc_that_would_fill_a_pass_is_an_error_that_names_it(make_nlp):
    nlp = make_nlp()
    doc = nlp.make_doc(TEXT)
    doc._.gliner_labels = ["z" * 90]
    with pytest.raises(ValueError, match="The label 'zzzz"):
        nlp(doc)


def test_a_label_of_a_doc_can_bring_its_own_threshold(make_nlp):
    nlp = make_nlp(labels=["person"])
    stub_network(nlp, lambda query: [ScoredSpan(0, 1, label, 0.6) for label in query.labels])
    docs = [nlp.make_doc(TEXT) for _ in range(2)]
    docs[0]._.gliner_labels = [{"name": "person", "threshold": 0.7}]
    assert [len(doc.ents) for doc in nlp.pipe(docs)] == [0, 1]


@pytest.mark.parametrize("n_labels", [1, 23, 200])
def test_every_one_of_many_labels_is_asked_once_about_every_word(make_nlp, any_checkpoint, n_labels):
    labels = [f"label {number}" for number in range(n_labels)]
    nlp = make_nlp(labels=labels, checkpoint=any_checkpoint, **EVERYTHING)
    seen = stub_network(nlp, lambda query: [ScoredSpan(3, 4, label, 0.9) for label in query.labels])
    doc = nlp(TEXT)
    assert sorted(label for query in seen for label in query.labels) == sorted(labels)
    assert {query.words for query in seen} == {tuple(token.text for token in doc)}
    assert {span.label_ for span in doc.spans["gliner_ner"] if (span.start, span.end) == (3, 4)} == set(labels)


def test_every_one_of_many_labels_can_be_found(make_nlp, any_checkpoint):
    labels = [f"label {number}" for number in range(200)]
    doc = make_nlp(labels=labels, checkpoint=any_checkpoint, **EVERYTHING)(TEXT)
    assert {span.label_ for span in doc.spans["gliner_ner"]} == set(labels)


def test_many_labels_leave_the_words_half_of_a_pass(make_nlp):
    nlp = make_nlp(labels=[f"label {number}" for number in range(200)])
    seen = stub_network(nlp, lambda query: [])
    shim = shim_of(nlp.get_pipe("gliner_ner").model)
    nlp("word " * 300)
    assert shim.max_pieces == 128
    assert max(shim.tokenizer.prompt_size(query) for query in seen) <= 64
    assert max(shim.tokenizer.prompt_size(query) + len(query.words) for query in seen) <= 128


def test_labels_of_different_groups_compete_by_score(make_nlp):
    labels = [f"label {number}" for number in range(200)]
    nlp = make_nlp(labels=labels)
    stub_network(nlp, lambda query: [ScoredSpan(0, 2, x, 0.95 if x == "label 150" else 0.6) for x in query.labels])
    assert [(ent.text, ent.label_) for ent in nlp(TEXT).ents] == [("Bill Gates", "label 150")]


def test_a_doc_can_bring_its_own_labels(make_nlp):
    nlp = make_nlp(labels=["person"], **EVERYTHING)
    docs = [nlp.make_doc(TEXT) for _ in range(4)]
    docs[1]._.gliner_labels = ["city", {"name": "ORG", "description": "company"}]
    docs[2]._.gliner_labels = []
    docs[3]._.gliner_labels = {"ORG": "company"}
    labels = [{span.label_ for span in doc.spans["gliner_ner"]} for doc in nlp.pipe(docs)]
    assert labels == [{"person"}, {"city", "ORG"}, set(), {"ORG"}]
    assert docs[2].ents == ()
    assert docs[2].has_annotation("ENT_IOB")


def test_labels_of_a_doc_are_read_with_the_descriptions_of_the_component(make_nlp):
    nlp = make_nlp(labels=["person", {"name": "ORG", "description": "company"}])
    seen = stub_network(nlp, lambda query: [])
    doc = nlp.make_doc(TEXT)
    doc._.gliner_labels = ["ORG", "city"]
    nlp(doc)
    assert [(query.labels, query.label_prompts) for query in seen] == [(("ORG", "city"), ("company", "city"))]


def test_a_description_of_a_doc_goes_over_that_of_the_component(make_nlp):
    nlp = make_nlp(labels=[{"name": "ORG", "description": "company"}])
    seen = stub_network(nlp, lambda query: [])
    doc = nlp.make_doc(TEXT)
    doc._.gliner_labels = [{"name": "ORG", "description": "organization"}]
    nlp(doc)
    assert [query.label_prompts for query in seen] == [("organization",)]


def test_a_doc_without_any_labels_is_an_error_that_says_what_to_do(make_nlp):
    nlp = make_nlp(labels=[])
    with pytest.raises(ValueError, match="'gliner_ner' has nothing to look for.*add_pipe.*gliner_labels"):
        nlp(TEXT)


def test_labels_of_a_doc_are_enough_where_the_component_has_none(make_nlp):
    nlp = make_nlp(labels=[], **EVERYTHING)
    doc = nlp.make_doc(TEXT)
    doc._.gliner_labels = ["person"]
    assert nlp(doc).spans["gliner_ner"]


def test_the_threshold_keeps_what_scores_above_it(make_nlp):
    nlp = make_nlp(labels=["person"], threshold=0.7)
    scores = [0.6, 0.69, 0.71, 0.8]
    stub_network(nlp, lambda query: [ScoredSpan(i, i + 1, "person", score) for i, score in enumerate(scores)])
    assert [ent.text for ent in nlp(TEXT).ents] == ["founded", "Microsoft"]


def test_labels_can_have_thresholds_of_their_own(make_nlp):
    nlp = make_nlp(labels=["person", "city"], threshold=0.5, label_thresholds=[["city", 0.9], ["river", 0.1]])
    spans = [ScoredSpan(0, 1, "person", 0.6), ScoredSpan(1, 2, "city", 0.6), ScoredSpan(2, 3, "city", 0.95)]
    stub_network(nlp, lambda query: spans)
    assert [(ent.text, ent.label_) for ent in nlp(TEXT).ents] == [("Bill", "person"), ("founded", "city")]


def test_labels_bring_thresholds_of_their_own_which_a_label_threshold_goes_over(make_nlp):
    labels = [{"name": "person", "threshold": 0.8}, {"name": "city", "description": "a town", "threshold": 0.8}, "it"]
    spans = [ScoredSpan(row, row + 1, label["name"], 0.7) for row, label in enumerate(labels[:2])]
    spans.append(ScoredSpan(2, 3, "it", 0.6))
    for pairs, expected in [
        ([], ["it"]),
        ([["city", 0.65]], ["city", "it"]),
        ([["it", 0.9], ["person", 0.6]], ["person"]),
    ]:
        nlp = make_nlp(labels=labels, label_thresholds=pairs)
        stub_network(nlp, lambda query: spans)
        assert [ent.label_ for ent in nlp(TEXT).ents] == expected


@pytest.mark.parametrize("limit", [-0.1, 1.5, "0.5", True])
def test_a_labels_own_threshold_is_checked(limit):
    with pytest.raises(ValueError, match="threshold of label 'person'.*0 to 1"):
        parse_labels([{"name": "person", "threshold": limit}])


def test_a_label_that_a_saved_config_would_interpolate_is_an_error(make_nlp):
    with pytest.raises(ValueError, match="variable"):
        make_nlp(labels=["${paths.train}"])


def test_a_doc_that_asks_for_a_label_and_its_description_is_an_error(make_nlp):
    nlp = make_nlp(labels=[{"name": "PER", "description": "person"}])
    doc = nlp.make_doc("Ada met Babbage in London")
    doc._.gliner_labels = ["person", "PER"]
    with pytest.raises(ValueError, match="both read as 'person'"):
        nlp(doc)


def test_more_labels_than_a_network_is_good_for_are_remarked_once(make_nlp, tiny_bi_checkpoint, caplog, monkeypatch):
    monkeypatch.setattr(parts, "warned", [])
    labels = [f"label {number}" for number in range(parts.MANY_LABELS + 1)]
    with caplog.at_level("WARNING", logger="spacy_gliner"):
        nlp = make_nlp(labels=labels)
        nlp(TEXT)
        make_nlp(labels=[*labels, "one more"])(TEXT)
        make_nlp(labels=labels, checkpoint=tiny_bi_checkpoint)(TEXT)
        make_nlp(labels=labels[1:])(TEXT)
    (record,) = [record for record in caplog.records if "bi-encoders were made" in record.getMessage()]
    assert record.getMessage().startswith("101 labels")
