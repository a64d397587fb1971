"""Word and label vectors: taken from the right pieces, projected, and read by the BiLSTM."""

from dataclasses import replace

import pytest
import torch

from spacy_gliner.batching import PieceTokenizer, collate
from spacy_gliner.nn.encoders import UniEncoder
from spacy_gliner.nn.transformer import Transformer
from spacy_gliner.types import Query

from ..tiny import QUERIES, tiny_bert, tiny_tokenizer

TOKENIZER = PieceTokenizer(tiny_tokenizer())


def encoder_of(width=24, lstm_layers=0):
    torch.manual_seed(0)
    return UniEncoder(Transformer(tiny_bert(vocab_size=len(TOKENIZER))), width=width, lstm_layers=lstm_layers).eval()


def encode(encoder, *asked):
    with torch.inference_mode():
        return encoder(collate(asked, TOKENIZER))


@pytest.mark.parametrize("width", [24, 32])
def test_words_are_their_first_piece_and_labels_their_marker(width):
    encoder = encoder_of(width)
    batch = collate(QUERIES, TOKENIZER)
    with torch.inference_mode():
        pieces = encoder.projection(encoder.transformer(batch.piece_ids, batch.piece_lengths))
        reps = encoder(batch)
    assert torch.equal(reps.words, pieces[batch.word_starts])
    assert torch.equal(reps.labels, pieces[batch.label_marks])
    assert reps.words.shape[1] == reps.labels.shape[1] == width


def test_vectors_are_projected_only_where_widths_differ():
    assert isinstance(encoder_of(32).projection, torch.nn.Identity)
    assert isinstance(encoder_of(24).projection, torch.nn.Linear)


def test_a_word_without_pieces_is_a_zero_vector_and_leaves_its_neighbours_alone():
    encoder = encoder_of()
    reps = encode(encoder, Query(("Bill", "\x07", "Gates"), ("person",)))
    without = collate([Query(("Bill", "Gates"), ("person",))], TOKENIZER)
    # The label twice, so that as many rows are read: some CPUs round by their number.
    without = replace(without, label_marks=without.label_marks.repeat(2), label_lengths=[2])
    with torch.inference_mode():
        neighbours = encoder(without).words
    assert torch.equal(reps.words[1], torch.zeros(24))
    assert torch.equal(reps.words[[0, 2]], neighbours)


def test_the_lstm_reads_the_zero_vector_of_a_word_without_pieces():
    encoder = encoder_of(lstm_layers=1)
    query = Query(("Bill", "\x07", "Gates"), ("person",))
    read = encode(encoder, query)
    lstm, encoder.lstm = encoder.lstm, None
    words = encode(encoder, query).words
    with torch.inference_mode():
        assert torch.equal(read.words, lstm(words, [3]))


def test_the_lstm_reads_instructions_and_no_labels():
    encoder = encoder_of(lstm_layers=1)
    query = Query(("Bill", "Gates"), ("person", "city"), instruction=("who", "is"))
    read = encode(encoder, query)
    lstm, encoder.lstm = encoder.lstm, None
    whole = encode(encoder, Query(query.instruction + query.words, query.labels))
    with torch.inference_mode():
        assert torch.equal(read.words, lstm(whole.words, [4])[2:])
    assert torch.equal(read.labels, whole.labels)
    assert (read.word_lengths, read.label_lengths) == ([2], [2])
