"""A worker: one pipeline, loaded once, that takes one part after another."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from thinc.api import prefer_gpu

from ..ml.architectures import owned_shim
from ..pipeline.extensions import register_extensions
from ..pipeline.extractor import Extractor
from .annotating import Outcome, describe, one_by_one, outcomes, result_names
from .attempts import Attempts
from .job import Job, Pipeline
from .parts import Part
from .reading import MakeDoc, read_part
from .writing import WRITERS, whole_file

logger = logging.getLogger("spacy_gliner")


class Worker:
    """Annotates parts and writes them.

    job: What is done with each part.
    pipeline: The folder or the name of a pipeline, or a function that makes one. It is loaded with the first part.
    threads: Threads of torch; None for as many as torch takes by itself.
    gpu: Whether the pipeline runs on a GPU.
    """

    def __init__(self, job: Job, pipeline: Pipeline, *, threads: int | None = None, gpu: bool = False) -> None:
        self.job = job
        self.pipeline = pipeline
        self.gpu = gpu
        if threads is not None:
            torch.set_num_threads(threads)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Annotate the part whose fields these are, unless it is done.

        RETURNS: Its number, and what went wrong with the whole of it, or nothing.
        """
        part = Part(int(row["number"]), str(row["path"]), int(row["first"]), int(row["rows"]), int(row["offset"]))
        failure = ""
        try:
            if not self.job.is_done(part):
                self.annotate(part)
        except Exception as error:
            logger.exception("Part %d could not be done.", part.number)
            self.job.attempts(part).forget()  # the process lives
            failure = f"{part.path}, from row {part.first + 1} on: {describe(error)}"
        return {"number": part.number, "failure": failure}

    @cached_property
    def nlp(self) -> Language:
        """The pipeline."""
        return load(self.pipeline, self.gpu)

    def annotate(self, part: Part) -> None:
        """Annotate a part and write it, whole or not at all. Raises OSError, and ValueError for a file that changed."""
        start, errors, job = time.monotonic(), 0, self.job
        attempts = job.attempts(part)
        attempts.begin()
        makers, kept = read_part(part, job.kind, job.text, result_names(job.prefix))

        def counted() -> Iterator[Outcome]:
            nonlocal errors
            for outcome in self._outcomes(makers, attempts):
                errors += outcome.error is not None
                yield outcome

        with whole_file(job.path_of(part)) as file:
            WRITERS[job.output_format](file, kept, counted(), job.prefix)
            job.note(
                part,
                {
                    "rows": part.rows,
                    "errors": errors,
                    "seconds": round(time.monotonic() - start, 3),
                    "host": socket.gethostname(),
                    "pid": os.getpid(),
                },
            )
        attempts.forget()

    def _outcomes(self, makers: list[MakeDoc], attempts: Attempts) -> Iterator[Outcome]:
        if attempts.row_by_row:
            yield from one_by_one(self.nlp, makers, attempts.before)
            attempts.end()
        elif makers:
            yield from outcomes(self.nlp, makers, batch_size=self.job.batch_size)


@lru_cache(maxsize=1)
def load_once(pipeline: str | Path, *, threads: int | None = None, gpu: bool = False) -> Language:
    """Load a pipeline, or give the one that this process has loaded already, for engines that keep their processes.

    threads: Threads of torch; None for as many as torch takes by itself.
    gpu: Whether it runs on a GPU.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    return load(pipeline, gpu)


def load(pipeline: Pipeline, gpu: bool = False) -> Language:
    """Load a pipeline; on a GPU its own components run there, and those of others where thinc finds it (with cupy)."""
    register_extensions()
    if gpu:
        prefer_gpu()
    nlp = spacy.load(pipeline) if isinstance(pipeline, str | Path) else pipeline()
    return to_gpu(nlp) if gpu else nlp


def to_gpu(nlp: Language, number: int = 0) -> Language:
    """Have this package's components compute on a GPU, unless their settings name a device."""
    for _, pipe in nlp.pipeline:
        shim = owned_shim(pipe.model) if isinstance(pipe, Extractor) else None
        if shim is not None and shim.device_name == "auto" and shim.device.type == "cpu":
            shim.to_device("gpu", number)
    return nlp
