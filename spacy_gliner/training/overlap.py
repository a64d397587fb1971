"""Which texts share words with texts that must not be trained on, such as those of an evaluation."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .corpora import read_rows

WORD = re.compile(r"\w+")
RUN = 10  # so many words in a row don't occur twice by chance


class Overlap:
    """Finds texts that equal one of these, or share ten words in a row with one (letters and digits, lower case).

    texts: What must not be trained on.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.runs: set[tuple[str, ...]] = set()
        for text in texts:
            self.runs.update(_runs(text))

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and any(run in self.runs for run in _runs(text))


def texts_of(path: Path) -> Iterator[str]:
    """The texts of a file of JSON lines: tokens, a text, or the paragraphs of an article. Raises ValueError."""
    for row in read_rows(path, _row):
        if "paragraphs" in row:
            yield from (paragraph["context"] for paragraph in row["paragraphs"])
        elif "tokens" in row:
            yield " ".join(row["tokens"])
        else:
            yield row["text"]


def _row(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict) or not {"text", "tokens", "paragraphs"} & set(row):
        raise ValueError('expected {"text": …}, {"tokens": […]} or {"paragraphs": […]}')
    return row


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    """Ten words in a row, all of them; of a shorter text, the whole of it."""
    words = tuple(WORD.findall(text.lower()))
    if words:
        yield from (words[first : first + RUN] for first in range(max(len(words) - RUN + 1, 1)))
