"""Scores of triples whose formula can be written down another way."""

import torch

from spacy_gliner.nn.pairs import PairHead
from spacy_gliner.nn.triples import TRIPLES


def test_holographic_scores_are_those_of_a_circular_correlation():
    h, r, t = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(0))
    shifted = torch.stack([torch.roll(t, -k, dims=-1) for k in range(8)], dim=-1)
    expected = ((h[:, :, None] * shifted).sum(dim=1) * r).sum(dim=-1)
    torch.testing.assert_close(TRIPLES["HolE"](h, r, t), expected)


def test_all_of_them_score_every_pair_with_every_label():
    spans, labels = torch.randn(3, 8), torch.randn(2, 8)
    for name, score in TRIPLES.items():
        head = PairHead(width=8, dropout=0.0, links="none", triples=name)
        (block,) = head(spans, [3], labels, [2]).per_query()
        assert block.shape == (3, 3, 3)
        torch.testing.assert_close(block[2, 1, 0], score(spans[2], labels[0], spans[1]))
        (nothing,) = head(spans[:0], [0], labels, [2]).per_query()
        assert nothing.shape == (0, 0, 3)
