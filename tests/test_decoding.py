"""Logits to spans, compared with definitions that are slow and obviously right."""

from itertools import combinations
from math import exp

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_gliner.decoding import candidates, drop_overlaps, merge_neighbours, valid_spans
from spacy_gliner.types import Query, ScoredSpan, SpanLogits, TokenLogits

LABELS = ("person", "company", "city")
WIDTH = 3
# Zero is a probability of exactly 0.5, so that scores meet thresholds.
values = st.sampled_from([-20.0, -2.0, -0.5, 0.0, 0.5, 2.0, 20.0])
thresholds = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
label_thresholds = st.dictionaries(st.sampled_from([*LABELS, "unasked"]), thresholds, max_size=3)
queries = st.builds(
    lambda n_words, labels: Query(("word",) * n_words, tuple(labels)),
    st.integers(0, 6),
    st.lists(st.sampled_from(LABELS), unique=True),
)


def scores(draw, asked, size):
    n_values = sum(len(query.words) * len(query.labels) * size for query in asked)
    return torch.tensor(draw(st.lists(values, min_size=n_values, max_size=n_values)))


def lengths(asked):
    return [len(query.words) for query in asked], [len(query.labels) for query in asked]


@st.composite
def span_logits(draw):
    asked = draw(st.lists(queries, min_size=1, max_size=3))
    return asked, SpanLogits(scores(draw, asked, WIDTH), *lengths(asked), WIDTH)


@st.composite
def token_logits(draw):
    asked = draw(st.lists(queries, min_size=1, max_size=3))
    return asked, TokenLogits(scores(draw, asked, 3), *lengths(asked), draw(st.sampled_from(["minimum", "mean"])))


def probability(logit):
    return 1 / (1 + exp(-float(logit)))


def slow_span_candidates(query, block, limits):
    for start in range(len(query.words)):
        for width in range(1, WIDTH + 1):
            for row, label in enumerate(query.labels):
                score = probability(block[start, width - 1, row])
                if start + width <= len(query.words) and score > limits[label]:
                    yield ScoredSpan(start, start + width, label, score)


def slow_token_candidates(query, block, limits, span_score):
    for start in range(len(query.words)):
        for row, label in enumerate(query.labels):
            for end in range(start + 1, len(query.words) + 1):
                first = probability(block[start, row, 0])
                last = probability(block[end - 1, row, 1])
                inside = [probability(block[word, row, 2]) for word in range(start, end)]
                limit = limits[label]
                if first > limit and last > limit and all(score >= limit for score in inside):
                    score = min([first, last, *inside]) if span_score == "minimum" else sum(inside) / len(inside)
                    yield ScoredSpan(start, end, label, score)


def assert_same_spans(found, expected):
    assert [span[:3] for span in found] == [span[:3] for span in expected]
    assert [span.score for span in found] == pytest.approx([span.score for span in expected], abs=1e-6)


@given(span_logits(), thresholds, label_thresholds)
def test_span_candidates_are_those_of_the_definition(case, threshold, by_label):
    asked, logits = case
    limits = {label: by_label.get(label, threshold) for label in LABELS}
    found = candidates(logits, asked, threshold=threshold, label_thresholds=[by_label] * len(asked))
    for query, block, spans in zip(asked, logits.per_query(), found, strict=True):
        assert_same_spans(spans, list(slow_span_candidates(query, block, limits)))


@given(token_logits(), thresholds, label_thresholds)
def test_token_candidates_are_those_of_the_definition(case, threshold, by_label):
    asked, logits = case
    limits = {label: by_label.get(label, threshold) for label in LABELS}
    found = candidates(logits, asked, threshold=threshold, label_thresholds=[by_label] * len(asked))
    for query, block, spans in zip(asked, logits.per_query(), found, strict=True):
        assert_same_spans(spans, list(slow_token_candidates(query, block, limits, logits.span_score)))


def test_each_query_has_label_thresholds_of_its_own():
    asked = [Query(("a",), ("city",))] * 2
    logits = SpanLogits(torch.tensor([1.0, 1.0]), [1, 1], [1, 1], 1)
    found = candidates(logits, asked, label_thresholds=[{"city": 0.9}, {"person": 0.9}])
    assert [len(spans) for spans in found] == [0, 1]


def test_a_span_needs_more_than_the_threshold():
    query = Query(("a", "b"), ("city",))
    logits = SpanLogits(torch.tensor([0.0, 0.1, 0.0, 9.0]), [2], [1], 2)
    assert [span[:2] for span in candidates(logits, [query])[0]] == [(0, 2)]


def test_inside_a_span_the_threshold_itself_is_enough():
    query = Query(("a", "b", "c"), ("city",))
    start, inside, end, outside = [9.0, -9.0, 9.0], [-9.0, -9.0, 0.0], [-9.0, 9.0, 9.0], [-9.0, -9.0, -0.01]
    for middle, expected in ((inside, [(0, 3)]), (outside, [])):
        logits = TokenLogits(torch.tensor([start, middle, end]).flatten(), [3], [1])
        assert [span[:2] for span in candidates(logits, [query])[0]] == expected


def test_start_and_end_need_more_than_the_threshold():
    query = Query(("a",), ("city",))
    for scores in ([0.0, 9.0, 9.0], [9.0, 0.0, 9.0]):
        assert candidates(TokenLogits(torch.tensor(scores), [1], [1]), [query]) == [[]]


def test_a_token_span_scores_the_minimum_or_the_mean_of_its_inside():
    query = Query(("a", "b"), ("city",))
    logits = torch.tensor([[1.0, -9.0, 3.0], [-9.0, 2.0, 4.0]])
    inside = logits[:, 2].sigmoid()
    for span_score, expected in (("minimum", logits[0, 0].sigmoid()), ("mean", inside.mean())):
        ((span,),) = candidates(TokenLogits(logits.flatten(), [2], [1], span_score), [query])
        assert span.score == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize(
    "logits",
    [
        SpanLogits(torch.full((6,), 3.0, dtype=torch.bfloat16, requires_grad=True), [2], [3], 1),
        TokenLogits(torch.full((18,), 3.0, dtype=torch.bfloat16, requires_grad=True), [2], [3]),
    ],
)
def test_logits_of_training_and_of_half_precision_can_be_decoded(logits):
    found = candidates(logits, [Query(("a", "b"), LABELS)])[0]
    assert len(found) == (6 if isinstance(logits, SpanLogits) else 9)
    assert {type(span.score) for span in found} == {float}


def test_other_logits_are_a_type_error():
    with pytest.raises(TypeError, match="Can't decode Tensor"):
        candidates(torch.zeros(3), [])


def test_valid_spans_end_with_the_text():
    assert valid_spans(3, 2).tolist() == [[True, True], [True, True], [True, False]]
    assert valid_spans(0, 2).shape == (0, 2)


spans = st.lists(
    st.builds(
        lambda start, width, label, score: ScoredSpan(start, start + width, label, score),
        st.integers(0, 8),
        st.integers(1, 5),
        st.sampled_from(LABELS),
        st.sampled_from([0.1, 0.5, 0.9]),
    ),
    max_size=10,
)
modes = st.fixed_dictionaries({"nested": st.booleans(), "multi_label": st.booleans()})


def clash(a, b, *, nested, multi_label):
    if (a.start, a.end) == (b.start, b.end):
        return a.label == b.label or not multi_label
    if a.end <= b.start or b.end <= a.start:
        return False
    a_in_b, b_in_a = b.start <= a.start and a.end <= b.end, a.start <= b.start and b.end <= a.end
    return not (nested and (a_in_b or b_in_a))


@given(spans, modes)
def test_no_two_spans_that_stay_clash(found, mode):
    for a, b in combinations(drop_overlaps(found, **mode), 2):
        assert not clash(a, b, **mode)


@given(spans, modes)
def test_a_span_goes_only_for_one_that_scores_as_well_and_stays(found, mode):
    kept = drop_overlaps(found, **mode)
    for span in set(found) - set(kept):
        assert any(clash(span, other, **mode) and other.score >= span.score for other in kept)


@given(spans, modes)
def test_the_best_stay_and_of_equal_ones_the_first(found, mode):
    expected = []
    for score in (0.9, 0.5, 0.1):
        for span in found:
            if span.score == score and not any(clash(span, other, **mode) for other in expected):
                expected.append(span)
    assert drop_overlaps(found, **mode) == sorted(expected, key=lambda span: span.start)


@given(spans, modes)
def test_what_stays_is_in_order_of_start_and_then_of_score(found, mode):
    kept = drop_overlaps(iter(found), **mode)
    assert kept == sorted(kept, key=lambda span: (span.start, -span.score))


@given(spans, modes)
def test_dropping_twice_drops_nothing_more(found, mode):
    kept = drop_overlaps(found, **mode)
    assert drop_overlaps(kept, **mode) == kept


@pytest.mark.parametrize(
    "mode, expected",
    [
        ({}, ["big", "after"]),
        ({"nested": True}, ["big", "part", "after"]),
        ({"multi_label": True}, ["big", "twin", "after"]),
        ({"nested": True, "multi_label": True}, ["big", "twin", "part", "after"]),
    ],
)
def test_what_may_stand_together(mode, expected):
    found = [
        ScoredSpan(0, 3, "big", 0.9),
        ScoredSpan(0, 3, "twin", 0.8),
        ScoredSpan(2, 4, "across", 0.7),
        ScoredSpan(0, 2, "part", 0.6),
        ScoredSpan(4, 5, "after", 0.5),
    ]
    assert [span.label for span in drop_overlaps(found, **mode)] == expected


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 3), st.sampled_from("ab"), st.floats(0, 1)), max_size=8))
def test_merging_neighbours_covers_the_same_words_and_leaves_none(drawn):
    spans = drop_overlaps(ScoredSpan(start, start + size, label, score) for start, size, label, score in drawn)
    merged = merge_neighbours(spans)

    def words(spans):
        return sorted((word, span.label) for span in spans for word in range(span.start, span.end))

    assert words(merged) == words(spans)
    assert not {(span.label, span.end) for span in merged} & {(span.label, span.start) for span in merged}
    for span in merged:
        inside = [s.score for s in spans if span.start <= s.start and s.end <= span.end]
        assert span.score == min(inside)
