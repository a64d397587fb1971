"""The word splitter that published GLiNER checkpoints were trained with, as a spaCy tokenizer."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab

WORD = re.compile(r"\w+(?:[-_]\w+)*|\S")


class WordSplitter:
    """Words with their hyphens and underscores, and every other symbol by itself.

    "state-of-the-art, isn't it?" -> state-of-the-art , isn ' t it ?
    """

    def __init__(self, vocab: Vocab) -> None:
        self.vocab = vocab

    def __call__(self, text: str) -> Doc:
        """Split a text. The Doc's text equals it."""
        words: list[str] = []
        spaces: list[bool] = []
        end = 0
        for word in WORD.finditer(text):
            if word.start() > end:
                words.append(text[end : word.start()])
                spaces.append(False)
            followed = text[word.end() : word.end() + 1] == " "
            words.append(word.group())
            spaces.append(followed)
            end = word.end() + followed
        if end < len(text):
            words.append(text[end:])
            spaces.append(False)
        return Doc(self.vocab, words=words, spaces=spaces)

    def to_bytes(self, **kwargs: Any) -> bytes:
        """Nothing to save: the rules are fixed."""
        return b""

    def from_bytes(self, data: bytes, **kwargs: Any) -> "WordSplitter":
        """Nothing to load."""
        return self

    def to_disk(self, path: str | Path, **kwargs: Any) -> None:
        """Nothing to save: the rules are fixed."""

    def from_disk(self, path: str | Path, **kwargs: Any) -> "WordSplitter":
        """Nothing to load."""
        return self


def create_word_splitter() -> Callable[[Language], WordSplitter]:
    """`spacy_gliner.WordSplitter.v1`, for `[nlp.tokenizer]`: exact equality with published numbers."""
    return _word_splitter


def _word_splitter(nlp: Language) -> WordSplitter:
    return WordSplitter(nlp.vocab)
