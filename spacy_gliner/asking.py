"""What the command line asks of texts, and the pipeline that it takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from .evaluation import FACTORIES, ready, with_sentences


@dataclass(frozen=True)
class Wanted:
    """Everything that is to be found. An empty list asks for nothing of its kind."""

    labels: list[str] = field(default_factory=list)
    relations: list[Any] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    summary: bool = False

    def factories(self) -> list[str]:
        """Of which components it takes at least one. Relations stand between entities, which may be there already."""
        wanted = {
            "gliner_ner": self.labels,
            "gliner_relations": self.relations,
            "gliner_summarizer": self.summary,
            "gliner_qa": self.questions,
            "gliner_openie": self.prompts,
        }
        return [factory for factory, asked in wanted.items() if asked]

    @property
    def takes_entities_as_they_are(self) -> bool:
        """Whether relations stand between the entities that the pipeline finds by itself."""
        return bool(self.relations) and not self.labels

    def ask(self, doc: Doc) -> Doc:
        """Say so on a Doc."""
        doc._.gliner_labels = None if self.takes_entities_as_they_are else self.labels
        doc._.gliner_relation_labels = self.relations
        doc._.gliner_questions = self.questions
        doc._.gliner_prompts = self.prompts
        return doc


def parse_relation(text: str) -> Any:
    """A relation from a name, or from "company > founded by > person", which says between which entities it stands.

    Raises ValueError for any other number of ">".
    """
    sides = [side.strip() for side in text.split(">")]
    if len(sides) == 1:
        return text
    if len(sides) != 3:
        raise ValueError(f"Write a relation as 'founded by' or 'company > founded by > person', got '{text}'.")
    head, name, tail = sides
    return {"name": name} | {side: [label] for side, label in (("head", head), ("tail", tail)) if label}


@contextmanager
def only_wanted(nlp: Language, wanted: Wanted) -> Iterator[None]:
    """Add the components that are missing, and switch off those of ours that nothing is asked of for a while.

    A summary is made of whole sentences, so a pipeline that finds none gets a `sentencizer`.
    """
    if wanted.summary:
        with_sentences(nlp)
    for factory in wanted.factories():
        ready(nlp, factory)
    ours = {name: nlp.get_pipe_meta(name).factory for name in nlp.pipe_names}
    busy = [*wanted.factories(), *(["gliner_ner"] if wanted.takes_entities_as_they_are else [])]
    idle = [name for name, factory in ours.items() if factory in FACTORIES and factory not in busy]
    with nlp.select_pipes(disable=idle):
        yield
