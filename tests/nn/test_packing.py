"""The packed forward passes give what the Hugging Face models give."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import ElectraConfig, RobertaConfig, XLMRobertaConfig

from spacy_gliner.nn.packing import grouped
from spacy_gliner.nn.transformer import Transformer

from ..tiny import tiny_bert, tiny_deberta, tiny_modernbert

TINY = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 320,
    "initializer_range": 0.2,
}
KINDS = {
    "deberta": tiny_deberta(),
    "deberta, own projections of positions": tiny_deberta(share_att_key=False),
    "deberta, no norm of positions": tiny_deberta(norm_rel_ebd="none"),
    "deberta, no buckets": tiny_deberta(position_buckets=-1, max_relative_positions=8),
    "deberta, wider buckets": tiny_deberta(position_buckets=64, max_relative_positions=128),
    "bert": tiny_bert(max_position_embeddings=320),
    "bert, relu": tiny_bert(max_position_embeddings=320, hidden_act="relu"),
    "bert, gelu by its formula": tiny_bert(max_position_embeddings=320, hidden_act="gelu_new"),
    "roberta": RobertaConfig(**TINY, pad_token_id=1).to_dict(),
    "xlm-roberta": XLMRobertaConfig(**TINY, pad_token_id=1, type_vocab_size=1).to_dict(),
    "electra": ElectraConfig(**TINY, embedding_size=32).to_dict(),
    "modernbert": tiny_modernbert(),
    "modernbert, wide reach": tiny_modernbert(local_attention=150),
    "modernbert, one base of turns": tiny_modernbert(local_rope_theta=None),
    "modernbert, biases": tiny_modernbert(attention_bias=True, mlp_bias=True, norm_bias=True),
}
LENGTHS = [1, 2, 7, 40, 7, 90, 3, 300, 41, 200, 39]


def packed_and_padded(transformer, ids, lengths, rows=None):
    with torch.inference_mode():
        packed = transformer(ids, lengths, rows)
        transformer.packed, kept = None, transformer.packed
        padded = transformer(ids, lengths, rows)
        transformer.packed = kept
    return packed, padded


@pytest.fixture(params=list(KINDS))
def transformer(request):
    torch.manual_seed(0)
    transformer = Transformer({**KINDS[request.param]}).eval()
    assert transformer.packed is not None
    return transformer


def some_ids(lengths):
    return torch.randint(5, 100, (sum(lengths),))


def test_packed_pieces_give_the_same_as_padded_ones(transformer):
    torch.testing.assert_close(*packed_and_padded(transformer, some_ids(LENGTHS), LENGTHS), atol=2e-5, rtol=1e-4)


def test_of_rows_that_are_wanted_only_those_come(transformer):
    rows = torch.tensor([0, 3, 3, 100, 17, sum(LENGTHS) - 1])
    packed, padded = packed_and_padded(transformer, some_ids(LENGTHS), LENGTHS, rows)
    assert packed.shape == (6, 32)
    torch.testing.assert_close(packed, padded, atol=2e-5, rtol=1e-4)


def test_a_sequence_reads_none_of_its_neighbours(transformer):
    ids = some_ids(LENGTHS)
    with torch.inference_mode():
        together = transformer(ids, LENGTHS).split(LENGTHS)
        for sequence, vectors in zip(ids.split(LENGTHS), together, strict=True):
            torch.testing.assert_close(vectors, transformer(sequence, [len(sequence)]), atol=2e-5, rtol=1e-4)


def test_a_sequence_without_pieces_is_nothing(transformer):
    ids = some_ids([3, 0, 4])
    with torch.inference_mode():
        torch.testing.assert_close(transformer(ids, [3, 0, 4]), transformer(ids, [3, 4]))


def test_what_is_kept_of_positions_follows_the_weights(transformer):
    ids = some_ids(LENGTHS)
    packed_and_padded(transformer, ids, LENGTHS)
    others = copy.deepcopy(transformer)
    with torch.no_grad():
        for parameter in others.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    torch.testing.assert_close(*packed_and_padded(others, ids, LENGTHS), atol=5e-5, rtol=2e-4)
    torch.testing.assert_close(*packed_and_padded(transformer, ids, LENGTHS), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        tiny_deberta(position_biased_input=True),
        tiny_deberta(type_vocab_size=2),
        tiny_deberta(pos_att_type=["c2p"]),
        tiny_deberta(conv_kernel_size=3, conv_act="gelu"),
        tiny_bert(position_embedding_type="relative_key"),
        ElectraConfig(**TINY, embedding_size=16).to_dict(),
        {"model_type": "mpnet", **TINY},
    ],
    ids=["absolute positions", "types", "c2p only", "convolution", "relative bert", "narrow electra", "mpnet"],
)
def test_others_are_read_by_their_own_forward(config):
    assert Transformer(config).packed is None


def test_in_training_the_backbones_own_forward_is_used(transformer, monkeypatch):
    monkeypatch.setattr(transformer, "packed", lambda *inputs: pytest.fail("it has no gradient"))
    transformer.train()
    transformer(torch.tensor([5, 6, 7]), [3]).sum().backward()
    assert transformer.backbone.get_input_embeddings().weight.grad is not None


@given(st.lists(st.integers(0, 200), max_size=40), st.integers(1, 3))
def test_groups_hold_every_piece_once_and_give_it_back(lengths, n_heads):
    hidden = torch.arange(sum(lengths) * n_heads * 2, dtype=torch.float32).view(sum(lengths), n_heads * 2)
    back = torch.full((len(hidden) + 1, n_heads * 2), -1.0)
    for group in grouped(lengths, torch.device("cpu")):
        rows = group.heads(hidden, n_heads)
        assert rows.shape == (n_heads, group.n_sequences * group.length, 2)
        group.put(rows, back)
        n_padded = 0 if group.mask is None else int(group.mask.isinf().sum())
        assert n_padded <= 0.125 * group.n_sequences * group.length
    assert torch.equal(back[:-1], hidden)
