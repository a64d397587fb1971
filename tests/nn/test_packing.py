"""The packed forward passes give what the Hugging Face models give."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModel, BertConfig, ElectraConfig, RobertaConfig, XLMRobertaConfig

from spacy_gliner.nn import deberta, packing
from spacy_gliner.nn.bert import Bert
from spacy_gliner.nn.int8 import Int8Linear
from spacy_gliner.nn.onednn import rows_of_programs
from spacy_gliner.nn.packing import added, fed_forward, grouped
from spacy_gliner.nn.transformer import Transformer, unpack

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
    plain = copy.deepcopy(transformer)
    unpack(plain)
    with torch.inference_mode():
        return transformer(ids, lengths, rows), plain(ids, lengths, rows)


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


def test_debertas_first_layer_projects_each_different_piece_once():
    transformer = Transformer({**KINDS["deberta"]}).eval()
    seen = []
    for layer in transformer.backbone.encoder.layer:
        layer.attention.self.value_proj.register_forward_hook(lambda *call: seen.append(len(call[1][0])))
    with torch.inference_mode():
        transformer(torch.tensor([5, 6, 5, 7] * 8), [20, 12])
        n_pieces, n_different = (rows_of_programs(n, torch.zeros(1)) for n in (32, 3))
    assert seen == [n_different] + [n_pieces] * (len(seen) - 1)


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


def test_a_sequence_that_is_not_finite_spoils_no_other(transformer):
    lengths = [40, 3, 45, 41]
    ids = some_ids(lengths)
    ids[40:43] = 4  # which no other is
    with torch.inference_mode():
        transformer.backbone.get_input_embeddings().weight[4] = torch.inf
        together = transformer(ids, lengths).split(lengths)
    assert together[1].isnan().any()
    assert all(together[row].isfinite().all() for row in (0, 2, 3))


def test_a_sequence_without_pieces_is_nothing(transformer):
    ids = some_ids([3, 0, 4])
    with torch.inference_mode():
        torch.testing.assert_close(transformer(ids, [3, 0, 4]), transformer(ids, [3, 4]))
        assert transformer(ids[:0], [0]).shape == (0, 32)


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


def test_gradients_are_those_of_the_hugging_face_model(transformer):
    plain = copy.deepcopy(transformer).double()
    unpack(plain)
    transformer.double()
    ids, rows = some_ids(LENGTHS), torch.tensor([0, 3, 3, 100, 17, sum(LENGTHS) - 1])
    for each in (transformer, plain):
        (each(ids, LENGTHS, rows) * torch.arange(32)).sum().backward()
    gradients = dict(plain.named_parameters())
    assert gradients.keys() == dict(transformer.named_parameters()).keys()
    for name, parameter in transformer.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, atol=1e-9, rtol=1e-6)


def test_dropout_acts_in_training_alone(transformer):
    ids = some_ids(LENGTHS)
    transformer.train()
    if transformer.config.model_type == "modernbert":
        assert torch.equal(transformer(ids, LENGTHS), transformer(ids, LENGTHS))
        return
    assert not torch.equal(transformer(ids, LENGTHS), transformer(ids, LENGTHS))
    transformer.eval()
    assert torch.equal(transformer(ids, LENGTHS), transformer(ids, LENGTHS))


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize(
    ("backbone", "kinds"),
    [
        (tiny_bert, ["hidden_dropout_prob", "attention_probs_dropout_prob"]),
        (tiny_deberta, ["hidden_dropout_prob", "attention_probs_dropout_prob"]),
        (tiny_modernbert, ["embedding_dropout", "attention_dropout", "mlp_dropout"]),
    ],
)
def test_every_kind_of_dropout_acts(backbone, kinds, gradient):
    ids = some_ids([7, 40, 7])
    for kind in kinds:
        transformer = Transformer(backbone(**{**dict.fromkeys(kinds, 0.0), kind: 0.5})).train()
        with torch.set_grad_enabled(gradient):
            assert not torch.allclose(transformer(ids, [7, 40, 7]), transformer(ids, [7, 40, 7])), kind
            assert torch.equal(transformer.eval()(ids, [7, 40, 7]), transformer(ids, [7, 40, 7])), kind


def test_a_bert_of_our_own_is_the_hugging_face_one(tmp_path):
    ours = Transformer(tiny_bert())
    theirs = AutoModel.from_config(BertConfig(**tiny_bert()), add_pooling_layer=False)
    assert isinstance(ours.backbone, Bert)
    shapes = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    assert {name: tensor.shape for name, tensor in ours.backbone.state_dict().items()} == shapes
    assert ours.config.to_dict() == tiny_bert()
    stds = [
        {n: float(t.std()) for n, t in m.state_dict().items() if len(t) > 2 == t.dim()} for m in (ours.backbone, theirs)
    ]
    assert stds[0] == pytest.approx(stds[1], rel=0.2)
    unpack(ours)
    ours.backbone.load_state_dict(theirs.state_dict())


def test_a_bert_of_our_own_can_have_more_pieces():
    bert = Bert(tiny_bert())
    before = bert.get_input_embeddings().weight.clone()
    bert.resize_token_embeddings(len(before) + 2)
    after = bert.get_input_embeddings().weight
    assert torch.equal(after[:-2], before)
    torch.testing.assert_close(after[-2:], before.mean(dim=0).repeat(2, 1))
    assert bert.config.to_dict()["vocab_size"] == len(after)


@pytest.mark.parametrize("training", [False, True])
@given(lengths=st.lists(st.integers(0, 200), max_size=40), n_heads=st.integers(1, 3))
def test_groups_hold_every_piece_once_and_give_it_back(lengths, n_heads, training):
    hidden = torch.arange(sum(lengths) * n_heads * 2, dtype=torch.float32).view(sum(lengths), n_heads * 2)
    back = torch.full((len(hidden) + 1, n_heads * 2), -1.0)
    for group in grouped(lengths, n_heads, torch.device("cpu")):
        with torch.set_grad_enabled(training):
            rows = group.heads(hidden)
            assert rows.shape == (n_heads, group.n_sequences * group.length, 2)
            for head, of_head in enumerate(rows):
                assert torch.equal(of_head, hidden[group.rows].view(len(of_head), n_heads, 2)[:, head])
            group.put(rows, back)
        n_padded = 0 if group.mask is None else int(group.mask.isinf().sum())
        assert n_padded <= 0.125 * group.n_sequences * group.length
    assert torch.equal(back[:-1], hidden)


def test_how_much_is_read_at_once_makes_no_difference(transformer, monkeypatch):
    ids = some_ids(LENGTHS)
    with torch.inference_mode():
        expected = transformer(ids, LENGTHS)
        monkeypatch.setattr(packing, "ROWS", 7)
        monkeypatch.setattr(deberta, "CACHED_SCORES", 2000)
        monkeypatch.setattr(deberta, "BLOCK", 25)
        torch.testing.assert_close(transformer(ids, LENGTHS), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [torch.nn.Linear, Int8Linear])
def test_a_product_is_added(kind, bias):
    torch.manual_seed(0)
    linear = torch.nn.Linear(6, 4, bias=bias)
    linear = linear if kind is torch.nn.Linear else Int8Linear(linear)
    inputs, hidden = torch.randn(5, 6), torch.randn(5, 4)
    with torch.no_grad():
        expected = linear(inputs) + hidden
        torch.testing.assert_close(added(linear, inputs, hidden.clone()), expected)


def test_what_has_a_gradient_is_not_overwritten():
    inner, outer = torch.nn.Linear(4, 6), torch.nn.Linear(6, 4)
    hidden = torch.randn(5, 4, requires_grad=True)
    before = hidden.detach().clone()
    fed_forward(hidden, inner, outer).sum().backward()
    assert torch.equal(hidden.detach(), before)
    assert inner.weight.grad is not None and outer.weight.grad is not None


def test_what_is_dropped_is_dropped_without_a_gradient_too():
    inner, outer = torch.nn.Identity(), torch.nn.Linear(4, 4)
    hidden = torch.ones(5, 4)
    with torch.no_grad():
        outer.weight.copy_(torch.eye(4))
        outer.bias.zero_()
        read = fed_forward(hidden.clone(), inner, outer, 0.5)
    assert set(read.unique().tolist()) == {1.0, 3.0}


def test_precision_may_be_left_to_torch(transformer):
    ids = some_ids(LENGTHS)
    with torch.inference_mode():
        expected = transformer(ids, LENGTHS)
        with torch.autocast("cpu", torch.bfloat16):
            read = transformer(ids, LENGTHS).float()
    assert (read - expected).abs().mean() < 0.05 * expected.abs().mean()
