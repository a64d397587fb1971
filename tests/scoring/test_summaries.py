"""ROUGE on sums that can be done by hand, and the first sentences of a text."""

import sys

import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example

from spacy_gliner.pipeline.results import set_summary, write_summary
from spacy_gliner.pipeline.summarizer import Summary
from spacy_gliner.scoring.summaries import GOLD_SUMMARY, lead, make_summary_scorer, rouge, rouge_scorer

NLP = spacy.blank("en")
TEXT = "Ada wrote a program. Bill sold programs. It rained. Nobody saw that."
FIRST, SECOND, THIRD = (0, 5), (5, 9), (9, 12)
KEYS = [f"summary_{metric}{end}" for metric in ("rouge1", "rouge2", "rougeL") for end in ("", "_std")]


def make_doc(summary=None, gold=None, key="gliner_summary"):
    """A Doc with a summary of these spans, by their places, and perhaps a gold one in words of its own."""
    doc = NLP.make_doc(TEXT)
    if summary is not None:
        write_summary(doc, key, [(doc[start:end], None) for start, end in summary])
    if gold is not None:
        doc.user_data[GOLD_SUMMARY] = gold
    return doc


def score(*pairs, **kwargs):
    """Scores of (predicted, gold) Docs."""
    return make_summary_scorer()([Example(predicted, gold) for predicted, gold in pairs], **kwargs)


def test_rouge_is_the_f_measure_of_shared_words_pairs_and_sequences():
    # 3 of 4 and 3 of 6 words; 1 of 3 and 1 of 5 pairs ("a program"); in order: "Ada a program"
    scores = rouge("Ada made a program", ["Ada, who was a great program"])
    assert scores["rouge1"] == pytest.approx(2 * 3 / (4 + 6))
    assert scores["rouge2"] == 0
    assert scores["rougeL"] == pytest.approx(2 * 3 / (4 + 6))
    assert rouge("a program Ada", ["Ada a program"]) == pytest.approx({"rouge1": 1, "rouge2": 1 / 2, "rougeL": 2 / 3})


def test_words_are_not_stemmed():
    assert rouge("programs", ["program"])["rouge1"] == 0


def test_case_and_punctuation_do_not_matter():
    assert rouge("ADA: program!", ["ada program"]) == {"rouge1": 1, "rouge2": 1, "rougeL": 1}


def test_each_metric_takes_the_gold_summary_that_fits_best():
    assert rouge("Ada wrote", ["wrote Ada", "Ada wrote a book"]) == pytest.approx(
        {"rouge1": 1, "rouge2": 1 / 2, "rougeL": 2 / 3}
    )
    several = score((make_doc([FIRST]), make_doc(gold=["Nothing alike", "Ada wrote a program"])))
    assert several["summary_rouge1"] == 1


def test_the_spans_of_the_summary_are_joined_by_one_space():
    scores = score((make_doc([FIRST, THIRD]), make_doc(gold="Ada wrote a program.  It\nrained.")))
    assert scores["summary_rougeL"] == 1


def test_a_gold_summary_in_words_of_its_own_goes_before_spans():
    both = make_doc([FIRST], gold="It rained")
    assert score((make_doc([THIRD]), both))["summary_rouge1"] == 1
    assert score((make_doc([FIRST]), make_doc([FIRST])))["summary_rouge1"] == 1


def test_the_deviation_is_that_of_the_population():
    gold = make_doc(gold="It rained")
    scores = score((make_doc([THIRD]), gold), (make_doc([SECOND]), gold))
    assert (scores["summary_rouge1"], scores["summary_rouge1_std"]) == (1 / 2, 1 / 2)


def test_a_text_without_summary_scores_nothing():
    for predicted in (make_doc(), make_doc([])):
        scores = score((predicted, make_doc(gold="It rained")), task=Summary("gliner_summary"))
        assert [scores[key] for key in KEYS] == [0] * 6


def test_references_without_a_summary_are_left_out():
    gold = make_doc(gold="It rained")
    for without in (make_doc(), make_doc([]), make_doc(gold=" ")):
        assert score((make_doc([FIRST]), without), (make_doc([THIRD]), gold))["summary_rouge1"] == 1
        assert score((make_doc([FIRST]), without)) == dict.fromkeys(KEYS)


def test_gold_against_itself_scores_one():
    docs = [make_doc([FIRST, SECOND]), make_doc([THIRD])]
    for task in (None, Summary("gliner_summary")):
        scores = score(*zip(docs, docs, strict=True), task=task)
        assert scores == pytest.approx({key: 0 if key.endswith("_std") else 1 for key in KEYS})


def test_a_component_is_scored_on_its_own_group_alone():
    predicted = make_doc([THIRD], key="mine")
    write_summary(predicted, "another", [(predicted[:5], 0.9)])
    gold = make_doc()
    set_summary(gold, [gold[9:12]])
    assert score((predicted, gold), task=Summary("mine"))["summary_rouge1"] == 1
    assert score((predicted, gold), task=Summary("another"))["summary_rouge1"] == 0


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    rouge_scorer.cache_clear()
    for module in ("rouge_score", "rouge_score.rouge_scorer"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install spacy-gliner\[rouge\]"):
        rouge("a", ["a"])


def test_the_lead_is_the_first_sentences_by_rule_where_the_doc_has_no_boundaries():
    doc = make_doc()
    assert lead(doc) == "Ada wrote a program. Bill sold programs. It rained."
    assert lead(doc, n=1) == "Ada wrote a program."
    assert lead(doc, n=9) == TEXT
    assert not doc.has_annotation("SENT_START")


def test_the_lead_keeps_the_boundaries_of_the_doc():
    doc = make_doc()
    for token in doc:
        token.is_sent_start = token.i in (0, 2, 9)
    assert lead(doc, n=2) == "Ada wrote a program. Bill sold programs."


def test_the_lead_passes_over_white_space_and_empty_docs():
    assert lead(NLP.make_doc("\n \nOne.\n\nTwo.")) == "One. Two."
    assert lead(Doc(NLP.vocab)) == ""
