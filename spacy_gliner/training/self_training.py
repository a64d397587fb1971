"""Self-training: a pipeline annotates raw text, and learns from what it was sure of (GLiNER multi-task, 2.3 and 3.5).

Spans with a high score become gold. Those with a middling one are neither right nor wrong: their tokens are missing
annotation, and nothing is learned of them. Training is `spacy train`'s.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import spacy
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Config

from ..evaluation import ask, gliner_pipes
from ..ml.architectures import shim_of
from ..pipeline.extractor import Extractor
from .corpora import Row
from .overlap import Overlap
from .thresholds import one_threshold

SETTINGS = """
[system]
seed = 0
gpu_allocator = null

[corpora]

[corpora.train]
@readers = "spacy_gliner.JsonCorpus.v1"
path = null

[corpora.train.weights]
annotated = 1

[corpora.dev]
@readers = "spacy_gliner.JsonCorpus.v1"
path = null
limit = 1

[training]
train_corpus = "corpora.train"
dev_corpus = "corpora.dev"
seed = ${system.seed}
gpu_allocator = ${system.gpu_allocator}
dropout = 0.0
accumulate_gradient = 1
max_epochs = -1
max_steps = 100
eval_frequency = 100
patience = 0

[training.before_update]
@callbacks = "spacy_gliner.checkpoints.v1"
path = null
every = 50

[training.batcher]
@batchers = "spacy.batch_by_words.v1"
size = 700
tolerance = 0.2
discard_oversize = false

[training.optimizer]
@optimizers = "spacy_gliner.AdamW.v1"

[training.optimizer.learn_rate]
@schedules = "spacy_gliner.warmup_linear.v1"
rate = 5e-6
warmup_steps = 10
total_steps = ${training.max_steps}

[training.optimizer.head_learn_rate]
@schedules = "spacy_gliner.warmup_linear.v1"
rate = 7e-6
warmup_steps = 10
total_steps = ${training.max_steps}

[training.logger]
@loggers = "spacy_gliner.ProgressLogger.v1"
"""


@dataclass
class Annotated:
    """What became of raw texts.

    n_left_out: Texts that overlap with what must not be trained on.
    n_spans: How many spans of each label were kept.
    n_unsure: Spans that were neither kept nor taken to be wrong.
    """

    n_rows: int = 0
    n_left_out: int = 0
    n_unsure: int = 0
    n_spans: dict[str, int] = field(default_factory=dict)


def annotate(
    nlp: Language,
    texts: Iterable[str],
    path: Path,
    *,
    labels: Sequence[str] | None = None,
    keep: float = 0.9,
    unsure: float = 0.05,
    overlap: Overlap | None = None,
    batch_size: int = 64,
) -> Annotated:
    """Annotate raw texts with a pipeline's own entities, as rows that `spacy_gliner.JsonCorpus.v1` reads.

    nlp: A pipeline with a `gliner_ner`.
    texts: Raw texts.
    path: The file of JSON lines that is written. Where it holds the first of the texts already, the rest is added.
    labels: What to look for; the component's labels if None.
    keep: Spans that score at least this become gold.
    unsure: Spans between this and `keep` are missing annotation; what scores less counts as absent.
    overlap: Texts that must not be trained on are left out, and counted.
    Raises ValueError for thresholds that are not in order, for a pipeline without `gliner_ner` or labels, and where the
    file holds other texts.
    """
    if not 0 < unsure <= keep < 1:
        raise ValueError(f"Self-training needs 0 < unsure <= keep < 1, got {unsure=}, {keep=}.")
    component = entity_component(nlp)
    asked = list(labels or component.labels)
    if not asked:
        raise ValueError("Self-training needs labels: give them, or configure them in the pipeline.")
    report = Annotated()
    wanted = []
    for text in texts:
        if overlap is not None and text in overlap:
            report.n_left_out += 1
        elif text.strip():
            wanted.append(text)
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = sha256(shim_of(component.model).to_bytes()).hexdigest()
    _same_settings(path, {"labels": asked, "keep": keep, "unsure": unsure, "weights": weights})
    done = _read_done(path, wanted)
    with path.open("a", encoding="utf8") as file:
        for first in range(len(done), len(wanted), batch_size):
            docs = [ask(nlp.make_doc(text), asked) for text in wanted[first : first + batch_size]]
            for row in _rows(component, docs, asked, keep, unsure):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                done.append(row)
            file.flush()
    for row in done:
        report.n_rows += 1
        report.n_unsure += row["unsure"]
        for _, _, label in row["spans"]:
            report.n_spans[label] = report.n_spans.get(label, 0) + 1
    return report


def self_train(
    nlp: Language,
    texts: Iterable[str],
    folder: Path,
    *,
    labels: Sequence[str] | None = None,
    keep: float = 0.9,
    unsure: float = 0.05,
    smoothing: float = 0.0,
    alpha: float = 0.75,
    dev: Path | None = None,
    overlap: Overlap | None = None,
    overrides: dict[str, Any] | None = None,
    use_gpu: int = -1,
) -> tuple[Language, Annotated]:
    """Annotate raw texts with a pipeline and train it on them. Called again, it goes on where it was.

    nlp: A pipeline with a `gliner_ner`; it stays as it is.
    folder: Where annotation, checkpoint and the trained pipeline (`model-last`) are written.
    smoothing: Of the labels (GLiNER multi-task, eq. 1).
    alpha: The weight of gold in the focal loss, of the rest one minus that; -1 for equal ones (table 6 there).
    dev: Annotated data, as of `JsonCorpus`, that the training prints scores of; if None, it scores a row of its own.
    overrides: Of the training config, such as {"training.max_steps": 500}.
    use_gpu: The number of the GPU to train on; -1 for the CPU.

    The other arguments, and errors, are those of `annotate`.
    RETURNS: The trained pipeline, and what became of the texts.
    """
    report = annotate(nlp, texts, folder / "annotated.jsonl", labels=labels, keep=keep, unsure=unsure, overlap=overlap)
    if not report.n_spans:
        raise ValueError(
            f"No span of {report.n_rows} texts scored {keep} or more, so there is nothing to learn. Lower `keep`, give "
            f"more texts, or use a pipeline that knows the labels better."
        )
    loss = {"smoothing": smoothing, "alpha": alpha}
    config = training_config(nlp, folder, loss, list(labels or entity_component(nlp).labels), dev)
    config.to_disk(folder / "self_train.cfg")
    train(folder / "self_train.cfg", folder, overrides=overrides or {}, use_gpu=use_gpu)
    return spacy.load(folder / "model-last"), report


def training_config(nlp: Language, folder: Path, loss: dict[str, float], labels: list[str], dev: Path | None) -> Config:
    """The config of a training of this pipeline's `gliner_ner` on its own annotation, with this loss."""
    nlp.to_disk(folder / "start")
    config = Config().from_str(SETTINGS, interpolate=False)
    component = entity_component(nlp)
    name = component.name
    config["nlp"] = {key: nlp.config["nlp"][key] for key in ("lang", "pipeline", "batch_size", "tokenizer")}
    config["components"] = {other: {"source": str(folder / "start")} for other in nlp.pipe_names}
    own = Config(nlp.config).copy()["components"][name]
    own["loss"] = {**own["loss"], **loss}
    limits = [[label, limit] for label, limit in component.cfg["label_thresholds"].items()]
    own |= {
        "labels": component.label_data or labels,
        "threshold": component.cfg["threshold"],
        "label_thresholds": limits,
    }
    own["model"]["source"] = {"@misc": "spacy_gliner.Checkpoint.v1", "name": str(folder / "checkpoint")}
    config["components"][name] = own
    component.to_checkpoint(folder / "checkpoint")
    config["training"]["frozen_components"] = [other for other in nlp.pipe_names if other != name]
    config["corpora"]["train"]["path"] = str(folder / "annotated.jsonl")
    config["corpora"]["dev"]["path"] = str(dev or folder / "annotated.jsonl")
    config["corpora"]["dev"]["limit"] = 0 if dev else 1
    config["training"]["before_update"]["path"] = str(folder / "state")
    return config


def entity_component(nlp: Language) -> Extractor:
    """The pipeline's first `gliner_ner`. Raises ValueError where it has none."""
    pipes: list[Extractor] = gliner_pipes(nlp)
    if not pipes:
        raise ValueError(f"The pipeline has no gliner_ner; it has {', '.join(nlp.pipe_names) or 'no components'}.")
    return pipes[0]


def _rows(component: Extractor, docs: list[Doc], labels: list[str], keep: float, unsure: float) -> Iterator[Row]:
    with one_threshold(component, unsure):
        found = component.predict(docs)
    for doc, spans in zip(docs, found, strict=True):
        sure = [span for span in spans if span.score >= keep]
        others = [span for span in spans if span.score < keep]
        yield {
            "tokens": [token.text for token in doc if not token.is_space],
            "spans": [[*_words(doc, span.start, span.end), span.label] for span in sure],
            "missing": [_words(doc, span.start, span.end) for span in others],
            "labels": labels,
            "unsure": len(others),
        }


def _words(doc: Doc, start: int, end: int) -> list[int]:
    """Tokens `[start, end)` as the first and last word, where white space does not count."""
    n_before = sum(not token.is_space for token in doc[:start])
    return [n_before, n_before + sum(not token.is_space for token in doc[start:end]) - 1]


def _read_done(path: Path, texts: Sequence[str]) -> list[Row]:
    """The rows that were written before. Raises ValueError where they are not of these texts."""
    if not path.exists():
        return []
    whole, _, half = path.read_text(encoding="utf8").rpartition("\n")
    if half:  # an interruption came while it was written
        path.write_text(whole + "\n" if whole else "", encoding="utf8")
    rows = [json.loads(line) for line in whole.splitlines()]
    begun = ["".join(text.split()) for text in texts[: len(rows)]]
    if ["".join(row["tokens"]) for row in rows] != begun:
        raise ValueError(f"{path} holds the annotation of other texts. Delete it, or choose another folder.")
    return rows


def _same_settings(path: Path, settings: dict[str, Any]) -> None:
    """Keep what an annotation was made with beside it. Raises ValueError where it was made with something else."""
    beside = path.with_suffix(".settings.json")
    if path.exists() and beside.exists():
        before = json.loads(beside.read_text(encoding="utf8"))
        other = [name for name in settings if before[name] != settings[name]]
        if other:
            raise ValueError(
                f"{path} was annotated with other {', '.join(other)}. Delete it, or choose another folder."
            )
    beside.write_text(json.dumps(settings), encoding="utf8")
