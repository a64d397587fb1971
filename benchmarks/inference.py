"""Words per second of prediction beside other libraries: the same checkpoint, texts, words, windows and labels.

    python benchmarks/inference.py --network minilm --works short,paragraph --labels 5,25 --rounds 5
    python benchmarks/inference.py --network path/to/checkpoint --peers gliner,gliner-onnx --output results.jsonl
    python benchmarks/inference.py --network embedded --mode single

All systems (`systems.py` describes them) stand in one process and take turns in every round, so that what else runs on
the machine hits all of them; a ratio is taken within a round. Threads are as torch has them (`OMP_NUM_THREADS=1` for
one). A network of a real size is made with random weights, the span head of GLiNER (512 wide, BiLSTM, 12 words) and
the embedded model's tokenizer. How many entities the systems find, and how many of them are the same, says whether they
do the same; of random networks that is few or none.

The share of the limit is the time that the multiplications of the unpadded pieces take at the speed of a large matrix
product in the same round, in float32: layers of the encoder with their attention and relative positions, BiLSTM, and
the head in its shortest form (`works.py`). OpenVINO can exceed it where it computes in bfloat16.

With `--device cuda` all networks stand on a GPU, and with `--precision bfloat16` they compute in it, as does the
product that the limit is computed from; the share of the limit is then that of what the card can do.

    python benchmarks/inference.py --network deberta-v3-base --device cuda --precision bfloat16 --max-pieces 16384 \
        --batches 16,64 --peers gliner-sorted,gliner-compiled,gliner-packed,gliner-flash

With `--mode single`, texts are given one by one, as a service gets them; words per second then tell the latency.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from machine import machine
from systems import INSTALL, Find, Found, Setting, load
from tables import speed_table
from works import LENGTHS, SIZES, Work, checkpoint_folder, make_work, product_speed

from spacy_gliner.ml.checkpoints import read_checkpoint


@dataclass
class Measured:
    """A system and what was measured: seconds of the clock and of all processors, a number for every round."""

    name: str
    find: Find
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)


def main(
    network: Annotated[str, typer.Option(help=f"embedded, {', '.join(SIZES)}, or a checkpoint's folder")] = "minilm",
    works: Annotated[str, typer.Option(help=f"Texts: {', '.join(LENGTHS)}")] = "short,paragraph,long",
    labels: Annotated[str, typer.Option(help="Numbers of labels, with commas between them")] = "5,25",
    peers: Annotated[str, typer.Option(help=", ".join(INSTALL))] = "gliner,gliner-sorted",
    batches: Annotated[str, typer.Option(help="Sizes of the batches of those that have batches")] = "4,8,16",
    mode: Annotated[str, typer.Option(help="stream, or single: texts one by one")] = "stream",
    rounds: Annotated[int, typer.Option(help="Timed rounds, after one that does not count")] = 5,
    words: Annotated[int, typer.Option(help="Words of a round; 0 for what is usual for the work")] = 0,
    output: Annotated[Path | None, typer.Option(help="Add JSON lines to this file")] = None,
    device: Annotated[str, typer.Option(help="cpu, or a GPU, as cuda")] = "cpu",
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or float16, of all networks")] = "float32",
    max_pieces: Annotated[int, typer.Option(help="Pieces that spacy-gliner reads at once; 0 for what is usual")] = 0,
) -> None:
    """Print a line for every system, work and number of labels."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with TemporaryDirectory() as scratch:
        folder = checkpoint_folder(network, Path(scratch))
        names, sizes = ["spacy-gliner", *filter(None, peers.split(","))], list(map(int, batches.split(",")))
        setting = Setting(device, precision, max_pieces)
        systems = load_all(names, folder, Path(scratch), sizes, setting, one_by_one=mode == "single")
        checkpoint = read_checkpoint(folder)
        for work_name in works.split(","):
            for number in map(int, labels.split(",")):
                work = make_work(work_name, number, checkpoint.network, checkpoint.tokenizer, words)
                measured, limits = take_turns(systems, work, rounds, setting)
                known = {
                    "kind": "speed",
                    "network": Path(network).name,
                    "mode": mode,
                    "run": time.time(),
                    "machine": machine(device, precision),
                }
                rows = [known | row for row in as_rows(work, measured, limits)]
                print(speed_table(rows), flush=True)
                if output:
                    with output.open("a", encoding="utf8") as file:
                        file.writelines(json.dumps(row) + "\n" for row in rows)


def load_all(
    names: Sequence[str], folder: Path, scratch: Path, batches: Sequence[int], setting: Setting, *, one_by_one: bool
) -> dict[str, Find]:
    """All systems that are there; the others are told of."""
    systems: dict[str, Find] = {}
    for name in names:
        try:
            systems |= load(name, folder, scratch, batches=batches, one_by_one=one_by_one, setting=setting)
        except Exception as error:
            print(f"{name} is left out: {first_line(error)}", file=sys.stderr)
    return systems


def take_turns(
    systems: dict[str, Find], work: Work, rounds: int, setting: Setting
) -> tuple[list[Measured], list[float]]:
    """What every system takes in every round, and the seconds of the limit. Who fails in the first round is left."""
    measured, limits = [], []
    for name, find in systems.items():
        try:
            measured.append(Measured(name, find, found=find(work)))
        except Exception as error:
            print(f"{name} is left out for {work.name}, {len(work.labels)}: {first_line(error)}", file=sys.stderr)
    for _ in range(rounds):
        for system in measured:
            begin, cpu_begin = time.perf_counter(), time.process_time()
            system.find(work)
            system.seconds.append(time.perf_counter() - begin)
            system.cpu_seconds.append(time.process_time() - cpu_begin)
        limits.append(work.flops / product_speed(setting.device, setting.precision))
    return measured, limits


def as_rows(work: Work, measured: Sequence[Measured], limits: Sequence[float]) -> Iterator[dict[str, Any]]:
    """What is written down of every system."""
    ours = set(measured[0].found)
    for system in measured:
        yield {
            "work": work.name,
            "labels": len(work.labels),
            "system": system.name,
            "words": work.n_words,
            "texts": len(work.texts),
            "seconds": system.seconds,
            "cpu_seconds": system.cpu_seconds,
            "limits": limits,
            "found": len(system.found),
            "same": len(ours & set(system.found)),
            "words_per_second": work.n_words / median(system.seconds),
        }


def first_line(error: Exception) -> str:
    """What an error says, or where it says nothing, what it is."""
    return next(iter(str(error).splitlines()), "")[:300] or type(error).__name__


if __name__ == "__main__":
    typer.run(main)
