"""Exact match and F1 as `evaluate-v2.0.py` of SQuAD computes them, worked out by hand."""

import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example

from spacy_gliner.pipeline.qa import Questions
from spacy_gliner.pipeline.results import Answer, write_answers
from spacy_gliner.scoring.answers import (
    answer_report,
    best_of,
    exact_match,
    make_answer_scorer,
    normalize_answer,
    token_f1,
)

VOCAB = spacy.blank("en").vocab
WORDS = "Ada Lovelace met Charles Babbage in London in 1833".split()
TASK = Questions("gliner_answers")


def make_doc(answers, key="gliner_answers"):
    """A Doc with scored answers, {question: [(start, end, score), …]}; None for a Doc of which nothing was asked."""
    doc = Doc(VOCAB, words=WORDS)
    if answers is not None:
        found = {q: [Answer(doc[start:end], score) for start, end, score in spans] for q, spans in answers.items()}
        write_answers(doc, key, found)
    return doc


def score(predicted, gold, **kwargs):
    return make_answer_scorer()([Example(make_doc(predicted), make_doc(gold))], **kwargs)


@pytest.mark.parametrize(
    "text, normal",
    [
        ("The  Duke's, a", "dukes"),
        ("an apple A DAY", "apple day"),
        ("a.n. apple", "apple"),  # punctuation goes first, and leaves an article
        ("the-end", "theend"),
        ("the\N{EN DASH}end", "\N{EN DASH}end"),  # not ASCII, so it stays, and a word ends there
        ("\N{LEFT DOUBLE QUOTATION MARK}The End\N{RIGHT DOUBLE QUOTATION MARK}", "“ end”"),
        ("Théâtre a\N{NO-BREAK SPACE}l'Est", "théâtre lest"),
        ("thé an", "thé"),
        ("US$3 (1,000)", "us3 1000"),
        ("STRASSE straße", "strasse straße"),  # lower case, not case folding
        ("The", ""),
        ("?!", ""),
        ("", ""),
    ],
)
def test_answers_are_normalised_as_in_the_official_script(text, normal):
    assert normalize_answer(text) == normal


@pytest.mark.parametrize(
    "predicted, gold, em, f1",
    [
        ("the London.", "London", 1, 1),
        ("in London", "London", 0, 2 / 3),
        ("London", "in 1833", 0, 0),
        ("London in", "in London", 0, 1),  # words in another order
        ("new new york", "new york york", 0, 2 / 3),  # each word counts as often as both have it
        ("new new new", "new", 0, 1 / 2),
        ("", "London", 0, 0),
        ("London", "", 0, 0),
        ("", "", 1, 1),
        ("the", "", 1, 1),
        ("a", "the", 1, 1),
        ("a", "London", 0, 0),
    ],
)
def test_exact_match_and_f1_of_one_answer(predicted, gold, em, f1):
    assert exact_match(predicted, gold) == em
    assert token_f1(predicted, gold) == pytest.approx(f1)


def test_the_best_of_several_gold_answers_counts_for_each_measure():
    gold = ["in the city of London", "London, England", "1833"]
    assert best_of(exact_match, "London", gold) == 0
    assert best_of(token_f1, "London", gold) == pytest.approx(2 / 3)
    assert best_of(exact_match, "1833", gold) == 1


def test_gold_answers_of_nothing_but_articles_and_punctuation_are_dropped():
    assert best_of(exact_match, "", ["the", "London"]) == 0
    assert best_of(exact_match, "", ["the", "..."]) == 1  # nothing is left, so nothing is right
    assert best_of(token_f1, "London", ["."]) == 0


def test_a_question_whose_gold_answers_are_all_empty_still_counts_as_answerable():
    report = answer_report([("", ["."])])
    assert (report["answers_has_ans_em"], report["answers_no_ans_f"]) == (1, None)


def test_questions_with_and_without_answers_are_reported_apart():
    report = answer_report([("in London", ["London"]), ("", ["1833"]), ("", []), ("Ada", [])])
    assert report == {
        "answers_em": pytest.approx(1 / 4),
        "answers_f": pytest.approx((2 / 3 + 1) / 4),
        "answers_has_ans_em": 0,
        "answers_has_ans_f": pytest.approx(1 / 3),
        "answers_no_ans_f": 1 / 2,
        "answers_no_answer_baseline_f": 1 / 2,
    }


def test_scores_are_none_where_there_are_no_questions():
    assert set(answer_report([]).values()) == {None}
    assert set(score({"Who?": [(0, 2, 0.9)]}, None).values()) == {None}
    assert score({}, {"Who?": [(0, 2, None)]})["answers_no_ans_f"] is None


def test_the_best_answer_is_compared():
    scores = score({"Who?": [(0, 2, 0.6), (3, 5, 0.9)]}, {"Who?": [(3, 5, None)]})
    assert (scores["answers_em"], scores["answers_f"]) == (1, 1)


def test_a_gold_question_that_was_not_asked_counts_as_unanswered():
    gold = {"Who?": [(0, 2, None)], "Why?": []}
    scores = score(None, gold, task=TASK)
    assert (scores["answers_has_ans_f"], scores["answers_no_ans_f"]) == (0, 1)


def test_a_question_that_is_not_gold_is_not_looked_at():
    assert score({"Who?": [(0, 2, 0.9)], "Where?": [(6, 7, 0.9)]}, {"Who?": [(0, 2, None)]})["answers_em"] == 1


def test_gold_against_itself_scores_one():
    gold = {"Who?": [(0, 2, None), (3, 5, None)], "Where?": [(6, 7, None)], "Why?": []}
    scores = score(gold, gold, task=TASK)
    for key in ("answers_em", "answers_f", "answers_has_ans_em", "answers_has_ans_f", "answers_no_ans_f"):
        assert scores[key] == 1
    assert scores["answers_no_answer_baseline_f"] == pytest.approx(1 / 3)


def test_a_component_is_scored_on_its_own_group_alone():
    predicted = make_doc({"Who?": [(0, 2, 0.9)]}, key="mine")
    write_answers(predicted, "another", {"Who?": [Answer(predicted[3:5], 1.0)]})
    gold = make_doc({"Who?": [(0, 2, None)]})
    example = Example(predicted, gold)
    assert make_answer_scorer()([example], task=Questions("mine"))["answers_em"] == 1
    assert make_answer_scorer()([example], task=Questions("another"))["answers_em"] == 0
    write_answers(gold, "another", {"Who?": [Answer(gold[3:5])]})
    assert make_answer_scorer()([example], task=Questions("another"))["answers_em"] == 1
