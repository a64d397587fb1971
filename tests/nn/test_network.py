"""What a network answers depends on the question alone."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_gliner.batching import collate
from spacy_gliner.nn import heads, transformer
from spacy_gliner.nn.network import NetworkConfig, build_network
from spacy_gliner.types import Query, SpanLogits, TokenLogits

from ..tiny import (
    QUERIES,
    WORDS,
    assert_equal,
    scores_of,
    tiny_bert,
    tiny_deberta,
    tiny_modernbert,
    tiny_network_checkpoint,
)

KINDS = {
    "bert token": lambda: tiny_network_checkpoint(tiny_bert()),
    "deberta markerV0": lambda: tiny_network_checkpoint(tiny_deberta(), head="markerV0"),
    "modernbert marker": lambda: tiny_network_checkpoint(tiny_modernbert(), head="marker", lstm_layers=2),
    "bert token without lstm": lambda: tiny_network_checkpoint(tiny_bert(), lstm_layers=0, width=32),
}
every_kind = pytest.mark.parametrize("kind", list(KINDS))


@cache
def checkpoint_of(kind):
    """In double precision, where sums in another order differ by nothing that counts."""
    checkpoint = KINDS[kind]()
    checkpoint.network.double()
    return checkpoint


def scores(kind, asked):
    checkpoint = checkpoint_of(kind)
    return scores_of(checkpoint.network, checkpoint.tokenizer, asked)


words = st.lists(st.sampled_from([*WORDS, "\x07", "<<ENT>>", "Wort", "9"]), max_size=8).map(tuple)
queries = st.builds(
    lambda text, labels, instruction: Query(text, labels, (), instruction),
    words,
    st.lists(st.sampled_from(WORDS), max_size=4).map(tuple),
    words,
)


@every_kind
@settings(max_examples=25)
@given(asked=st.lists(queries, min_size=1, max_size=6))
def test_an_answer_does_not_depend_on_batch_neighbours(kind, asked):
    assert_equal(scores(kind, asked), [scores(kind, [query])[0] for query in asked], atol=1e-9)


@every_kind
def test_an_answer_does_not_depend_on_the_order_or_the_size_of_a_batch(kind):
    asked = QUERIES * 5
    expected = scores(kind, asked)
    assert_equal(scores(kind, asked[::-1])[::-1], expected, atol=1e-9)
    for size in (1, 3, 7):
        parts = [scores(kind, asked[first : first + size]) for first in range(0, len(asked), size)]
        assert_equal([answer for part in parts for answer in part], expected, atol=1e-9)


@every_kind
def test_an_answer_does_not_depend_on_how_much_is_computed_at_once(kind, monkeypatch):
    expected = scores(kind, QUERIES)
    monkeypatch.setattr(transformer, "PADDED_PIECES", 20)
    monkeypatch.setattr(heads, "PAIRS", 5)
    assert_equal(scores(kind, QUERIES), expected, atol=1e-9)


@every_kind
def test_an_answer_depends_on_words_and_labels(kind):
    (answer,) = scores(kind, [Query(("Paris", "met", "Bill"), ("city", "person"))])
    for other in (("Berlin", "met", "Bill"), ("city", "person")), (("Paris", "met", "Bill"), ("city", "date")):
        assert not torch.allclose(scores(kind, [Query(*other)])[0], answer, atol=1e-2)


@every_kind
def test_equal_labels_in_another_place_are_other_questions(kind):
    query = Query(("Paris",), ("city", "person"))
    swapped = Query(("Paris",), ("person", "city"))
    assert scores(kind, [query])[0].shape == scores(kind, [swapped])[0].shape
    assert not torch.allclose(scores(kind, [query])[0], scores(kind, [swapped])[0], atol=1e-3)


@every_kind
def test_instructions_are_read_but_not_scored(kind):
    bare = Query(("Bill", "met", "Ada"), ("person",))
    instructed = Query(bare.words, bare.labels, instruction=("who", "is", "in", "the", "text"))
    without, read = scores(kind, [bare, instructed])
    assert read.shape == without.shape
    assert not torch.allclose(read, without, atol=1e-2)


@every_kind
def test_instruction_words_are_scored_like_words_of_the_text(kind):
    whole = Query(("who", "is", "Bill", "Gates"), ("person",))
    instructed = Query(("Bill", "Gates"), ("person",), instruction=("who", "is"))
    all_words, text = scores(kind, [whole, instructed])
    assert_equal([text], [all_words[2:]], atol=1e-9)


@every_kind
def test_queries_without_words_or_labels_are_normal(kind):
    asked = [Query((), ()), QUERIES[0], Query((), ("city",)), Query(("Paris",), ()), Query((), (), (), ("who",))]
    together = scores(kind, asked)
    assert [block.shape[0] for block in together] == [0, 7, 0, 1, 0]
    assert_equal(together, [scores(kind, [query])[0] for query in asked], atol=1e-9)


@every_kind
def test_every_part_learns(kind):
    checkpoint = checkpoint_of(kind)
    network = build_network(checkpoint.network.config).train()
    network(collate(QUERIES, checkpoint.tokenizer)).scores.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_the_head_decides_on_the_kind_of_logits():
    for kind, expected in (("bert token", TokenLogits), ("deberta markerV0", SpanLogits)):
        checkpoint = checkpoint_of(kind)
        assert type(checkpoint.network(collate(QUERIES, checkpoint.tokenizer))) is expected


def test_a_new_network_is_in_evaluation_mode():
    assert not build_network(NetworkConfig(tiny_bert(), "token", 16)).training


@every_kind
def test_a_configuration_survives_json(kind):
    network = checkpoint_of(kind).network
    again = NetworkConfig.from_json(network.config.to_json())
    assert again.to_json() == network.config.to_json()
    build_network(again).load_state_dict(network.state_dict(), strict=True)
