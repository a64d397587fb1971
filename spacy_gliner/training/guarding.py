"""A guard beside the development data: what the network could do before and should not forget."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from spacy.language import Language
from spacy.training import Example

from ..pipeline.extensions import register_extensions

Corpus = Callable[[Language], Iterable[Example]]


class GuardedCorpus:
    """Development data with a guard set, scored apart: `spacy_gliner.GuardedCorpus.v1`.

    Scores of the guard have its name before theirs, such as `guard_ents_f`, so that `[training.score_weights]` can
    weigh both: `ents_f = 0.5` and `guard_ents_f = 0.5` keep the pipeline that is best at the two together.

    corpus: The development data (a function from a pipeline to Examples).
    guard: What should not be forgotten: other domains, other labels.
    name: What the guard's scores begin with.
    Raises ValueError for a name that is not one word.
    """

    def __init__(self, corpus: Any, guard: Any, name: str = "guard") -> None:
        if not name.isidentifier():
            raise ValueError(f"The name of a guard is one word of letters, digits and underscores, got '{name}'.")
        self.corpus: Corpus = corpus
        self.guard: Corpus = guard
        self.name = name

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """The Examples of both. Those of the guard are marked: `reference._.gliner_part` is its name."""
        register_extensions()
        yield from self.corpus(nlp)
        for example in self.guard(nlp):
            example.reference._.gliner_part = self.name
            yield example
