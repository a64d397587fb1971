"""Labels with an encoder of their own: the same beside every text, pooled, and fused with the words on request."""

from dataclasses import replace

import pytest
import torch

from spacy_gliner.nn.fusion import Fusion, parse_schema
from spacy_gliner.nn.network import NetworkConfig
from spacy_gliner.types import Query

from ..tiny import QUERIES, assert_equal, numbers, scores_of, tiny_bert, tiny_deberta, tiny_network_checkpoint

LABELS = tiny_bert(hidden_size=16)


@pytest.fixture(scope="module", params=["token", "markerV0", "marker"])
def bi(request):
    return tiny_network_checkpoint(tiny_deberta(), head=request.param, label_backbone=LABELS)


@pytest.fixture(scope="module", params=["l2l-l2t-t2t", "t2l"])
def poly(request):
    return tiny_network_checkpoint(
        tiny_deberta(), head="markerV0", label_backbone=LABELS, fusion=request.param, fusion_layers=2
    )


def label_vectors(checkpoint, *labels):
    with torch.inference_mode():
        return checkpoint.network.encode_labels(checkpoint.tokenizer.label_pieces(labels))


def test_a_label_is_the_mean_over_all_of_its_pieces(bi):
    encoder = bi.network.encoder.labels
    labels = bi.tokenizer.label_pieces(["person", "a city of Berlin"])
    with torch.inference_mode():
        projected = encoder.projection(encoder.transformer(labels.ids, labels.lengths))
        expected = torch.stack([block.mean(dim=0) for block in projected.split(labels.lengths)])
        torch.testing.assert_close(encoder(labels), expected, atol=1e-5, rtol=0)


def test_a_label_does_not_depend_on_those_beside_it(bi):
    alone = label_vectors(bi, "city")
    together = label_vectors(bi, "person", "a very long label of many words", "city")
    torch.testing.assert_close(together[2:], alone, atol=1e-5, rtol=0)


def test_other_labels_and_their_order_change_no_score(bi):
    words = QUERIES[0].words
    (few,) = scores_of(bi.network, bi.tokenizer, [Query(words, ("city", "person"))])
    (many,) = scores_of(bi.network, bi.tokenizer, [Query(words, ("date", "person", "company", "city", "it"))])
    dim = 1 if bi.network.config.head == "token" else 2
    torch.testing.assert_close(many.index_select(dim, torch.tensor([3, 1])), few, atol=1e-5, rtol=0)


def test_a_query_does_not_depend_on_its_neighbours(bi, poly):
    for checkpoint in (bi, poly):
        alone = [scores_of(checkpoint.network, checkpoint.tokenizer, [query])[0] for query in QUERIES]
        assert_equal(scores_of(checkpoint.network, checkpoint.tokenizer, QUERIES), alone, atol=1e-4)


def test_known_vectors_give_what_pieces_give(bi, poly):
    for checkpoint in (bi, poly):
        network, batch = checkpoint.network, numbers(QUERIES, checkpoint.tokenizer)
        with torch.inference_mode():
            known = network.read_labels(network.encode_labels(batch.labels_apart))
            assert_equal(
                network(replace(batch, labels_apart=known, labels_read=True)).per_query(), network(batch).per_query()
            )


def test_fused_labels_depend_on_the_text(poly):
    queries = [Query(words, ("person",)) for words in (("Bill", "Gates"), ("Paris",))]
    batch = numbers(queries, poly.tokenizer)
    with torch.inference_mode():
        labels = poly.network.encoder(batch).labels
    assert ("l2t" in poly.network.config.fusion) != torch.allclose(labels[0], labels[1])


@pytest.mark.parametrize("words, labels", [((), ("person",)), (("Bill",), ()), ((), ())])
def test_nothing_asked_or_nothing_to_read_is_normal(bi, poly, words, labels):
    for checkpoint in (bi, poly):
        (scores,) = scores_of(checkpoint.network, checkpoint.tokenizer, [Query(words, labels)])
        assert scores.numel() == 0
        assert scores_of(checkpoint.network, checkpoint.tokenizer, []) == []


def test_a_batch_without_its_labels_is_refused(bi):
    batch = replace(numbers(QUERIES, bi.tokenizer), labels_apart=None)
    with pytest.raises(ValueError, match="needs the labels"):
        bi.network(batch)


def test_attention_over_nothing_adds_nothing():
    fusion = Fusion("l2t-t2l", width=8, n_layers=1, n_heads=2).eval()
    words, labels = fusion(torch.zeros(0, 8), [0], torch.randn(2, 8), [2])
    assert words.shape == (0, 8) and torch.isfinite(labels).all()


@pytest.mark.parametrize("schema", ["", "l2l-", "t2x", "l2l l2t"])
def test_other_schemas_are_refused(schema):
    with pytest.raises(ValueError, match="A fusion is made of"):
        parse_schema(schema)


def test_shapes_that_no_network_has_are_refused():
    with pytest.raises(ValueError, match="no BiLSTM"):
        NetworkConfig(tiny_bert(), "token", 24, label_backbone=LABELS)
    with pytest.raises(ValueError, match="can fuse"):
        NetworkConfig(tiny_bert(), "token", 24, fusion="l2l")


def test_a_network_that_reads_labels_in_the_text_has_no_vectors_of_them():
    checkpoint = tiny_network_checkpoint()
    with pytest.raises(ValueError, match="only bi-encoders"):
        checkpoint.network.encode_labels(None)
