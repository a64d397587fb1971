"""What the papers report on the sets of their benchmarks, and how they measured: data, nothing is computed here.

[1] GLiNER: Zaratiana et al. 2023, arXiv:2311.08526. Table 1, the out-of-domain benchmark (F1); it takes Vicuna, ChatGPT
    and UniNER from Zhou et al. 2023, USM and InstructUIE from Wang et al. 2023, GoLLIE from Sainz et al. 2023.
[2] GLiNER multi-task: Stepanov and Shtopko 2024, arXiv:2406.12925. Table 2 (entities: precision, recall, F1), Table 3
    (SQuAD 2.0: exact match, F1), Table 4 (CNN/DailyMail: ROUGE with standard deviations), Table 5 (FewRel: exact match,
    F1).

Numbers stand here as printed, moved to per cent where the paper prints fractions. Which sets they are is told by the
name of a file; how big a set is and which labels it has, from the public data (docs/benchmarks.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PAPERS = {
    "[1]": "[GLiNER](https://arxiv.org/abs/2311.08526) (Zaratiana et al. 2023)",
    "[2]": "[GLiNER multi-task](https://arxiv.org/abs/2406.12925) (Stepanov and Shtopko 2024)",
}


@dataclass(frozen=True)
class PublishedRow:
    """A row of a paper's table.

    system: The name it goes by there.
    parameters: As printed; "" where the table doesn't say.
    source: Paper and table.
    scores: From 0 to 1, by the names that our own scores have.
    """

    system: str
    parameters: str
    source: str
    scores: dict[str, float]


@dataclass(frozen=True)
class PublishedSet:
    """A set of the papers.

    title: What it is called in prose.
    kind: What its rows hold, as `evaluation_tasks.kind_of` says it.
    size, unit: How many of what the whole set has; the unit is one of `Evaluation.counts`.
    threshold: The papers' threshold; None where they name none.
    labels: Of entities, all labels of the set but CrossNER's "else".
    notes: What always differs from the papers here, or what they leave open.
    rows: The published scores.
    """

    title: str
    kind: Literal["entities", "questions", "summaries", "tails"]
    size: int
    unit: str
    threshold: float | None
    rows: tuple[PublishedRow, ...]
    labels: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


# [1], Table 1: parameters; F1 on MIT movie, MIT restaurant, CrossNER AI, literature, music, politics, science
COLUMNS_OF_TABLE_1 = (
    "mit_movie",
    "mit_restaurant",
    "crossner_ai",
    "crossner_literature",
    "crossner_music",
    "crossner_politics",
    "crossner_science",
)
GLINER_TABLE_1 = {
    "Vicuna-7B": ("7B", (6.0, 5.3, 12.8, 16.1, 17.0, 20.5, 13.0)),
    "Vicuna-13B": ("13B", (0.9, 0.4, 22.7, 22.7, 26.6, 27.0, 22.0)),
    "USM": ("0.3B", (37.7, 17.7, 28.2, 56.0, 44.9, 36.1, 44.0)),
    "ChatGPT": ("", (5.3, 32.8, 52.4, 39.8, 66.6, 68.5, 67.0)),
    "InstructUIE": ("11B", (63.0, 21.0, 49.0, 47.2, 53.2, 48.1, 49.2)),
    "UniNER-7B": ("7B", (42.4, 31.7, 53.6, 59.3, 67.0, 60.9, 61.1)),
    "UniNER-13B": ("13B", (48.7, 36.2, 54.2, 60.9, 64.5, 61.4, 63.5)),
    "GoLLIE": ("7B", (63.0, 43.4, 59.1, 62.7, 67.8, 57.2, 55.5)),
    "GLiNER-S": ("50M", (46.9, 33.3, 50.7, 60.0, 60.9, 61.5, 55.6)),
    "GLiNER-M": ("90M", (42.9, 37.3, 51.8, 59.7, 69.4, 68.6, 58.1)),
    "GLiNER-L": ("0.3B", (57.2, 42.9, 57.2, 64.4, 69.6, 72.6, 62.6)),
}

# [2], Table 2: precision, recall, F1
MULTITASK_TABLE_2 = {
    "gliner-multitask-v0.5": {
        "crossner_ai": (51.00, 51.11, 51.05),
        "crossner_literature": (72.65, 65.62, 68.96),
        "crossner_music": (74.91, 73.70, 74.30),
        "crossner_politics": (78.84, 77.71, 78.27),
        "crossner_science": (69.20, 65.48, 67.29),
        "mit_movie": (61.29, 52.59, 56.60),
        "mit_restaurant": (50.65, 38.13, 43.51),
    },
    "NuNER_Zero-span": {
        "crossner_ai": (63.82, 56.82, 60.12),
        "crossner_literature": (73.53, 58.06, 64.89),
        "crossner_music": (72.69, 67.40, 69.95),
        "crossner_politics": (77.28, 68.69, 72.73),
        "crossner_science": (70.08, 63.12, 66.42),
        "mit_movie": (63.00, 48.88, 55.05),
        "mit_restaurant": (54.81, 37.62, 44.62),
    },
    "gliner-large-news-v2.1": {
        "crossner_ai": (59.60, 54.55, 56.96),
        "crossner_literature": (65.41, 56.16, 60.44),
        "crossner_music": (67.47, 63.08, 65.20),
        "crossner_politics": (66.05, 60.07, 62.92),
        "crossner_science": (68.44, 63.57, 65.92),
        "mit_movie": (65.85, 49.59, 56.57),
        "mit_restaurant": (54.71, 35.94, 43.38),
    },
    "gliner_large-v2.1": {
        "crossner_ai": (54.98, 52.00, 53.45),
        "crossner_literature": (59.33, 56.47, 57.87),
        "crossner_music": (67.39, 66.77, 67.08),
        "crossner_politics": (66.07, 63.76, 64.90),
        "crossner_science": (61.45, 62.56, 62.00),
        "mit_movie": (55.94, 47.36, 51.29),
        "mit_restaurant": (53.34, 40.83, 46.25),
    },
}

# [2], Table 1: parameters
MULTITASK_TABLE_1 = {
    "gliner-multitask-large-v0.5": "440M",
    "UTC-DeBERTa-large-v2": "434M",
    "UTC-DeBERTa-base-v2": "184M",
    "UTC-DeBERTa-small-v2": "141M",
    "Flan-T5-small": "77M",
    "Flan-T5-base": "248M",
    "Flan-T5-large": "783M",
    "Meta-Llama-3-8B-Instruct": "8.03B",
}

# [2], Table 3: exact match, F1
MULTITASK_TABLE_3 = {
    "gliner-multitask-large-v0.5": (87.72, 91.99),
    "UTC-DeBERTa-large-v2": (86.06, 92.53),
    "UTC-DeBERTa-base-v2": (83.95, 90.18),
    "UTC-DeBERTa-small-v2": (80.92, 86.89),
    "Flan-T5-small": (79.68, 85.86),
    "Flan-T5-base": (83.39, 90.33),
    "Flan-T5-large": (81.05, 89.39),
    "Meta-Llama-3-8B-Instruct": (68.94, 80.51),
}

# [2], Table 4: ROUGE-1 and its standard deviation, ROUGE-2 and its, ROUGE-L and its
MULTITASK_TABLE_4 = {
    "gliner-multitask-large-v0.5": (24.84, 11.42, 8.81, 8.92, 22.79, 11.17),
    "UTC-DeBERTa-large-v2": (24.09, 11.45, 7.85, 8.70, 21.64, 10.91),
    "UTC-DeBERTa-base-v2": (21.43, 9.83, 6.03, 7.13, 19.55, 9.28),
    "UTC-DeBERTa-small-v2": (18.13, 12.58, 5.10, 8.00, 16.18, 11.72),
    "Flan-T5-small": (19.35, 11.14, 5.65, 7.84, 17.67, 10.41),
    "Flan-T5-base": (21.66, 12.32, 6.93, 8.99, 19.83, 11.94),
    "Flan-T5-large": (20.55, 12.53, 6.76, 9.69, 18.76, 12.11),
    "Meta-Llama-3-8B-Instruct": (21.60, 7.08, 6.44, 4.65, 19.91, 6.63),
}

# [2], Table 5: exact match, F1
MULTITASK_TABLE_5 = {
    "gliner-multitask-large-v0.5": (82.5, 87.36),
    "UTC-DeBERTa-large-v2": (71.91, 80.95),
    "UTC-DeBERTa-base-v2": (64.06, 72.32),
    "UTC-DeBERTa-small-v2": (48.39, 55.95),
    "Flan-T5-small": (22.25, 29.45),
    "Flan-T5-base": (53.75, 60.21),
    "Flan-T5-large": (55.30, 61.20),
    "Meta-Llama-3-8B-Instruct": (38.28, 44.28),
}


def _row(system: str, parameters: str, source: str, names: tuple[str, ...], values: tuple[float, ...]) -> PublishedRow:
    scores = {name: round(value / 100, 6) for name, value in zip(names, values, strict=True)}
    return PublishedRow(system, parameters, source, scores)


def _entity_rows(name: str) -> tuple[PublishedRow, ...]:
    column = COLUMNS_OF_TABLE_1.index(name)
    first = [
        _row(system, parameters, "[1], Table 1", ("f1",), (values[column],))
        for system, (parameters, values) in GLINER_TABLE_1.items()
    ]
    keys = ("precision", "recall", "f1")
    second = [_row(system, "", "[2], Table 2", keys, sets[name]) for system, sets in MULTITASK_TABLE_2.items()]
    return (*first, *second)


def _task_rows(source: str, names: tuple[str, ...], table: Mapping[str, tuple[float, ...]]) -> tuple[PublishedRow, ...]:
    return tuple(_row(system, MULTITASK_TABLE_1[system], source, names, values) for system, values in table.items())


def _entities(name: str, title: str, size: int, labels: str) -> PublishedSet:
    split = frozenset(label.strip() for label in labels.split(","))
    return PublishedSet(title, "entities", size, "sentences", 0.5, _entity_rows(name), split)


SETS: dict[str, PublishedSet] = {
    "crossner_ai": _entities(
        "crossner_ai",
        "CrossNER AI",
        431,
        "task, field, product, metrics, algorithm, researcher, organization, conference, person, program language, "
        "country, location, university",
    ),
    "crossner_literature": _entities(
        "crossner_literature",
        "CrossNER literature",
        416,
        "writer, book, literary genre, person, award, poem, organization, country, location, magazine, event",
    ),
    "crossner_music": _entities(
        "crossner_music",
        "CrossNER music",
        465,
        "musical artist, music genre, band, location, album, award, song, organization, country, person, event, "
        "musical instrument",
    ),
    "crossner_politics": _entities(
        "crossner_politics",
        "CrossNER politics",
        651,
        "political party, location, organization, politician, election, country, person, event",
    ),
    "crossner_science": _entities(
        "crossner_science",
        "CrossNER science",
        543,
        "scientist, astronomical object, organization, person, academic journal, location, chemical compound, protein, "
        "award, university, chemical element, enzyme, discipline, event, country, theory",
    ),
    "mit_movie": _entities(
        "mit_movie",
        "MIT movie",
        2443,
        "genre, actor, year, title, rating, plot, director, average ratings, character, review, song, trailer",
    ),
    "mit_restaurant": _entities(
        "mit_restaurant",
        "MIT restaurant",
        1521,
        "location, amenity, cuisine, restaurant name, dish, hours, rating, price",
    ),
    "squad_v2_dev": PublishedSet(
        "SQuAD 2.0",
        "questions",
        11873,
        "questions",
        0.5,
        _task_rows("[2], Table 3", ("answers_em", "answers_f"), MULTITASK_TABLE_3),
        notes=(
            'The paper names a "test subset" ([2], 2.4.2); this is the development set, the test set isn\'t public.',
        ),
    ),
    "sum_cnndm_validation": PublishedSet(
        "CNN/DailyMail",
        "summaries",
        1000,
        "texts",
        0.1,
        _task_rows(
            "[2], Table 4",
            (
                "summary_rouge1",
                "summary_rouge1_std",
                "summary_rouge2",
                "summary_rouge2_std",
                "summary_rougeL",
                "summary_rougeL_std",
            ),
            MULTITASK_TABLE_4,
        ),
        notes=(
            "The paper took the first 1,000 examples of a part that it doesn't name ([2], 2.4.3); these are of the "
            "validation part.",
            "ROUGE without stemming; the paper doesn't say whether words were stemmed.",
            "A summary is made of the pipeline's sentences, within the component's budget; the paper took what scored "
            "above the threshold.",
        ),
    ),
    "rel_fewrel_val": PublishedSet(
        "FewRel",
        "tails",
        11200,
        "facts",
        None,
        _task_rows("[2], Table 5", ("em", "f1"), MULTITASK_TABLE_5),
        notes=("The best tail counts, whatever its score; the paper names no threshold ([2], 2.4.4).",),
    ),
}


def published_set(name: str, kind: str) -> PublishedSet | None:
    """The set of the papers that a file holds, by its name without endings; None for any other file."""
    known = SETS.get(name)
    return known if known is not None and known.kind == kind else None
