"""The command line: `python -m spacy_gliner …` and the commands of `spacy gliner`.

Here texts are read, pipelines set up, and work handed over: finding is left to the pipeline, scoring to `evaluation…`,
training to spaCy and `training`, many workers to `ray`, printing to `display…`.
"""

from spacy.cli import app as spacy_app

from . import data, extracting, measuring, scaling, training
from .common import app

__all__ = ["app", "data", "extracting", "measuring", "scaling", "training"]

spacy_app.add_typer(app)
