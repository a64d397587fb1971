"""Scores of triples: those of the reference library, and of formulas that can be written down another way."""

import pytest
import torch
from gliner.modeling.multitask.triples_layers import TriplesScoreLayer

from spacy_gliner.nn.pairs import PairHead
from spacy_gliner.nn.triples import FORMULAS, TRIPLES, WEIGHTED, TuckER, build_triples


def test_holographic_scores_are_those_of_a_circular_correlation():
    h, r, t = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(0))
    shifted = torch.stack([torch.roll(t, -k, dims=-1) for k in range(8)], dim=-1)
    expected = ((h[:, :, None] * shifted).sum(dim=1) * r).sum(dim=-1)
    torch.testing.assert_close(FORMULAS["HolE"](h, r, t), expected)


@pytest.mark.parametrize("name", TRIPLES)
def test_scores_equal_the_reference(name):
    torch.manual_seed(0)
    theirs = TriplesScoreLayer(name, dim=8).eval()
    for weight in theirs.state_dict().values():  # of a training: running means and variances too
        if weight.is_floating_point():
            weight.uniform_(0.1, 1.0)
    ours = build_triples(name, 8, 0.5).eval()
    ours.load_state_dict(theirs.interaction.state_dict())
    spans, relations = torch.randn(4, 8), torch.randn(3, 8)
    heads, tails = ours.ends(spans)
    score = ours.by(relations)
    found = torch.stack([score(head, tails[:, None]) for head in heads])
    h, t, r = torch.broadcast_tensors(spans[:, None, None], spans[None, :, None], relations[None, None])
    triple = (rows.reshape(-1, 1, 8) for rows in (h, r, t))
    with torch.no_grad():  # one by one: its TuckER mixes what it reads together
        expected = torch.cat([theirs.interaction(*each) for each in zip(*triple, strict=True)])
    torch.testing.assert_close(found, expected.view(4, 4, 3), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", TRIPLES)
def test_all_of_them_score_every_pair_with_every_label(name):
    spans, labels = torch.randn(3, 8), torch.randn(2, 8)
    head = PairHead(width=8, dropout=0.0, links="none", triples=name).eval()
    (block,) = head(spans, [3], labels, [2]).per_query()
    assert block.shape == (3, 3, 3)
    heads, tails = head.triples.ends(spans)
    torch.testing.assert_close(block[2, 1, :2], head.triples.by(labels)(heads[2], tails[1:2, None])[0])
    (nothing,) = head(spans[:0], [0], labels, [2]).per_query()
    assert nothing.shape == (0, 0, 3)
    (nothing,) = head(spans, [3], labels[:0], [0]).per_query()
    assert nothing.shape == (3, 3, 1)


@pytest.mark.parametrize("name", WEIGHTED)
def test_all_weights_learn(name):
    torch.manual_seed(0)
    head = PairHead(width=8, dropout=0.1, links="none", triples=name).train()
    logits = head(torch.randn(5, 8), [3, 2], torch.randn(4, 8), [3, 1])
    logits.scores.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in head.parameters())


def test_a_norm_learns_the_spans_of_a_batch_and_needs_more_than_one():
    head = TuckER(8, 0.0).train()
    before = head.bn0.running_mean.clone()
    assert head.ends(torch.randn(1, 8))[0].isfinite().all()
    assert torch.equal(head.bn0.running_mean, before)
    heads, _ = head.ends(torch.randn(50, 8) + 3)
    torch.testing.assert_close(heads.mean(dim=0), torch.zeros(8), atol=1e-5, rtol=0)
    assert (head.bn0.running_mean > 0.2).all()
