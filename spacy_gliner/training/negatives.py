"""Which labels to ask for in training, and in which words: some of the gold, some that are absent, in any order.

Pure: what it draws depends on the generator it is given.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

NegativesFrom = Literal["given", "batch", "corpus"]
CASES = (str.lower, str.upper, str.title, str.capitalize)


@dataclass(frozen=True)
class LabelSampler:
    """Draws labels for one example: `spacy_gliner.sample_labels.v1`.

    Negatives, shuffling and dropping of types are those of GLiNER, 3.2.

    max_labels: At most so many in all; gold comes first.
    max_negatives: The number of negatives is drawn evenly from 0 to this; without any gold there is at least one.
    negative_ratio: Instead of that, the share of negatives among all labels that are asked for: 0.5 for as many as
        there are of the gold, 0.75 for three times as many, 0 for none (GLiNER, 5.1). An example without gold counts as
        one with one label.
    negatives_from: Where absent labels are taken from: those "given" with the example (its own list, or the
        component's labels); the gold of the other examples of the "batch" (GLiNER, 3.2); or all gold of the "corpus"
        that has come by so far. The last two take it for granted that what an example does not name is absent.
    drop: The probability with which a gold label is left out.
    shuffle: Whether to mix them; else gold comes first.
    case: The probability with which a label is read in lower, upper or title case.
    synonyms: Other words for labels, to read in their place.
    synonym_rate: How often.
    bare_rate: How often the name of a label is read in place of its description.
    """

    max_labels: int = 25
    max_negatives: int = 12
    negative_ratio: float | None = None
    negatives_from: NegativesFrom = "given"
    drop: float = 0.0
    shuffle: bool = True
    case: float = 0.0
    synonyms: Mapping[str, Sequence[str]] | None = None
    synonym_rate: float = 0.5
    bare_rate: float = 0.0

    def __post_init__(self) -> None:
        rates = {"case": self.case, "synonym_rate": self.synonym_rate, "bare_rate": self.bare_rate}
        ratio = self.negative_ratio
        if self.max_labels < 1 or self.max_negatives < 0 or not 0 <= self.drop < 1:
            raise ValueError(
                f"sample_labels needs max_labels >= 1, max_negatives >= 0 and 0 <= drop < 1, got "
                f"{self.max_labels=}, {self.max_negatives=}, {self.drop=}."
            )
        if ratio is not None and not 0 <= ratio < 1:
            raise ValueError(f"sample_labels needs 0 <= negative_ratio < 1 (or null), got {ratio}.")
        if not all(0 <= rate <= 1 for rate in rates.values()):
            raise ValueError(f"sample_labels needs probabilities from 0 to 1, got {rates}.")
        if self.negatives_from not in get_args(NegativesFrom):
            raise ValueError(
                f"sample_labels needs negatives_from to be one of {', '.join(get_args(NegativesFrom))}, got "
                f"'{self.negatives_from}'."
            )

    def __call__(self, gold: Sequence[str], pool: Sequence[str], rng: random.Random) -> list[str]:
        """Draw labels.

        gold: The labels that the example has, each once.
        pool: Labels that it may be asked for: those not in gold are absent.
        rng: Where randomness comes from.
        """
        kept = [label for label in gold if rng.random() >= self.drop][: self.max_labels]
        absent = [label for label in pool if label not in set(gold)]
        n_negatives = min(self._n_negatives(len(kept), rng), len(absent), self.max_labels - len(kept))
        labels = [*kept, *rng.sample(absent, n_negatives)]
        if self.shuffle:
            rng.shuffle(labels)
        return labels

    def _n_negatives(self, n_kept: int, rng: random.Random) -> int:
        if self.negative_ratio is None:
            fewest = 0 if n_kept else 1
            return rng.randint(fewest, max(self.max_negatives, fewest))
        wanted = max(n_kept, 1) * self.negative_ratio / (1 - self.negative_ratio)
        return int(wanted) + (rng.random() < wanted - int(wanted))

    def reword(self, name: str, prompt: str, rng: random.Random) -> str:
        """What the network reads this time for a label.

        name: The label.
        prompt: What the network reads for it in prediction: its description, or the name.
        """
        if prompt != name and self.bare_rate and rng.random() < self.bare_rate:
            prompt = name
        others = (self.synonyms or {}).get(prompt)
        if others and rng.random() < self.synonym_rate:
            prompt = rng.choice(others)
        if self.case and rng.random() < self.case:
            prompt = rng.choice(CASES)(prompt)
        return prompt
