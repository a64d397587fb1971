"""Writing files to convert, and reading what came of them."""

import json

import spacy
from spacy.tokens import DocBin

from spacy_gliner.conversion.converting import convert
from spacy_gliner.conversion.formats import READERS, Format

NLP = spacy.blank("en")


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def save(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf8"))
    return path


def read(path, name):
    return list(READERS[Format(name)](path))


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]


def docs_of(path, vocab=NLP.vocab):
    return list(DocBin().from_disk(path).get_docs(vocab))


def to_rows(folder, *paths, **settings):
    """The rows that the files become, and the account."""
    account = convert(paths, folder / "output.jsonl", NLP, **settings)
    return rows_of(folder / "output.jsonl"), account


def to_docs(folder, *paths, **settings):
    """The Docs that the files become, and the account."""
    account = convert(paths, folder / "output.spacy", NLP, **settings)
    return docs_of(folder / "output.spacy"), account


def spans_of(doc, key="gliner_ner"):
    return [(span.text, span.label_) for span in doc.spans[key]]


def words_of(row):
    """The spans and relations of a row, in words."""
    tokens = row["tokens"]
    spans = [(" ".join(tokens[start : end + 1]), label) for start, end, label in row["spans"]]
    relations = [
        tuple(" ".join(tokens[fact[side]["start"] : fact[side]["end"] + 1]) for side in ("head", "tail"))
        + (fact["relation"],)
        for fact in row.get("relations", ())
    ]
    return spans, relations
