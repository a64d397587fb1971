"""Which labels training asks for."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_gliner.training.negatives import LabelSampler

names = st.lists(st.sampled_from("abcdefghijklmnop"), unique=True)
seeds = st.integers(0, 2**32)


def draw(gold, pool, seed, **settings):
    return LabelSampler(**settings)(gold, pool, random.Random(seed))


@given(names, names, seeds, st.integers(1, 20), st.integers(0, 12), st.sampled_from([0.0, 0.3, 0.9]), st.booleans())
def test_labels_come_once_from_gold_or_pool_and_are_not_too_many(gold, pool, seed, max_labels, n, drop, shuffle):
    drawn = draw(gold, pool, seed, max_labels=max_labels, max_negatives=n, drop=drop, shuffle=shuffle)
    assert len(drawn) == len(set(drawn)) <= max_labels
    assert set(drawn) <= {*gold, *pool}


@given(names, names, seeds, st.integers(1, 20))
def test_gold_comes_first_and_is_kept_up_to_the_limit(gold, pool, seed, max_labels):
    drawn = draw(gold, pool, seed, max_labels=max_labels, shuffle=False)
    n_gold = min(len(gold), max_labels)
    assert drawn[:n_gold] == gold[:n_gold]
    assert not set(drawn[n_gold:]) & set(gold)


@given(names, names, seeds)
def test_a_dropped_gold_label_is_never_asked_as_if_it_were_absent(gold, pool, seed):
    assert not set(draw(gold, pool, seed, drop=1 - 1e-12)) & set(gold)


@given(names.filter(bool), names, seeds, st.integers(0, 3))
def test_there_are_no_more_negatives_than_allowed(gold, pool, seed, max_negatives):
    drawn = draw(gold, pool, seed, max_negatives=max_negatives)
    assert len(set(drawn) - set(gold)) <= max_negatives


def test_an_example_without_gold_asks_for_something_absent():
    assert all(draw([], list("abc"), seed) for seed in range(50))
    assert draw([], [], 0) == []


def test_every_number_of_negatives_occurs():
    counts = Counter(len(draw(["a"], list("bcdefg"), seed, max_negatives=3)) - 1 for seed in range(400))
    assert set(counts) == {0, 1, 2, 3}
    assert min(counts.values()) > 50


@given(names, names, seeds)
def test_the_same_generator_draws_the_same(gold, pool, seed):
    assert draw(gold, pool, seed, drop=0.5) == draw(gold, pool, seed, drop=0.5)


def test_shuffling_brings_labels_into_any_order():
    orders = {tuple(draw(list("abc"), [], seed)) for seed in range(60)}
    assert len(orders) == 6


def test_dropping_leaves_out_about_as_many_as_it_says():
    n_kept = sum(len(draw(list("abcdefghij"), [], seed, drop=0.3)) for seed in range(100))
    assert 600 < n_kept < 800


@given(names.filter(bool), seeds, st.sampled_from([0.0, 0.5, 0.75]))
def test_a_ratio_says_how_many_of_the_labels_are_absent(gold, seed, ratio):
    pool = [f"absent {number}" for number in range(60)]
    drawn = draw(gold, pool, seed, negative_ratio=ratio, max_labels=100)
    assert len(set(drawn) - set(gold)) == len(gold) * {0.0: 0, 0.5: 1, 0.75: 3}[ratio]


def test_a_ratio_between_whole_numbers_holds_on_average():
    n_negatives = [len(draw(["a"], list("bcdefg"), seed, negative_ratio=0.6)) - 1 for seed in range(400)]
    assert set(n_negatives) == {1, 2}
    assert sum(n_negatives) / 400 == pytest.approx(1.5, abs=0.1)


def test_without_gold_a_ratio_of_nothing_asks_for_nothing():
    assert draw([], list("abc"), 0, negative_ratio=0.0) == []
    assert len(draw([], list("abc"), 0, negative_ratio=0.5)) == 1


def reworded(name, prompt, **settings):
    sampler, rng = LabelSampler(**settings), random.Random(0)
    return {sampler.reword(name, prompt, rng) for _ in range(100)}


def test_labels_are_read_as_they_are_unless_told_otherwise():
    assert reworded("drug", "a medicine") == {"a medicine"}


def test_labels_are_read_in_other_cases():
    assert reworded("film award", "film award", case=0.5) == {"film award", "FILM AWARD", "Film Award", "Film award"}


def test_labels_are_read_as_synonyms():
    assert reworded("person", "person", synonyms={"person": ["human", "man"]}) == {"person", "human", "man"}
    assert reworded("city", "city", synonyms={"person": ["human"]}) == {"city"}


def test_names_are_read_in_place_of_descriptions():
    assert reworded("drug", "a medicine", bare_rate=0.5) == {"drug", "a medicine"}
    assert reworded("drug", "a medicine", bare_rate=1, synonyms={"drug": ["pill"]}) == {"drug", "pill"}


@pytest.mark.parametrize(
    "settings",
    [
        {"max_labels": 0},
        {"max_negatives": -1},
        {"drop": 1.0},
        {"drop": -0.1},
        {"negative_ratio": 1.0},
        {"case": 2},
        {"synonym_rate": -1},
        {"negatives_from": "nowhere"},
    ],
)
def test_settings_that_make_no_sense_are_errors(settings):
    with pytest.raises(ValueError, match="sample_labels needs"):
        LabelSampler(**settings)
