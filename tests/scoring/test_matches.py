"""Scores of free prompts on answers that are known."""

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_gliner.pipeline.openie import Prompts
from spacy_gliner.pipeline.results import write_matches
from spacy_gliner.scoring.matches import make_match_scorer

VOCAB = spacy.blank("en").vocab
WORDS = "Apple sells the iPhone , the iPad and the Apple Watch .".split()
TASK = Prompts("gliner_openie")


def make_doc(matches, key="gliner_openie"):
    """A Doc with matches, {prompt: [(start, end), …]}."""
    doc = Doc(VOCAB, words=WORDS)
    write_matches(doc, key, {prompt: [Span(doc, *place) for place in places] for prompt, places in matches.items()})
    return doc


def score(*pairs, **kwargs):
    return make_match_scorer()([Example(make_doc(p), make_doc(g)) for p, g in pairs], **kwargs)


def test_spans_must_agree_exactly_with_those_of_the_same_prompt():
    gold = {"products": [(3, 4), (6, 7), (9, 11)], "companies": [(0, 1)]}
    predicted = {"products": [(3, 4), (6, 7), (8, 11), (0, 1)], "companies": []}
    scores = score((predicted, gold))
    assert (scores["matches_p"], scores["matches_r"], scores["matches_f"]) == (1 / 2, 1 / 2, 1 / 2)
    assert scores["matches_per_prompt"]["products"] == pytest.approx({"p": 1 / 2, "r": 2 / 3, "f": 4 / 7})
    assert scores["matches_per_prompt"]["companies"] == {"p": 0, "r": 0, "f": 0}


def test_what_is_found_for_a_prompt_without_gold_matches_is_wrong():
    scores = score(({"people": [(0, 1)]}, {"people": []}), ({"products": [(3, 4)]}, {"products": [(3, 4)]}))
    assert (scores["matches_p"], scores["matches_r"]) == (1 / 2, 1)


def test_prompts_that_a_reference_was_not_annotated_with_are_not_looked_at():
    assert score(({"products": [(3, 4)], "people": [(0, 1)]}, {"products": [(3, 4)]}))["matches_p"] == 1


def test_scores_are_none_without_gold():
    assert set(score(({"products": [(3, 4)]}, {})).values()) == {None}


def test_gold_against_itself_scores_one():
    gold = {"products": [(3, 4), (6, 7), (9, 11)], "companies": [(0, 1)]}
    for task in (None, TASK):
        scores = score((gold, gold), ({}, {}), task=task)
        assert (scores["matches_p"], scores["matches_r"], scores["matches_f"]) == (1, 1, 1)


def test_a_component_is_scored_on_its_own_groups_alone():
    predicted = make_doc({"products": [(3, 4)]}, key="mine")
    write_matches(predicted, "another", {"products": [Span(predicted, 0, 1)]})
    example = Example(predicted, make_doc({"products": [(3, 4)]}))
    assert make_match_scorer()([example], task=Prompts("mine"))["matches_f"] == 1
    assert make_match_scorer()([example], task=Prompts("another"))["matches_f"] == 0
