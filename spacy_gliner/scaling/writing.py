"""Write files whole or not at all; and the rows of a part, with what became of them, as the kind of file they were."""

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from spacy.tokens import DocBin
from spacy.vocab import Vocab

from .annotating import ERROR, Outcome, columns
from .reading import slice_of

SUFFIXES = {"jsonl": ".jsonl", "parquet": ".parquet", "spacy": ".spacy"}
# What each kind of file may become.
FORMATS = {"jsonl": ("jsonl",), "parquet": ("parquet",), "spacy": ("spacy", "jsonl")}


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which is given its name when all is written; after an error, or a kill, there is none."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        os.chmod(name, 0o644)  # temporary files are for their owner alone
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_lines(file: BinaryIO, kept: Any, found: Iterable[Outcome], prefix: str) -> None:
    """JSON lines: the columns of each row and, behind them, what was found. Of Docs the text is kept."""
    rows = kept if isinstance(kept, list) else ({"text": doc.text} for doc in kept.get_docs(Vocab()))
    for row, outcome in zip(rows, found, strict=True):
        results = columns(outcome, prefix)
        if outcome.doc is None:  # it may be one that has a column of that name: then the column stays
            results = {name: value for name, value in results.items() if value is not None or name not in row}
        file.write(encoded({**row, **results}) + b"\n")


def write_table(file: BinaryIO, kept: Any, found: Iterable[Outcome], prefix: str) -> None:
    """Parquet: the table with a column for everything that may have been found, always of the same type."""
    from pyarrow import array
    from pyarrow.parquet import write_table as write_parquet

    rows = [columns(outcome) for outcome in found]
    for name, kind in result_types().items():
        values = [row.get(name) for row in rows]
        values = [list(value.items()) if isinstance(value, dict) else value for value in values]
        kept = kept.append_column(prefix + name, array(values, type=kind))
    write_parquet(kept, file)


def write_docs(file: BinaryIO, kept: DocBin, found: Iterable[Outcome], prefix: str) -> None:
    """A DocBin. A Doc on which the pipeline failed is there as it was, with the error in its `user_data`."""
    docs = DocBin(attrs=sorted({*kept.attrs, *DocBin().attrs}), store_user_data=True)
    for number, outcome in enumerate(found):
        doc = outcome.doc
        if doc is None:
            doc = next(slice_of(kept, number, number + 1).get_docs(Vocab()))
            doc.user_data[prefix + ERROR] = outcome.error
        docs.add(doc)
    file.write(docs.to_bytes())


WRITERS: dict[str, Callable[[BinaryIO, Any, Iterable[Outcome], str], None]] = {
    "jsonl": write_lines,
    "parquet": write_table,
    "spacy": write_docs,
}


def result_types() -> dict[str, Any]:
    """The types of the columns of results in Parquet."""
    import pyarrow as pa

    place = [("start", pa.int64()), ("end", pa.int64()), ("text", pa.string())]
    entity = pa.struct([*place, ("label", pa.string()), ("score", pa.float64())])
    end = pa.struct([("text", pa.string()), ("label", pa.string()), ("start", pa.int64()), ("end", pa.int64())])
    relation = pa.struct([("head", end), ("relation", pa.string()), ("tail", end), ("score", pa.float64())])
    spans = pa.list_(pa.struct([*place, ("score", pa.float64())]))
    return {
        "entities": pa.list_(entity),
        "relations": pa.list_(relation),
        "summary": spans,
        "answers": pa.map_(pa.string(), spans),
        "matches": pa.map_(pa.string(), spans),
        ERROR: pa.string(),
    }


def encoded(row: dict[str, Any]) -> bytes:
    """A row as JSON; in ASCII where a text has halves of characters, which UTF-8 can't hold."""
    try:
        return json.dumps(row, ensure_ascii=False).encode("utf8")
    except UnicodeEncodeError:
        return json.dumps(row).encode("ascii")
