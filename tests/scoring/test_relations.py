"""Scores of relations on answers that are known, the measure of FewRel and the nearest entity."""

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_gliner.pipeline.relations import Relations
from spacy_gliner.pipeline.results import Relation, write_relations
from spacy_gliner.scoring.relations import make_relation_scorer, nearest_entity, tail_scores

VOCAB = spacy.blank("en").vocab
WORDS = "Bill Gates founded Microsoft . Gates met Paul Allen , and Paul Allen left Microsoft .".split()
GATES, MICROSOFT, ONLY_GATES, ALLEN, ALLEN_AGAIN, MICROSOFT_AGAIN = (0, 2), (3, 4), (5, 6), (7, 9), (11, 13), (14, 15)
TASK = Relations("gliner_relations")
KEYS = ("rel_micro_p", "rel_micro_r", "rel_micro_f", "rel_macro_p", "rel_macro_r", "rel_macro_f")


def make_doc(facts, words=WORDS, key="gliner_relations", score=None):
    """A Doc with relations, [(head, name, tail), …] by their places; None for one without annotation."""
    doc = Doc(VOCAB, words=words)
    if facts is not None:
        write_relations(doc, key, [Relation(Span(doc, *h), name, Span(doc, *t), score) for h, name, t in facts])
    return doc


def score(*pairs, **kwargs):
    """Scores of (predicted, gold) pairs."""
    return make_relation_scorer()([Example(make_doc(p, score=0.9), make_doc(g)) for p, g in pairs], **kwargs)


def test_wrong_and_missing_relations_both_count():
    gold = [(GATES, "founded", MICROSOFT), (ONLY_GATES, "met", ALLEN)]
    predicted = [(GATES, "founded", MICROSOFT), (GATES, "founded", ALLEN), (ALLEN, "met", ONLY_GATES)]
    scores = score((predicted, gold))
    assert (scores["rel_micro_p"], scores["rel_micro_r"]) == (pytest.approx(1 / 3), 1 / 2)
    assert scores["rel_micro_f"] == pytest.approx(2 / 5)
    assert scores["rel_per_type"]["founded"] == pytest.approx({"p": 1 / 2, "r": 1.0, "f": 2 / 3})
    assert scores["rel_per_type"]["met"] == {"p": 0.0, "r": 0.0, "f": 0.0}


@pytest.mark.parametrize("wrong", [(GATES, "met", MICROSOFT), (ALLEN, "founded", MICROSOFT), (GATES, "founded", ALLEN)])
def test_head_relation_and_tail_must_all_be_right(wrong):
    scores = score(([wrong], [(GATES, "founded", MICROSOFT)]))
    assert (scores["rel_micro_p"], scores["rel_micro_r"]) == (0, 0)


def test_mentions_with_the_same_words_are_one():
    gold = [(ALLEN, "left", MICROSOFT), (ALLEN_AGAIN, "left", MICROSOFT_AGAIN)]
    scores = score(([(ALLEN_AGAIN, "left", MICROSOFT)], gold))
    assert (scores["rel_micro_p"], scores["rel_micro_r"]) == (1, 1)


def test_white_space_between_words_does_not_matter():
    docs = Doc(VOCAB, words=["Paul", "\n ", "Allen", "left", "it"]), Doc(VOCAB, words=["Paul", "Allen", "left", "it"])
    for doc in docs:
        write_relations(doc, "gliner_relations", [Relation(doc[:-2], "left", doc[-1:])])
    example = Example(docs[0], docs[0].copy())
    example.reference = docs[1]
    assert make_relation_scorer()([example])["rel_micro_f"] == 1


def test_macro_scores_average_the_types_that_occur_in_gold_or_prediction():
    gold = [(GATES, "founded", MICROSOFT), (GATES, "founded", ALLEN), (ALLEN, "left", MICROSOFT)]
    predicted = [(GATES, "founded", MICROSOFT), (GATES, "founded", ALLEN), (ALLEN, "met", GATES)]
    scores = score((predicted, gold))
    assert set(scores["rel_per_type"]) == {"founded", "left", "met"}
    assert scores["rel_macro_p"] == scores["rel_macro_r"] == scores["rel_macro_f"] == pytest.approx(1 / 3)
    assert scores["rel_micro_f"] == pytest.approx(2 / 3)


def test_facts_are_counted_doc_by_doc():
    fact = [(GATES, "founded", MICROSOFT)]
    scores = score((fact, []), ([], fact), (fact, fact))
    assert (scores["rel_micro_p"], scores["rel_micro_r"]) == (1 / 2, 1 / 2)


def test_references_without_annotation_are_left_out():
    fact = [(GATES, "founded", MICROSOFT)]
    for task in (None, TASK):
        assert score((fact, fact), (fact, None), task=task)["rel_micro_p"] == 1
        assert score((fact, fact), (fact, []), task=task)["rel_micro_p"] == 1 / 2
        assert set(score((fact, None), task=task).values()) == {None}
        assert set(score(task=task)) == {*KEYS, "rel_per_type"}


def test_a_doc_that_the_component_did_not_see_has_no_predictions():
    scores = score((None, [(GATES, "founded", MICROSOFT)]), task=TASK)
    assert (scores["rel_micro_p"], scores["rel_micro_r"], scores["rel_micro_f"]) == (0, 0, 0)


def test_gold_against_itself_scores_one():
    gold = [(GATES, "founded", MICROSOFT), (ONLY_GATES, "met", ALLEN), (ALLEN_AGAIN, "left", MICROSOFT_AGAIN)]
    for task in (None, TASK):
        scores = score((gold, gold), (gold[:1], gold[:1]), ([], []), task=task)
        assert [scores[key] for key in KEYS] == [1] * 6


def test_a_component_is_scored_on_its_own_group_alone():
    predicted = make_doc([(GATES, "founded", MICROSOFT)], key="mine", score=0.9)
    write_relations(predicted, "another", [Relation(predicted[7:9], "left", predicted[3:4], 0.9)])
    example = Example(predicted, make_doc([(GATES, "founded", MICROSOFT)]))
    assert make_relation_scorer()([example], task=Relations("mine"))["rel_micro_p"] == 1
    assert make_relation_scorer()([example], task=Relations("another"))["rel_micro_p"] == 0
    assert make_relation_scorer()([example])["rel_micro_p"] == 1 / 2


def test_tails_are_compared_as_answers_are():
    scores = tail_scores([("the Ohio River.", "Ohio River"), ("Ohio", "Ohio River"), ("", "Ohio River")])
    assert scores == pytest.approx({"em": 1 / 3, "f1": (1 + 2 / 3 + 0) / 3})
    with pytest.raises(ValueError, match="no facts"):
        tail_scores([])


def spans(*places):
    doc = make_doc(None)
    return [Span(doc, start, end, label="entity") for start, end in places]


def test_the_nearest_entity_has_the_fewest_tokens_between():
    gates, microsoft, allen = spans(GATES, MICROSOFT, ALLEN)
    assert nearest_entity(allen, [gates, microsoft]) == microsoft
    assert nearest_entity(gates, [allen, microsoft]) == microsoft


def test_of_entities_as_near_the_first_of_the_text_is_taken():
    before, head, after = spans((3, 4), (5, 6), (7, 9))
    assert nearest_entity(head, [after, before]) == before


def test_the_nearest_entity_is_another_than_the_head():
    head, again, inside, longer, other = spans(ALLEN, ALLEN_AGAIN, (8, 9), (5, 9), GATES)
    assert nearest_entity(head, [head, again, inside, longer, other]) == other
    assert nearest_entity(head, [again, inside]) is None
    assert nearest_entity(head, []) is None
