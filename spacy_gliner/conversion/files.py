"""Reading files by lines and items, so that every error can say where it happened."""

import gzip
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .records import Record, Skip


def read_text(path: Path) -> str:
    """A UTF-8 file, plain or gzipped, with or without byte order mark. Raises OSError, and ValueError otherwise."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Give the files in it, for example: {path}/*.jsonl")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    data = path.read_bytes()
    try:
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: not UTF-8 text ({error.reason}). Save it as UTF-8.") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, from 1, without line ends (of Windows either)."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        yield number, line.removesuffix("\r")


def read_items(path: Path) -> Iterator[tuple[str, Any]]:
    """What a JSON array or a file of JSON lines holds, and where. Raises ValueError for what is not JSON."""
    text = read_text(path)
    if text.lstrip().startswith("["):
        lines = _lines_of_items(text)
        for number, item in enumerate(_parse(path, text), start=1):
            yield f"line {next(lines)}, item {number}", item
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"line {number}", _parse(path, line, number)


def from_items(path: Path, parse: Callable[[str, Any], Iterable[Record | Skip]]) -> Iterator[Record | Skip]:
    """The records of every item. What `parse` raises is told with file and place."""
    for where, item in read_items(path):
        with naming(path, where):
            found = list(parse(where, item))
        yield from found


@contextmanager
def naming(path: Path, where: str) -> Iterator[None]:
    """Put file and place before the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}, {where}: {error}") from error


def _lines_of_items(array: str) -> Iterator[int]:
    """The line on which each item of a JSON array begins."""
    decode, sign = json.JSONDecoder().raw_decode, re.compile(r"[^\s,]")
    line, at, end = 1, 0, array.index("[") + 1
    while array[begin := next(sign.finditer(array, end)).start()] != "]":
        line, at = line + array.count("\n", at, begin), begin
        yield line
        _, end = decode(array, begin)


def _parse(path: Path, text: str, line: int = 1) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, line {line + error.lineno - 1}: not JSON ({error.msg} at column {error.colno}). "
            "Expected one JSON object a line, or one array of them."
        ) from error
    except RecursionError as error:
        raise ValueError(f"{path}, line {line}: JSON that is nested too deeply.") from error
