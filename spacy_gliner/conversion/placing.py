"""From the places that a record names to tokens of its Doc: exact, widened, or a reason why there are none."""

import re
from bisect import bisect_left, bisect_right
from typing import NamedTuple

from spacy.tokens import Doc

from .records import Mark, Record, shorten


class Placed(NamedTuple):
    """A span in tokens, its end exclusive; `repaired` if it is not quite the one of the file."""

    start: int
    end: int
    repaired: bool = False


class Placing:
    """Finds the tokens of marks.

    repair: Widen what does not begin and end with tokens, after trimming white space at its borders.
    """

    def __init__(self, record: Record, doc: Doc, repair: bool) -> None:
        self.text = record.text
        self.doc = doc
        self.repair = repair
        in_text = record.text is not None
        self.unit = "characters" if in_text else "tokens"
        self.length = len(doc.text) if in_text else len(doc)
        self.starts = [token.idx if in_text else token.i for token in doc]
        self.ends = [token.idx + len(token) if in_text else token.i + 1 for token in doc]

    def find(self, mark: Mark) -> Placed | str:
        """The tokens of a mark, or what is wrong with it."""
        problem = self._problem(mark)
        if problem:
            return problem
        start, end = self._trimmed(mark) if self.repair and self.text is not None else mark[:2]
        row, last = bisect_left(self.starts, start), bisect_left(self.ends, end)
        if self.starts[row : row + 1] == [start] and self.ends[last : last + 1] == [end]:
            return Placed(row, last + 1, (start, end) != mark[:2])
        if self.repair:
            return Placed(*self._tokens(start, end), repaired=True)
        return "it does not begin and end with tokens (--repair widens it)"

    def unknown(self, start: int | None, end: int | None, claimed: str | None) -> set[int]:
        """The tokens that a lost span may stand in: those at its place, and where the text is that it claims to be."""
        places = [] if start is None or end is None else [(start, end)]
        if claimed and self.text is not None and not (places and _same(self.text[start:end], claimed)):
            places += [match.span() for match in re.finditer(re.escape(claimed), self.text)]
        return {token for place in places for token in range(*self._tokens(*place))}

    def text_of(self, mark: Mark) -> str:
        """What stands at a mark, as far as it lies inside."""
        start, end = max(mark.start, 0), max(mark.end, 0)
        return self.text[start:end] if self.text is not None else self.doc[start:end].text if start < end else ""

    def _problem(self, mark: Mark) -> str:
        if mark.start > mark.end:
            return f"it ends, at {mark.end}, before it begins, at {mark.start}"
        if mark.start < 0 or mark.end > self.length:
            return f"it lies outside the {self.length} {self.unit} of the text, at {mark.start} to {mark.end}"
        if not self.text_of(mark).strip():
            return "it is empty" if mark.start == mark.end else "it is white space alone"
        if mark.text and not _same(self.text_of(mark), mark.text):
            return f"the text there is {shorten(self.text_of(mark))}, not {shorten(mark.text)}"
        return ""

    def _trimmed(self, mark: Mark) -> tuple[int, int]:
        text = self.text_of(mark)
        return mark.start + len(text) - len(text.lstrip()), mark.end - len(text) + len(text.rstrip())

    def _tokens(self, start: int, end: int) -> tuple[int, int]:
        """The tokens that share something with a place."""
        row = bisect_right(self.ends, start)
        return row, max(row, bisect_left(self.starts, end))


def _same(text: str, claimed: str) -> bool:
    """Whether two texts differ in white space alone. Label Studio writes line breaks as a backslash and an n."""
    return text.split() == claimed.split() or text.split() == claimed.replace("\\n", "\n").split()
