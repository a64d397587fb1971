"""A reader that makes prompts for open information extraction out of annotated entities and relations."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from .corpora import Row, RowCorpus, Weights, labels_by_source, source_of
from .task_corpora import RelationCorpus

ENTITY_PROMPTS = (
    "{0}",
    "all {0} mentions",
    "Find every {0} in the text:",
    "Extract each {0}",
    "which {0} is mentioned",
)
RELATION_PROMPTS = ("{1}: {0}", "{0} of {1}", "Find the {0} of {1}:", "all {0} of {1}")


class PromptCorpus(RowCorpus):
    """Prompts with their matches: `spacy_gliner.PromptCorpus.v1`.

    Rows are those of `JsonCorpus` and `RelationCorpus`. A prompt asks for all entities of one label ("all person
    mentions") or for the tails of one head ("director of Metropolis"), in wordings of several kinds.

    absent: How often the prompt asks for a label of the source that the row does not have; such rows as have no
        entities are always asked for one. Prompts for tails always have a match.

    The other settings are those of `RowCorpus`.
    """

    foreign = ("qa_", "squad", "sum_")

    def __init__(
        self,
        path: Any,
        weights: Weights = None,
        limit: int = 0,
        absent: float = 0.3,
        seed: int = 0,
        n_examples: int = 0,
    ) -> None:
        super().__init__(path, weights, limit, seed, n_examples)
        self.absent = absent

    def check(self, row: Any) -> Row:
        """The row with `tokens`, `spans` and `relations`."""
        without = isinstance(row, dict) and "relation" not in row
        return RelationCorpus(self.path).check({"relations": [], **row} if without else row)

    def examples(self, nlp: Language, files: Mapping[str, list[Row]], rng: random.Random) -> Iterator[Example]:
        """The Examples, one prompt each. Rows for which no prompt can be made are left out.

        Raises ValueError where that is so for all of them.
        """
        n_rows, n_in_vain = sum(map(len, files.values())), 0
        labels = {name: labels_by_source(rows) for name, rows in files.items()}
        for name, row in self.order(files, rng):
            if row["relations"]:
                prompt, spans = _of_relation(row, rng)
            else:
                prompt, spans = self._of_entity(row, labels[name][source_of(row)], rng)
            n_in_vain = 0 if prompt else n_in_vain + 1
            if n_in_vain > 10 * n_rows:
                raise ValueError(
                    f"No prompts can be made from {self.path}: its rows have no entities and no relations."
                )
            if prompt:
                predicted, reference = Doc(nlp.vocab, words=row["tokens"]), Doc(nlp.vocab, words=row["tokens"])
                predicted._.gliner_prompts = [prompt]
                reference._.gliner_matches = {prompt: [Span(reference, *place) for place in sorted(spans)]}
                yield Example(predicted, reference)

    def _of_entity(self, row: Row, labels: list[str], rng: random.Random) -> tuple[str, set[tuple[int, int]]]:
        present = list(dict.fromkeys(label for _, _, label in row["spans"]))
        absent = [label for label in labels if label not in present]
        pool = absent if absent and (not present or rng.random() < self.absent) else present
        if not pool:
            return "", set()
        label = rng.choice(pool)
        places = {(start, end + 1) for start, end, other in row["spans"] if other == label}
        return rng.choice(ENTITY_PROMPTS).format(label), places


def _of_relation(row: Row, rng: random.Random) -> tuple[str, set[tuple[int, int]]]:
    fact = rng.choice(row["relations"])
    head, name = _text(row, fact["head"]), fact["relation"]
    alike = [other for other in row["relations"] if (_text(row, other["head"]), other["relation"]) == (head, name)]
    places = {(other["tail"]["start"], other["tail"]["end"] + 1) for other in alike}
    places |= {(start, end + 1) for other in alike for start, end in other.get("tail_mentions", ())}
    return rng.choice(RELATION_PROMPTS).format(name.removesuffix(" of"), head), places


def _text(row: Row, place: Mapping[str, int]) -> str:
    return " ".join(row["tokens"][place["start"] : place["end"] + 1])
