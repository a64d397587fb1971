"""Reading spaCy's own files: entities, span groups and our relations of the Docs in a DocBin."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from ..pipeline.extensions import register_extensions
from ..pipeline.results import Relation, groups_of
from .records import KEPT, NOT_ANNOTATED, Link, Mark, Record, Skip

ROW = "gliner_row"  # the key in `doc.user_data` of what a row says besides its annotation
ENTITIES = (None, "gliner_ner")  # the components, or none, whose span groups hold entities


def read_spacy(path: Path) -> Iterator[Record | Skip]:
    """The Docs; those without annotation are skipped. Raises ValueError for another kind of file, and OSError."""
    register_extensions()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        docs = list(DocBin().from_disk(path).get_docs(Vocab()))
    except Exception as error:  # whatever msgpack, zlib and numpy have to say
        raise ValueError(f"{path} is not a file of Docs, as DocBin.to_disk writes them ({error}).") from error
    for number, doc in enumerate(docs, start=1):
        yield _record(f"document {number}", doc)


def _record(where: str, doc: Doc) -> Record | Skip:
    related = any(True for _ in groups_of(doc, "gliner_relations"))
    groups = [group for group in doc.spans.values() if group.attrs.get("component") in ENTITIES]
    annotated = doc.has_annotation("ENT_IOB")
    if not (annotated or groups or related):
        return Skip(where, NOT_ANNOTATED)
    spans = dict.fromkeys(_mark(span) for found in (*groups, doc.ents) for span in found)
    missing = [(token.i, token.i + 1) for token in doc if annotated and token.ent_iob == 0]
    others = sorted({str(group.attrs.get("component")) for group in doc.spans.values()} - {"None", "gliner_ner"})
    return Record(
        where,
        text=doc.text,
        tokens=[token.text for token in doc],
        spaces=[bool(token.whitespace_) for token in doc],
        spans=list(spans),
        relations=[_link(relation) for relation in doc._.gliner_relations] if related else None,
        missing=missing,
        extra=_extra(doc),
        passed_over=[f"results of {name}" for name in others if name != "gliner_relations"],
    )


def _mark(span: Span) -> Mark:
    return Mark(span.start_char, span.end_char, span.label_)


def _link(relation: Relation) -> Link:
    return Link(_mark(relation.head), relation.label, _mark(relation.tail))


def _extra(doc: Doc) -> dict[str, Any]:
    row = doc.user_data.get(ROW)
    extra = {key: row[key] for key in KEPT if key in row} if isinstance(row, dict) else {}
    asked = {"labels": doc._.gliner_labels, "relation_labels": doc._.gliner_relation_labels}
    names = {key: list(value) for key, value in asked.items() if isinstance(value, list | tuple)}
    return extra | {key: value for key, value in names.items() if all(isinstance(name, str) for name in value)}
