"""Targets are the inverse of decoding."""

import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_gliner.decoding import candidates, drop_overlaps, valid_spans
from spacy_gliner.pipeline.lessons import scored_again
from spacy_gliner.targets import IGNORE, make_targets
from spacy_gliner.types import Lesson, PairLogits, Query, ScoredSpan, SpanLogits, TokenLogits

LABELS = ("person", "company", "city")
WIDTH = 4


def query_of(n_words, labels=LABELS):
    return Query(("word",) * n_words, tuple(labels))


def span_logits(asked, width=WIDTH):
    sizes = [len(query.words) * width * len(query.labels) for query in asked]
    return SpanLogits(torch.zeros(sum(sizes)), *lengths(asked), width)


def token_logits(asked, span_score="minimum"):
    sizes = [len(query.words) * len(query.labels) * 3 for query in asked]
    return TokenLogits(torch.zeros(sum(sizes)), *lengths(asked), span_score)


def lengths(asked):
    return [len(query.words) for query in asked], [len(query.labels) for query in asked]


def lessons(asked, gold):
    return [Lesson(query, spans) for query, spans in zip(asked, gold, strict=True)]


def certain(logits, target):
    """Logits that say with certainty what the targets say."""
    return type(logits)(**{**vars(logits), "scores": (target - 0.5) * 40})


@st.composite
def queries_with_gold(draw, overlapping):
    """Queries with spans of their words; those of one label share no word, unless `overlapping`."""
    asked, gold = [], []
    for _ in range(draw(st.integers(1, 3))):
        query = query_of(draw(st.integers(0, 7)), draw(st.lists(st.sampled_from(LABELS), unique=True)))
        spans = []
        for label in query.labels:
            for start, end in draw(pairs(len(query.words))):
                span = ScoredSpan(start, end, label, 1.0)
                others = [other for other in spans if other.label == label]
                if overlapping or all(other.end <= start or end <= other.start for other in others):
                    spans.append(span)
        asked.append(query)
        gold.append(sorted(spans))
    return asked, gold


def pairs(n_words):
    possible = [(a, b) for a in range(n_words) for b in range(a + 1, n_words + 1)]
    return st.lists(st.sampled_from(possible), unique=True, max_size=4) if possible else st.just([])


@given(queries_with_gold(overlapping=False), st.sampled_from(["minimum", "mean"]))
def test_decoding_inverts_the_targets_of_a_token_head(case, span_score):
    asked, gold = case
    logits = token_logits(asked, span_score)
    found = candidates(certain(logits, make_targets(logits, lessons(asked, gold))), asked)
    for spans, expected in zip(found, gold, strict=True):
        kept = [span for label in LABELS for span in drop_overlaps(span for span in spans if span.label == label)]
        assert sorted(kept) == expected


@given(queries_with_gold(overlapping=True))
def test_decoding_inverts_the_targets_of_a_span_head(case):
    asked, gold = case
    logits = span_logits(asked)
    found = candidates(certain(logits, make_targets(logits, lessons(asked, gold))), asked)
    for spans, expected in zip(found, gold, strict=True):
        assert sorted(spans) == [span for span in expected if span.end - span.start <= WIDTH]


@given(queries_with_gold(overlapping=True))
def test_targets_mean_nothing_exactly_where_spans_pass_the_end(case):
    asked, gold = case
    logits = span_logits(asked)
    for query, block in zip(asked, logits.per_query(make_targets(logits, lessons(asked, gold))), strict=True):
        ignored = ~valid_spans(len(query.words), WIDTH)[:, :, None].expand(block.shape)
        assert torch.equal(block == IGNORE, ignored)


def test_targets_of_a_small_text():
    asked, gold = [query_of(3, ["city", "person"])], [[ScoredSpan(1, 3, "person", 1.0)]]
    (block,) = span_logits(asked, 2).per_query(make_targets(span_logits(asked, 2), lessons(asked, gold)))
    assert block.tolist() == [[[0, 0], [0, 0]], [[0, 0], [0, 1]], [[0, 0], [-1, -1]]]
    (block,) = token_logits(asked).per_query(make_targets(token_logits(asked), lessons(asked, gold)))
    assert block[:, 0].eq(0).all()
    assert block[:, 1].tolist() == [[0, 0, 0], [1, 0, 1], [0, 1, 1]]


@pytest.mark.parametrize("make_logits", [span_logits, token_logits])
def test_gold_of_labels_that_are_not_asked_is_left_out(make_logits):
    asked = [query_of(3, ["city"])]
    logits = make_logits(asked)
    target = make_targets(logits, lessons(asked, [[ScoredSpan(0, 1, "person", 1.0)]]))
    assert torch.equal(target, make_targets(logits, lessons(asked, [[]])))
    assert not (target > 0).any()


def test_spans_that_are_too_wide_are_left_out():
    asked = [query_of(6, ["city"])]
    logits = span_logits(asked)
    target = make_targets(logits, lessons(asked, [[ScoredSpan(0, WIDTH + 1, "city", 1.0)]]))
    assert torch.equal(target, make_targets(logits, lessons(asked, [[]])))


@pytest.mark.parametrize("make_logits", [span_logits, token_logits])
def test_there_must_be_gold_for_every_query(make_logits):
    asked = [query_of(3), query_of(2)]
    with pytest.raises(ValueError):
        make_targets(make_logits(asked), lessons(asked, [[]]))


def test_other_logits_are_a_type_error():
    with pytest.raises(TypeError, match="Can't make targets for Tensor"):
        make_targets(torch.zeros(3), [])


def test_nothing_is_learned_of_missing_words_but_what_is_gold():
    query = query_of(4, ["person"])
    lesson = Lesson(query, [ScoredSpan(1, 3, "person", 1.0)], missing=(0, 2))
    (tokens,) = token_logits([query]).per_query(make_targets(token_logits([query]), [lesson]))
    assert (tokens[0] == IGNORE).all()
    assert (tokens[3] == 0).all()
    assert tokens[1, 0].tolist() == [1, 0, 1]
    assert tokens[2, 0].tolist() == [IGNORE, 1, 1]
    (spans,) = span_logits([query], 2).per_query(make_targets(span_logits([query], 2), [lesson]))
    assert spans[:, :, 0].tolist() == [[IGNORE, IGNORE], [0, 1], [IGNORE, IGNORE], [0, IGNORE]]


@st.composite
def pairs_with_gold(draw):
    """Queries with spans of their words, and some relations between different ones."""
    asked, gold = [], []
    for _ in range(draw(st.integers(1, 3))):
        n_words = draw(st.integers(0, 6))
        spans, labels = draw(pairs(n_words)), draw(st.lists(st.sampled_from(LABELS), unique=True))
        asked.append(Query(("word",) * n_words, tuple(labels), spans=tuple(spans)))
        facts = [
            ScoredSpan(*tail, label, 1.0, head) for label in labels for head in spans for tail in spans if head != tail
        ]
        gold.append(draw(st.lists(st.sampled_from(facts), unique=True, max_size=5)) if facts else [])
    return asked, gold


def pair_logits(asked, linked):
    spans, labels = [len(query.spans) for query in asked], [len(query.labels) for query in asked]
    sizes = [n * n * (c + 1) for n, c in zip(spans, labels, strict=True)]
    return PairLogits(torch.zeros(sum(sizes)), spans, labels, linked)


@given(pairs_with_gold(), st.booleans())
def test_decoding_inverts_the_targets_of_pairs(case, linked):
    asked, gold = case
    logits = pair_logits(asked, linked)
    found = candidates(certain(logits, make_targets(logits, lessons(asked, gold))), asked)
    assert list(map(set, found)) == list(map(set, gold))


def test_gold_of_one_mention_says_nothing_of_others_with_the_same_words():
    asked = [Query(("Ada", "met", "Bill", "Ada"), ("met",), spans=((0, 1), (2, 3), (3, 4)))]
    logits = pair_logits(asked, False)
    (block,) = logits.per_query(make_targets(logits, lessons(asked, [[ScoredSpan(2, 3, "met", 1.0, (0, 1))]])))
    assert block[:, :, 0].tolist() == [[IGNORE, 1.0, 0.0], [0.0, IGNORE, 0.0], [0.0, IGNORE, IGNORE]]


def test_which_pairs_are_related_is_learned_of_relations_that_are_not_asked_too():
    asked = [Query(("a", "b", "c"), ("met",), spans=((0, 1), (1, 2), (2, 3)))]
    gold = [[ScoredSpan(1, 2, "left", 1.0, (0, 1)), ScoredSpan(2, 3, "met", 1.0, (0, 1))]]
    logits = pair_logits(asked, True)
    (block,) = logits.per_query(make_targets(logits, [Lesson(asked[0], gold[0], (2,))]))
    ignored, nothing = [IGNORE, IGNORE], [0.0, 0.0]
    assert block.tolist() == [
        [ignored, [0.0, 1.0], [1.0, 1.0]],
        [nothing, ignored, ignored],
        [ignored, ignored, ignored],
    ]


def test_spans_to_score_once_more_are_gold_or_not_or_unknown():
    query = replace(query_of(6), again=((0, 2), (1, 2), (3, 5), (4, 5)))
    other = replace(query_of(0), again=())
    gold = [ScoredSpan(0, 2, "person", 1.0), ScoredSpan(3, 5, "city", 1.0), ScoredSpan(2, 3, "city", 1.0)]
    logits = replace(token_logits([query, other]), again_lengths=[4, 0])
    logits = replace(logits, scores=torch.zeros(6 * 3 * 3 + 4 * 3))
    target = make_targets(logits, [Lesson(query, gold, (4,)), Lesson(other, [])])
    of_spans, of_nothing = logits.again_per_query(target)
    assert of_spans.tolist() == [[1, 0, 0], [0, 0, 0], [IGNORE, IGNORE, 1], [IGNORE] * 3]
    assert of_nothing.shape == (0, 3)
    of_words = make_targets(token_logits([query]), [Lesson(query, gold, (4,))])
    assert torch.equal(logits.parts(target)[0], of_words)


@given(queries_with_gold(overlapping=True), st.integers(0, 9))
def test_what_is_scored_once_more_is_gold_and_what_is_not(case, seed):
    for lesson in lessons(*case):
        n_words, gold = len(lesson.query.words), {span[:2] for span in lesson.gold}
        again = scored_again(lesson, random.Random(seed)).query.again
        assert all(0 <= start < end <= n_words for start, end in again)
        assert gold <= set(again)
        assert list(again) == sorted(set(again))
        if len(gold) == 1 and n_words > 1:
            ((start, end),) = gold
            assert any(a < end and start < b for a, b in set(again) - gold)
        assert not n_words or again
