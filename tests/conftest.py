"""Fixtures that every directory uses. All of them are built here, from random numbers: nothing is downloaded."""

import json
from pathlib import Path

import pytest
import spacy
import torch
from hypothesis import settings

from spacy_gliner.ml.checkpoints import write_checkpoint

from .tiny import save_tiny_backbone, tiny_bert, tiny_deberta, tiny_network_checkpoint

torch.set_num_threads(1)  # small networks are fastest in one thread

# The same examples every time, and no clock: a busy machine is no bug. `--hypothesis-profile=search` looks for more.
settings.register_profile("same", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile("same")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory) -> Path:
    """The folder of a checkpoint with a token head on a BERT that reads at most 128 pieces."""
    folder = tmp_path_factory.mktemp("checkpoints") / "token"
    write_checkpoint(tiny_network_checkpoint(seed=1), folder)
    return folder


@pytest.fixture(scope="session")
def tiny_span_checkpoint(tmp_path_factory) -> Path:
    """The folder of a checkpoint with a span head, up to five words, on a DeBERTa without position limit."""
    folder = tmp_path_factory.mktemp("checkpoints") / "span"
    write_checkpoint(tiny_network_checkpoint(tiny_deberta(), head="markerV0"), folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bi_checkpoint(tmp_path_factory) -> Path:
    """The folder of a checkpoint of a bi-encoder with a span head, up to five words."""
    folder = tmp_path_factory.mktemp("checkpoints") / "bi"
    labels = tiny_bert(hidden_size=16)
    write_checkpoint(tiny_network_checkpoint(tiny_deberta(), head="markerV0", label_backbone=labels, seed=3), folder)
    return folder


@pytest.fixture(scope="session")
def tiny_joint_checkpoint(tmp_path_factory) -> Path:
    """The folder of a checkpoint that knows relations between given spans too, with a token head on a BERT."""
    folder = tmp_path_factory.mktemp("checkpoints") / "joint"
    write_checkpoint(tiny_network_checkpoint(seed=6, links="bilinear"), folder)
    return folder


@pytest.fixture(params=["tiny_checkpoint", "tiny_span_checkpoint", "tiny_bi_checkpoint", "tiny_joint_checkpoint"])
def any_checkpoint(request) -> Path:
    """The folder of each of the four checkpoints."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory) -> Path:
    """The folder of a BERT with its tokenizer, to put new heads on."""
    return save_tiny_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def write(tmp_path):
    """A function that writes a file of JSON lines."""

    def write(name, *rows):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
        return path

    return write


@pytest.fixture
def make_nlp(tiny_checkpoint):
    """A function that makes a blank English pipeline with a `gliner_ner` from a checkpoint's folder."""

    def make(labels=("person", "company", "city"), checkpoint=tiny_checkpoint, **config):
        nlp = spacy.blank("en")
        source = {"name": str(checkpoint)}
        nlp.add_pipe("gliner_ner", config={"labels": list(labels), "model": {"source": source}, **config})
        return nlp

    return make


@pytest.fixture
def make_task_nlp(tiny_checkpoint):
    """A function that makes a blank English pipeline with any of our components, from a checkpoint's folder."""

    def make(factory, checkpoint=tiny_checkpoint, **config):
        nlp = spacy.blank("en")
        nlp.add_pipe(factory, config={"model": {"source": {"name": str(checkpoint)}}, **config})
        return nlp

    return make
