"""Summaries: spans or whole sentences, the best within a budget, in the order of the text; gold summaries."""

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training import Example

from spacy_gliner.pipeline.prompts import SUMMARY
from spacy_gliner.pipeline.results import write_summary
from spacy_gliner.pipeline.summarizer import INSTRUCTION, Summary, sentences_of
from spacy_gliner.types import ScoredSpan

from .components import LANGUAGE, SUMMARIZER, bounds
from .helpers import stub_network

VOCAB = spacy.blank(LANGUAGE).vocab
# Sentences of 3, 2, 4 and 1 words, the second one with a token of white space at its end.
WORDS = ["a", "b", ".", "c", ".", "\n", "d", "e", "f", ".", "g"]
STARTS = [True, False, False, True, False, False, True, False, False, False, True]
SENTENCES = [(0, 3), (3, 6), (6, 10), (10, 11)]


def make_doc(sentences=True):
    return Doc(VOCAB, words=WORDS, sent_starts=STARTS if sentences else None)


def summary(spans, doc=None, **settings):
    """Where the summary stands that is made of spans with scores."""
    doc = doc or make_doc()
    Summary("found", **settings).annotate(
        doc, [ScoredSpan(start, end, SUMMARY, score) for start, end, score in spans], []
    )
    return [span[:2] for span in bounds(doc._.gliner_summary)]


@pytest.fixture
def make_nlp(tiny_checkpoint):
    """A function that makes a pipeline of `gliner_summarizer`."""

    def make(**config):
        return SUMMARIZER.nlp(tiny_checkpoint, **config)

    return make


def test_the_instruction_and_the_label_are_those_of_the_paper(make_nlp):
    nlp = make_nlp()
    seen = stub_network(nlp, lambda query: [], name="gliner_summarizer")
    nlp(Doc(nlp.vocab, words=["Ada", "met", "Bill"]))
    ((query,),) = [seen]
    assert (query.words, query.labels, query.prompts) == (("Ada", "met", "Bill"), ("summary",), ("summary",))
    assert " ".join(query.instruction) == ("Summarize the given text , highlighting the most important information :")
    assert query.instruction == INSTRUCTION


def test_the_threshold_is_a_tenth_unless_told_otherwise(make_nlp):
    found = [ScoredSpan(row, row + 1, SUMMARY, score) for row, score in enumerate([0.11, 0.09, 0.8])]
    for config, expected in [({}, ["Ada", "Bill"]), ({"threshold": 0.5}, ["Bill"])]:
        nlp = make_nlp(**config)
        stub_network(nlp, lambda query: found, name="gliner_summarizer")
        doc = nlp(Doc(nlp.vocab, words=["Ada", "met", "Bill"]))
        assert [span.text for span in doc._.gliner_summary] == expected
        assert doc.spans["gliner_summary"].attrs["component"] == "gliner_summarizer"
        assert bounds(doc.spans["gliner_summary"]) == bounds(doc._.gliner_summary)


@pytest.mark.parametrize("labels", [["other"], [], ["summary", "other"]])
def test_there_is_no_other_label(make_nlp, labels):
    pipe = make_nlp().get_pipe("gliner_summarizer")
    with pytest.raises(ValueError, match="has one label, 'summary'"):
        pipe.task.parse(labels)
    with pytest.raises(ValueError, match="has one label, 'summary'"):
        pipe.add_label("other")
    assert pipe.add_label("summary") == 0


@pytest.mark.parametrize("setting", ["max_words", "max_sentences"])
@pytest.mark.parametrize("value", [0, -1])
def test_budgets_of_nothing_are_errors(make_nlp, setting, value):
    with pytest.raises(ValueError, match=f"{setting} must be at least 1, or null"):
        make_nlp(**{setting: value})


def test_without_sentences_the_spans_are_the_summary():
    spans = [(6, 8, 0.3), (0, 1, 0.2)]
    assert summary(spans, make_doc(sentences=False)) == [(0, 1), (6, 8)]
    assert summary(spans, whole_sentences=False) == [(0, 1), (6, 8)]


@pytest.mark.parametrize(
    "span, expected",
    [
        ((0, 1), [(0, 3)]),
        ((0, 3), [(0, 3)]),
        ((2, 6), [(3, 6)]),  # a third of the first, all of the second
        ((1, 5), [(0, 3), (3, 6)]),  # two of three, two of three
        ((5, 9), [(6, 10)]),
        ((10, 11), [(10, 11)]),
        ((0, 11), SENTENCES),
    ],
)
def test_a_sentence_is_taken_when_half_of_it_or_of_the_span_lies_in_the_other(span, expected):
    assert summary([(*span, 0.5)]) == expected


def test_a_sentence_scores_as_the_best_of_its_spans():
    doc = make_doc()
    scored = sentences_of(doc, [(doc[0:1], 0.3), (doc[1:2], 0.6), (doc[6:7], 0.4)])
    assert [((sentence.start, sentence.end), score) for sentence, score in scored] == [((0, 3), 0.6), ((6, 10), 0.4)]
    summary([(0, 1, 0.3), (1, 2, 0.6)], doc)
    assert doc.spans["found"].attrs["scores"] == [0.6]


def test_budgets_take_the_best_and_pass_over_what_is_too_long():
    spans = [(0, 1, 0.5), (3, 4, 0.4), (6, 7, 0.9), (10, 11, 0.3)]
    assert summary(spans, max_sentences=2) == [(0, 3), (6, 10)]
    assert summary(spans, max_words=4) == [(6, 10)]
    assert summary(spans, max_words=5) == [(6, 10), (10, 11)]
    assert summary(spans, max_words=6) == [(3, 6), (6, 10)]  # white space is no word
    assert summary(spans, max_words=3) == [(0, 3)]
    assert summary(spans, max_words=6, max_sentences=1) == [(6, 10)]


def test_of_equal_scores_the_first_wins():
    assert summary([(0, 1, 0.5), (3, 4, 0.5), (6, 7, 0.5)], max_sentences=1) == [(0, 3)]


places = st.tuples(st.integers(0, 10), st.integers(1, 4)).map(lambda x: (x[0], min(sum(x), 11)))
limits = st.none() | st.integers(1, 12)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(places, st.floats(0.1, 1)), max_size=8, unique_by=lambda row: row[0]),
    limits,
    limits,
    st.booleans(),
    st.booleans(),
)
def test_any_summary_keeps_to_its_budget_and_is_in_the_order_of_the_text(rows, max_words, max_sentences, whole, sents):
    doc = make_doc(sents)
    task = Summary("found", whole, max_sentences, max_words)
    spans = task.select(sorted(ScoredSpan(*place, SUMMARY, score) for place, score in rows))
    task.annotate(doc, spans, [])
    found = doc._.gliner_summary
    assert [span.start for span in found] == sorted(span.start for span in found)
    assert len({token.i for span in found for token in span}) == sum(map(len, found))
    assert max_sentences is None or len(found) <= max_sentences
    n_words = sum(not token.is_space for span in found for token in span)
    assert max_words is None or n_words <= max_words
    whole = whole and sents
    assert {(span.start, span.end) for span in found} <= (set(SENTENCES) if whole else {span[:2] for span in spans})
    # whatever was left out would not have fitted beside what scored better
    scores = dict(zip([(span.start, span.end) for span in found], doc.spans["found"].attrs["scores"], strict=True))
    unlimited = make_doc(sents)
    Summary("found", whole).annotate(unlimited, spans, [])
    group = unlimited.spans["found"]
    for span, score in zip(group, group.attrs["scores"], strict=True):
        if (span.start, span.end) in scores:
            assert scores[span.start, span.end] == score
            continue
        better = [place for place, other in scores.items() if other >= score]
        n_better = sum(not token.is_space for start, end in better for token in doc[start:end])
        n_more = sum(not token.is_space for token in span)
        full = max_sentences is not None and len(better) >= max_sentences
        assert full or (max_words is not None and n_better + n_more > max_words)


@pytest.mark.parametrize("budget", [{"max_sentences": 3}, {"max_words": 6}])
def test_the_best_of_a_long_text_are_chosen_over_all_windows(make_nlp, budget):
    nlp = make_nlp(windows={"@misc": "spacy_gliner.strided_windows.v1", "size": 20, "stride": 15}, **budget)

    def find(query):
        ranks = [(row, int(word[1:])) for row, word in enumerate(query.words) if word != "."]
        return [ScoredSpan(row, row + 1, SUMMARY, rank / 1000) for row, rank in ranks]

    stub_network(nlp, find, name="gliner_summarizer")
    ranks = [(number * 37) % 400 + 120 for number in range(400)]
    words = [word for rank in ranks for word in (f"w{rank}", ".")]
    doc = Doc(nlp.vocab, words=words, sent_starts=[True, False] * 400)
    doc = nlp(doc)
    best = [f"w{rank} ." for rank in ranks if rank >= 517]
    assert [span.text for span in doc._.gliner_summary] == best
    assert len(best) == 3
    assert max(doc.spans["gliner_summary"].attrs["scores"]) == pytest.approx(0.519)


def test_sentences_of_a_component_before_are_used(make_nlp):
    nlp = make_nlp()
    stub_network(nlp, lambda query: [ScoredSpan(1, 2, SUMMARY, 0.5)], name="gliner_summarizer")
    text = "Ada met Bill. He works in London."
    assert [span.text for span in nlp(text)._.gliner_summary] == ["met"]
    nlp.add_pipe("sentencizer", first=True)
    assert [span.text for span in nlp(text)._.gliner_summary] == ["Ada met Bill."]


# -- gold


def test_gold_is_the_summary_of_the_reference(make_nlp):
    task = make_nlp().get_pipe("gliner_summarizer").task
    predicted, reference = make_doc(), make_doc()
    example = Example(predicted, reference)
    assert task.gold(example) is None
    reference._.gliner_summary = []
    assert task.gold(example) == []
    reference._.gliner_summary = [reference[6:10], reference[0:3]]
    assert task.gold(example) == [ScoredSpan(0, 3, SUMMARY, 1.0), ScoredSpan(6, 10, SUMMARY, 1.0)]
    write_summary(reference, "found", [(reference[3:5], None)])
    assert Summary("found").gold(example) == [ScoredSpan(3, 5, SUMMARY, 1.0)]
    assert task.given(example) is predicted


def test_gold_moves_to_the_tokens_of_the_prediction():
    reference = Doc(VOCAB, words=["a", "-", "b", "met", "c"], spaces=[False, False, True, True, False])
    reference._.gliner_summary = [reference[0:3], reference[1:4], reference[4:5]]
    predicted = Doc(VOCAB, words=["a-b", "met", "c"])
    gold = Summary("gliner_summary").gold(Example(predicted, reference))
    assert [span[:2] for span in gold] == [(0, 1), (2, 3)]


def test_training_teaches_that_other_windows_have_nothing(make_nlp):
    nlp = make_nlp(windows={"@misc": "spacy_gliner.strided_windows.v1", "size": 5, "stride": 5})
    predicted, reference = make_doc(), make_doc()
    reference._.gliner_summary = [reference[0:3]]
    lessons = list(nlp.get_pipe("gliner_summarizer").lessons([Example(predicted, reference)]))
    assert [(query.words, [span[:2] for span in gold]) for query, gold, _ in lessons] == [
        (("a", "b", ".", "c", "."), [(0, 3)]),
        (("d", "e", "f", ".", "g"), []),
    ]


def test_a_span_counts_for_the_sentence_that_holds_most_of_it():
    doc = Doc(VOCAB, words=["w"] * 41, sent_starts=[row in (0, 20, 21) for row in range(41)])
    assert summary([(12, 29, 0.9)], doc, whole_sentences=True, max_sentences=1) == [(0, 20)]
