"""Worker processes: weights are read before a fork, so that they are read once; and a child computes in one thread,
since after a fork the threads that its parent's OpenMP had started are gone, and waiting for them would never end.
So does one that was spawned: with all threads in each, several processes would wait for one another.
"""

import logging
import multiprocessing
import os
import weakref
from typing import Any

import torch

# The tokenizers library asks this of the environment at a fork: its threads do not survive one either.
TOKENIZER_SWITCH = "TOKENIZERS_PARALLELISM"

logger = logging.getLogger("spacy_gliner")

_shims: "weakref.WeakSet[Any]" = weakref.WeakSet()
_switched: list[bool] = []


def watch(shim: Any) -> None:
    """Have a shim load its network before the next fork."""
    _shims.add(shim)


def in_one_thread_if_child() -> None:
    """Where a pipeline arrives in a process that multiprocessing has started, torch computes in one thread."""
    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)


def _before_fork() -> None:
    for shim in list(_shims):
        if not shim.loaded and shim.loadable and shim.device.type == "cpu":  # CUDA does not survive a fork
            try:
                shim.load()
            except (OSError, ValueError) as error:
                logger.warning("Could not load %s before a fork: %s", shim.source, error)
        if shim.loaded and shim.device.type == "cpu":
            shim.prediction.network_of(shim.network)  # what predicts, which all share then
    if _shims and TOKENIZER_SWITCH not in os.environ:
        os.environ[TOKENIZER_SWITCH] = "false"
        _switched.append(True)


def _after_fork_in_parent() -> None:
    if _switched:
        _switched.clear()
        del os.environ[TOKENIZER_SWITCH]


def _after_fork_in_child() -> None:
    if any(shim.loaded for shim in _shims):
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
