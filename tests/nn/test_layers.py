"""The perceptron and the BiLSTM over ragged words."""

import torch

from spacy_gliner.nn import onednn
from spacy_gliner.nn.layers import BiLSTM, Perceptron


def test_a_perceptron_is_its_parts(monkeypatch):
    monkeypatch.setattr(onednn, "has_faster_onednn", lambda: False)
    perceptron = Perceptron(4, 6, 3, 0.5).eval()
    inputs = torch.randn(5, 4)
    with torch.no_grad():
        expected = perceptron.second((perceptron.first(inputs)).relu())
        assert torch.equal(perceptron(inputs), expected)
        assert torch.equal(perceptron.second(perceptron.activate(perceptron.first(inputs))), expected)


def test_the_lstm_reads_each_text_by_itself_and_none_that_is_empty():
    lstm = BiLSTM(6, 2).eval()
    lengths = [3, 0, 5, 1, 0]
    words = torch.randn(9, 6)
    with torch.no_grad():
        read = lstm(words, lengths)
        alone = [lstm.lstm(text[None])[0][0] for text in words.split(lengths) if len(text)]
    torch.testing.assert_close(read, torch.cat(alone), atol=1e-6, rtol=0)


def test_texts_without_words_pass_the_lstm():
    words = torch.zeros(0, 6)
    assert torch.equal(BiLSTM(6, 1)(words, [0, 0]), words)
