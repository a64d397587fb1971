"""From files of annotation to one file that our corpora read, with an account of what became of everything.

Reading is left to the readers of `formats`, tokens to `documents`, printing to the command line.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, DocBin

from ..pipeline.extensions import register_extensions
from .documents import HIDDEN, SPANS_KEY, annotate, make_doc, row_of
from .files import naming
from .formats import READERS, Format, guess_format
from .records import Loss, Record, Skip

OUTPUTS = (".jsonl", ".spacy")


class Issue(NamedTuple):
    """A span or relation that was left out: in which file and where in it, and why."""

    file: str
    where: str
    loss: Loss

    def __str__(self) -> str:
        loss = self.loss
        label = f" ({loss.label})" if loss.label else ""
        return f"{self.file}, {self.where}: {loss.kind} {loss.text!r}{label}: {loss.problem}"

    def to_json(self) -> dict[str, str | int | None]:
        """What `--report` writes."""
        return {"file": self.file, "where": self.where, **self.loss._asdict()}


@dataclass
class Account:
    """What became of everything. Records read are those written and those skipped; so are none lost.

    formats: Of each file.
    skipped: Records, by the reason.
    repaired: Spans that were trimmed or widened to whole tokens.
    left_out: Spans and relations that could not be converted.
    passed_over: What our data has no place for, by what it is.
    """

    formats: dict[str, str] = field(default_factory=dict)
    read: int = 0
    written: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    spans: int = 0
    relations: int = 0
    repaired: int = 0
    left_out: list[Issue] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)


class Converted(NamedTuple):
    """A Doc with gold data and the record that it was made of."""

    doc: Doc
    record: Record


def convert(
    paths: Sequence[Path], output: Path, nlp: Language, *, source: Format | None = None, repair: bool = False
) -> Account:
    """Convert files of annotation into one file; nothing is written where one of them can't be read.

    output: A `.jsonl` file of rows, or a `.spacy` file of Docs with all spans in `doc.spans["gliner_ner"]`, those that
        don't overlap as entities too, and relations.
    nlp: Its tokenizer cuts the texts that come without tokens.
    source: The format of the files; None to tell it from each file.
    repair: Widen spans that don't begin and end with tokens; otherwise they are left out.
    RETURNS: What became of everything. Tokens of spans that were left out count as not annotated. With several files,
        rows without a "source" are given their file's name as one, so that labels are asked for where they belong.
    Raises ValueError that names file and place for what can't be read, and OSError.
    """
    check_output(output, paths)
    register_extensions()
    account = Account()
    found: list[Converted] = []
    names = _names(paths)
    for path in paths:
        kind = source or guess_format(path)
        account.formats[str(path)] = kind.value
        for record in _with_relations(list(_records(path, kind, account))):
            if len(paths) > 1:
                record.extra.setdefault("source", names[path])
            with naming(path, record.where):
                found += _converted(path, record, nlp, repair, account)
    write(output, found)
    account.written = len(found)
    account.spans = sum(len(doc.spans[SPANS_KEY]) for doc, _ in found)
    account.relations = sum(len(doc._.gliner_relations) for doc, _ in found)
    return account


def check_output(output: Path, inputs: Iterable[Path]) -> None:
    """Raise ValueError for a file that can't be written, or that is one of those read."""
    if output.suffix not in OUTPUTS:
        raise ValueError(f"{output}: expected a file that ends in {' or '.join(OUTPUTS)}.")
    for path in inputs:
        if path.resolve() == output.resolve():
            raise ValueError(f"{output} is one of the files to read. Give the output another name.")


def write(output: Path, found: Sequence[Converted]) -> None:
    """Write rows or Docs, in a new folder if need be."""
    if output.suffix == ".spacy":
        data = DocBin(docs=[doc for doc, _ in found], store_user_data=True).to_bytes()
    else:
        related = any(record.relations is not None for _, record in found)
        rows = (row_of(doc, record.extra, related) for doc, record in found)
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf8")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(data)


def _records(path: Path, kind: Format, account: Account) -> Iterator[Record]:
    """The records of a file; those that are skipped are counted."""
    for record in READERS[kind](path):
        account.read += 1
        if isinstance(record, Skip):
            account.skipped[record.reason] += 1
        else:
            yield record


def _with_relations(records: list[Record]) -> list[Record]:
    """The records of a file; where one has relations, they were looked for in all."""
    if any(record.relations is not None for record in records):
        for record in records:
            record.relations = record.relations or []
    return records


def _converted(path: Path, record: Record, nlp: Language, repair: bool, account: Account) -> Iterator[Converted]:
    """The record with its Doc, unless it is skipped. Writes down what became of it."""
    result = annotate(record, make_doc(record, nlp), repair)
    doc, lost = result.doc, result.lost
    reason = "" if doc.text.strip() else "it has no text"
    reason = reason or ("all of its tokens are without annotation" if result.unknown else "")
    if reason:
        lost += [
            Loss("relation", " → ".join(found.to_tuple()[::2]), found.label, reason) for found in doc._.gliner_relations
        ]
    account.left_out += [Issue(str(path), record.where, loss) for loss in lost]
    account.passed_over += Counter(record.passed_over)
    if reason:
        account.skipped[reason] += 1
        return
    account.repaired += result.repaired
    account.passed_over += Counter({"repeated spans and relations": result.repeated, HIDDEN: result.hidden})
    yield Converted(doc, record)


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """What each file is called as a source: its name without ending, or its path where two have the same."""
    stems = {path: Path(path.name.removesuffix(".gz")).stem for path in paths}
    counts = Counter(stems.values())
    return {path: stem if counts[stem] == 1 else path.as_posix() for path, stem in stems.items()}
