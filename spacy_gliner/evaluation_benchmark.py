"""The benchmarks of the papers: which files, what of their protocol was not followed, and the report of it all.

How each is measured is left to `evaluation` and `evaluation_tasks`, the papers' numbers to `published`, tables to
`display_markdown`.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from spacy.language import Language

from .evaluation import Evaluation, Kind, SetScore, average, benchmark, labels_of, ready
from .evaluation_tasks import evaluate
from .published import SETS, PublishedSet, published_set
from .training.corpora import name_of, read_rows

FACTORY_OF: dict[Kind, str] = {
    "entities": "gliner_ner",
    "questions": "gliner_qa",
    "summaries": "gliner_summarizer",
    "tails": "gliner_relations",
    "facts": "gliner_relations",
}
REST = "else"  # CrossNER's class of whatever is no other: part of the annotation, but of no label list


@dataclass(frozen=True)
class PublishedF1:
    """The F1 of a published system on some sets of entities, and their average."""

    system: str
    parameters: str
    source: str
    of_set: dict[str, float]

    @property
    def average(self) -> float:
        """The unweighted mean over the sets."""
        return fmean(self.of_set.values())


@dataclass
class Report:
    """All that was measured in a run.

    model: What was measured, as its user called it.
    limit: At most so many texts of each file; 0 for all.
    entities: The scores of files of entities, by name.
    tasks: What was measured on all other files, by name.
    notes: Where a set of the papers was not measured as the papers do, by name.
    """

    model: str
    limit: int = 0
    entities: dict[str, SetScore] = field(default_factory=dict)
    tasks: dict[str, Evaluation] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def published_entities(self) -> dict[str, SetScore]:
        """Our scores on those sets of entities that the papers measure too."""
        return {name: score for name, score in self.entities.items() if published_set(name, "entities")}

    def published(self) -> dict[str, PublishedSet]:
        """The sets of the papers among all that was measured."""
        kinds = dict.fromkeys(self.entities, "entities") | {name: task.kind for name, task in self.tasks.items()}
        found = {name: published_set(name, kind) for name, kind in kinds.items()}
        return {name: known for name, known in found.items() if known is not None}

    def to_json(self) -> dict[str, Any]:
        """All of it, with the published scores; scores are from 0 to 1."""
        return {
            "model": self.model,
            "limit": self.limit,
            "sets": {name: asdict(score) for name, score in self.entities.items()},
            "average": average(self.entities) if self.entities else None,
            "tasks": {name: asdict(evaluation) for name, evaluation in self.tasks.items()},
            "published": {name: [asdict(row) for row in known.rows] for name, known in self.published().items()},
            "published_average": self._published_average(),
            "notes": self.notes,
        }

    def _published_average(self) -> dict[str, Any] | None:
        ours = self.published_entities()
        if not ours:
            return None
        systems = [
            {"system": row.system, "parameters": row.parameters, "source": row.source, "f1": row.average}
            for row in published_f1(ours)
        ]
        return {"sets": list(ours), "model": average(ours), "systems": systems}


def published_f1(names: Iterable[str]) -> list[PublishedF1]:
    """What the papers report on these sets of theirs, a row for each system."""
    systems: dict[tuple[str, str, str], dict[str, float]] = {}
    for name in names:
        for row in SETS[name].rows:
            systems.setdefault((row.system, row.parameters, row.source), {})[name] = row.scores["f1"]
    return [PublishedF1(*system, of_set) for system, of_set in systems.items()]


def choose(files: Sequence[Path], only: Collection[str]) -> list[Path]:
    """The files in whose names one of these words stands, from "_" to "_"; all files without any.

    `choose(files, ["crossner", "mit"])` finds crossner_ai.jsonl and mit_movie.jsonl, and no limits.jsonl. Raises
    ValueError for a word that stands in no name.
    """
    chosen = []
    for word in only:
        found = [file for file in files if f"_{word}_" in f"_{name_of(file)}_"]
        if not found:
            names = ", ".join(sorted(map(name_of, files)))
            raise ValueError(f"No file has '{word}' in its name. There are: {names}.")
        chosen += found
    return [file for file in files if file in chosen] if only else list(files)


def measure_entities(
    report: Report,
    nlp: Language,
    paths: Iterable[Path],
    *,
    threshold: float | None = None,
    exclude_labels: Collection[str] = (REST,),
) -> Iterator[str]:
    """Measure files of entities as `benchmark` does, and write scores and notes into the report.

    YIELDS: Each file's name, as soon as it is measured.
    """
    for path in paths:
        ready(nlp, "gliner_ner")
        scores = benchmark(nlp, [path], threshold=threshold, exclude_labels=exclude_labels, limit=report.limit)
        for name, score in scores.items():
            report.entities[name] = score
            report.notes[name] = entity_notes(nlp, path, score, threshold, exclude_labels)
            yield name


def measure_tasks(report: Report, nlp: Language, paths: Iterable[Path]) -> Iterator[tuple[str, Evaluation]]:
    """Measure other files as `evaluate` does, at the components' thresholds, and write all into the report.

    YIELDS: Each file's name and what was measured, as soon as it is.
    """
    for name, evaluation in evaluate(nlp, paths, limit=report.limit):
        report.tasks[name] = evaluation
        report.notes[name] = task_notes(nlp, name, evaluation)
        yield name, evaluation


def entity_notes(
    nlp: Language, path: Path, score: SetScore, threshold: float | None, exclude_labels: Collection[str]
) -> list[str]:
    """Where a file of entities was not measured as the papers measure the set of its name; none for other files."""
    known = published_set(name_of(path), "entities")
    if known is None:
        return []
    labels = labels_of(read_rows(path))
    left_out = [f"'{label}'" for label in sorted(labels & set(exclude_labels))]
    notes = common_notes(nlp, known, score.n_rows, threshold)
    if left_out:
        notes.append(f"Neither asked for nor counted: {', '.join(left_out)}.")
    if labels - {REST} != known.labels:
        notes.append(f"Other labels than the papers': {differences(labels - {REST}, known.labels)}.")
    return notes


def task_notes(nlp: Language, name: str, evaluation: Evaluation) -> list[str]:
    """Where a file of another task was not measured as the papers measure the set of its name; none for other files."""
    known = published_set(name, evaluation.kind)
    if known is None:
        return []
    return [*common_notes(nlp, known, evaluation.counts[known.unit], None), *known.notes]


def common_notes(nlp: Language, known: PublishedSet, number: int, threshold: float | None) -> list[str]:
    """Notes about how much of a set was measured, and at which threshold; None stands for the component's own."""
    settings = ready(nlp, FACTORY_OF[known.kind]).cfg
    used = settings["threshold"] if threshold is None else threshold
    notes = []
    if number != known.size:
        notes.append(f"Measured on {number:,} {known.unit}; the papers' set has {known.size:,}.")
    if known.threshold is not None and used != known.threshold:
        notes.append(f"Threshold {used:g}; the papers' is {known.threshold:g}.")
    if known.kind == "entities" and settings.get("label_thresholds"):
        notes.append("Some labels have thresholds of their own.")
    return notes


def differences(ours: Collection[str], theirs: Collection[str]) -> str:
    """What only one of two label lists has, in words."""
    more = [f"'{label}' besides" for label in sorted(set(ours) - set(theirs))]
    fewer = [f"'{label}' missing" for label in sorted(set(theirs) - set(ours))]
    return ", ".join(more + fewer)
