"""Backbones whose Linears oneDNN multiplies: in bfloat16, in float32 on some CPUs; the results are the same."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import gelu

from spacy_gliner.nn import heads, layout, onednn, precision
from spacy_gliner.nn.layers import Perceptron
from spacy_gliner.nn.layout import by_input
from spacy_gliner.nn.onednn import (
    OneDnnLinear,
    for_programs,
    has_x86_bfloat16,
    is_x86,
    product,
    rows_of_programs,
    takes_onednn,
)
from spacy_gliner.nn.precision import for_prediction

from ..tiny import (
    QUERIES,
    assert_equal,
    numbers,
    scores_of,
    tiny_bert,
    tiny_deberta,
    tiny_modernbert,
    tiny_network_checkpoint,
)

needs_onednn = pytest.mark.skipif(
    not (is_x86() and torch.backends.mkldnn.is_available()), reason="needs x86 and oneDNN"
)
needs_bfloat16 = pytest.mark.skipif(not has_x86_bfloat16(), reason="this CPU has no units for bfloat16")


@needs_bfloat16
@pytest.mark.parametrize("backbone", [tiny_bert, tiny_deberta, tiny_modernbert])
def test_all_linears_of_a_backbone_are_packed(backbone):
    checkpoint = tiny_network_checkpoint(backbone())
    by_input(checkpoint.network)
    changed = for_prediction(checkpoint.network, "bfloat16")
    plain, packed = (dict(n.encoder.transformer.backbone.named_modules()) for n in (checkpoint.network, changed))
    linears = {name: module for name, module in plain.items() if isinstance(module, nn.Linear)}
    assert {name for name, module in packed.items() if isinstance(module, OneDnnLinear)} == linears.keys()
    for name, layer in linears.items():
        rows = torch.randn(4, layer.in_features).bfloat16()
        with torch.inference_mode():
            found, expected = packed[name](rows), copy.deepcopy(layer).bfloat16()(rows)
        torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)


def test_without_units_or_onednn_nothing_is_packed(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not has_x86_bfloat16()
    changed = for_prediction(tiny_network_checkpoint().network, "bfloat16")
    assert not any(isinstance(module, OneDnnLinear) for module in changed.modules())


@needs_bfloat16
@pytest.mark.parametrize("shape", [(0, 6), (3, 6), (2, 3, 6), (2, 0, 6)])
def test_a_packed_linear_is_the_linear(shape):
    layer, rows = nn.Linear(6, 5).bfloat16(), torch.randn(shape).bfloat16()
    layer.weight.data = layer.weight.data.T.contiguous().T
    packed = OneDnnLinear(layer)
    with torch.inference_mode():
        expected = layer(rows)
        torch.testing.assert_close(packed(rows), expected, atol=0.02, rtol=0.02)
        torch.testing.assert_close(packed.gelu(rows), gelu(expected.float()).bfloat16(), atol=0.02, rtol=0.02)


@given(n_rows=st.integers(0, 3000))
def test_rows_in_bfloat16_are_of_few_numbers(n_rows):
    like = torch.ones(n_rows, 2, dtype=torch.bfloat16)
    padded = for_programs(like)
    assert n_rows <= len(padded) <= max(n_rows + 15, n_rows * 17 / 16)
    assert torch.equal(padded[:n_rows], like) and not padded[n_rows:].any()
    assert len({rows_of_programs(fewer, like) for fewer in range(n_rows)}) <= 16 * 8


# In float32


@pytest.fixture
def by_onednn(monkeypatch):
    for module in (onednn, layout, precision):
        monkeypatch.setattr(module, "has_faster_onednn", lambda: True)


def is_onednn(network):
    return any(isinstance(module, OneDnnLinear) for module in network.modules())


@needs_onednn
@pytest.mark.parametrize("shape", [(0, 6), (3, 6), (2, 3, 6), (2, 0, 6)])
@pytest.mark.parametrize("bias", [False, True])
def test_in_float32_it_shares_the_weights_of_the_linear(shape, bias):
    layer, rows = nn.Linear(6, 5, bias=bias), torch.randn(shape)
    other = OneDnnLinear(layer)
    assert other.weight is layer.weight
    for weight in (layer.weight.data, layer.weight.data.T.contiguous().T):
        layer.weight.data = weight
        with torch.inference_mode():
            torch.testing.assert_close(other(rows), layer(rows))
            torch.testing.assert_close(other.gelu(rows), gelu(layer(rows)))
            with torch.autocast("cpu", torch.bfloat16):
                torch.testing.assert_close(other(rows), layer(rows))
                torch.testing.assert_close(other.gelu(rows), gelu(layer(rows)))


@needs_onednn
@pytest.mark.parametrize("backbone", [tiny_bert, tiny_deberta, tiny_modernbert])
@pytest.mark.parametrize("head", ["token", "markerV0"])
def test_in_float32_results_and_memory_are_the_same(by_onednn, backbone, head):
    checkpoint = tiny_network_checkpoint(backbone(), head=head)
    expected = scores_of(checkpoint.network, checkpoint.tokenizer, QUERIES)
    by_input(checkpoint.network)
    changed = for_prediction(checkpoint.network)
    assert is_onednn(changed) and not is_onednn(checkpoint.network)
    kept = {weight.data_ptr() for weight in checkpoint.network.parameters()}
    assert {weight.data_ptr() for weight in changed.parameters()} == kept
    with torch.inference_mode():
        assert_equal(scores_of(changed, checkpoint.tokenizer, QUERIES), expected)


@needs_onednn
@pytest.mark.parametrize("backbone", [tiny_bert, tiny_deberta, tiny_modernbert])
@pytest.mark.parametrize("head", ["token", "markerV0", "markerV2"])
@pytest.mark.parametrize("width", [20, 24])
def test_all_it_multiplies_are_few_numbers_of_rows(by_onednn, monkeypatch, backbone, head, width):
    checkpoint = tiny_network_checkpoint(backbone(), head=head, width=width)
    network, seen, multiply = for_prediction(checkpoint.network), [], onednn._multiply

    def noted(rows, weight, bias, activation):
        seen.append((rows.shape[0], weight.shape[1]))
        return multiply(rows, weight, bias, activation)

    monkeypatch.setattr(onednn, "_multiply", noted)
    found = []
    with torch.inference_mode():
        for n_queries in range(1, len(QUERIES) + 1):
            found.append(scores_of(network, checkpoint.tokenizer, QUERIES[:n_queries]))
    assert all(n_rows % 8 == 0 for n_rows, _ in seen)
    assert width in {n_in for _, n_in in seen}  # of the head
    monkeypatch.undo()
    with torch.inference_mode():
        assert_equal(found[-1], scores_of(checkpoint.network, checkpoint.tokenizer, QUERIES))


@needs_onednn
def test_with_gradients_all_get_theirs(by_onednn):
    checkpoint = tiny_network_checkpoint()
    gradients = []
    for network in (checkpoint.network, for_prediction(checkpoint.network)):
        checkpoint.network.zero_grad()
        network(numbers(QUERIES, checkpoint.tokenizer)).scores.sum().backward()
        gradients.append([weight.grad.clone() for weight in checkpoint.network.parameters()])
    assert_equal(*gradients)


@pytest.mark.parametrize(
    "known, enabled, faster",
    [
        ({"cpu_name": "AMD EPYC", "avx512_f": True}, True, True),
        ({"cpu_name": "AMD EPYC", "avx512_f": True}, False, False),
        ({"cpu_name": "AMD EPYC", "avx512_f": False}, True, False),
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_f": True}, True, False),
        ({}, True, False),
    ],
)
def test_it_is_faster_on_amds_cpus_unless_forbidden(monkeypatch, known, enabled, faster):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(onednn, "is_x86", lambda: True)
    monkeypatch.setattr(onednn, "_is_amd_with_avx512", onednn._is_amd_with_avx512.__wrapped__)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", enabled)
    assert onednn.has_faster_onednn() is faster


@needs_onednn
@given(n_rows=st.integers(0, 200), bias=st.booleans())
def test_products_are_those_of_torch(n_rows, bias):
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(onednn, "has_faster_onednn", lambda: True)
        wide, layer = torch.randn(n_rows, 12), nn.Linear(6, 10, bias=bias)
        perceptron = Perceptron(6, 10, 3, 0.5).eval()
        for rows in (wide[:, :6], wide[:, :6].contiguous(), wide[:, 6:]):
            assert takes_onednn(rows)
            torch.testing.assert_close(product(rows, layer.weight, layer.bias), layer(rows))
            by_parts = product(rows[:, 3:], layer.weight.chunk(2, dim=1)[1])
            torch.testing.assert_close(by_parts, rows[:, 3:] @ layer.weight[:, 3:].T)
            torch.testing.assert_close(perceptron(rows), nn.Sequential.forward(perceptron, rows))
        assert not takes_onednn(wide.double()) and not takes_onednn(wide.bfloat16())
        with torch.enable_grad():
            assert not takes_onednn(wide)
        with torch.autocast("cpu", torch.bfloat16):
            assert not takes_onednn(wide)


@needs_onednn
def test_weights_that_lie_apart_are_left_to_torch(monkeypatch):
    """OneDNN would take a thousand times as long for them."""
    multiplied = []
    monkeypatch.setattr(onednn, "has_faster_onednn", lambda: True)
    monkeypatch.setattr(onednn, "_multiply", lambda rows, weight, *_: multiplied.append(weight) or rows @ weight.T)
    by_output, rows = torch.randn(10, 6), torch.randn(4, 3)
    as_laid_out = by_output.T.contiguous().T
    with torch.no_grad():
        for weight in (by_output[:, 3:], as_laid_out[:, 3:], by_output[:, 3:].contiguous(), by_output[5:, :3]):
            torch.testing.assert_close(product(rows, weight), rows @ weight.T)
    assert [tuple(weight.stride()) for weight in multiplied] == [(1, 10), (3, 1)]


@needs_onednn
def test_backbones_that_are_padded_keep_their_linears(by_onednn):
    network = tiny_network_checkpoint(tiny_deberta(), fuse_layers=True).network
    assert not is_onednn(for_prediction(network))
    assert not is_onednn(for_prediction(tiny_network_checkpoint().network, packed=False))


@given(n_ids=st.integers(0, 3000))
def test_ids_are_of_few_numbers_where_onednn_multiplies(n_ids):
    ids, like = torch.ones(n_ids, dtype=torch.long), torch.ones(1)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(onednn, "has_faster_onednn", lambda: True)
        padded = for_programs(ids, like)
        assert n_ids <= len(padded) <= max(n_ids + 7, n_ids * 17 / 16)
        assert torch.equal(padded[:n_ids], ids) and not padded[n_ids:].any()
        assert len({len(for_programs(ids[:fewer], like)) for fewer in range(n_ids)}) <= 16 * 8
        with torch.enable_grad():
            assert for_programs(ids, like) is ids
        patch.setattr(onednn, "has_faster_onednn", lambda: False)
        assert for_programs(ids, like) is ids


# In either


@pytest.mark.parametrize("backbone", [tiny_bert, tiny_deberta, tiny_modernbert])
@pytest.mark.parametrize("head", ["token", "markerV0"])
def test_rows_behind_the_others_change_nothing(monkeypatch, backbone, head):
    checkpoint = tiny_network_checkpoint(backbone(), head=head)
    with torch.inference_mode():
        expected = scores_of(checkpoint.network, checkpoint.tokenizer, QUERIES)
        pieces, lengths = torch.arange(9), [4, 0, 5]
        vectors = checkpoint.network.encoder.transformer(pieces, lengths)
        for module in (onednn, heads):  # as for bfloat16, but in float32
            monkeypatch.setattr(module, "rows_of_programs", lambda n_rows, like, **_: n_rows + 3)
        assert_equal(scores_of(checkpoint.network, checkpoint.tokenizer, QUERIES), expected)
        torch.testing.assert_close(checkpoint.network.encoder.transformer(pieces, lengths), vectors)
