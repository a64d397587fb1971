"""Networks that predict in other number formats: near to what float32 gives, and nothing else changes."""

import pytest
import torch

from spacy_gliner.nn.int8 import Int8Linear, each, rounded_by_row
from spacy_gliner.nn.precision import for_prediction
from spacy_gliner.nn.transformer import Transformer

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


def test_float32_is_the_network_itself(checkpoint):
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
