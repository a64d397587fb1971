"""What is done otherwise on an accelerator than on a CPU gives the same, here on a CPU."""

import copy

import pytest
import torch

from spacy_gliner.nn import deberta, fused, heads, packing, transformer
from spacy_gliner.nn.packing import grouped
from spacy_gliner.nn.transformer import Transformer, unpack

from ..tiny import (
    QUERIES,
    assert_equal,
    scores_of,
    tiny_bert,
    tiny_deberta,
    tiny_modernbert,
    tiny_network_checkpoint,
)

BACKBONES = {"bert": tiny_bert, "deberta": tiny_deberta, "modernbert": tiny_modernbert}
LENGTHS = [1, 2, 7, 40, 7, 90, 3, 300, 41, 200, 0, 39]


@pytest.fixture
def as_on_accelerator(monkeypatch):
    """A function after which all is computed as on an accelerator."""

    def switch():
        for module in (deberta, fused, heads, packing, transformer):
            monkeypatch.setattr(module, "on_accelerator", lambda device: True)

    return switch


@pytest.mark.parametrize("head", ["token", "markerV0"])
@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES)
@pytest.mark.parametrize("packed", [True, False])
def test_a_network_finds_the_same(as_on_accelerator, backbone, head, packed):
    checkpoint = tiny_network_checkpoint(backbone(), head=head, seed=4)
    if not packed:
        unpack(checkpoint.network.encoder.transformer)
    asked = checkpoint.network, checkpoint.tokenizer, QUERIES
    expected = scores_of(*asked)
    as_on_accelerator()
    assert_equal(scores_of(*asked), expected)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("fuses", [False, True])
@pytest.mark.parametrize("rows", [None, torch.tensor([3, 100, 5])])
@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES)
def test_a_backbone_gives_what_hugging_face_gives(as_on_accelerator, monkeypatch, backbone, rows, fuses):
    monkeypatch.setenv("SPACY_GLINER_FUSED_ATTENTION", str(int(fuses)))
    settings = {} if backbone is tiny_deberta else {"max_position_embeddings": 320}
    torch.manual_seed(0)
    packed = Transformer(backbone(**settings)).eval()
    plain = copy.deepcopy(packed)
    unpack(plain)
    calls = []
    monkeypatch.setattr(fused, "attend", lambda *given, attend=fused.attend: calls.append(1) or attend(*given))
    ids = torch.randint(5, 100, (sum(LENGTHS),))
    with torch.inference_mode():
        expected = plain(ids, LENGTHS, rows)
        as_on_accelerator()
        torch.testing.assert_close(packed(ids, LENGTHS, rows), expected, atol=2e-5, rtol=1e-4)
    assert bool(calls) == (fuses and backbone is tiny_deberta)


@torch.no_grad()
def test_nothing_is_fused_on_a_cpu_in_training_or_unasked(monkeypatch):
    monkeypatch.setenv("SPACY_GLINER_FUSED_ATTENTION", "1")
    assert not fused.wanted(torch.device("cpu")) and fused.wanted(torch.device("cuda"))
    with torch.enable_grad():
        assert not fused.wanted(torch.device("cuda"))
    monkeypatch.delenv("SPACY_GLINER_FUSED_ATTENTION")
    assert not fused.wanted(torch.device("cuda"))


def test_long_sequences_are_read_together(as_on_accelerator):
    lengths, cpu = [300, 310, 250, 900], torch.device("cpu")
    assert [group.n_sequences for group in grouped(lengths, 2, cpu)] == [1, 1, 1, 1]
    as_on_accelerator()
    assert [group.n_sequences for group in grouped(lengths, 2, cpu)] == [3, 1]


def test_nobody_waits_for_how_many_pieces_are_different(as_on_accelerator, monkeypatch):
    as_on_accelerator()
    monkeypatch.delattr(torch.Tensor, "unique")
    with torch.inference_mode():
        assert Transformer(tiny_deberta()).eval()(torch.tensor([5, 6, 5]), [3]).shape[0] == 3
