"""A backbone in bfloat16 on a CPU with units for it: its weights are packed, and the results are the same."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import gelu

from spacy_gliner.nn import bfloat16, heads, transformer
from spacy_gliner.nn.bfloat16 import PackedLinear, for_programs, has_x86_bfloat16, rows_of_programs
from spacy_gliner.nn.layout import by_input
from spacy_gliner.nn.precision import for_prediction

from ..tiny import QUERIES, assert_equal, scores_of, tiny_bert, tiny_deberta, tiny_modernbert, tiny_network_checkpoint

needs_bfloat16 = pytest.mark.skipif(not has_x86_bfloat16(), reason="this CPU has no units for bfloat16")


@needs_bfloat16
@pytest.mark.parametrize("backbone", [tiny_bert, tiny_deberta, tiny_modernbert])
def test_all_linears_of_a_backbone_are_packed(backbone):
    checkpoint = tiny_network_checkpoint(backbone())
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


def test_without_units_or_onednn_nothing_is_packed(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not has_x86_bfloat16()
    changed = for_prediction(tiny_network_checkpoint().network, "bfloat16")
    assert not any(isinstance(module, PackedLinear) for module in changed.modules())


@needs_bfloat16
@pytest.mark.parametrize("shape", [(0, 6), (3, 6), (2, 3, 6), (2, 0, 6)])
def test_a_packed_linear_is_the_linear(shape):
    layer, rows = nn.Linear(6, 5).bfloat16(), torch.randn(shape).bfloat16()
    layer.weight.data = layer.weight.data.T.contiguous().T
    packed = PackedLinear(layer)
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
    assert for_programs(like.float()).shape == like.shape


@pytest.mark.parametrize("backbone", [tiny_bert, tiny_deberta, tiny_modernbert])
@pytest.mark.parametrize("head", ["token", "markerV0"])
def test_rows_behind_the_others_change_nothing(monkeypatch, backbone, head):
    checkpoint = tiny_network_checkpoint(backbone(), head=head)
    with torch.inference_mode():
        expected = scores_of(checkpoint.network, checkpoint.tokenizer, QUERIES)
        pieces, lengths = torch.arange(9), [4, 0, 5]
        vectors = checkpoint.network.encoder.transformer(pieces, lengths)
        for module in (bfloat16, transformer, heads):  # as for bfloat16, but in float32
            monkeypatch.setattr(module, "rows_of_programs", lambda n_rows, like: n_rows + 3)
        assert_equal(scores_of(checkpoint.network, checkpoint.tokenizer, QUERIES), expected)
        torch.testing.assert_close(checkpoint.network.encoder.transformer(pieces, lengths), vectors)
