import copy

import pytest
import torch

from spacy_gliner.nn import layout
from spacy_gliner.nn.int8 import Int8Linear
from spacy_gliner.nn.layout import by_input, by_output
from spacy_gliner.nn.precision import for_prediction

from ..tiny import QUERIES, numbers, tiny_bert, tiny_deberta, tiny_modernbert, tiny_network_checkpoint


def scores(network, batch):
    with torch.inference_mode():
        return network(batch.to(torch.device("cpu"), next(network.parameters()).dtype)).scores.float()


@pytest.fixture(params=[tiny_bert, tiny_deberta, tiny_modernbert])
def checkpoint(request):
    return tiny_network_checkpoint(request.param())


def linears(network):
    return [module for module in network.modules() if isinstance(module, torch.nn.Linear)]


@pytest.mark.parametrize("by_onednn", [False, True])
def test_weights_lie_otherwise_and_are_the_same(checkpoint, by_onednn, monkeypatch):
    monkeypatch.setattr(layout, "has_faster_onednn", lambda: by_onednn)
    laid_out = copy.deepcopy(checkpoint.network)
    by_input(laid_out)
    for there, here in zip(linears(laid_out), linears(checkpoint.network), strict=True):
        assert torch.equal(there.weight, here.weight)
        turned = by_onednn or here.out_features <= here.in_features
        assert (there.weight.T if turned else there.weight).is_contiguous()
        assert there.weight.requires_grad
    batch = numbers(QUERIES, checkpoint.tokenizer)
    torch.testing.assert_close(scores(laid_out, batch), scores(checkpoint.network, batch), atol=1e-5, rtol=1e-5)
    by_output(laid_out)
    assert all(linear.weight.is_contiguous() for linear in linears(laid_out))
    assert torch.equal(scores(laid_out, batch), scores(checkpoint.network, batch))


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "int8"])
def test_other_number_formats_do_not_mind(checkpoint, precision):
    batch = numbers(QUERIES, checkpoint.tokenizer)
    expected = scores(for_prediction(checkpoint.network, precision), batch)
    by_input(checkpoint.network)
    changed = for_prediction(checkpoint.network, precision)
    assert precision == "int8" or all(linear.weight.is_contiguous() for linear in linears(changed))
    torch.testing.assert_close(scores(changed, batch), expected, atol=1e-5, rtol=1e-5)


def test_a_linear_in_8_bits_reads_weights_as_they_are():
    linear = torch.nn.Linear(64, 48)
    rows = torch.randn(5, 64)
    with torch.inference_mode():
        expected = Int8Linear(linear)(rows)
        linear.weight.data = linear.weight.data.T.contiguous().T
        assert torch.equal(Int8Linear(linear)(rows), expected)
