"""Many short texts through two workers of Ray, one killed on the way, then the run itself: is every row there once?

    python benchmarks/ray_exactly_once.py
    python benchmarks/ray_exactly_once.py --texts 10000 --pipeline my_pipeline --folder scratch

Runs `spacy gliner annotate` as a user would. At a quarter of the parts the process of a worker that has written one is
killed (SIGKILL); at half of them the command is interrupted (Ctrl-C) and started again with the same words. At the end
the output is read and compared with the input: every id once, in order, with its text; an error in the rows without a
text and in no other; and for a sample of rows the entities that the pipeline finds by itself in one process.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import spacy
import typer

LABELS = ["person", "company", "city"]
WORDS = (
    "Ada Lovelace met Charles Babbage in London Paris Berlin Seattle Bill Gates founded Microsoft Apple Steve Jobs "
    "lived works for joined company and the of near Siemens Marie Curie Warsaw bought sold"
).split()
WITHOUT_TEXT = 9973  # every so many rows one has no text
SAMPLE = 500


def main(
    texts: Annotated[int, typer.Option(help="How many texts, of 3 to 6 words")] = 100_000,
    pipeline: Annotated[
        str, typer.Option(help="A saved pipeline; gliner_ner with the embedded model if not given")
    ] = "",
    workers: Annotated[int, typer.Option(help="Workers of one CPU each")] = 2,
    rows_per_part: Annotated[int, typer.Option(help="Rows of each file of the output")] = 500,
    folder: Annotated[str, typer.Option(help="Where to work; a temporary folder if not given")] = "",
) -> None:
    """Print what happened, and exit with 1 where a row is missing, twice or wrong."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background commands would pass Ctrl-C over
    with TemporaryDirectory() as scratch:
        work = Path(folder or scratch)
        work.mkdir(parents=True, exist_ok=True)
        rows, source, output = make_rows(texts), work / "texts.jsonl", work / "output"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
        saved = pipeline or save_pipeline(work / "pipeline")
        command = ["-m", "spacy", "gliner", "annotate", str(source), saved, str(output)]
        command += ["--workers", str(workers), "--rows-per-part", str(rows_per_part)]
        parts = -(-texts // rows_per_part)
        start = time.monotonic()
        interrupted = run(command, output, [(parts // 4, kill_a_worker), (parts // 2, interrupt)])
        done = len(notes(output))
        print(
            f"interrupted with exit code {interrupted} after {done} of {parts} parts, {time.monotonic() - start:.0f} s"
        )
        finished = run(command, output, [])
        seconds = time.monotonic() - start
        print(f"started again: exit code {finished}; {seconds:.0f} s in all, {texts / seconds:.0f} texts/s with starts")
        share = Counter(f"{note['host']} {note['pid']}" for note in notes(output))
        print(f"parts by worker process: {dict(share)}")
        problems = list(compare(rows, output, saved))
        print("\n".join(problems) or f"all {texts:,} rows are there exactly once, in order, with their texts")
        sys.exit(bool(problems or finished))


def make_rows(number: int) -> list[dict[str, Any]]:
    """Rows with an id and a text, some without."""
    rng = random.Random(0)
    texts = (" ".join(rng.choices(WORDS, k=rng.randint(3, 6))) + "." for _ in range(number))
    return [{"id": row, "text": None if row % WITHOUT_TEXT == 1 else text} for row, text in enumerate(texts)]


def save_pipeline(folder: Path) -> str:
    """A pipeline with the embedded model."""
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner_ner", config={"labels": LABELS})
    nlp.to_disk(folder)
    return str(folder)


def run(
    command: list[str], output: Path, events: list[tuple[int, Callable[["subprocess.Popen[bytes]", Path], None]]]
) -> int:
    """Run the command; after so many parts, something happens to it. Its exit code."""
    process = subprocess.Popen([sys.executable, *command])
    waiting = list(events)
    while process.poll() is None:
        if waiting and len(notes(output)) >= waiting[0][0]:
            waiting.pop(0)[1](process, output)
        time.sleep(0.2)
    return process.returncode


def kill_a_worker(process: "subprocess.Popen[bytes]", output: Path) -> None:
    """Kill the process that has written the newest part."""
    pid = max(notes(output), key=lambda note: note["time"])["pid"]
    os.kill(pid, signal.SIGKILL)
    print(f"killed worker process {pid} after {len(notes(output))} parts", flush=True)


def interrupt(process: "subprocess.Popen[bytes]", output: Path) -> None:
    """Press Ctrl-C."""
    process.send_signal(signal.SIGINT)


def notes(output: Path) -> list[dict[str, Any]]:
    """What the workers have noted of the parts they wrote."""
    return [
        json.loads(path.read_bytes()) | {"time": path.stat().st_mtime} for path in (output / "_job").glob("part-*.json")
    ]


def compare(rows: list[dict[str, Any]], output: Path, pipeline: str) -> Iterator[str]:
    """What is wrong with the output, if anything."""
    lines = (line for path in sorted(output.glob("part-*.jsonl")) for line in path.open(encoding="utf8"))
    written = [json.loads(line) for line in lines]
    times = Counter(row["id"] for row in written)
    missing = sum(row["id"] not in times for row in rows)
    twice = sum(count > 1 for count in times.values())
    if missing or twice or len(written) != len(rows):
        yield f"{len(written)} rows for {len(rows)}: {missing} are missing, {twice} are there more than once"
        return
    if [(row["id"], row["text"]) for row in written] != [(row["id"], row["text"]) for row in rows]:
        yield "rows are in another order or have other texts"
    errors = [row["id"] for row in written if row["error"]]
    if errors != [row["id"] for row in rows if row["text"] is None]:
        yield f"errors are in the rows {errors[:10]} …"
    found = sum(len(row["entities"] or ()) for row in written)
    print(f"{len(written):,} rows, {len(errors)} of them with an error; {found:,} entities")
    nlp = spacy.load(pipeline)
    sample = [row for row in random.Random(1).sample(written, min(SAMPLE, len(written))) if not row["error"]]
    for row, doc in zip(sample, nlp.pipe(row["text"] for row in sample), strict=True):
        alone = [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents]
        if alone != [(one["start"], one["end"], one["label"]) for one in row["entities"]]:
            yield f"row {row['id']} has other entities than in one process: {alone}"


if __name__ == "__main__":
    typer.run(main)
