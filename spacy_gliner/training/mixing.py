"""Several corpora as one, so that one network learns all tasks at once."""

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from typing import Any

from spacy.language import Language
from spacy.training import Example

from ..pipeline.extensions import INPUTS, register_extensions

NEAR = 500  # so many Examples of a corpus are shuffled with each other; spaCy's own come in the order of their file

Corpus = Callable[[Language], Iterable[Example]]


class MixedCorpus:
    """Examples of several corpora, drawn by weights without end: `spacy_gliner.MixedCorpus.v1`.

    A corpus that comes to its end begins again; neighbours in it are shuffled. An Example asks only what its own corpus
    made it ask: labels, questions and so on that it does not set are set to nothing, so that the other components leave
    it alone.

    corpora: The corpora (functions from a pipeline to Examples), by names of your choice.
    weights: How often an Example comes from each, relative to the others; equally often where None.
    n_examples: How many Examples to draw; 0 for no end (`max_epochs = -1`).
    seed: Where randomness begins.
    Raises ValueError where weights and corpora have different names, and for a corpus without Examples.
    """

    def __init__(
        self,
        corpora: dict[str, Any],
        weights: dict[str, float] | None = None,
        n_examples: int = 0,
        seed: int = 0,
    ) -> None:
        self.corpora = corpora
        self.weights = dict.fromkeys(corpora, 1.0) if weights is None else weights
        self.n_examples = n_examples
        self.seed = seed
        if set(self.corpora) != set(self.weights) or not self.corpora:
            raise ValueError(
                f"MixedCorpus needs a weight for each corpus, got corpora {sorted(self.corpora)} and weights for "
                f"{sorted(self.weights)}."
            )

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """The Examples."""
        register_extensions()
        rng = random.Random(self.seed)
        streams = {name: _mixed_again_and_again(name, corpus, nlp, rng) for name, corpus in self.corpora.items()}
        names, weights = list(self.weights), list(self.weights.values())
        for _ in range(self.n_examples) if self.n_examples else count():
            yield asking_nothing_else(next(streams[rng.choices(names, weights)[0]]))


def asking_nothing_else(example: Example) -> Example:
    """The Example, with every input that its predicted Doc leaves open set to nothing.

    But for the labels of an Example with entities: where it does not say what to ask, the component does.
    """
    for name in INPUTS:
        annotated = name == "gliner_labels" and example.reference.has_annotation("ENT_IOB")
        if example.predicted._.get(name) is None and not annotated:
            example.predicted._.set(name, [])
    return example


def _mixed_again_and_again(name: str, corpus: Corpus, nlp: Language, rng: random.Random) -> Iterator[Example]:
    while True:
        examples, empty = iter(corpus(nlp)), True
        while near := list(islice(examples, NEAR)):
            empty = False
            rng.shuffle(near)
            yield from near
        if empty:
            raise ValueError(f"The corpus '{name}' has no Examples. Leave it out.")
