"""`python -m spacy_gliner TEXT_OR_FILE… --labels person,company`: the `extract` command, without its name."""

import typer

from .cli.extracting import extract

if __name__ == "__main__":
    typer.run(extract)
