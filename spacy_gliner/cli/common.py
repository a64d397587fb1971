"""What all commands share: the app, their options, how errors are said and how pipelines are opened."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import spacy
import torch
import typer
from spacy.language import Language

from ..display import one_line
from ..evaluation import gliner_pipes
from ..scaling.working import to_gpu

app = typer.Typer(name="gliner", help="Find entities of any type you name (GLiNER).", no_args_is_help=True)

Model = Annotated[str, typer.Option(help="'embedded', the folder or hub name of a checkpoint, or a saved pipeline.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Lowest score of an entity; 0.5, or the saved pipeline's, if not given. Others keep theirs."
    ),
]


GpuId = Annotated[int, typer.Option("--gpu-id", "-g", help="GPU to compute on, or -1 for the CPU.")]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print what a user can put right as one line on standard error, and exit with 1."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (ValueError, OSError, ImportError) as error:
        typer.echo(f"Error: {one_line(str(error))}", err=True)
        raise typer.Exit(1) from None


def split_labels(options: Iterable[str]) -> list[str]:
    """`["person, company", "city"]` -> `["person", "company", "city"]`, each once, in order."""
    labels = (label.strip() for option in options for label in option.split(","))
    return list(dict.fromkeys(filter(None, labels)))


def write_text(path: Path | None, text: str) -> None:
    """Write a file, in a new folder if need be; nothing without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf8")


def is_pipeline(model: str) -> bool:
    """Whether this is the folder of a saved spaCy pipeline."""
    return os.path.isfile(os.path.join(model, "config.cfg"))


def load_pipeline(model: str, lang: str) -> Language:
    """A pipeline with a `gliner_ner`, as `open_pipeline` gives it. Raises ValueError for a saved one without."""
    nlp = open_pipeline(model, lang)
    if not gliner_pipes(nlp):
        raise ValueError(f"The pipeline {model} has no gliner_ner component.")
    return nlp


def open_pipeline(model: str, lang: str, gpu_id: int = -1) -> Language:
    """A saved pipeline, or a blank one with a `gliner_ner` around the named checkpoint.

    Raises ValueError for a GPU that is not there.
    """
    if is_pipeline(model):
        nlp = spacy.load(model)
    else:
        nlp = spacy.blank(lang)
        nlp.add_pipe("gliner_ner", config={"model": {"source": {"name": model}}})
    nlp.max_length = sys.maxsize
    return on_gpu(nlp, gpu_id)


def on_gpu(nlp: Language, gpu_id: int) -> Language:
    """The pipeline, on the GPU of this number. Raises ValueError for one that is not there."""
    n_gpus = torch.cuda.device_count()
    if gpu_id >= n_gpus:
        raise ValueError(f"There is no GPU {gpu_id}: torch finds {n_gpus}. Leave --gpu-id away for the CPU.")
    return to_gpu(nlp, gpu_id) if gpu_id >= 0 else nlp
