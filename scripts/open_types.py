"""Entity rows of many types: the annotation in assets/open_types.jsonl.gz, joined with the public texts that it is of.

    python scripts/open_types.py assets/open_types.jsonl.gz data/train training/data

The annotation names file, row and passage of each text, its entities, each with its type and perhaps a broader one, and
types that one might look for there in vain (assets/README.md). Writes `ner_open_types.jsonl`: a row per text with the
special types and, where there are broader ones, a second in which some entities go by those, so that the same words are
asked for under several names. An entity has one type in a row.
"""

import gzip
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import typer

from spacy_gliner.pipeline.words import WORD
from spacy_gliner.training.corpora import Row, data_files, name_of, read_rows

N_NEGATIVES = 20  # types of other texts that a row may be asked for, less those that may fit it
# What is too general to be called absent where nobody said so.
GENERAL = set(
    """
    person human individual people place location organization institution group company business event date time year
    number quantity measurement object thing product item work creative work concept term topic field name title role
    occupation profession material substance method technique
    """.split()
)


def main(annotation: Path, source: Path, folder: Path, seed: int = 0) -> None:
    """Write the rows."""
    annotated = read_annotation(annotation)
    texts = texts_of({row["file"] for row in annotated}, source)
    report_lost(annotated, texts, source)
    kin = kindred(annotated)
    drawn = [label for row in annotated for _, label, *_ in row["entities"] if label not in GENERAL]
    rng = random.Random(seed)
    rows = []
    for row in annotated:
        text = texts.get((row["file"], row["id"]))
        if text is not None:
            start, end = row.get("passage", (0, len(text)))
            rows += rows_of(text[start:end], row, kin, drawn, rng)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "ner_open_types.jsonl"
    target.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf8")
    labels = {label for row in rows for _, _, label in row["spans"]}
    print(f"{target}: {len(rows)} rows, {sum(len(row['spans']) for row in rows)} spans, {len(labels)} types")


def read_annotation(path: Path) -> list[Row]:
    """The rows of a file of annotation."""
    with gzip.open(path, "rt", encoding="utf8") as file:
        return [json.loads(line) for line in file]


def texts_of(names: set[str], source: Path) -> dict[tuple[str, str], str]:
    """The texts of the files, by file and row."""
    found = {}
    for path in data_files(source):
        name = name_of(path)
        if name in names:
            found.update({(name, key): text for row in read_rows(path, dict) for key, text in texts_in(row)})
    return found


def report_lost(annotated: Iterable[Row], texts: dict[tuple[str, str], str], source: Path) -> None:
    """Print how many of the annotated texts are not there."""
    lost = Counter(row["file"] for row in annotated if (row["file"], row["id"]) not in texts)
    for name, number in lost.items():
        print(f"{number} texts of {name} are not in {source}")


def texts_in(row: Row) -> Iterator[tuple[str, str]]:
    """The texts of a row, with what they are called in the annotation: paragraphs have a number."""
    if "paragraphs" in row:
        for number, paragraph in enumerate(row["paragraphs"]):
            yield f"{row['title']}#{number}", paragraph["context"]
    else:
        yield row["id"], row["text"] if "text" in row else " ".join(row["tokens"])


def rows_of(text: str, row: Row, kin: dict[str, set[str]], drawn: list[str], rng: random.Random) -> Iterator[Row]:
    """The one or two rows of a text. The types `drawn` from are those of all texts, as often as they occur."""
    special = {name: label for name, label, *_ in row["entities"]}
    mixed = {name: rng.choice([label, *broader]) for name, label, *broader in row["entities"]}
    everything = {label for _, *labels in row["entities"] for label in labels}
    near = everything.union(*(kin[label] for label in everything))
    shared = {word for label in everything for word in label.split()}
    for types in (special, mixed) if mixed != special else (special,):
        words, spans, missing = placed(text, types)
        far = (label for label in rng.choices(drawn, k=N_NEGATIVES) if label not in near)
        absent = [*row["absent"], *(label for label in far if shared.isdisjoint(label.split()))]
        labels = dict.fromkeys([*types.values(), *(label for label in absent if label not in everything)])
        yield {
            "tokens": words,
            "spans": spans,
            "labels": list(labels),
            "missing": missing,
            "source": row["file"],
        }


def placed(text: str, types: dict[str, str]) -> tuple[list[str], list[list], list[list[int]]]:
    """The words of a text, the spans of its entities, and the words of which nothing is to be learned."""
    words = list(WORD.finditer(text))
    starts = {word.start(): number for number, word in enumerate(words)}
    ends = {word.end(): number for number, word in enumerate(words)}
    spans, missing = [], []
    for start, end, name in places(text, types):
        if start in starts and end in ends:
            spans.append([starts[start], ends[end], types[name]])
        else:  # within a word
            missing += [[n, n] for n, word in enumerate(words) if word.start() < end and start < word.end()]
    return [word[0] for word in words], sorted(spans), missing


def places(text: str, names: dict[str, str]) -> Iterator[tuple[int, int, str]]:
    """Where the entities stand, everywhere; longer ones before those within them."""
    taken: list[tuple[int, int]] = []
    for name in sorted(names, key=len, reverse=True):
        pattern = r"\s+".join(map(re.escape, name.split()))
        for found in re.finditer(rf"(?<!\w){pattern}(?!\w)", text):
            start, end = found.span()
            if all(end <= a or b <= start for a, b in taken):
                taken.append((start, end))
                yield start, end, name


def kindred(annotated: list[Row]) -> dict[str, set[str]]:
    """For each type all that may fit the same entity.

    These are the broader and the more special ones, those that share a broader one, and those given to the same words.
    """
    above, below = defaultdict(set), defaultdict(set)
    for row in annotated:
        for _, label, *broader in row["entities"]:
            above[label].update(broader)
            for general in broader:
                below[general].add(label)
    kin: dict[str, set[str]] = defaultdict(set)
    for label in {*above, *below}:
        kin[label] = {label, *above[label], *below[label]}.union(*(below[general] for general in above[label]))
    for labels in named(annotated).values():
        for label in labels:
            kin[label] |= labels
    return kin


def named(annotated: list[Row]) -> dict[str, set[str]]:
    """The types that each name has somewhere."""
    types = defaultdict(set)
    for row in annotated:
        for name, *labels in row["entities"]:
            types[name.lower()].update(labels)
    return types


if __name__ == "__main__":
    typer.run(main)
