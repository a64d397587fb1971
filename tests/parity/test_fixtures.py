"""Equal logits and entities with results of the reference library that were saved earlier.

The environment variable SPACY_GLINER_PARITY names their folder; without it, nothing is run. A fixture is a folder with
a `checkpoint/`, `expected.json` (texts, cases with labels, thresholds and entities) and `logits.npz`.
"""

import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch

from spacy_gliner.losses import focal_loss
from spacy_gliner.ml.checkpoint_configs import HEADS
from spacy_gliner.ml.checkpoints import Checkpoint, read_checkpoint
from spacy_gliner.pipeline.words import WORD
from spacy_gliner.targets import make_targets
from spacy_gliner.types import Lesson, Query, ScoredSpan

from ..tiny import numbers
from .reference import Asked, ask, assert_entities_equal, assert_logits_equal, assert_relations_equal

FOLDER = os.environ.get("SPACY_GLINER_PARITY")
OTHER_KINDS = ("labels_decoder",)
LOSS_SETTINGS = {"alpha", "gamma", "label_smoothing"}

pytestmark = pytest.mark.skipif(not FOLDER, reason="SPACY_GLINER_PARITY names no folder")


def fixtures(loaded: bool) -> list[Path]:
    """The fixtures of the kinds of networks that we load, or of the others."""
    folders = sorted(path.parent for path in Path(FOLDER).glob("*/expected.json")) if FOLDER else []
    return [folder for folder in folders if is_loaded(folder) == loaded]


def is_loaded(folder: Path) -> bool:
    config = json.loads((folder / "checkpoint" / "gliner_config.json").read_text(encoding="utf8"))
    return config["span_mode"] in HEADS and not any(config.get(kind) for kind in OTHER_KINDS)


def padding_counts(folder: Path) -> bool:
    """Whether padding takes part in the reference's scores, so that only texts by themselves can be compared."""
    config = json.loads((folder / "checkpoint" / "gliner_config.json").read_text(encoding="utf8"))
    counts = config.get("fuse_layers") or config.get("span_encoder_config") or config.get("represent_spans")
    return bool(counts) or config["span_mode"] in ("markerV1", "markerV2")


def cases(folder: Path) -> list[dict]:
    """What can be compared: no known bugs of the reference, no given spans."""
    single = padding_counts(folder)
    return [
        case
        for case in expected(folder)["cases"]
        if "reference_bug" not in case["name"]
        and "input_spans" not in case
        and (not single or case.get("batch_size") == 1 or len(case.get("texts", ("", ""))) == 1)
    ]


@cache
def expected(folder: Path) -> dict:
    return json.loads((folder / "expected.json").read_text(encoding="utf8"))


@cache
def checkpoint_of(folder: Path) -> Checkpoint:
    return read_checkpoint(folder / "checkpoint")


def asked(folder: Path, case: dict) -> list[Asked]:
    texts = case.get("texts", expected(folder)["texts"])
    words = None
    if case.get("words"):
        assert case["words"] == "spacy.blank('en')"
        nlp = spacy.blank("en")
        words = [[token.text for token in nlp(text) if not token.is_space] for text in texts]
    found = ask(texts, case["labels"], words, checkpoint_of(folder).network.config.max_words)
    beside = tuple(relations(folder, case))
    return [replace(each, query=replace(each.query, beside=beside)) for each in found]


def relations(folder: Path, case: dict) -> list[str]:
    """The relations that a joint network was asked for; none of others."""
    if not checkpoint_of(folder).network.config.links:
        return []
    return case.get("relations", expected(folder)["relations"])


@cache
def saved_logits(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "logits.npz") as arrays:
        return {name.removesuffix("/logits"): arrays[name] for name in arrays if name.endswith("/logits")}


def by_case(with_logits: bool) -> pytest.MarkDecorator:
    found = [(folder, case) for folder in fixtures(True) for case in cases(folder)]
    return pytest.mark.parametrize(
        "folder, case",
        [
            pytest.param(folder, case, id=f"{folder.name}-{case['name']}")
            for folder, case in found
            if case["name"] in saved_logits(folder) or not with_logits
        ],
    )


def takes_smoothing_for_margin(folder: Path, saved: dict) -> bool:
    """A bug of the reference: to span heads of bi-encoders it passes the label smoothing as another argument."""
    config = checkpoint_of(folder).network.config
    return config.label_backbone is not None and config.head != "token" and "label_smoothing" in saved["settings"]


@by_case(with_logits=True)
def test_saved_logits_are_equal(folder, case):
    assert_logits_equal(checkpoint_of(folder), asked(folder, case), saved_logits(folder)[case["name"]])


@by_case(with_logits=False)
def test_saved_entities_are_equal(folder, case):
    mode = {name: case[name] for name in ("threshold", "flat_ner", "multi_label")}
    assert_entities_equal(checkpoint_of(folder), asked(folder, case), case["outputs"]["entities"], **mode)


def relation_cases() -> list:
    found = [(folder, case) for folder in fixtures(True) for case in cases(folder) if relations(folder, case)]
    return [pytest.param(folder, case, id=f"{folder.name}-{case['name']}") for folder, case in found]


@pytest.mark.parametrize("folder, case", relation_cases())
def test_saved_relations_are_equal(folder, case):
    settings = ("threshold", "flat_ner", "multi_label", "relation_threshold")
    mode = {name: case[name] for name in settings if name in case}
    theirs = case["outputs"]["relations"]
    assert_relations_equal(checkpoint_of(folder), asked(folder, case), relations(folder, case), theirs, **mode)


def task_cases() -> list:
    """Texts that begin with the prompt of a task, and a line break."""
    found = [(folder, case) for folder in fixtures(True) for case in cases(folder) if case["name"].startswith("task_")]
    return [pytest.param(folder, case, id=f"{folder.name}-{case['name']}") for folder, case in found]


@pytest.mark.parametrize("folder, case", task_cases())
def test_the_prompt_of_a_task_is_an_instruction_that_changes_no_score_of_the_text(folder, case):
    checkpoint = checkpoint_of(folder)
    (text,) = case["texts"]
    prompt, _, body = text.partition("\n")
    instruction, labels = tuple(WORD.findall(prompt)), tuple(case["labels"])
    n_read = saved_logits(folder)[case["name"]].shape[1] - len(instruction)  # the reference truncates; we don't
    query = Query(tuple(WORD.findall(body))[:n_read], labels, labels, instruction)
    with torch.inference_mode():
        (ours,) = checkpoint.network(numbers([query], checkpoint.tokenizer)).per_query()
    theirs = torch.from_numpy(saved_logits(folder)[case["name"]])[0, len(instruction) :]
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    "folder, saved",
    [
        pytest.param(folder, saved, id="-".join([folder.name, *saved["settings"]]))
        for folder in fixtures(True)
        if not padding_counts(folder) and not relations(folder, {})  # of a joint network, a sum of several losses
        for saved in expected(folder)["losses"]
        if "loss" in saved and set(saved["settings"]) <= LOSS_SETTINGS and not takes_smoothing_for_margin(folder, saved)
    ],
)
def test_saved_losses_are_equal(folder, saved):
    checkpoint = checkpoint_of(folder)
    rows = expected(folder)["train_examples"]
    labels = [tuple(row["ner_labels"]) for row in rows]
    if checkpoint.tokenizer.labels_apart:  # every text is asked for the labels of the whole batch
        labels = [tuple(dict.fromkeys(label for of_row in labels for label in of_row))] * len(rows)
    queries = [Query(tuple(row["tokenized_text"]), of_row) for row, of_row in zip(rows, labels, strict=True)]
    gold = [[ScoredSpan(start, end + 1, label, 1.0) for start, end, label in row["ner"]] for row in rows]
    settings = dict(saved["settings"])
    smoothing = settings.pop("label_smoothing", 0.0)
    with torch.inference_mode():
        logits = checkpoint.network(numbers(queries, checkpoint.tokenizer))
        target = make_targets(logits, list(map(Lesson, queries, gold)))
        loss = focal_loss(logits.scores, target, **settings, smoothing=smoothing, reduction="sum")
    assert float(loss) == pytest.approx(saved["loss"], rel=1e-4)


@pytest.mark.parametrize("folder", [pytest.param(folder, id=folder.name) for folder in fixtures(False)])
def test_networks_of_other_kinds_are_refused(folder):
    with pytest.raises(ValueError, match="Supported are uni-, bi- and poly-encoders"):
        read_checkpoint(folder / "checkpoint")
