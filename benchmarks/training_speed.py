"""Speed and memory of training, beside the reference library: the same sentences, encoder, batches and threads.

    python benchmarks/training_speed.py --backbone path/to/encoder --data data/train/a.jsonl,data/train/b.jsonl

Both get a pretrained encoder with new heads of the same shape (the span head `markerV0`, 12 words wide, and the token
head; one layer of BiLSTM; dropout 0.1), float32, AdamW with two rates, the gradient clipped, and sentence by sentence
the same labels: its gold and a random number of others from its source.

What is timed is a step, from rows of words and spans to the end of the optimizer's step:

- spacy-gliner: rows to Examples, `nlp.update` with `spacy_gliner.NewNetwork.v1` and `spacy_gliner.AdamW.v1`.
- gliner: its data collator (in this process, without workers), `model(**inputs)` with the loss settings that its
  Trainer passes, backward, clipping, torch's AdamW over the groups of its Trainer. The Trainer itself is left out: it
  does this and its own bookkeeping.

Every measurement is a process of its own, and the libraries take turns, so that what else runs on the machine hits
both. Memory is the largest resident size of the process, libraries included. On a busy machine look at the examples per
second of CPU time.
"""

import json
import os
import platform
import random
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Annotated, Any

import typer

from spacy_gliner.training.corpora import labels_by_source, make_example, read_rows, source_of

Row = dict[str, Any]
Learn = Callable[[list[Row]], None]

SAMPLE = Path(__file__).parent.parent / "assets" / "ner_sample.jsonl"
HEADS = {"span": "markerV0", "token": "token"}
MAX_WIDTH, DROPOUT, RATE, HEAD_RATE, WEIGHT_DECAY, GRAD_CLIP = 12, 0.1, 1e-5, 5e-5, 0.01, 1.0
MAX_WORDS = 150  # longer sentences are left out: the libraries cut them differently


@dataclass(frozen=True)
class Settings:
    """What both libraries are told. head: "span" or "token"."""

    backbone: str
    head: str
    batch_size: int
    labels: int
    warmup: int
    steps: int
    threads: int


def main(
    backbone: str = typer.Option(..., help="A Hugging Face encoder: its folder or name"),
    data: str = typer.Option(str(SAMPLE), help='Files of JSON lines {"tokens", "spans"}, with commas between them'),
    heads: str = typer.Option("span,token", help="Heads, with commas between them"),
    batch_size: int = typer.Option(8, help="Sentences of a step"),
    labels: int = typer.Option(25, help="At most so many labels of a sentence"),
    warmup: int = typer.Option(5, help="Steps of a process before time is taken"),
    steps: int = typer.Option(30, help="Timed steps of a process"),
    rounds: int = typer.Option(2, help="Processes of each library, in turns"),
    threads: int = typer.Option(2, help="Threads of torch and of the tokenizer"),
    output: Annotated[Path | None, typer.Option("--json", help="Write all numbers here")] = None,
) -> None:
    """Measure and print a table."""
    os.environ |= {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    results = []
    for head in heads.split(","):
        settings = Settings(backbone, head, batch_size, labels, warmup, steps, threads)
        batches = make_batches([Path(file) for file in data.split(",")], settings)
        for number in range(1, rounds + 1):
            for library in LIBRARIES:
                measured = alone(measure, library, settings, batches)
                results.append({"library": library, "head": head, "round": number, **measured})
                print(f"{head}, round {number}, {library}: {median(measured['speeds']):.1f} examples/s", flush=True)
    if output:
        settings_of_all = {**asdict(settings), "backbone": Path(backbone).name, "head": heads, "rounds": rounds}
        report = {"machine": machine(), "settings": settings_of_all, "results": results}
        output.write_text(json.dumps(report, indent=1), encoding="utf8")
    print(make_table(results))


def make_batches(files: Sequence[Path], settings: Settings) -> list[list[Row]]:
    """The sentences of each step, mixed, each with "labels" to ask for. They come again where there are too few."""
    rng = random.Random(0)
    rows = []
    for file in files:
        of_file = list(read_rows(file))
        pools = labels_by_source(of_file)
        for row in of_file:
            if len(row["tokens"]) <= MAX_WORDS:
                rows.append(row | {"labels": draw_labels(row, pools[source_of(row)], settings.labels, rng)})
    rng.shuffle(rows)
    sentences: Iterator[Row] = cycle(rows)
    return [list(islice(sentences, settings.batch_size)) for _ in range(settings.warmup + settings.steps)]


def draw_labels(row: Row, pool: Sequence[str], most: int, rng: random.Random) -> list[str]:
    """The gold labels and some of the others, any number up to `most` in all, but one at least."""
    gold = list(dict.fromkeys(label for _, _, label in row["spans"]))[:most]
    others = [label for label in pool if label not in gold]
    fewest = 0 if gold else 1
    labels = gold + rng.sample(others, rng.randint(fewest, max(fewest, min(len(others), most - len(gold)))))
    return rng.sample(labels, len(labels))


def alone(function: Callable[..., Any], *args: Any) -> Any:
    """What the function returns in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *args).result()


def measure(library: str, settings: Settings, batches: Sequence[list[Row]]) -> dict[str, Any]:
    """The times of the steps after the warm-up, and what memory all took."""
    import torch

    torch.set_num_threads(settings.threads)
    torch.manual_seed(0)
    learn, n_parameters = LIBRARIES[library](settings)
    seconds, cpu_seconds = [], []
    for batch in batches:
        start, cpu_start = perf_counter(), process_time()
        learn(batch)
        seconds.append(perf_counter() - start)
        cpu_seconds.append(process_time() - cpu_start)
    return {
        "parameters": n_parameters,
        "peak_mb": peak_memory() / 2**20,
        "speeds": [settings.batch_size / step for step in seconds[settings.warmup :]],
        "cpu_speeds": [settings.batch_size / step for step in cpu_seconds[settings.warmup :]],
    }


def peak_memory() -> int:
    """The largest resident size of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def ours(settings: Settings) -> tuple[Learn, int]:
    """A step of spacy-gliner, and the number of weights."""
    import spacy

    from spacy_gliner.ml.architectures import shim_of
    from spacy_gliner.training.optimizers import AdamW

    source = {
        "@misc": "spacy_gliner.NewNetwork.v1",
        "backbone": settings.backbone,
        "head": HEADS[settings.head],
        "max_width": MAX_WIDTH,
        "dropout": DROPOUT,
    }
    # So large a share of negatives asks for all labels that are given.
    sampler = {"@misc": "spacy_gliner.sample_labels.v1", "max_labels": settings.labels, "negative_ratio": 0.99}
    nlp = spacy.blank("en")
    loss = {"@misc": "spacy_gliner.focal_loss.v1", "alpha": 0.75}
    ner = nlp.add_pipe("gliner_ner", config={"model": {"source": source}, "sample_labels": sampler, "loss": loss})
    optimizer = AdamW(RATE, HEAD_RATE, weight_decay=WEIGHT_DECAY, grad_clip=GRAD_CLIP)

    def learn(rows: list[Row]) -> None:
        nlp.update([make_example(nlp, row, row["labels"], "gliner_ner") for row in rows], sgd=optimizer)

    return learn, sum(parameter.numel() for parameter in shim_of(ner.model).network.parameters())


def reference(settings: Settings) -> tuple[Learn, int]:
    """A step of the reference library, and the number of weights."""
    import torch
    from gliner import GLiNER
    from transformers import AutoConfig

    model = GLiNER.from_config(
        {
            "model_name": settings.backbone,
            "hidden_size": AutoConfig.from_pretrained(settings.backbone).hidden_size,
            "span_mode": {"span": "markerV0", "token": "token_level"}[settings.head],
            "max_width": MAX_WIDTH,
            "num_rnn_layers": 1,
            "dropout": DROPOUT,
            "max_types": settings.labels,
        }
    ).float()
    collate = model._create_data_collator()
    optimizer = torch.optim.AdamW(reference_groups(model))

    def learn(rows: list[Row]) -> None:
        inputs = collate(
            [{"tokenized_text": row["tokens"], "ner": row["spans"], "ner_labels": row["labels"]} for row in rows]
        )
        model.train()
        loss = model(alpha=0.75, gamma=0, reduction="mean", negatives=1.0, masking="none", **inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRAD_CLIP)
        optimizer.step()
        optimizer.zero_grad()

    return learn, sum(parameter.numel() for parameter in model.parameters())


def reference_groups(model: Any) -> list[dict[str, Any]]:
    """The weights as its Trainer groups them: two rates, and no decay of biases and norms."""
    groups: dict[tuple[bool, bool], list[Any]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault(("token_rep_layer" in name, parameter.ndim > 1), []).append(parameter)
    return [
        {"params": params, "lr": RATE if encoder else HEAD_RATE, "weight_decay": WEIGHT_DECAY if decay else 0.0}
        for (encoder, decay), params in groups.items()
    ]


LIBRARIES: dict[str, Callable[[Settings], tuple[Learn, int]]] = {"spacy-gliner": ours, "gliner": reference}


def make_table(results: Sequence[dict[str, Any]]) -> str:
    """A Markdown table: medians over the steps of all rounds, with the lowest and highest, and their ratio to gliner's.

    The ratio of each round by itself stands in brackets.
    """
    lines = [
        "| head | library | examples/s | lowest – highest | ratio (rounds) | per CPU second | ratio | peak memory |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for head in dict.fromkeys(result["head"] for result in results):
        of_head = [result for result in results if result["head"] == head]
        runs = {name: [result for result in of_head if result["library"] == name] for name in LIBRARIES}
        base, base_cpu = pooled(runs["gliner"], "speeds"), pooled(runs["gliner"], "cpu_speeds")
        for name, own in runs.items():
            speeds, cpu = pooled(own, "speeds"), pooled(own, "cpu_speeds")
            pairs = zip(own, runs["gliner"], strict=True)
            rounds = ", ".join(f"{median(one['speeds']) / median(other['speeds']):.2f}" for one, other in pairs)
            lines.append(
                f"| {head} | {name} | {median(speeds):.1f} | {min(speeds):.1f} – {max(speeds):.1f} "
                f"| {median(speeds) / median(base):.2f} ({rounds}) | {median(cpu):.1f} "
                f"| {median(cpu) / median(base_cpu):.2f} | {max(run['peak_mb'] for run in own):.0f} MB |"
            )
    return "\n".join(lines)


def pooled(runs: Sequence[dict[str, Any]], key: str) -> list[float]:
    """The numbers of all runs."""
    return [number for run in runs for number in run[key]]


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    from importlib.metadata import version

    versions = {name: version(name) for name in ("spacy-gliner", "gliner", "torch", "transformers", "spacy")}
    return {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), **versions}


if __name__ == "__main__":
    typer.run(main)
