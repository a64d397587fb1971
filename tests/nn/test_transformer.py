"""Backbones: any Hugging Face encoder over ragged pieces, and how many of them it can read."""

import pytest
import torch
from transformers import AutoModel, RobertaConfig, T5Config, XLMRobertaConfig

from spacy_gliner.nn import transformer
from spacy_gliner.nn.transformer import Transformer, hugging_face_config, position_limit, unpack

from ..tiny import tiny_bert, tiny_deberta

TINY = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 20,
}


def tiny_t5():
    return T5Config(vocab_size=30, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2).to_dict()


def ids(n):
    return torch.arange(n) % 20 + 5


@pytest.mark.parametrize("config", [tiny_bert(), tiny_deberta(), tiny_t5()], ids=["bert", "deberta", "t5"])
def test_sequences_come_back_in_their_order_as_if_read_alone(config, monkeypatch):
    monkeypatch.setattr(transformer, "PADDED_PIECES", 30)
    backbone = Transformer(config).double().eval()
    lengths = [3, 11, 1, 7, 40, 2]
    sequences = [ids(length) for length in lengths]
    with torch.inference_mode():
        vectors = backbone(torch.cat(sequences), lengths)
        unpack(backbone)
        alone = [backbone.backbone(input_ids=sequence[None]).last_hidden_state[0] for sequence in sequences]
    assert backbone.width == vectors.shape[1]
    torch.testing.assert_close(vectors, torch.cat(alone), atol=1e-9, rtol=0)


@pytest.mark.parametrize("waste", [0, 3, 4096])
def test_passes_hold_each_row_once_and_little_padding(waste):
    lengths = [3, 11, 1, 7, 40, 2, 7, 41]
    passes = list(transformer._passes(lengths, waste))
    assert sorted(row for rows in passes for row in rows) == list(range(len(lengths)))
    for rows in passes:
        sizes = [lengths[row] for row in rows]
        assert max(sizes) * len(sizes) - sum(sizes) <= waste
    assert len(passes) == {0: 7, 3: 4, 4096: 1}[waste]


def test_however_sequences_are_padded_vectors_and_gradients_are_the_same(monkeypatch):
    lengths, results = [3, 11, 1, 7, 40, 2], []
    backbone = Transformer(tiny_bert()).double().eval()
    for waste in (0, 10, 4096):
        monkeypatch.setattr(transformer, "WASTED_PIECES", waste)
        backbone.zero_grad()
        vectors = backbone(torch.cat([ids(length) for length in lengths]), lengths)
        (vectors * torch.arange(vectors.shape[1])).sum().backward()
        results.append([vectors.detach(), *(parameter.grad for parameter in backbone.parameters())])
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], atol=1e-9, rtol=1e-9)


def test_of_t5_only_the_encoder_is_there():
    names = Transformer(tiny_t5()).state_dict()
    assert not any("decoder" in name for name in names)


def test_there_is_no_pooler():
    assert not any("pooler" in name for name in Transformer(tiny_bert()).state_dict())


@pytest.mark.parametrize(
    "values, limit",
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "camembert", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "deberta-v2", "position_biased_input": False, "relative_attention": True}, None),
        ({"model_type": "deberta-v2", "position_biased_input": True, "max_position_embeddings": 512}, 512),
        ({"model_type": "deberta", "position_biased_input": False}, None),
        ({"model_type": "modernbert", "max_position_embeddings": 8192}, 8192),
        ({"model_type": "t5"}, None),
        ({"model_type": "mt5"}, None),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else None,
)
def test_how_many_pieces_positions_allow(values, limit):
    assert position_limit(hugging_face_config(values)) == limit


@pytest.mark.parametrize(
    "values",
    [
        {**TINY, "model_type": "bert"},
        RobertaConfig(**TINY, pad_token_id=1).to_dict(),
        XLMRobertaConfig(**TINY, pad_token_id=1).to_dict(),
        {**TINY, "model_type": "mpnet", "pad_token_id": 1},
        {**TINY, "model_type": "distilbert", "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16},
        {**TINY, "model_type": "electra", "embedding_size": 16},
    ],
    ids=lambda values: values["model_type"],
)
def test_a_backbone_reads_as_much_as_it_says_and_no_more(values):
    backbone = Transformer(values).eval()
    limit = backbone.max_pieces
    with torch.inference_mode():
        assert backbone(ids(limit), [limit]).shape == (limit, 16)
        with pytest.raises((IndexError, RuntimeError)):
            backbone(ids(limit + 1), [limit + 1])


@pytest.mark.parametrize("config", [tiny_deberta(), tiny_t5()], ids=["deberta", "t5"])
def test_relative_positions_read_any_number(config):
    backbone = Transformer(config).eval()
    assert backbone.max_pieces is None
    with torch.inference_mode():
        assert backbone(ids(300), [300]).isfinite().all()


def test_a_configuration_without_a_type_is_a_deberta():
    config = hugging_face_config({"hidden_size": 16})
    assert (config.model_type, config.hidden_size) == ("deberta-v2", 16)


def test_an_unknown_type_is_an_error_that_names_it():
    with pytest.raises(ValueError, match="no encoder of type 'bertha'"):
        Transformer({"model_type": "bertha"})


def test_a_configuration_read_back_gives_the_same_network():
    backbone = Transformer(tiny_bert())
    again = AutoModel.from_config(hugging_face_config(backbone.config.to_dict()), add_pooling_layer=False)
    assert again.state_dict().keys() == backbone.backbone.state_dict().keys()
