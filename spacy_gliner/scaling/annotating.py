"""Annotate rows so that every row has an outcome: its Doc, or what went wrong with it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch, raise_error

from ..display import doc_to_json
from .reading import MakeDoc, make_doc

RESULTS = ("entities", "relations", "summary", "answers", "matches")
ERROR = "error"


class Outcome(NamedTuple):
    """What became of a row: an annotated Doc, or an error."""

    doc: Doc | None
    error: str | None


def annotate_texts(
    nlp: Language, texts: Iterable[str | None], *, batch_size: int = 128, prefix: str = ""
) -> Iterator[dict[str, Any]]:
    """For every text what was found in it, as columns: entities, whatever else was asked for, and an error.

    texts: None, or anything else that is no text, gives an error in its place, as does a text that the pipeline fails
        on; their entities are None.
    prefix: Put before the names of the columns.
    """
    makers: Iterator[MakeDoc] = (partial(make_doc, row={"text": text}, text="text") for text in texts)
    for outcome in outcomes(nlp, makers, batch_size=batch_size):
        yield columns(outcome, prefix)


def outcomes(nlp: Language, makers: Iterable[MakeDoc], *, batch_size: int) -> Iterator[Outcome]:
    """What becomes of each row, in order. When a batch fails, its halves are tried, down to the row that fails."""
    nlp.set_error_handler(raise_error)  # others leave Docs out
    for batch in minibatch(makers, size=batch_size):
        tried = [(make, _made(nlp, make)) for make in batch]
        good = [(make, doc) for make, (doc, _) in tried if doc is not None]
        found = _annotated(nlp, [make for make, _ in good], [doc for _, doc in good])
        yield from (next(found) if made.error is None else made for _, made in tried)


def one_by_one(nlp: Language, makers: Iterable[MakeDoc], before: Callable[[int], str | None]) -> Iterator[Outcome]:
    """What becomes of each row, in order, each by itself.

    before: Called with the number of a row before it is tried. If it returns an error, that is what became of the row.
    """
    for number, make in enumerate(makers):
        error = before(number)
        yield from outcomes(nlp, [make], batch_size=1) if error is None else [Outcome(None, error)]


def columns(outcome: Outcome, prefix: str = "") -> dict[str, Any]:
    """An outcome as columns, as the command line prints it."""
    found: dict[str, Any] = {"entities": None} if outcome.doc is None else doc_to_json(outcome.doc)
    return {prefix + name: value for name, value in (*found.items(), (ERROR, outcome.error))}


def result_names(prefix: str = "") -> list[str]:
    """All columns that may be added to a row."""
    return [prefix + name for name in (*RESULTS, ERROR)]


def _made(nlp: Language, make: MakeDoc) -> Outcome:
    try:
        return Outcome(make(nlp), None)
    except Exception as error:
        return Outcome(None, describe(error))


def _annotated(nlp: Language, makers: Sequence[MakeDoc], docs: Sequence[Doc]) -> Iterator[Outcome]:
    """The outcomes of Docs; `makers` make them anew where a component failed, since others had written on them."""
    if not docs:
        return
    try:
        done = list(nlp.pipe(docs, batch_size=len(docs)))
        if len(done) != len(docs):
            raise ValueError("The pipeline has left out a text.")
    except Exception as error:
        if len(docs) == 1:
            yield Outcome(None, describe(error))
            return
        for half in (makers[: len(makers) // 2], makers[len(makers) // 2 :]):
            yield from _annotated(nlp, half, [make(nlp) for make in half])
    else:
        yield from (Outcome(doc, None) for doc in done)


def describe(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
