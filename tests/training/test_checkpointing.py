"""A training that was interrupted goes on as if it had not been."""

import shutil

import pytest
import spacy
import torch
from spacy.cli.train import train
from spacy.util import load_config

from spacy_gliner.ml.architectures import shim_of
from spacy_gliner.training import checkpointing
from spacy_gliner.training.checkpointing import checkpoints

LABELS = ["person", "city", "company"]
SENTENCES = [
    (["Ada", "left", "London"], [[0, 0, "person"], [2, 2, "city"]]),
    (["Bill", "founded", "Microsoft", "in", "Seattle"], [[0, 0, "person"], [2, 2, "company"], [4, 4, "city"]]),
    (["Steve", "works", "at", "Apple"], [[0, 0, "person"], [3, 3, "company"]]),
    (["Paris", "is", "a", "city"], [[0, 0, "city"]]),
    (["Marie", "lived", "in", "Paris"], [[0, 0, "person"], [3, 3, "city"]]),
]


class Interrupted(Exception):
    """Somebody pulled the plug."""


@pytest.fixture
def data(write):
    return write("data", *({"tokens": tokens, "spans": spans} for tokens, spans in SENTENCES))


@pytest.fixture
def config(pytestconfig, data, tiny_backbone, tmp_path):
    """A function that writes a config whose checkpoints lie in a folder."""

    def make(folder, **training):
        config = load_config(pytestconfig.rootpath / "configs" / "embedded.cfg", interpolate=False)
        config["paths"] |= {"train": str(data), "dev": str(data), "backbone": str(tiny_backbone)}
        config["components"]["gliner_ner"]["labels"] = LABELS
        config["components"]["gliner_ner"]["model"]["source"]["dropout"] = 0.3
        config["corpora"]["train"]["weights"] = {"data": 1}
        callback = {"@callbacks": "spacy_gliner.checkpoints.v1", "path": str(folder), "every": 4}
        config["training"].update({"max_steps": 12, "eval_frequency": 3, "before_update": callback} | training)
        config["training"]["batcher"] = {"@batchers": "spacy.batch_by_sequence.v1", "size": 3}
        config.to_disk(tmp_path / "run.cfg")
        return tmp_path / "run.cfg"

    return make


def interrupt(monkeypatch, step):
    """Let the training fail before this step."""
    begin = checkpointing.Run.begin_step

    def fail(self, current, every):
        if current == step:
            raise Interrupted
        begin(self, current, every)

    monkeypatch.setattr(checkpointing.Run, "begin_step", fail)


def break_off(monkeypatch, path, output, step):
    """Train until this step."""
    with monkeypatch.context() as patch:
        interrupt(patch, step)
        with pytest.raises(Interrupted):
            train(path, output)


def weights(folder):
    return shim_of(spacy.load(folder).get_pipe("gliner_ner").model).network.state_dict()


def assert_same_weights(folder, other):
    first, second = weights(folder), weights(other)
    assert all(torch.equal(first[name], second[name]) for name in first)


def rows_of(text):
    """The lines of spaCy's log that tell of an evaluation."""
    return [line for line in text.splitlines() if line.strip()[:1].isdigit()]


@pytest.mark.parametrize("last", [4, 5, 7, 11, 12])
def test_a_resumed_training_goes_on_as_the_one_that_went_on(config, tmp_path, monkeypatch, capsys, last):
    train(config(tmp_path / "whole"), tmp_path / "a")
    expected = rows_of(capsys.readouterr().out)
    break_off(monkeypatch, config(tmp_path / "state"), tmp_path / "b", last)
    capsys.readouterr()
    train(config(tmp_path / "state"), tmp_path / "b")
    assert rows_of(capsys.readouterr().out) == expected  # losses and scores, those of before the interruption too
    assert_same_weights(tmp_path / "a" / "model-last", tmp_path / "b" / "model-last")
    assert_same_weights(tmp_path / "a" / "model-best", tmp_path / "b" / "model-best")


def test_a_finished_training_leaves_no_checkpoint_and_begins_anew(config, tmp_path):
    path = config(tmp_path / "state")
    train(path, tmp_path / "a")
    assert not (tmp_path / "state").exists()
    train(path, tmp_path / "b")
    assert_same_weights(tmp_path / "a" / "model-last", tmp_path / "b" / "model-last")
    assert_same_weights(tmp_path / "a" / "model-best", tmp_path / "b" / "model-best")


def test_a_resumed_training_that_is_not_scored_again_leaves_no_checkpoint_either(config, tmp_path, monkeypatch):
    path = config(tmp_path / "state", eval_frequency=100)
    break_off(monkeypatch, path, tmp_path / "a", 9)
    assert (tmp_path / "state").exists()
    train(path, tmp_path / "a")
    assert not (tmp_path / "state").exists()


def test_an_interruption_before_the_first_checkpoint_begins_anew(config, tmp_path, monkeypatch):
    path = config(tmp_path / "state")
    break_off(monkeypatch, path, tmp_path / "a", 3)
    assert not (tmp_path / "state").exists()
    train(path, tmp_path / "a")


@pytest.fixture
def interrupted(config, tmp_path, monkeypatch):
    """The config of a training that was interrupted at its last step, after the last checkpoint."""
    path = config(tmp_path / "state")
    break_off(monkeypatch, path, tmp_path / "a", 12)
    return path


def test_a_checkpoint_of_another_config_is_not_taken_up(interrupted, config, tmp_path):
    with pytest.raises(ValueError, match="a training with another config"):
        train(config(tmp_path / "state", max_steps=20), tmp_path / "a")


@pytest.mark.parametrize(("before", "after"), [("Paris", "Rome"), ('"company"', '"city"'), ("[2, 2,", "[1, 2,")])
def test_a_checkpoint_of_other_texts_or_annotation_is_not_taken_up(interrupted, tmp_path, data, before, after):
    text = data.read_text(encoding="utf8")
    assert before in text
    data.write_text(text.replace(before, after), encoding="utf8")
    with pytest.raises(ValueError, match="not those that the checkpoint"):
        train(interrupted, tmp_path / "a")


def test_a_half_written_checkpoint_does_not_take_the_place_of_a_whole_one(config, tmp_path, monkeypatch):
    path = config(tmp_path / "state")
    break_off(monkeypatch, path, tmp_path / "a", 6)
    whole = (tmp_path / "state" / "state.pt").read_bytes()

    def break_down(state, scratch):
        scratch.write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", break_down)
        with pytest.raises(OSError, match="disk full"):
            train(path, tmp_path / "a")
    assert (tmp_path / "state" / "state.pt").read_bytes() == whole
    train(path, tmp_path / "a")


def test_other_components_of_the_pipeline_keep_their_weights(config, tmp_path, monkeypatch):
    path = config(tmp_path / "state")
    settings = load_config(path, interpolate=False)
    settings["nlp"]["pipeline"] = ["gliner_ner", "textcat"]
    settings["components"]["textcat"] = {"factory": "textcat"}
    settings["initialize"] = {"components": {"textcat": {"labels": ["a", "b"]}}}
    settings.to_disk(path)
    break_off(monkeypatch, path, tmp_path / "a", 9)
    shutil.rmtree(tmp_path / "a")
    train(path, tmp_path / "a")
    assert spacy.load(tmp_path / "a" / "model-last").pipe_names == ["gliner_ner", "textcat"]


def test_steps_between_checkpoints_are_at_least_one():
    with pytest.raises(ValueError, match="every >= 1"):
        checkpoints("anywhere", every=0)
