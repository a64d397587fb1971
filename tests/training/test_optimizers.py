"""The optimizer's two rates and their schedules."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.util import registry
from thinc.api import Config

from spacy_gliner.training.optimizers import AdamW, warmup_cosine

CONFIG = """
[optimizer]
@optimizers = "spacy_gliner.AdamW.v1"
weight_decay = 0.1
grad_clip = 2.0

[optimizer.learn_rate]
@schedules = "spacy_gliner.warmup_cosine.v1"
rate = 0.1
warmup_steps = 2
total_steps = 6

[optimizer.head_learn_rate]
@schedules = "spacy_gliner.warmup_cosine.v1"
rate = 0.5
warmup_steps = 0
total_steps = 4
final_rate = 0.1
"""


def first(n, schedule):
    return list(itertools.islice(schedule, n))


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine():
    rates = first(9, warmup_cosine(1.0, warmup_steps=4, total_steps=8))
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 0.853553, 0.5, 0.146447, 0.0], abs=1e-6)


def test_the_last_rate_lasts():
    assert first(8, warmup_cosine(1.0, warmup_steps=1, total_steps=3, final_rate=0.2))[3:] == [0.2] * 5


@given(st.floats(1e-6, 1), st.integers(0, 10), st.integers(0, 20))
def test_rates_stay_between_the_last_and_the_largest(rate, warmup_steps, total_steps):
    rates = first(40, warmup_cosine(rate, warmup_steps, total_steps, final_rate=rate / 10))
    assert max(rates) == pytest.approx(rate)
    assert all(0 < value <= rate * 1.000001 for value in rates)
    falling = rates[warmup_steps:]
    assert falling == sorted(falling, reverse=True)
    assert rates[:warmup_steps] == sorted(rates[:warmup_steps])


def test_schedules_of_the_config_advance_with_every_step():
    optimizer = registry.resolve(Config().from_str(CONFIG))["optimizer"]
    assert isinstance(optimizer, AdamW)
    rates = []
    for _ in range(5):
        rates.append((optimizer.learn_rate, optimizer.head_learn_rate))
        optimizer.step_schedules()
    assert [rate for rate, _ in rates] == pytest.approx(first(5, warmup_cosine(0.1, 2, 6)))
    assert [rate for _, rate in rates] == pytest.approx(first(5, warmup_cosine(0.5, 0, 4, 0.1)))


def test_settings_are_those_of_the_config():
    optimizer = registry.resolve(Config().from_str(CONFIG))["optimizer"]
    assert (optimizer.L2, optimizer.grad_clip, optimizer.b1, optimizer.b2, optimizer.eps) == (
        0.1,
        2.0,
        0.9,
        0.999,
        1e-8,
    )
    assert optimizer.L2_is_weight_decay
    assert optimizer.averages is None


def test_rates_may_be_numbers_or_lists():
    optimizer = AdamW(learn_rate=0.1, head_learn_rate=[0.3, 0.2])
    rates = []
    for _ in range(3):
        rates.append((optimizer.learn_rate, optimizer.head_learn_rate))
        optimizer.step_schedules()
    assert rates == [(0.1, 0.3), (0.1, 0.2), (0.1, 0.2)]
