"""The heads, which score every part by itself, equal their formulas, which put the parts together."""

import pytest
import torch

from spacy_gliner.nn import heads
from spacy_gliner.nn.heads import SpanHead, TokenHead
from spacy_gliner.types import Reps

WIDTH = 8
MAX_WIDTH = 4
WORD_LENGTHS = [5, 1, 0, 3, 6]
LABEL_LENGTHS = [2, 3, 1, 0, 1]


@pytest.fixture
def reps():
    generator = torch.Generator().manual_seed(0)
    words = torch.randn(sum(WORD_LENGTHS), WIDTH, generator=generator)
    labels = torch.randn(sum(LABEL_LENGTHS), WIDTH, generator=generator)
    return Reps(words, WORD_LENGTHS, labels, LABEL_LENGTHS)


def make_head(kind):
    if kind == "token":
        return TokenHead(width=WIDTH, dropout=0.4).eval()
    return SpanHead(width=WIDTH, max_width=MAX_WIDTH, dropout=0.4, markers=kind).eval()


def per_query(reps):
    return zip(reps.words.split(reps.word_lengths), reps.labels.split(reps.label_lengths), strict=True)


@pytest.mark.parametrize("markers", ["markerV0", "marker"])
def test_a_span_head_scores_by_its_formula(reps, markers):
    head = SpanHead(width=WIDTH, max_width=MAX_WIDTH, dropout=0.4, markers=markers).eval()
    with torch.no_grad():
        logits = head(reps)
        assert logits.width == MAX_WIDTH
        for (words, labels), block in zip(per_query(reps), logits.per_query(), strict=True):
            assert block.shape == (len(words), MAX_WIDTH, len(labels))
            for start in range(len(words)):
                for last in range(start, min(start + MAX_WIDTH, len(words))):
                    borders = torch.cat([head.project_start(words[start]), head.project_end(words[last])])
                    expected = head.project_label(labels) @ head.out_project(borders.relu())
                    torch.testing.assert_close(block[start, last - start], expected, atol=1e-6, rtol=0)


def test_a_token_head_scores_by_its_formula(reps):
    head = TokenHead(width=WIDTH, dropout=0.4, span_score="mean").eval()
    with torch.no_grad():
        logits = head(reps)
        assert logits.span_score == "mean"
        for (words, labels), block in zip(per_query(reps), logits.per_query(), strict=True):
            assert block.shape == (len(words), len(labels), 3)
            for word in range(len(words)):
                for label in range(len(labels)):
                    a, b = head.proj_token(words[word]).chunk(2)
                    c, d = head.proj_label(labels[label]).chunk(2)
                    expected = head.out_mlp(torch.cat([a, c, b * d]))
                    torch.testing.assert_close(block[word, label], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("pairs", [1, 7, 10, 1000])
@pytest.mark.parametrize("kind", ["markerV0", "marker", "token"])
def test_how_many_pairs_are_scored_together_makes_no_difference(reps, monkeypatch, pairs, kind):
    head = make_head(kind)
    with torch.no_grad():
        expected = head(reps).scores
        monkeypatch.setattr(heads, "PAIRS", pairs)
        torch.testing.assert_close(head(reps).scores, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["markerV0", "marker", "token"])
def test_precision_may_be_left_to_torch(reps, kind):
    head = make_head(kind)
    with torch.inference_mode():
        expected = head(reps).scores
        with torch.autocast("cpu", torch.bfloat16):
            scores = head(reps).scores.float()
    assert (scores - expected).abs().mean() < 0.05 * expected.abs().mean()


@pytest.mark.parametrize(
    "head",
    [
        SpanHead(width=WIDTH, max_width=MAX_WIDTH, dropout=0.5),
        SpanHead(width=WIDTH, max_width=MAX_WIDTH, dropout=0.5, markers="marker"),
        TokenHead(width=WIDTH, dropout=0.5),
    ],
    ids=["markerV0", "marker", "token"],
)
def test_heads_drop_out_in_training_only(reps, head):
    head.train()
    assert not torch.equal(head(reps).scores, head(reps).scores)
    head.eval()
    assert torch.equal(head(reps).scores, head(reps).scores)


@pytest.mark.parametrize("markers, n_hidden", [("markerV0", 4 * WIDTH), ("marker", 2 * WIDTH)])
def test_parameters_have_the_shapes_of_published_checkpoints(markers, n_hidden):
    head = SpanHead(width=WIDTH, max_width=MAX_WIDTH, dropout=0.0, markers=markers)
    shapes = {name: tuple(tensor.shape) for name, tensor in head.state_dict().items() if name.endswith("weight")}
    expected = {
        "project_start.0.weight": (n_hidden, WIDTH),
        "project_start.3.weight": (WIDTH, n_hidden),
        "project_end.0.weight": (n_hidden, WIDTH),
        "project_end.3.weight": (WIDTH, n_hidden),
        "project_label.0.weight": (4 * WIDTH, WIDTH),
        "project_label.3.weight": (WIDTH, 4 * WIDTH),
    }
    if markers == "markerV0":
        expected |= {"out_project.0.weight": (n_hidden, 2 * WIDTH), "out_project.3.weight": (WIDTH, n_hidden)}
    else:
        expected |= {"out_project.weight": (WIDTH, 2 * WIDTH)}
    assert shapes == expected
