"""The packed forward pass gives what the Hugging Face model gives."""

import copy

import pytest
import torch

from spacy_gliner.nn.transformer import Transformer

from ..tiny import tiny_bert, tiny_deberta

KINDS = {
    "as published": {},
    "own projections of positions": {"share_att_key": False},
    "no norm of positions": {"norm_rel_ebd": "none"},
    "no buckets": {"position_buckets": -1, "max_relative_positions": 8},
    "wider buckets": {"position_buckets": 64, "max_relative_positions": 128},
}
LENGTHS = [1, 2, 7, 40, 7, 90, 3]


def packed_and_padded(transformer, ids, lengths):
    with torch.inference_mode():
        packed = transformer(ids, lengths)
        transformer.packed, kept = None, transformer.packed
        padded = transformer(ids, lengths)
        transformer.packed = kept
    return packed, padded


@pytest.fixture(params=list(KINDS))
def transformer(request):
    torch.manual_seed(0)
    return Transformer(tiny_deberta(**KINDS[request.param])).eval()


def test_packed_pieces_give_the_same_as_padded_ones(transformer):
    assert transformer.packed is not None
    ids = torch.randint(5, 100, (sum(LENGTHS),))
    packed, padded = packed_and_padded(transformer, ids, LENGTHS)
    torch.testing.assert_close(packed, padded, atol=2e-5, rtol=1e-4)


def test_what_is_kept_of_positions_follows_the_weights(transformer):
    ids = torch.randint(5, 100, (sum(LENGTHS),))
    packed_and_padded(transformer, ids, LENGTHS)
    others = copy.deepcopy(transformer)
    with torch.no_grad():
        for parameter in others.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    torch.testing.assert_close(*packed_and_padded(others, ids, LENGTHS), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(*packed_and_padded(transformer, ids, LENGTHS), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        tiny_deberta(position_biased_input=True),
        tiny_deberta(type_vocab_size=2),
        tiny_deberta(pos_att_type=["c2p"]),
        tiny_deberta(conv_kernel_size=3, conv_act="gelu"),
        tiny_bert(),
    ],
    ids=["absolute positions", "types", "c2p only", "convolution", "bert"],
)
def test_others_are_read_by_their_own_forward(config):
    assert Transformer(config).packed is None


def test_in_training_the_backbones_own_forward_is_used(transformer, monkeypatch):
    monkeypatch.setattr(transformer, "packed", lambda *inputs: pytest.fail("it has no gradient"))
    transformer.train()
    transformer(torch.tensor([5, 6, 7]), [3]).sum().backward()
    assert transformer.backbone.get_input_embeddings().weight.grad is not None
