"""Products are the same, whichever library multiplies; only prediction in float32 takes the other one."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import gelu, linear

from spacy_gliner.nn import products
from spacy_gliner.nn.layout import by_input, by_output
from spacy_gliner.nn.precision import for_prediction
from spacy_gliner.nn.products import PackedLinear, applied, has_faster_onednn, product

from ..tiny import QUERIES, numbers, tiny_bert, tiny_deberta, tiny_modernbert, tiny_network_checkpoint

ACTIVATIONS = {"none": lambda hidden: hidden, "relu": torch.relu, "gelu": gelu}
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
needs_bfloat16 = pytest.mark.skipif(not products.has_x86_bfloat16(), reason="this CPU has no units for bfloat16")


@pytest.fixture(params=[False, pytest.param(True, marks=needs_onednn)], ids=["torch", "oneDNN"])
def library(request, monkeypatch):
    """Have one of the two multiply, on whatever CPU this is. Gives the number of oneDNN's products."""
    calls, multiplied = [], products._multiplied

    def counted(*args):
        calls.append(args)
        return multiplied(*args)

    monkeypatch.setattr(products, "_is_amd_with_avx512", lambda: request.param)
    monkeypatch.setattr(products, "_multiplied", counted)
    return lambda: len(calls) if request.param else None


@needs_onednn
@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=2),
    n_in=st.integers(1, 40),
    n_out=st.integers(1, 40),
    activation=st.sampled_from(list(ACTIVATIONS)),
    by_column=st.booleans(),
    cut=st.booleans(),
    has_bias=st.booleans(),
)
def test_onednn_gives_what_torch_gives(shape, n_in, n_out, activation, by_column, cut, has_bias):
    rows, weight = torch.randn(*shape, 2 * n_in), torch.randn(n_out, 2 * n_in)
    weight = weight.T.contiguous().T if by_column else weight
    if cut:  # parts of wider ones, as heads read them
        rows, weight = rows[..., n_in:], weight[:, :n_in]
    bias = torch.randn(n_out) if has_bias else None
    given_rows = rows.clone()
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(products, "_is_amd_with_avx512", lambda: True)
        found = product(rows, weight, bias, activation)
    expected = ACTIVATIONS[activation](linear(rows, weight, bias))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(rows, given_rows)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_gradient_passes_through_what_is_learned(library, activation):
    layer, rows = nn.Linear(5, 3), torch.randn(4, 5, requires_grad=True)
    found = applied(layer, rows, activation)
    torch.testing.assert_close(found, ACTIVATIONS[activation](layer(rows)))
    found.sum().backward()
    assert rows.grad is not None and layer.weight.grad is not None
    assert not library()


def test_mixed_precision_is_mixed(library):
    layer, rows = nn.Linear(5, 3), torch.randn(4, 5)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert applied(layer, rows).dtype == layer(rows).dtype == torch.bfloat16
    assert not library()


def test_what_stands_in_place_of_a_linear_is_asked_itself(library):
    class Doubled(nn.Linear):
        def forward(self, rows):
            return 2 * super().forward(rows)

    layer, rows = Doubled(5, 3), torch.randn(4, 5)
    with torch.inference_mode():
        assert torch.equal(applied(layer, rows), layer(rows))
        assert torch.equal(applied(layer, rows, "relu"), layer(rows).relu())


def test_onednn_can_be_forbidden(library, monkeypatch):
    rows, weight = torch.randn(4, 5), torch.randn(3, 5)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    with torch.inference_mode():
        assert torch.equal(product(rows, weight), linear(rows, weight))
        assert not has_faster_onednn()
    assert not library()


@pytest.mark.parametrize("head", ["token", "markerV0", "marker"])
@pytest.mark.parametrize("backbone", [tiny_bert, tiny_deberta, tiny_modernbert])
def test_logits_are_those_of_linears_one_by_one(library, backbone, head):
    checkpoint = tiny_network_checkpoint(backbone(), head=head)
    network, batch = checkpoint.network, numbers(QUERIES, checkpoint.tokenizer).to(torch.device("cpu"))
    laid_out = copy.deepcopy(network)
    by_input(laid_out)
    with torch.inference_mode():
        found = laid_out(batch).scores
    n_products = library()
    assert n_products is None or n_products > 20
    torch.testing.assert_close(found, network(batch).scores.detach(), atol=2e-5, rtol=1e-4)  # with a gradient: torch


def test_weights_of_all_linears_lie_by_input_where_onednn_reads_them(library):
    network = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4))
    by_input(network)
    assert [layer.weight.T.is_contiguous() for layer in network] == [library() is not None, True]
    by_output(network)
    assert all(layer.weight.is_contiguous() for layer in network)


@needs_bfloat16
def test_a_backbone_in_bfloat16_has_the_weights_of_all_its_linears_packed():
    checkpoint = tiny_network_checkpoint(tiny_deberta())
    by_input(checkpoint.network)
    changed = for_prediction(checkpoint.network, "bfloat16")
    plain, packed = (dict(n.encoder.transformer.backbone.named_modules()) for n in (checkpoint.network, changed))
    linears = {name: module for name, module in plain.items() if isinstance(module, nn.Linear)}
    assert {name for name, module in packed.items() if isinstance(module, PackedLinear)} == linears.keys()
    for name, layer in linears.items():
        rows = torch.randn(4, layer.in_features).bfloat16()
        with torch.inference_mode():
            found, expected = packed[name](rows), copy.deepcopy(layer).bfloat16()(rows)
        torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)


@needs_bfloat16
@pytest.mark.parametrize("shape", [(0, 6), (3, 6), (2, 3, 6), (2, 0, 6)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_packed_linear_is_the_linear(shape, activation):
    layer, rows = nn.Linear(6, 5).bfloat16(), torch.randn(shape).bfloat16()
    layer.weight.data = layer.weight.data.T.contiguous().T
    with torch.inference_mode():
        found = applied(PackedLinear(layer), rows, activation)
        expected = ACTIVATIONS[activation](layer(rows).float()).bfloat16()
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)
