"""Train a network for each variant of a recipe and each seed, measure it on development data, and print a table.

    python scripts/ablations.py configs/ablation.cfg configs/ablations.json training/ablations \
        --train data/train --dev data/dev --start path/to/checkpoint --seeds 1,2,3

Variants are overrides of the config, by name. Every finished run leaves a JSON file, and is not run again with the same
settings.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import spacy
import typer
from spacy.cli.train import train
from spacy.util import load_config

from spacy_gliner.training.corpora import JsonCorpus, entity_files, name_of

MEASURES = ("ents_p", "ents_r", "ents_f")


def main(
    config: Path,
    variants: Path,
    output: Path,
    train_data: Annotated[Path, typer.Option("--train", help="Training data: a folder of JSON lines")],
    dev_data: Annotated[Path, typer.Option("--dev", help="Development data: files of JSON lines")],
    start: Annotated[str, typer.Option(help="`paths.start` of the config: a checkpoint, or an encoder")] = "embedded",
    seeds: Annotated[str, typer.Option(help="Seeds, with commas between them")] = "1",
    weights_of: Annotated[Path | None, typer.Option(help="A config whose weights of files are taken over")] = None,
    steps: Annotated[int, typer.Option(help="Steps of each run; 0 for those of the config")] = 0,
    limit: Annotated[int, typer.Option(help="Rows of each development file")] = 150,
    only: Annotated[str, typer.Option(help="Variants whose name contains this")] = "",
    gpu_id: Annotated[int, typer.Option(help="GPU to train on, or -1 for the CPU")] = -1,
) -> None:
    """Run what is missing and print the table."""
    entity_files(dev_data)  # before hours of training
    output.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Any] = {"paths.train": str(train_data), "paths.dev": str(dev_data), "paths.start": start}
    settings = load_config(config, interpolate=False)
    if weights_of is not None:
        settings["corpora"]["train"]["weights"] = load_config(weights_of)["corpora"]["train"]["weights"]
    settings.to_disk(output / "config.cfg")
    if steps:
        rates = [f"training.optimizer.{rate}.total_steps" for rate in ("learn_rate", "head_learn_rate")]
        paths |= dict.fromkeys(["training.max_steps", "training.eval_frequency", *rates], steps)
    chosen = {name: own for name, own in json.loads(variants.read_text(encoding="utf8")).items() if only in name}
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for seed in seeds.split(","):
        for name, own in chosen.items():
            path, overrides = output / f"{name}, seed {seed}.json", paths | {"system.seed": int(seed)} | own
            asked = {"config": settings.to_str(), "overrides": overrides, "limit": limit}
            result = json.loads(path.read_text(encoding="utf8")) if path.exists() else {}
            if result.get("asked") != asked:
                result = run(output / "config.cfg", output / "run", overrides, dev_data, limit, gpu_id) | {
                    "asked": asked
                }
                path.write_text(json.dumps(result), encoding="utf8")
            results[name].append(result)
            print(name, seed, {key: result[key] for key in MEASURES})
    table = make_table(results)
    (output / "table.md").write_text(table, encoding="utf8")
    print(table)


def run(config: Path, folder: Path, overrides: Mapping[str, Any], dev: Path, limit: int, gpu: int) -> dict[str, Any]:
    """Train, and measure on each development file; every row is asked for the labels of its source."""
    train(config, folder, overrides=dict(overrides), use_gpu=gpu)
    nlp = spacy.load(folder / "model-last")
    per_file = {name_of(path): nlp.evaluate(list(JsonCorpus(path, limit=limit)(nlp))) for path in entity_files(dev)}
    shutil.rmtree(folder)
    files = {name: {key: scores[key] for key in MEASURES} for name, scores in per_file.items()}
    return {key: fmean(scores[key] for scores in files.values()) for key in MEASURES} | {"files": files}


def make_table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A Markdown table: the mean over seeds, and of F1 the lowest and highest."""
    lines = ["| variant | seeds | P | R | F1 | lowest – highest |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, runs in results.items():
        if runs:
            precision, recall, f1 = (100 * fmean(run[key] for run in runs) for key in MEASURES)
            spread = f"{100 * min(run['ents_f'] for run in runs):.1f} – {100 * max(run['ents_f'] for run in runs):.1f}"
            lines.append(f"| {name} | {len(runs)} | {precision:.1f} | {recall:.1f} | {f1:.1f} | {spread} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
