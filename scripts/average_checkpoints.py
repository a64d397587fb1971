"""Write the weighted mean of two checkpoints of the same shape, such as before and after they learned more tasks.

    python scripts/average_checkpoints.py spacy_gliner/embedded training/multitask_checkpoint 0.7 training/mean

What was learned last counts by the share, what was known before by the rest: fine-tuning costs less of it this way
(Wortsman et al., Robust fine-tuning of zero-shot models, 2022).
"""

import shutil
from pathlib import Path

import typer
from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"


def main(before: Path, after: Path, share: float, folder: Path) -> None:
    """Mix `before` with a share of `after` and write to `folder`, with the other files of `after`."""
    old, new = load_file(before / WEIGHTS), load_file(after / WEIGHTS)
    if {name: weight.shape for name, weight in old.items()} != {name: weight.shape for name, weight in new.items()}:
        raise ValueError(f"{before} and {after} are networks of different shapes.")
    mean = {name: ((1 - share) * old[name].float() + share * new[name].float()).to(new[name].dtype) for name in new}
    shutil.copytree(after, folder, ignore=shutil.ignore_patterns("README.md"))
    save_file(mean, folder / WEIGHTS, metadata={"format": "pt"})


if __name__ == "__main__":
    typer.run(main)
