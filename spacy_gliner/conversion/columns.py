"""Reading column files: a token a line with its tag last (CoNLL-2003; BIO, IOB1, IOB2, BILUO, BIOES, BMES)."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from .files import naming, read_lines
from .records import Mark, Record, Skip, shorten

TAG = re.compile(r"O|-|[BIESLUM]-.+")
UNKNOWN = "-"  # as in spaCy: the annotation of this token is missing
INSIDE, LAST = ("I", "M", "E", "L"), ("E", "L", "S", "U")


def read_conll(path: Path) -> Iterator[Record | Skip]:
    """The sentences. Raises ValueError that names file and line for a line without token and tag."""
    for first, lines in _sentences(path):
        tokens, tags = zip(*lines, strict=True)
        missing = [(row, row + 1) for row, tag in enumerate(tags) if tag == UNKNOWN]
        yield Record(f"line {first}", tokens=tokens, spans=spans_of(tags), missing=missing)


def spans_of(tags: Sequence[str]) -> list[Mark]:
    """The spans that tags make, in whichever scheme.

    B, S and U begin a span, E, L, S and U end one. I, M, E and L go on with one of the same label and begin one where
    there is none, as in IOB1.
    """
    spans: list[Mark] = []
    start, label = 0, ""
    for row, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if label and (prefix not in INSIDE or name != label):
            spans.append(Mark(start, row, label))
            label = ""
        if name and not label:
            start, label = row, name
        if label and prefix in LAST:
            spans.append(Mark(start, row + 1, label))
            label = ""
    return spans


def columns_of(line: str) -> list[str]:
    """The columns of a line, which tabs separate or, where there are none, spaces."""
    line = line.rstrip(" \t")
    return [column.strip(" ") for column in line.split("\t")] if "\t" in line else re.split(" +", line.lstrip(" "))


def looks_like_conll(line: str) -> bool:
    """Whether this is a line of a column file."""
    if line.lstrip().startswith(("{", "[")):  # JSON, whatever it ends with
        return False
    columns = columns_of(line)
    return columns[0] == "-DOCSTART-" or (len(columns) > 1 and TAG.fullmatch(columns[-1]) is not None)


def _sentences(path: Path) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """The number of the first line of each sentence, and its tokens with their tags."""
    first = 0
    lines: list[tuple[str, str]] = []
    for number, line in [*read_lines(path), (0, "")]:
        columns = columns_of(line)
        blank = columns == [""] or columns[0] == "-DOCSTART-"
        if blank and lines:
            yield first, lines
            first, lines = 0, []
        if blank or (not lines and _is_comment(columns)):
            continue
        with naming(path, f"line {number}"):
            _check(columns)
        first = first or number
        lines.append((columns[0], columns[-1]))


def _is_comment(columns: Sequence[str]) -> bool:
    return columns[0].startswith("#") and (len(columns) < 2 or not TAG.fullmatch(columns[-1]))


def _check(columns: Sequence[str]) -> None:
    if len(columns) < 2:
        raise ValueError(f"expected a token and a tag, got {shorten(columns[0])} alone")
    if not columns[0]:
        raise ValueError("expected a token in the first column, which is empty")
    if not TAG.fullmatch(columns[-1]):
        raise ValueError(f"expected a tag such as O, B-person or I-person in the last column, got {columns[-1]!r}")
