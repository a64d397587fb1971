"""Open prompts: a span group for each, names and descriptions, reading a Doc again; gold matches."""

import pytest
from spacy.tokens import Doc
from spacy.training import Example

from spacy_gliner.pipeline.openie import Prompts
from spacy_gliner.pipeline.prompts import MATCH
from spacy_gliner.types import Query, ScoredSpan

from .components import OPENIE, bounds
from .helpers import stub_network

TEXT = "Bill Gates founded Microsoft in Seattle with Steve Jobs ."
PEOPLE, TOWNS = "all persons of it", {"name": "towns", "description": "any city :"}


@pytest.fixture
def make_nlp(tiny_checkpoint):
    """A function that makes a pipeline of `gliner_openie` whose network finds what a test says, by a prompt's name."""

    def make(matches=None, **config):
        nlp = OPENIE.nlp(tiny_checkpoint, **{"prompts": [PEOPLE, TOWNS], **config})
        if matches is not None:
            spans = {p: [ScoredSpan(*span[:2], p, span[2]) for span in found] for p, found in matches.items()}
            nlp.seen = stub_network(nlp, lambda query: spans.get(query.labels[0], []), name="gliner_openie")
        return nlp

    return make


def make_doc(nlp):
    return Doc(nlp.vocab, words=TEXT.split())


def texts(doc):
    return {prompt: [match.span.text for match in found] for prompt, found in doc._.gliner_matches.items()}


def test_a_prompt_is_read_before_the_text_with_the_label_match(make_nlp):
    nlp = make_nlp({})
    nlp(make_doc(nlp))
    words = tuple(TEXT.split())
    assert sorted(nlp.seen, key=lambda query: query.labels) == [
        Query(words, (PEOPLE,), (MATCH,), ("all", "persons", "of", "it")),
        Query(words, ("towns",), (MATCH,), ("any", "city", ":")),
    ]


def test_every_prompt_has_a_span_group_with_its_name(make_nlp):
    nlp = make_nlp({PEOPLE: [(7, 9, 0.8), (0, 2, 0.7)], "towns": []})
    doc = nlp(make_doc(nlp))
    assert set(doc.spans) == {f"gliner_openie:{PEOPLE}", "gliner_openie:towns"}
    group = doc.spans[f"gliner_openie:{PEOPLE}"]
    assert bounds(group) == [(0, 2, PEOPLE), (7, 9, PEOPLE)]
    assert group.attrs["scores"] == pytest.approx([0.7, 0.8])
    assert group.attrs["prompt"] == PEOPLE
    assert texts(doc) == {PEOPLE: ["Bill Gates", "Steve Jobs"], "towns": []}
    assert [match.score for match in doc._.gliner_matches[PEOPLE]] == pytest.approx([0.7, 0.8])


def test_matches_of_one_prompt_do_not_overlap_and_those_of_two_may(make_nlp):
    nlp = make_nlp({PEOPLE: [(0, 2, 0.7), (1, 3, 0.8)], "towns": [(0, 2, 0.9)]})
    assert texts(nlp(make_doc(nlp))) == {PEOPLE: ["Gates founded"], "towns": ["Bill Gates"]}


def test_reading_a_doc_again_replaces_the_groups_of_before(make_nlp):
    nlp = make_nlp({PEOPLE: [(0, 2, 0.7)], "towns": [(5, 6, 0.9)], "other": [(3, 4, 0.9)]})
    doc = make_doc(nlp)
    doc.spans["gliner_openie:mine"] = [doc[0:1]]
    doc = nlp(doc)
    doc._.gliner_prompts = ["other", "towns"]
    assert texts(nlp(doc)) == {"other": ["Microsoft"], "towns": ["Seattle"]}
    assert set(doc.spans) == {"gliner_openie:mine", "gliner_openie:other", "gliner_openie:towns"}
    doc._.gliner_prompts = []
    assert texts(nlp(doc)) == {}
    assert set(doc.spans) == {"gliner_openie:mine"}


def test_two_components_keep_their_groups_apart(make_nlp, tiny_checkpoint):
    nlp = make_nlp({PEOPLE: [(0, 2, 0.7)]}, prompts=[PEOPLE])
    other = OPENIE.nlp(tiny_checkpoint, prompts=["towns"], spans_key="second")
    other_spans = {"towns": [ScoredSpan(5, 6, "towns", 0.9)]}
    stub_network(other, lambda query: other_spans[query.labels[0]], name="gliner_openie")
    doc = other(nlp(make_doc(nlp)))
    assert texts(doc) == {PEOPLE: ["Bill Gates"], "towns": ["Seattle"]}
    assert texts(nlp(doc)) == {PEOPLE: ["Bill Gates"], "towns": ["Seattle"]}
    assert set(doc.spans) == {f"gliner_openie:{PEOPLE}", "second:towns"}


def test_prompts_of_a_doc_are_read_with_the_descriptions_of_the_component(make_nlp):
    nlp = make_nlp({})
    doc = make_doc(nlp)
    doc._.gliner_prompts = ["towns", {"name": "it", "description": "who ?"}, "plain"]
    nlp(doc)
    assert {query.labels[0]: " ".join(query.instruction) for query in nlp.seen} == {
        "towns": "any city :",
        "it": "who ?",
        "plain": "plain",
    }


@pytest.mark.parametrize("prompts", [PEOPLE, None, [""], [" "], [3], [{"name": "x", "prompt": "y"}]])
def test_what_is_no_prompt_is_an_error(prompts):
    with pytest.raises(ValueError, match=r"must|may"):
        Prompts("x").parse(prompts)


def test_prompts_bring_thresholds_of_their_own(make_nlp):
    spans = {PEOPLE: [(0, 2, 0.6)], "towns": [(5, 6, 0.6)]}
    nlp = make_nlp(spans, prompts=[PEOPLE, {**TOWNS, "threshold": 0.7}])
    assert texts(nlp(make_doc(nlp))) == {PEOPLE: ["Bill Gates"], "towns": []}


def test_a_prompt_that_leaves_no_room_is_an_error_that_names_it(make_nlp):
    nlp = make_nlp({}, prompts=["all of it " * 30])
    with pytest.raises(ValueError, match="'all of it .*…' is 153 pieces long.*fewer words"):
        nlp(make_doc(nlp))


# -- gold


ALL = {"@misc": "spacy_gliner.sample_labels.v1", "max_labels": 99, "max_negatives": 9999}


def example_of(nlp, matches):
    predicted, reference = make_doc(nlp), make_doc(nlp)
    reference._.gliner_matches = {p: [reference[start:end] for start, end in found] for p, found in matches.items()}
    return Example(predicted, reference)


def lessons(nlp, example):
    return {
        (query.labels[0], " ".join(query.instruction)): [
            query.words[span.start : span.end] for span in gold if span.label == query.labels[0]
        ]
        for query, gold, *_ in nlp.get_pipe("gliner_openie").lessons([example])
    }


def test_training_asks_the_prompts_of_the_reference_as_the_component_describes_them(make_nlp):
    nlp = make_nlp(sample_labels=ALL)
    example = example_of(nlp, {"towns": [(5, 6)], "new": [(0, 2), (7, 9)], "nothing": []})
    assert lessons(nlp, example) == {
        ("towns", "any city :"): [("Seattle",)],
        ("new", "new"): [("Bill", "Gates"), ("Steve", "Jobs")],
        ("nothing", "nothing"): [],
    }


def test_descriptions_of_the_reference_are_read(make_nlp):
    nlp = make_nlp(sample_labels=ALL)
    example = example_of(nlp, {"new": [(0, 2)]})
    example.reference._.gliner_prompts = [{"name": "new", "description": "who ?"}]
    assert lessons(nlp, example) == {("new", "who ?"): [("Bill", "Gates")]}
    assert example.predicted._.gliner_prompts is None


def test_a_reference_without_matches_teaches_nothing(make_nlp):
    nlp = make_nlp(sample_labels=ALL)
    example = Example(make_doc(nlp), make_doc(nlp))
    assert nlp.get_pipe("gliner_openie").task.gold(example) is None
    assert lessons(nlp, example) == {}


def test_gold_moves_to_the_tokens_of_the_prediction(make_nlp):
    nlp = make_nlp()
    reference = Doc(nlp.vocab, words=["Bill", "-", "Gates", "met", "Ada"], spaces=[False, False, True, True, False])
    reference._.gliner_matches = {"a": [reference[0:3]], "b": [reference[4:5], reference[0:2]]}
    predicted = Doc(nlp.vocab, words=["Bill-Gates", "met", "Ada"])
    gold = nlp.get_pipe("gliner_openie").task.gold(Example(predicted, reference))
    assert gold == [ScoredSpan(0, 1, "a", 1.0), ScoredSpan(2, 3, "b", 1.0)]
