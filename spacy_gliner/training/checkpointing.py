"""Long trainings that go on after an interruption: a callback for `[training.before_update]`.

spaCy's loop knows no beginning but the first step. So a resumed run starts there too, reads its data again, and for the
steps that were made before puts in what was remembered: losses, scores, the best pipeline. Then it takes up weights,
optimizer and random states, and goes on as the run that was not interrupted.
"""

import hashlib
import json
import logging
import random
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy
import torch
from spacy.language import Language
from spacy.training import Example

from ..ml.architectures import owned_shim
from ..ml.folders import whole_or_nothing
from ..pipeline.extensions import INPUTS
from ..pipeline.extractor import Extractor

STATE = "state.pt"
BEST = "model-best"

logger = logging.getLogger("spacy_gliner")

BeforeUpdate = Callable[[Language, dict[str, Any]], None]


def checkpoints(path: str | Path, every: int = 100) -> BeforeUpdate:
    """A callback that saves the state of a training, and takes it up again: `spacy_gliner.checkpoints.v1`.

    When a training comes to its end, its checkpoint is removed: started again, it begins anew.

    path: A folder for the checkpoint, which is the run's own.
    every: Steps from one checkpoint to the next.

    Saved are weights, optimizer, the position in the data, the generators of `random`, numpy and torch, what was
    scored, and the best pipeline so far. Components of this package continue exactly on a CPU; of others the weights
    are kept, but not the moments of spaCy's optimizer, which it does not show to callbacks.

    Raises ValueError when the checkpoint is that of another config, or when the data are no longer what they were.
    """
    if every < 1:
        raise ValueError(f"checkpoints needs every >= 1, got {every}.")
    runs: dict[int, Run] = {}

    def before_update(nlp: Language, info: dict[str, Any]) -> None:
        if info["step"] == 0:
            runs.clear()
            runs[0] = Run(nlp, Path(path))
        runs[0].begin_step(info["step"], every)

    return before_update


class Run:
    """A training of one pipeline, whose methods `update`, `evaluate` and `to_disk` it watches.

    nlp: The pipeline, before its first step.
    folder: Where the checkpoint lies, if there is one.
    """

    def __init__(self, nlp: Language, folder: Path) -> None:
        self.nlp = nlp
        self.folder = folder
        self.config = fingerprint(nlp)
        self.updates: list[tuple[int, dict[str, float]]] = []  # of every update: its data, the losses it added
        self.scores: list[tuple[int, dict[str, Any]]] = []
        self.output: Path | None = None
        self.saved = self._read()
        self.replaying = self.saved is not None
        self.own = {name: getattr(nlp, name) for name in ("update", "evaluate", "to_disk")}
        self.n_replayed = {"updates": 0, "scores": 0}
        self.evaluated = False  # since the pipeline was last saved
        vars(nlp).update(update=self._update, evaluate=self._evaluate, to_disk=self._to_disk)
        if self.saved is not None:
            logger.warning("Going on from step %d, as saved in %s.", self.saved["step"], folder)

    def begin_step(self, step: int, every: int) -> None:
        """Save before a step whose turn it is, or take up what was saved before it."""
        if self.saved is not None and self.replaying and step == self.saved["step"]:
            self._take_up(self.saved)
        elif not self.replaying and step and step % every == 0:
            self._save(step)

    def _update(self, examples: Iterable[Example], *, losses: dict[str, float] | None = None, **kwargs: Any) -> Any:
        examples = list(examples)
        data = digest(examples)
        losses = {} if losses is None else losses
        if self.replaying:
            assert self.saved is not None
            before, added = self.saved["updates"][self.n_replayed["updates"]]
            self.n_replayed["updates"] += 1
            self._same_data(before, data, "training")
            for name, loss in added.items():
                losses[name] = losses.get(name, 0.0) + loss
        else:
            before_update = dict(losses)
            self.own["update"](examples, losses=losses, **kwargs)
            added = {name: loss - before_update.get(name, 0.0) for name, loss in losses.items()}
        self.updates.append((data, added))
        return losses

    def _evaluate(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        examples = list(examples)
        data, self.evaluated = digest(examples), True
        if self.replaying:
            assert self.saved is not None
            before, scores = self.saved["scores"][self.n_replayed["scores"]]
            self.n_replayed["scores"] += 1
            self._same_data(before, data, "development")
        else:
            scores = self.own["evaluate"](examples, **kwargs)
        self.scores.append((data, scores))
        return dict(scores)

    def _same_data(self, before: int, now: int, kind: str) -> None:
        if before != now:
            raise ValueError(
                f"The {kind} data are not those that the checkpoint in {self.folder} has seen. Put them back, or "
                f"delete that folder to begin anew."
            )

    def _to_disk(self, path: str | Path, **kwargs: Any) -> None:
        """Save; while replaying, put in the best pipeline of before."""
        path, ended = Path(path), not self.evaluated  # spaCy saves after an evaluation, and once at the end
        self.evaluated = False
        if self.replaying:
            if (self.folder / BEST).exists():
                shutil.copytree(self.folder / BEST, path, dirs_exist_ok=True)
            return
        self.own["to_disk"](path, **kwargs)
        self.output = path.parent
        if ended and sys.exc_info()[0] is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            for name in self.own:
                vars(self.nlp).pop(name, None)

    def _take_up(self, saved: Mapping[str, Any]) -> None:
        for name, state in saved["pipes"].items():
            pipe = self.nlp.get_pipe(name)
            if isinstance(pipe, Extractor):
                pipe.teacher.set_state(state["teacher"])
                if state["network"] is not None:
                    owned_shim(pipe.model).set_training_state(state["network"])  # type: ignore[union-attr]
                for layer, data in zip(pipe.model.layers, state["layers"], strict=True):
                    layer.from_bytes(data.numpy().tobytes())
            else:
                pipe.from_bytes(state.numpy().tobytes())  # type: ignore[attr-defined]
        random.setstate(saved["random"])
        numpy.random.set_state(saved["numpy"])
        torch.set_rng_state(saved["torch"])
        if len(saved["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(saved["cuda"])
        self.replaying, self.saved = False, None

    def _save(self, step: int) -> None:
        pipes = {name: _state(pipe) for name, pipe in self.nlp.pipeline if getattr(pipe, "is_trainable", False)}
        state = {
            "config": self.config,
            "step": step,
            "updates": self.updates,
            "scores": json.dumps(self.scores, default=float),
            "pipes": pipes,
            "random": random.getstate(),
            "numpy": numpy_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all(),
        }
        with whole_or_nothing(self.folder) as scratch:
            if self.output is not None and (self.output / BEST).exists():
                shutil.copytree(self.output / BEST, scratch / BEST)
            torch.save(state, scratch / STATE)

    def _read(self) -> dict[str, Any] | None:
        path = self.folder / STATE
        if not path.exists():
            return None
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if saved["config"] != self.config:
            raise ValueError(
                f"The checkpoint in {self.folder} is that of a training with another config. Use the config of then, "
                f"or delete that folder to begin anew, or give this training a folder of its own."
            )
        return saved | {"scores": json.loads(saved["scores"])}


def digest(examples: Iterable[Example]) -> int:
    """What Examples are recognized by: texts, what is asked, and all annotation that is learned."""
    return crc32(repr([_content(example) for example in examples]).encode("utf8"))


def _content(example: Example) -> tuple[Any, ...]:
    reference = example.reference
    groups = {
        key: ([(span.start, span.end, span.label_) for span in group], sorted(group.attrs.items(), key=str))
        for key, group in reference.spans.items()
    }
    asked = [example.predicted._.get(name) for name in INPUTS]
    return reference.text, [(token.ent_iob, token.ent_type_) for token in reference], groups, reference.cats, asked


def fingerprint(nlp: Language) -> str:
    """What the config of a pipeline and its training is recognized by."""
    return hashlib.sha256(json.dumps(nlp.config, sort_keys=True, default=str).encode("utf8")).hexdigest()


def numpy_state() -> dict[str, Any]:
    """The state of numpy's generator, in plain numbers."""
    state: dict[str, Any] = numpy.random.get_state(legacy=False)
    return state | {"state": {name: numpy.asarray(value).tolist() for name, value in state["state"].items()}}


def _state(pipe: Any) -> Any:
    if not isinstance(pipe, Extractor):
        return _tensor(pipe.to_bytes(exclude=["vocab"]))
    shim = owned_shim(pipe.model)
    return {
        "teacher": pipe.teacher.state(),
        "network": shim.training_state() if shim else None,
        "layers": [_tensor(layer.to_bytes()) for layer in pipe.model.layers],  # those that give vectors of words
    }


def _tensor(data: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
