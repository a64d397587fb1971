"""Readers: GLiNER-style JSON lines to Examples.

Every Example asks for the labels that its source was annotated with (`doc._.gliner_labels`), so that what is absent
is known to be absent.
"""

import gzip
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, Literal

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import filter_spans

from ..pipeline.extensions import register_extensions

Row = dict[str, Any]
Weights = dict[str, float] | Literal["equal"] | None


class RowCorpus:
    """Examples from the rows of files of JSON lines. What a row looks like is said by its subclasses.

    path: A file, plain or gzipped, or a folder of such files; a folder's files are those whose names begin with one of
        the subclass's `prefixes` and with none that is `foreign` to it, unless weights name others.
    weights: Files (by name without endings) and how often their rows are drawn, relative to each other; files that are
        not named are left out. "equal" draws from all files alike. The corpus is then endless (`max_epochs = -1`), and
        its order depends on the seed. Without weights every row comes once, in order.
    limit: Rows per file; 0 for all. They are spread over the file.
    seed: Where randomness begins.
    n_examples: How many Examples to give; 0 for all, which with weights are without end.
    Raises ValueError that names file and line for a row that can't be read, and FileNotFoundError.
    """

    prefixes: tuple[str, ...] = ("",)
    foreign: tuple[str, ...] = ()

    def __init__(
        self, path: str | Path, weights: Weights = None, limit: int = 0, seed: int = 0, n_examples: int = 0
    ) -> None:
        self.path = Path(path)
        self.weights = weights
        self.limit = limit
        self.seed = seed
        self.n_examples = n_examples

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """The Examples."""
        register_extensions()
        rng = random.Random(self.seed)
        paths = {name_of(path): path for path in data_files(self.path)}
        names = list(self.weights) if isinstance(self.weights, dict) else self._own_files(paths)
        missing = set(names) - set(paths)
        if missing:
            raise FileNotFoundError(f"{self.path} has no data files named {', '.join(sorted(missing))}.")
        files = {name: self._rows(paths[name]) for name in names}
        yield from islice(self.examples(nlp, files, rng), self.n_examples or None)

    def check(self, row: Any) -> Row:
        """The row in the form that `examples` expects. Raises ValueError, KeyError or TypeError for a bad one."""
        raise NotImplementedError

    def examples(self, nlp: Language, files: Mapping[str, list[Row]], rng: random.Random) -> Iterator[Example]:
        """The Examples of the rows of each file, by its name."""
        raise NotImplementedError

    def order(self, files: Mapping[str, list[Row]], rng: random.Random) -> Iterator[tuple[str, Row]]:
        """Each file's name with a row: every row once or, with weights, drawn without end."""
        if self.weights is None:
            yield from ((name, row) for name, rows in files.items() for row in rows)
            return
        shares = self.weights if isinstance(self.weights, dict) else dict.fromkeys(files, 1.0)
        empty = [name for name in shares if not files[name]]
        if empty:
            raise ValueError(f"{self.path} has no rows in {', '.join(empty)}. Leave it out of the weights.")
        streams = {name: _shuffled_again_and_again(files[name], rng) for name in shares}
        names, weights = list(shares), list(shares.values())
        for _ in count():
            name = rng.choices(names, weights)[0]
            yield name, next(streams[name])

    def _own_files(self, paths: Mapping[str, Path]) -> list[str]:
        own = [name for name in paths if name.startswith(self.prefixes) and not name.startswith(self.foreign)]
        return own if self.path.is_dir() and own else list(paths)

    def _rows(self, path: Path) -> list[Row]:
        rows = list(read_rows(path, self.check))
        if self.limit and len(rows) > self.limit:
            rows = [rows[number * len(rows) // self.limit] for number in range(self.limit)]
        return rows


class JsonCorpus(RowCorpus):
    """Entities from files of JSON lines: `spacy_gliner.JsonCorpus.v1`.

    A row is `{"tokens": […], "spans": [[start, end, label], …]}` with inclusive ends; spans may be nested. The labels
    to ask for are the row's own "labels", or all of its "source" (of its file where it names none). Rows of the
    reference library (`tokenized_text`, `ner`) are read too. "missing" ([[start, end], …]) names the tokens whose
    annotation is unknown: nothing is learned of them, and rows without anything else are left out.

    spans_key: The span group of the reference that holds the gold spans; it is the component's `spans_key`.

    The other settings are those of `RowCorpus`.
    """

    foreign = ("rel_", "qa_", "squad", "sum_")

    def __init__(
        self,
        path: str | Path,
        weights: Weights = None,
        limit: int = 0,
        spans_key: str = "gliner_ner",
        seed: int = 0,
        n_examples: int = 0,
    ) -> None:
        super().__init__(path, weights, limit, seed, n_examples)
        self.spans_key = spans_key

    def check(self, row: Any) -> Row:
        """The row with `tokens` and `spans`."""
        without = isinstance(row, dict) and "tokens" in row and "spans" not in row
        checked = check_row(row)
        if without and "tokenized_text" not in checked:
            raise ValueError('a row of entities needs "spans"; an empty list says that it has none')
        return checked

    def examples(self, nlp: Language, files: Mapping[str, list[Row]], rng: random.Random) -> Iterator[Example]:
        """The Examples. Their tokens are the file's, whatever tokenizer the pipeline has."""
        labels = {name: labels_by_source(rows) for name, rows in files.items()}
        for name, row in self.order(files, rng):
            if not knows_nothing(row):
                yield make_example(nlp, row, row.get("labels", labels[name][source_of(row)]), self.spans_key)


def _shuffled_again_and_again(rows: list[Row], rng: random.Random) -> Iterator[Row]:
    return chain.from_iterable(rng.sample(rows, len(rows)) for _ in count())


def data_files(path: Path) -> list[Path]:
    """The JSON line files at a path, which may be one. Raises FileNotFoundError where there are none."""
    files = [path] if path.is_file() else sorted(p for p in path.glob("*") if p.name.endswith((".jsonl", ".jsonl.gz")))
    if not files:
        raise FileNotFoundError(f"No data at {path}: expected a .jsonl or .jsonl.gz file, or a folder of them.")
    return files


def entity_files(path: Path) -> list[Path]:
    """Those of `data_files` that hold entities, by their names. Raises FileNotFoundError where there are none."""
    files = [file for file in data_files(path) if not name_of(file).startswith(JsonCorpus.foreign)]
    if not files:
        raise FileNotFoundError(f"No files of entities at {path}: names begin with {', '.join(JsonCorpus.foreign)}.")
    return files


def name_of(path: Path) -> str:
    """A file's name without its endings."""
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def source_of(row: Row) -> str:
    """The source that a row names, which decides the labels it was annotated with."""
    return str(row.get("source", ""))


def labels_by_source(rows: Iterable[Row]) -> dict[str, list[str]]:
    """All labels of each source, in order of first appearance."""
    labels: dict[str, dict[str, None]] = {}
    for row in rows:
        of_source = labels.setdefault(source_of(row), {})
        of_source.update(dict.fromkeys(label for _, _, label in row["spans"]))
        of_source.update(dict.fromkeys(row.get("negatives", ())))
    return {source: list(of_source) for source, of_source in labels.items()}


def read_rows(path: Path, check: Callable[[Any], Row] | None = None) -> Iterator[Row]:
    """The rows of a file, checked, as rows of entities by default. Raises ValueError that names the line."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield (check or check_row)(json.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(f"{path}, line {number}: {error}") from error


def check_row(row: Any) -> Row:
    """The row with `tokens` and `spans`. Raises ValueError for what is not a span of its tokens."""
    row = row if isinstance(row, dict) else {}
    if "tokenized_text" in row:
        row = {"tokens": row["tokenized_text"], "spans": row.get("ner", []), **row}
    if not isinstance(row.get("tokens"), list) or not all(isinstance(t, str) and t for t in row["tokens"]):
        raise ValueError('expected {"tokens": ["…", …], "spans": [[start, end, "label"], …]}')
    for start, end, *label in [*row.setdefault("spans", []), *row.get("missing", ())]:
        if not 0 <= start <= end < len(row["tokens"]):
            span = [start, end, *label]
            raise ValueError(f"span {span} lies outside the row's {len(row['tokens'])} tokens (ends are inclusive)")
    for span in row["spans"]:
        _, _, label = span
        if not isinstance(label, str) or not label:
            raise ValueError(f"span {span} has no label")
    return row


def knows_nothing(row: Row) -> bool:
    """Whether the annotation of all tokens is missing."""
    unknown = {token for start, end in row.get("missing", ()) for token in range(start, end + 1)}
    return not row["spans"] and bool(unknown) and len(unknown) == len(row["tokens"])


def make_example(nlp: Language, row: Row, labels: list[str], spans_key: str) -> Example:
    """An Example with the row's tokens; gold spans in a span group and, those that don't overlap, as entities."""
    predicted, reference = Doc(nlp.vocab, words=row["tokens"]), Doc(nlp.vocab, words=row["tokens"])
    predicted._.gliner_labels = labels
    spans = [Span(reference, start, end + 1, label=label) for start, end, label in row["spans"]]
    reference.spans[spans_key] = spans
    entities = filter_spans(spans)
    unknown = {token for start, end in row.get("missing", ()) for token in range(start, end + 1)}
    unknown -= {token.i for entity in entities for token in entity}
    reference.set_ents(entities, missing=[reference[i : i + 1] for i in sorted(unknown)], default="outside")
    return Example(predicted, reference)
