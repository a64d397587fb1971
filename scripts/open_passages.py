"""Rows of several sentences and many types, joined from annotated texts.

    python scripts/open_passages.py data/train training/data assets/open_types.jsonl.gz assets/open_passages.jsonl.gz

Reads annotation of public texts, as scripts/open_types.py does, and texts that were written for this project with
their annotation. Texts that follow each other in a file become passages of about 60 to 220 words; each is in two, in
which its entities may go by different types. The types of a passage are asked for in the whole of it. So texts are
joined only where, as far as the annotation shows, no type of one fits an entity of another that goes by a different
one; and nothing is learned of names that other texts give one of the passage's types, but this one none. Writes
`ner_open_passages.jsonl` and, of the written texts, `ner_written_passages.jsonl`.
"""

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import typer
from open_types import GENERAL, N_NEGATIVES, kindred, named, placed, read_annotation, report_lost, texts_of

from spacy_gliner.training.corpora import Row

WORDS = (60, 220)  # the length of a passage is drawn from these
MAX_TYPES = 24  # of a passage that texts still join
N_OPEN = 60  # passages that the next text may join
LONGEST_NAME = 6  # words that a name is looked for in
LITTLE = {"of", "and", "or", "in", "for", "to", "the", "a"}


@dataclass
class Passage:
    """Texts to be joined, each with the types that its entities go by here.

    room: Words that may still be added.
    types: All that are in use.
    """

    room: int
    types: set[str] = field(default_factory=set)
    texts: list[tuple[Row, dict[str, str]]] = field(default_factory=list)


def main(source: Path, folder: Path, annotation: list[Path], seed: int = 0) -> None:
    """Write the passages."""
    annotated = [row for path in annotation for row in read_annotation(path)]
    public = texts_of({row["file"] for row in annotated if "text" not in row}, source)
    report_lost((row for row in annotated if "text" not in row), public, source)
    rows_by_file = defaultdict(list)
    for row in annotated:
        if "text" in row:
            rows_by_file["ner_written_passages"].append(row)
        elif text := public.get((row["file"], row["id"])):
            start, end = row.get("passage", (0, len(text)))
            rows_by_file["ner_open_passages"].append({**row, "text": text[start:end]})
    names, kin = named(annotated), kindred(annotated)
    near = close_types(annotated, names)
    drawn = [label for row in annotated for _, label, *_ in row["entities"] if label not in GENERAL]
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in rows_by_file.items():
        passages = [
            row_of(passage, kin, names, drawn, rng)
            for _ in range(2)
            for _, group in groupby(rows, key=lambda row: row["file"])
            for passage in joined(group, near, rng)
        ]
        target = folder / f"{name}.jsonl"
        target.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in passages), encoding="utf8")
        n_words, n_spans = (sum(len(row[key]) for row in passages) for key in ("tokens", "spans"))
        print(f"{target}: {len(passages)} rows, {n_words} words, {n_spans} spans")


def joined(rows: Iterable[Row], near: Mapping[str, set[str]], rng: random.Random) -> Iterator[Passage]:
    """Passages of the texts: each goes into the first that it fits, of those still open."""
    open_passages: list[Passage] = []
    for row in rows:
        n_words = len(row["text"].split())
        for passage in open_passages:
            types = types_for(row, passage.types, near, rng) if n_words <= passage.room else None
            if types is not None and len(passage.types.union(types.values())) <= MAX_TYPES:
                break
        else:
            passage = Passage(rng.randint(*WORDS))
            types = types_for(row, set(), near, rng)
            if types is None:
                types = {name: label for name, label, *_ in row["entities"]}
            open_passages.append(passage)
        passage.texts.append((row, types))
        passage.types.update(types.values())
        passage.room -= n_words
        if len(open_passages) > N_OPEN:
            yield open_passages.pop(0)
    yield from open_passages


def types_for(row: Row, used: set[str], near: Mapping[str, set[str]], rng: random.Random) -> dict[str, str] | None:
    """A type for each entity, one that is used already where it has such; None where one would fit two of them."""
    types: dict[str, str] = {}
    known = set(used)
    words = {word for label in used for word in label.split()} - LITTLE
    for name, *labels in row["entities"]:
        for label in sorted(rng.sample(labels, len(labels)), key=lambda label: label not in known):
            alike = label not in used and not words.isdisjoint(label.split())
            if not alike and not near[label] & (known - {label}):
                types[name] = label
                known.add(label)
                break
        else:
            return None
    return types


def close_types(annotated: list[Row], names: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """For each type those that may fit the same entity: broader and narrower ones, and those given to its names."""
    near = defaultdict(set)
    for row in annotated:
        for _, *labels in row["entities"]:
            for label in labels:
                near[label].update(labels)
    for labels in names.values():
        for label in labels:
            near[label] |= labels
    for label in list(near):
        words = label.split()
        for start in range(1, len(words)):  # "public university" is a "university"
            general = " ".join(words[start:])
            if general in near:
                near[label].add(general)
                near[general].add(label)
    return near


def row_of(
    passage: Passage, kin: Mapping[str, set[str]], names: Mapping[str, set[str]], drawn: list[str], rng: random.Random
) -> Row:
    """The row of a passage. The types `drawn` from are those of all texts, as often as they occur."""
    tokens: list[str] = []
    spans, missing = [], []
    for row, types in passage.texts:
        words, found, unknown = placed(row["text"], types)
        taken = {number for start, end, *_ in [*found, *unknown] for number in range(start, end + 1)}
        for start, end in occurring(words, names, passage.types):
            if taken.isdisjoint(range(start, end + 1)):
                unknown.append([start, end])
        at = len(tokens)
        tokens += words
        spans += [[start + at, end + at, label] for start, end, label in found]
        missing += [[start + at, end + at] for start, end in unknown]
    every = {label for row, _ in passage.texts for _, *labels in row["entities"] for label in labels}
    close = every.union(*(kin[label] for label in every))
    shared = {word for label in every for word in label.split()}
    possible = close if len(passage.texts) > 1 else every  # what is absent from one text may be in its neighbours
    said = [label for row, _ in passage.texts for label in row["absent"] if label not in possible]
    far = (label for label in rng.choices(drawn, k=N_NEGATIVES) if label not in close)
    absent = [*said, *(label for label in far if shared.isdisjoint(label.split()))]
    labels = dict.fromkeys([*sorted(passage.types), *absent])
    return {
        "tokens": tokens,
        "spans": sorted(spans),
        "labels": list(labels),
        "missing": sorted(missing),
        "source": passage.texts[0][0]["file"],
    }


def occurring(words: list[str], names: Mapping[str, set[str]], types: set[str]) -> Iterator[tuple[int, int]]:
    """Where names stand that some text gives one of the types."""
    lower = [word.lower() for word in words]
    for start in range(len(words)):
        for end in range(start, min(start + LONGEST_NAME, len(words))):
            labels = names.get(" ".join(lower[start : end + 1]))
            if labels and not types.isdisjoint(labels):
                yield start, end


if __name__ == "__main__":
    typer.run(main)
