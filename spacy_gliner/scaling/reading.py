"""Read the rows of a part. A row that can't be read is one whose Doc can't be made; it is never left out."""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import islice
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, DocBin

from .parts import Part, parquet_file, read_docbin

MakeDoc = Callable[[Language], Doc]


class Rows(NamedTuple):
    """The rows of a part.

    makers: For each row what makes its Doc, a new one each time, or raises what is wrong with the row.
    kept: All that came with the rows: a list of dicts, a table of Arrow or a DocBin.
    """

    makers: list[MakeDoc]
    kept: Any


def read_part(part: Part, kind: str, text: str, results: Sequence[str] = ()) -> Rows:
    """Read a part of a file of this kind.

    text: The column that holds the texts.
    results: The columns that will be added; a row of a file of lines that has one already is an error.
    Raises ValueError where the file has other rows than it had.
    """
    rows = READERS[kind](part, text, results)
    if len(rows.makers) != part.rows:
        raise ValueError(f"{part.path} was changed while it was read: row {part.first + part.rows} is missing.")
    return rows


def read_lines(part: Part, text: str, results: Sequence[str]) -> Rows:
    """Rows of a file of JSON lines. One that is no JSON object is kept under "raw"."""
    with open(part.path, "rb") as file:
        file.seek(part.offset)
        lines = list(islice((line for line in file if line.strip()), part.rows))
    makers: list[MakeDoc] = []
    kept: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=part.first + 1):
        try:
            row = json.loads(line.decode("utf-8-sig"))
            if not isinstance(row, dict):
                raise ValueError(f"expected a JSON object, got {type(row).__name__}")
        except (ValueError, RecursionError) as error:
            kept.append({"raw": line.decode("utf-8", "backslashreplace").rstrip("\r\n")})
            makers.append(partial(_fail, f"Row {number} of {part.path}: {error}."))
        else:
            kept.append(row)
            makers.append(partial(make_doc, row=row, text=text, results=results))
    return Rows(makers, kept)


def read_table(part: Part, text: str, results: Sequence[str]) -> Rows:
    """Rows of a Parquet file, as a table with all of their columns."""
    import pyarrow

    metadata = parquet_file(part.path).metadata
    pieces, before = [], 0
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group).num_rows
        begin, end = max(part.first - before, 0), min(part.first + part.rows - before, size)
        if begin < end:
            pieces.append(_row_group(part.path, group).slice(begin, end - begin))
        before += size
    empty = parquet_file(part.path).schema_arrow.empty_table()
    table = pyarrow.concat_tables(pieces or [empty])
    texts = table.column(text).to_pylist()
    return Rows([partial(make_doc, row={text: value}, text=text) for value in texts], table)


def read_docs(part: Part, text: str, results: Sequence[str]) -> Rows:
    """Docs of a DocBin, each made anew whenever it is asked for."""
    everything, last = _docbin(part.path), part.first + part.rows
    docs = slice_of(everything, part.first, last)
    return Rows([partial(doc_at, docs=docs, number=number) for number in range(len(docs))], docs)


READERS: dict[str, Callable[[Part, str, Sequence[str]], Rows]] = {
    "jsonl": read_lines,
    "parquet": read_table,
    "spacy": read_docs,
}


def make_doc(nlp: Language, *, row: dict[str, Any], text: str, results: Sequence[str] = ()) -> Doc:
    """The Doc of a row. Raises ValueError where it holds no text, or a column that is named like a result."""
    if text not in row:
        raise ValueError(f"The row has no column '{text}'; it has {', '.join(row) or 'none'}.")
    if not isinstance(row[text], str):
        raise ValueError(f"The column '{text}' holds {type(row[text]).__name__}, not a text.")
    taken = next((name for name in results if name in row), None)
    if taken is not None:
        raise ValueError(f"The row has a column '{taken}' already.")
    return nlp.make_doc(row[text])


def doc_at(nlp: Language, *, docs: DocBin, number: int) -> Doc:
    """The Doc at this place of a DocBin."""
    return next(slice_of(docs, number, number + 1).get_docs(nlp.vocab))


def slice_of(docs: DocBin, begin: int, end: int) -> DocBin:
    """The Docs from one place of a DocBin to another, which share their data with it."""
    some = DocBin(attrs=docs.attrs, store_user_data=True)
    some.strings = docs.strings
    for name in ("tokens", "spaces", "cats", "span_groups", "flags", "user_data"):
        setattr(some, name, getattr(docs, name)[begin:end])
    return some


def _fail(message: str, nlp: Language) -> Doc:
    raise ValueError(message)


# A worker mostly reads parts of the same file one after the other.
@lru_cache(maxsize=1)
def _docbin(path: str) -> DocBin:
    return read_docbin(path)


@lru_cache(maxsize=1)
def _row_group(path: str, group: int) -> Any:
    return parquet_file(path).read_row_group(group)
