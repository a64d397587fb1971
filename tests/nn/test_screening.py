"""What screening leaves out is not above the floor, and what is above it is exact."""

from dataclasses import replace

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from spacy_gliner.decoding import candidates
from spacy_gliner.nn import heads, screening
from spacy_gliner.nn.layers import Perceptron
from spacy_gliner.nn.screening import margins, pays, screened
from spacy_gliner.types import Query

from ..pipeline.helpers import scored
from ..tiny import numbers, tiny_bert, tiny_deberta, tiny_network_checkpoint


@given(
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([0.01, 1.0, 30.0]),
    floor=st.floats(-20.0, 20.0),
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    n_labels=st.integers(1, 60),
)
@example(seed=127, scale=1.0, floor=18.1875, sizes=[27], n_labels=27)  # a floor that bfloat16 rounds up
def test_scores_above_the_floor_are_exact_and_no_other_is_above_it(seed, scale, floor, sizes, n_labels):
    generator = torch.Generator().manual_seed(seed)
    perceptron = Perceptron(8, 48, 16, dropout=0.1).eval()
    with torch.inference_mode():
        for parameter in perceptron.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
        hidden = torch.randn(sum(sizes), 48, generator=generator) * scale
        labels = torch.randn(n_labels, 16, generator=generator)
        exact = perceptron.second(hidden.relu()) @ labels.T
        of_labels = margins(perceptron, labels)
        parts = hidden.clone().split(sizes)
        found, places = screened(perceptron, parts, len(hidden), labels, of_labels, floor)
    assert found.shape == (len(places), n_labels)
    left_out = torch.ones(len(hidden), dtype=torch.bool).index_fill(0, places, False)
    assert not (exact[left_out] > floor + 1e-5 * scale).any()
    torch.testing.assert_close(found, exact[places], atol=1e-4 * scale, rtol=1e-5)


def test_what_is_far_below_the_floor_is_not_scored():
    generator = torch.Generator().manual_seed(1)
    perceptron = Perceptron(8, 512, 128, dropout=0.1).eval()
    with torch.inference_mode():
        hidden = torch.randn(400, 512, generator=generator)
        labels = torch.randn(300, 128, generator=generator)
        highest = (perceptron.second(hidden.relu()) @ labels.T).amax(dim=1)
        floor = float(highest.quantile(0.9))
        _, places = screened(perceptron, [hidden], len(hidden), labels, margins(perceptron, labels), floor)
    assert 40 <= len(places) <= 200


SMALL = 0.9 * 2**-9  # lost where it is added to one and rounded to bfloat16


@pytest.mark.parametrize(
    "weight, bias, row, label, floor",
    [
        ([[1.0]], [-1.0], 1.0 + SMALL, [1.0], SMALL / 2),
        ([[1.0 + SMALL], [-1.0]], [-1.0, 1.0], 1.0, [1.0, 1.0], SMALL / 2),
        ([[1.0], [-1.0]], [-1.0 + SMALL, 1.0 + SMALL], 1.0, [1.0, 1.0], SMALL),
        ([[1.0]], [256.0], 1.0, [1.0], 256.5),
    ],
    ids=["row", "weight", "bias", "output"],
)
def test_what_only_rounding_puts_below_the_floor_is_found(weight, bias, row, label, floor):
    perceptron = Perceptron(1, 1, len(bias), dropout=0.0).eval()
    with torch.inference_mode():
        perceptron.second.weight.copy_(torch.tensor(weight))
        perceptron.second.bias.copy_(torch.tensor(bias))
        rows, labels = torch.tensor([[row], [0.0], [0.0]]), torch.tensor([label])
        rough = perceptron.second.bfloat16()(rows.bfloat16()) @ labels.bfloat16().T
        exact = perceptron.second.float()
        exact.weight.copy_(torch.tensor(weight))
        exact.bias.copy_(torch.tensor(bias))
        _, places = screened(perceptron, [rows], 3, labels, margins(perceptron, labels), floor)
    assert rough[0, 0] <= floor and 0 in places


def test_a_label_that_is_no_number_hides_no_other():
    perceptron = Perceptron(8, 48, 16, dropout=0.1).eval()
    with torch.inference_mode():
        hidden, labels = torch.randn(20, 48), torch.randn(9, 16)
        labels[3] = torch.nan
        _, places = screened(perceptron, [hidden], 20, labels, margins(perceptron, labels), 0.0)
    assert places.tolist() == list(range(20))


@pytest.mark.parametrize(
    "width, n_labels, floor, expected",
    [(384, 1024, 0.0, True), (384, 1024, -torch.inf, False), (384, 255, 0.0, False), (768, 256, 0.0, False)],
)
def test_looking_pays_with_a_floor_and_many_labels_beside_the_width(width, n_labels, floor, expected):
    perceptron = Perceptron(8, 4 * width, width, dropout=0.1)
    assert pays(perceptron, torch.zeros(n_labels, width), floor) == expected
    assert not pays(perceptron, torch.zeros(n_labels, width, dtype=torch.bfloat16), floor)


@pytest.fixture
def everywhere(monkeypatch):
    """Screening on any machine and for any number of labels; gives for how many labels it was done each time."""
    seen = []
    monkeypatch.setattr(heads, "pays", lambda perceptron, labels, floor: floor > -torch.inf)
    monkeypatch.setattr(screening, "has_x86_bfloat16", lambda: True)

    def note(*inputs):
        seen.append(len(inputs[3]))
        return screened(*inputs)

    monkeypatch.setattr(heads, "screened", note)
    return seen


def test_a_bi_encoder_finds_the_same_with_screening(everywhere):
    labels = tuple(f"label {number}" for number in range(40))
    words = tuple("Bill Gates founded Microsoft in Seattle and met Ada in London".split())
    checkpoint = tiny_network_checkpoint(
        tiny_deberta(), head="markerV0", label_backbone=tiny_bert(hidden_size=16), seed=3
    )
    for threshold in (0.1, 0.5, 0.9):
        wanted, exact = Query(words, labels, floor=threshold), Query(words, labels)
        found = []
        for query in (wanted, exact):
            with torch.inference_mode():
                batch = numbers([query], checkpoint.tokenizer)
                vectors = checkpoint.network.encode_labels(batch.labels_apart)
                known = replace(batch, labels_apart=checkpoint.network.read_labels(vectors), labels_read=True)
                logits = checkpoint.network(known)
            found.append(candidates(logits, [query], threshold=threshold)[0])
        assert [span[:3] for span in found[0]] == [span[:3] for span in found[1]]
        assert [span.score for span in found[0]] == pytest.approx([span.score for span in found[1]], abs=1e-5)
        assert found[0]
    assert everywhere == [40, 40, 40]  # never without a floor


def test_a_pipeline_screens_with_the_lowest_threshold_of_its_labels(make_nlp, tiny_bi_checkpoint, everywhere):
    low = {"threshold": 0.8, "label_thresholds": [["city", 0.3]], "nested": True, "multi_label": True}
    nlp = make_nlp(labels=["person", "company", "city"], checkpoint=tiny_bi_checkpoint, **low)
    text = "Bill Gates founded Microsoft in Seattle ."
    doc = nlp(text)
    assert everywhere
    everywhere.clear()
    heads.pays = lambda *_: False
    exact = nlp(text)
    assert not everywhere
    assert [span[:3] for span in scored(doc)] == [span[:3] for span in scored(exact)]
    scores = [[span[3] for span in scored(each)] for each in (doc, exact)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert min(scores[0]) < 0.8


def test_nothing_is_screened_in_training(everywhere):
    checkpoint = tiny_network_checkpoint(
        tiny_deberta(), head="markerV0", label_backbone=tiny_bert(hidden_size=16), seed=3
    )
    checkpoint.network(numbers([Query(("Ada", "met", "Bill"), ("person",), floor=0.5)], checkpoint.tokenizer))
    assert everywhere == []
