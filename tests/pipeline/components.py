"""What relations, answers, matches and summaries have in common for tests: a small configuration of each."""

import copy
import pickle
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span

LANGUAGE = "xx"  # has few exceptions to load, so that a pipeline is quickly made

NAMES = {
    "person": ["Bill Gates", "Steve Jobs", "Ada", "Babbage", "Bill"],
    "company": ["Microsoft"],
    "city": ["Seattle", "London", "New York City"],
}


_pipelines: dict[tuple[str, str], Language] = {}


@dataclass(frozen=True)
class Kit:
    """One of the components.

    setting: The config's key for what is asked; "" where nothing can be.
    asked: What is asked, in the config.
    own: What Docs may ask in its place.
    input: The Doc's attribute for that.
    result: The Doc's attribute with the results.
    nothing: That attribute for a Doc in which there is nothing, when `asked` was asked.
    """

    factory: str
    setting: str
    asked: list[Any]
    own: list[Any]
    input: str
    result: str
    nothing: Any
    config: dict[str, Any] = field(default_factory=dict)

    def nlp(self, checkpoint: Any, **config: Any) -> Language:
        """A pipeline of this component alone or, for relations, behind a ruler that finds the entities."""
        asked = {self.setting: self.asked} if self.setting else {}
        source = {"name": str(checkpoint)}
        nlp = spacy.blank(LANGUAGE)
        if self.factory == "gliner_relations":
            add_ruler(nlp)
        nlp.add_pipe(self.factory, config={**asked, "model": {"source": source}, **self.config, **config})
        return nlp

    def docs(self, checkpoint: Any, texts: Iterable[str]) -> list[Doc]:
        """New Docs of these texts, read one by one by a pipeline with a low threshold, which is made only once."""
        key = (self.factory, str(checkpoint))
        if key not in _pipelines:
            _pipelines[key] = self.nlp(checkpoint, threshold=0.3)
        return [_pipelines[key](text) for text in texts]

    def __str__(self) -> str:
        return self.factory


def add_ruler(nlp: Language) -> None:
    """A component that finds the entities of `NAMES`."""
    patterns = [  # of tokens: a ruler of spaCy that came from bytes forgets phrases
        {"label": label, "pattern": [{"TEXT": word} for word in name.split()]}
        for label, names in NAMES.items()
        for name in names
    ]
    nlp.add_pipe("entity_ruler").add_patterns(patterns)


RELATIONS = Kit(
    "gliner_relations",
    "relations",
    ["met", {"name": "lived", "description": "lived in", "tail": ["city"]}],
    ["works"],
    "gliner_relation_labels",
    "gliner_relations",
    [],
)
QA = Kit(
    "gliner_qa",
    "questions",
    ["Who met Bill ?", "who founded the company"],
    ["Who is he ?"],
    "gliner_questions",
    "gliner_answers",
    {"Who met Bill ?": [], "who founded the company": []},
)
OPENIE = Kit(
    "gliner_openie",
    "prompts",
    ["any person :", {"name": "towns", "description": "the city :"}],
    ["all gold"],
    "gliner_prompts",
    "gliner_matches",
    {"any person :": [], "towns": []},
)
SUMMARIZER = Kit("gliner_summarizer", "", [], [], "", "gliner_summary", [], {"max_sentences": None})

KITS = [RELATIONS, QA, OPENIE, SUMMARIZER]
ASKING = [RELATIONS, QA, OPENIE]
each = pytest.mark.parametrize("kit", KITS, ids=str)
each_asking = pytest.mark.parametrize("kit", ASKING, ids=str)


def groups(doc: Doc) -> dict[str, Any]:
    """Everything in a Doc's span groups, as it is."""
    return {key: (bounds(group), dict(group.attrs)) for key, group in doc.spans.items()}


def nearly(doc: Doc) -> dict[str, Any]:
    """Everything in a Doc's span groups, with scores that compare approximately."""
    return {
        key: (spans, {**attrs, "scores": pytest.approx(attrs["scores"], abs=1e-5)})
        for key, (spans, attrs) in groups(doc).items()
    }


def assert_same_groups(docs: Iterable[Doc], others: Iterable[Doc]) -> None:
    """That Docs have the same text and, but for rounding, the same span groups."""
    for doc, other in zip(docs, others, strict=True):
        assert doc.text == other.text
        assert groups(doc) == nearly(other)


def bounds(spans: Iterable[Span]) -> list[tuple[int, int, str]]:
    """Where spans stand, with their labels."""
    return [(span.start, span.end, span.label_) for span in spans]


def through_disk(nlp, folder):
    nlp.to_disk(folder)
    return spacy.load(folder)


def through_bytes(nlp, folder):
    return spacy.blank(LANGUAGE, config=nlp.config).from_bytes(nlp.to_bytes())


def through_pickle(nlp, folder):
    return pickle.loads(pickle.dumps(nlp))


# The ways in which a pipeline goes elsewhere.
TRAVELS = [through_disk, through_bytes, through_pickle, lambda nlp, _: copy.deepcopy(nlp)]
