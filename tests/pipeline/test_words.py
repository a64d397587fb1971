"""The word splitter of published checkpoints as a spaCy tokenizer."""

import re

import pytest
import spacy
from hypothesis import example, given
from hypothesis import strategies as st
from spacy.util import get_words_and_spaces

from spacy_gliner.pipeline.words import WordSplitter

from .helpers import TEXTS, assert_same, stub_network

PUBLISHED = re.compile(r"\w+(?:[-_]\w+)*|\S")
SPLIT = WordSplitter(spacy.blank("en").vocab)


@pytest.mark.parametrize(
    "text, words",
    [
        ("state-of-the-art, isn't it?", ["state-of-the-art", ",", "isn", "'", "t", "it", "?"]),
        ("U.S. $5,000", ["U", ".", "S", ".", "$", "5", ",", "000"]),
        ("snake_case -dash- a--b", ["snake_case", "-", "dash", "-", "a", "-", "-", "b"]),
        ("Zoë Straße 東京", ["Zoë", "Straße", "東京"]),
        ("", []),
    ],
)
def test_words_are_cut_as_published(text, words):
    assert [token.text for token in SPLIT(text)] == words


@given(st.text() | st.text("aB1-_'. \n\t\u00a0é"))
@example(" \n a\u2003b \u200b\x1f ")
def test_any_text_is_cut_as_published_and_stays_itself(text):
    doc = SPLIT(text)
    assert doc.text == text
    assert [token.text for token in doc if not token.is_space] == PUBLISHED.findall(text)
    words, spaces = get_words_and_spaces(PUBLISHED.findall(text), text)
    assert [(token.text, bool(token.whitespace_)) for token in doc] == list(zip(words, spaces, strict=True))


@pytest.fixture
def nlp(tiny_checkpoint):
    nlp = spacy.blank("en", config={"nlp": {"tokenizer": {"@tokenizers": "spacy_gliner.WordSplitter.v1"}}})
    source = {"name": str(tiny_checkpoint)}
    nlp.add_pipe("gliner_ner", config={"labels": ["person", "company"], "model": {"source": source}})
    return nlp


def test_a_pipeline_can_use_it(nlp):
    seen = stub_network(nlp, lambda query: [])
    nlp("It isn't state-of-the-art.")
    assert [query.words for query in seen] == [("It", "isn", "'", "t", "state-of-the-art", ".")]


def test_it_is_saved_with_the_pipeline(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    expected = list(nlp.pipe(TEXTS))
    for again in (spacy.load(tmp_path), spacy.blank("en", config=nlp.config).from_bytes(nlp.to_bytes())):
        assert isinstance(again.tokenizer, WordSplitter)
        assert_same(again.pipe(TEXTS), expected)


def test_it_reaches_worker_processes(nlp):
    assert_same(nlp.pipe(TEXTS, n_process=2), nlp.pipe(TEXTS))
