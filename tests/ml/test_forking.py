"""What happens to networks around a fork."""

import logging
import multiprocessing
import os
import pickle

import torch

from spacy_gliner.ml import forking
from spacy_gliner.ml.architectures import build_gliner, shim_of

from .test_shim import Source, Untouchable


def test_weights_are_read_before_a_fork(monkeypatch, caplog):
    ready, broken = build_gliner(Source()), build_gliner(Untouchable())
    monkeypatch.setattr(forking, "_shims", [shim_of(ready), shim_of(broken)])
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    with caplog.at_level(logging.WARNING, logger="spacy_gliner"):
        forking._before_fork()
    assert shim_of(ready).loaded
    assert not shim_of(broken).loaded
    assert "the source was asked" in caplog.text
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
    forking._after_fork_in_parent()
    assert "TOKENIZERS_PARALLELISM" not in os.environ


def test_a_setting_of_the_user_survives_a_fork(monkeypatch):
    model = build_gliner(Source())
    monkeypatch.setattr(forking, "_shims", [shim_of(model)])
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    forking._before_fork()
    forking._after_fork_in_parent()
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


def test_a_child_computes_in_one_thread(monkeypatch):
    model = build_gliner(Source())
    seen = []
    monkeypatch.setattr(forking, "_shims", [shim_of(model)])
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    forking._after_fork_in_child()
    assert seen == []
    model.initialize()
    forking._after_fork_in_child()
    assert seen == [1]


def test_a_spawned_child_computes_in_one_thread_and_the_parent_does_not(monkeypatch):
    data, seen = pickle.dumps(shim_of(build_gliner(Source()))), []
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    pickle.loads(data)
    assert seen == []
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: multiprocessing.current_process())
    pickle.loads(data)
    assert seen == [1]
