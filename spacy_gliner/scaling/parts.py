"""Cut files into parts of so many rows, always the same ones for the same files.

Knows where rows begin and what the first of each file looks like; reading them is left to `reading`.
"""

import glob
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from spacy.tokens import DocBin

KINDS = {".jsonl": "jsonl", ".parquet": "parquet", ".spacy": "spacy"}
Source = str | Path | Sequence[str | Path]


class Part(NamedTuple):
    """Rows of a file that are annotated and written together.

    number: Its place among all parts, from 0.
    path: The file.
    first: The rows of the file that come before.
    rows: How many there are.
    offset: The byte at which the first one begins, in a file of lines; otherwise 0.
    """

    number: int
    path: str
    first: int
    rows: int
    offset: int


class Start(NamedTuple):
    """Where a part begins in its file: the rows before it, and the byte."""

    first: int
    offset: int


@dataclass(frozen=True)
class Plan:
    """The parts of all files, in order.

    kind: What the files are: "jsonl", "parquet" or "spacy".
    files: Name, size and time of each file, by which another input is told from this one.
    parts: Every row is in exactly one. Without any row there is one part, which is empty.
    """

    kind: str
    files: list[dict[str, Any]]
    parts: list[Part]

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        return sum(part.rows for part in self.parts)


def make_plan(source: Source, *, rows_per_part: int, text: str = "text", results: Sequence[str] = ()) -> Plan:
    """Find the files of a source and cut them into parts.

    source: A file, a folder, a pattern such as `texts/*.jsonl`, or several of these.
    text: The column that holds the texts; Docs have none.
    results: The columns that will be added.
    Raises ValueError for files of several kinds, for a file whose first row has no such text or a column that is
    named like a result, and FileNotFoundError.
    """
    if rows_per_part < 1:
        raise ValueError(f"A part must have at least 1 row, got {rows_per_part}.")
    paths = find_files(source)
    kind = KINDS[paths[0].suffix]
    parts: list[Part] = []
    for path in paths:
        if kind != "spacy":
            check_columns(path, first_columns(path), text, results)
        rows, starts = count_rows(path, rows_per_part)
        for start in starts:
            size = min(rows_per_part, rows - start.first)
            parts.append(Part(len(parts), str(path), start.first, size, start.offset))
    stats = [(path.name, path.stat()) for path in paths]
    files = [{"name": name, "size": stat.st_size, "time": stat.st_mtime_ns} for name, stat in stats]
    return Plan(kind, files, parts or [Part(0, str(paths[0]), 0, 0, 0)])


def find_files(source: Source) -> list[Path]:
    """The files of a source, those of a folder or a pattern by name. Raises ValueError, and FileNotFoundError."""
    sources = [source] if isinstance(source, str | Path) else list(source)
    found = [path.resolve() for one in sources for path in _files_at(str(one))]
    paths = list(dict.fromkeys(found))
    if not paths:
        raise FileNotFoundError(
            f"There is nothing to read at {', '.join(map(str, sources)) or 'no place'}. "
            f"Give a file, a folder of files or a pattern; they end in {', '.join(KINDS)}."
        )
    other = next((path for path in paths if path.suffix not in KINDS), None)
    if other is not None:
        raise ValueError(f"{other}: expected a file that ends in {', '.join(KINDS)}; unpack it if it is compressed.")
    if len({path.suffix for path in paths}) > 1:
        raise ValueError(f"The files are of several kinds ({paths[0].name} …). Annotate each kind by itself.")
    return paths


def _files_at(source: str) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        inside = (file for file in path.iterdir() if file.suffix in KINDS and not file.name.startswith((".", "_")))
        return sorted(file for file in inside if file.is_file())
    if path.is_file():
        return [path]
    return sorted(Path(name) for name in glob.glob(source, recursive=True) if Path(name).is_file())


def count_rows(path: Path, rows_per_part: int) -> tuple[int, list[Start]]:
    """The number of rows of a file, and where its parts begin."""
    if path.suffix == ".jsonl":
        rows, starts = 0, []
        for offset in line_offsets(path):
            if rows % rows_per_part == 0:
                starts.append(Start(rows, offset))
            rows += 1
        return rows, starts
    rows = parquet_file(path).metadata.num_rows if path.suffix == ".parquet" else len(read_docbin(path))
    return rows, [Start(first, 0) for first in range(0, rows, rows_per_part)]


def line_offsets(path: Path) -> Iterator[int]:
    """The bytes at which the lines begin; blank lines are no rows."""
    offset = 0
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield offset
            offset += len(line)


def first_columns(path: Path) -> list[str] | None:
    """The columns of a file, of its first row where it has lines; None for a file without rows and columns."""
    if path.suffix == ".parquet":
        return list(parquet_file(path).schema_arrow.names)
    with path.open("rb") as file:
        line = next((line for line in file if line.strip()), None)
    if line is None:
        return None
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path}, first line: not JSON ({error}). Expected one JSON object a line.") from error
    if not isinstance(row, dict):
        raise ValueError(f"{path}, first line: expected a JSON object, got {type(row).__name__}.")
    return list(row)


def check_columns(path: Path, columns: list[str] | None, text: str, results: Sequence[str]) -> None:
    """Raise ValueError for columns without the text, or with one that is named like a result."""
    if columns is None:
        return
    if text not in columns:
        raise ValueError(
            f"{path} has no column '{text}'; it has {', '.join(columns) or 'none'}. Say which holds texts."
        )
    taken = [name for name in results if name in columns]
    if taken:
        raise ValueError(f"{path} has a column '{taken[0]}' already. Give the results a prefix.")


def read_docbin(path: str | Path) -> DocBin:
    """A file of Docs. Raises ValueError for another one."""
    try:
        return DocBin().from_disk(path)
    except OSError:
        raise
    except Exception as error:  # whatever msgpack, zlib and numpy have to say
        raise ValueError(f"{path} is not a file of Docs, as DocBin.to_disk writes them ({error}).") from error


def parquet_file(path: str | Path) -> Any:
    """A Parquet file, of which only the end was read. Raises ValueError for another one, and ImportError."""
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: pip install 'spacy-gliner[ray]'.") from error
    try:
        return ParquetFile(path)
    except ArrowInvalid as error:
        raise ValueError(f"{path} is not a Parquet file ({error}).") from error
