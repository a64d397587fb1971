"""Which labels to ask for in training: some of the gold, some that are absent, in any order.

Pure: what it draws depends on the generator it is given.
"""

import random
from collections.abc import Callable, Sequence
from functools import partial

SampleLabels = Callable[[Sequence[str], Sequence[str], random.Random], list[str]]


def sample_labels(
    gold: Sequence[str],
    pool: Sequence[str],
    rng: random.Random,
    *,
    max_labels: int,
    max_negatives: int,
    drop: float,
    shuffle: bool,
) -> list[str]:
    """Draw labels for one example (GLiNER, 3.2: negatives, shuffling and dropping of types).

    gold: The labels that the example has, each once.
    pool: Labels that were looked for when it was annotated: those not in gold are absent.
    rng: Where randomness comes from.
    max_labels: At most so many in all; gold comes first.
    max_negatives: The number of negatives is drawn evenly from 0 to this; without any gold there is at least one.
    drop: The probability with which a gold label is left out.
    shuffle: Whether to mix them; else gold comes first.
    """
    kept = [label for label in gold if rng.random() >= drop][:max_labels]
    absent = [label for label in pool if label not in set(gold)]
    fewest = 0 if kept else 1
    n_negatives = min(rng.randint(fewest, max(max_negatives, fewest)), len(absent), max_labels - len(kept))
    labels = [*kept, *rng.sample(absent, n_negatives)]
    if shuffle:
        rng.shuffle(labels)
    return labels


def configure_sample_labels(
    max_labels: int = 25, max_negatives: int = 12, drop: float = 0.0, shuffle: bool = True
) -> SampleLabels:
    """`sample_labels` with its settings, for a config: `spacy_gliner.sample_labels.v1`."""
    if max_labels < 1 or max_negatives < 0 or not 0 <= drop < 1:
        raise ValueError(
            f"sample_labels needs max_labels >= 1, max_negatives >= 0 and 0 <= drop < 1, "
            f"got {max_labels=}, {max_negatives=}, {drop=}."
        )
    return partial(sample_labels, max_labels=max_labels, max_negatives=max_negatives, drop=drop, shuffle=shuffle)
