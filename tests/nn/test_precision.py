"""Networks that predict in other number formats: near to what float32 gives, and nothing else changes."""

import pytest
import torch
from transformers import T5Config

from spacy_gliner.nn import precision as precision_module
from spacy_gliner.nn.int8 import Int8Linear, each, rounded_by_row
from spacy_gliner.nn.precision import for_prediction
from spacy_gliner.nn.transformer import Transformer
from spacy_gliner.types import Query

from ..tiny import QUERIES, numbers, tiny_deberta, tiny_modernbert, tiny_network_checkpoint

HEADS = ["token", "markerV0"]


def scores(network, batch):
    with torch.inference_mode():
        return network(batch.to(torch.device("cpu"), next(network.parameters()).dtype)).scores.float()


@pytest.fixture(params=HEADS)
def checkpoint(request):
    return tiny_network_checkpoint(tiny_deberta(), head=request.param)


@pytest.mark.parametrize("precision, most", [("bfloat16", 0.1), ("float16", 0.02), ("int8", 0.1)])
def test_logits_are_near_those_of_float32(checkpoint, precision, most):
    batch = numbers(QUERIES, checkpoint.tokenizer)
    exact = scores(checkpoint.network, batch)
    changed = scores(for_prediction(checkpoint.network, precision), batch)
    seen = exact > -1e4
    error = (changed - exact)[seen].std() / exact[seen].std()
    assert 0 < error < most


def test_float32_is_the_network_itself(checkpoint, monkeypatch):
    monkeypatch.setattr(precision_module, "has_faster_onednn", lambda: False)
    assert for_prediction(checkpoint.network) is checkpoint.network


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "int8"])
def test_the_network_stays_as_it_was(checkpoint, precision):
    before = {name: value.clone() for name, value in checkpoint.network.state_dict().items()}
    for_prediction(checkpoint.network, precision)
    after = checkpoint.network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) and after[name].dtype == torch.float32 for name in before)
    assert all(weight.requires_grad for weight in checkpoint.network.parameters())


def test_8_bits_share_what_they_leave_as_it_is(checkpoint):
    changed = for_prediction(checkpoint.network, "int8")
    assert (
        changed.head.proj_token.weight is checkpoint.network.head.proj_token.weight
        if (checkpoint.network.config.head == "token")
        else changed.head.out_project.first.weight is checkpoint.network.head.out_project.first.weight
    )
    assert any(isinstance(module, Int8Linear) for module in changed.modules())
    assert not any(isinstance(module, Int8Linear) for module in checkpoint.network.modules())


@pytest.mark.parametrize("backbone", [tiny_deberta(), tiny_modernbert()], ids=["deberta", "modernbert"])
def test_in_8_bits_a_text_has_the_same_scores_alone(backbone):
    checkpoint = tiny_network_checkpoint(backbone)
    network = for_prediction(checkpoint.network, "int8")
    together = scores(network, numbers(QUERIES, checkpoint.tokenizer))
    alone = [scores(network, numbers([query], checkpoint.tokenizer)) for query in QUERIES]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_packed_forwards_can_be_switched_off(checkpoint):
    changed = for_prediction(checkpoint.network, packed=False)
    assert all(module.packed is None for module in changed.modules() if isinstance(module, Transformer))
    batch = numbers(QUERIES, checkpoint.tokenizer)
    torch.testing.assert_close(scores(changed, batch), scores(checkpoint.network, batch), atol=1e-4, rtol=1e-4)
    assert changed.encoder.transformer.backbone.get_input_embeddings().weight is (
        checkpoint.network.encoder.transformer.backbone.get_input_embeddings().weight
    )


def test_an_unknown_precision_is_an_error_that_names_the_known(checkpoint):
    with pytest.raises(ValueError, match="float32, bfloat16, float16, int8"):
        for_prediction(checkpoint.network, "int4")


def test_8_bits_on_an_accelerator_are_an_error_that_says_what_to_choose(checkpoint):
    with pytest.raises(ValueError, match="bfloat16"):
        for_prediction(checkpoint.network.to("meta"), "int8")


def test_a_linear_in_8_bits_is_near_the_linear():
    torch.manual_seed(0)
    linear, rows = torch.nn.Linear(64, 48), torch.randn(3, 5, 64) * torch.tensor([1e-3, 1, 100]).view(3, 1, 1)
    with torch.inference_mode():
        exact, changed = linear(rows) - linear.bias, Int8Linear(linear)(rows) - linear.bias
        error = (changed - exact).std(dim=(1, 2)) / exact.std(dim=(1, 2))
        assert changed.shape == (3, 5, 48)
        assert (error < 0.02).all()  # rows of any size have a scale of their own
        assert torch.equal(Int8Linear(linear)(torch.zeros(2, 64)), linear.bias.expand(2, -1))
        assert Int8Linear(linear)(torch.zeros(0, 64)).shape == (0, 48)


def test_several_linears_in_8_bits_round_their_input_once(monkeypatch):
    linears = [Int8Linear(torch.nn.Linear(16, n, bias=n != 3)) for n in (4, 3)]
    rows, calls = torch.randn(6, 16), []
    monkeypatch.setattr("spacy_gliner.nn.int8.rounded_by_row", lambda rows: calls.append(1) or rounded_by_row(rows))
    with torch.inference_mode():
        together = each(linears, rows)
        assert len(calls) == 1
        assert all(torch.equal(a, linear(rows)) for a, linear in zip(together, linears, strict=True))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("links", ["bilinear", "gcn", "attention"])
def test_joint_networks_score_pairs_in_any_precision(links, precision):
    checkpoint = tiny_network_checkpoint(seed=6, links=links)
    query = Query(tuple("Ada met Babbage in London".split()), ("knows",), spans=((0, 1), (2, 3), (4, 5)))
    exact, changed = (
        scores(network, numbers([query], checkpoint.tokenizer))
        for network in (checkpoint.network, for_prediction(checkpoint.network, precision))
    )
    assert changed.isfinite().all()
    assert changed.shape == exact.shape


def test_a_t5_predicts_in_8_bits():
    t5 = T5Config(vocab_size=200, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4).to_dict()
    checkpoint = tiny_network_checkpoint(t5)
    batch = numbers(QUERIES[:2], checkpoint.tokenizer)
    exact, changed = scores(checkpoint.network, batch), scores(for_prediction(checkpoint.network, "int8"), batch)
    assert (changed - exact).std() < 0.1 * exact.std()


def test_rotary_positions_stay_exact_in_bfloat16():
    network = tiny_network_checkpoint(tiny_modernbert()).network
    changed = for_prediction(network, "bfloat16", packed=False)
    buffers = [buffer for name, buffer in changed.named_buffers() if "inv_freq" in name]
    assert buffers and all(buffer.dtype == torch.float32 for buffer in buffers)


def test_formats_that_a_cpu_has_no_units_for_are_warned_of(checkpoint, monkeypatch, caplog):
    monkeypatch.setattr(precision_module, "has_bfloat16", lambda: False)
    monkeypatch.setattr(precision_module, "has_float16", lambda: True)
    for_prediction(checkpoint.network, "float16")
    assert not caplog.text
    for_prediction(checkpoint.network, "bfloat16")
    assert "no units for bfloat16" in caplog.text


def test_weights_have_7_bits_where_sums_of_8_would_overflow(monkeypatch):
    torch.manual_seed(0)
    linear, rows = torch.nn.Linear(64, 48), torch.randn(5, 64)
    monkeypatch.setattr("spacy_gliner.nn.int8.largest_weight", lambda: 63)
    with torch.inference_mode():
        exact = linear(rows)
        assert ((Int8Linear(linear)(rows) - exact).std() / exact.std()) < 0.02
