"""A backbone in bfloat16 on a CPU with units for it: its weights are packed, and the results are the same."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import gelu

from spacy_gliner.nn.bfloat16 import PackedLinear, has_x86_bfloat16, in_bfloat16, program_rows
from spacy_gliner.nn.layout import by_input
from spacy_gliner.nn.precision import for_prediction

from ..tiny import tiny_bert, tiny_deberta, tiny_modernbert, tiny_network_checkpoint

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


@given(n_rows=st.integers(0, 5000))
def test_rows_are_padded_to_few_numbers(n_rows):
    padded = program_rows(n_rows)
    assert n_rows <= padded <= max(n_rows + 15, n_rows * 17 / 16)
    assert len({program_rows(fewer) for fewer in range(1, n_rows + 1)}) <= 16 * 8
    rows = torch.ones(n_rows % 40, 3)
    assert in_bfloat16(rows).tolist() == [[1.0] * 3] * len(rows) + [[0.0] * 3] * (program_rows(len(rows)) - len(rows))
