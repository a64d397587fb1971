"""Time and memory as texts get longer and streams go on: both should grow with the words, and with nothing else.

    python benchmarks/scaling.py --lengths 200,1000,10000,100000
    python benchmarks/scaling.py --lengths "" --stream 20000

One document of each length is read, all lengths in turns in one process; short documents are read as often as takes
about as long as one of 2,000 words. Memory is that of a fresh process for each length (`fresh.py`). For the stream,
short texts go through `nlp.pipe` in a fresh process, and the resident memory is noted after every 1,000.
"""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from fresh import LABELS
from machine import machine
from startup import fresh
from systems import our_pipeline
from tables import length_table, stream_table
from works import checkpoint_folder, make_texts, text_of

SAMPLE = 1000


def main(
    network: Annotated[str, typer.Option(help="embedded, a size that inference.py knows, or a folder")] = "embedded",
    lengths: Annotated[str, typer.Option(help="Words of a document, with commas")] = "200,1000,10000,100000",
    rounds: Annotated[int, typer.Option(help="Timed rounds, after one that does not count")] = 5,
    stream: Annotated[int, typer.Option(help="Documents of a stream of short texts; 0 for none")] = 0,
    system: Annotated[str, typer.Option(help="Whose stream: spacy-gliner or gliner")] = "spacy-gliner",
    output: Annotated[Path | None, typer.Option(help="Add JSON lines to this file")] = None,
) -> None:
    """Print a table for the lengths and one for the stream."""
    sizes = [int(length) for length in lengths.split(",") if length]
    with TemporaryDirectory() as scratch:
        folder = checkpoint_folder(network, Path(scratch))
        known = {"network": Path(network).name, "run": time.time(), "machine": machine()}
        rows = [known | row for row in of_lengths(folder, sizes, rounds, Path(scratch))]
        if rows:
            print(length_table(rows))
        if stream:
            streamed = known | {"kind": "stream"} | of_stream(folder, stream, system, Path(scratch))
            print(stream_table([streamed]))
            rows.append(streamed)
    if output:
        with output.open("a", encoding="utf8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def of_lengths(folder: Path, sizes: Sequence[int], rounds: int, scratch: Path) -> Iterator[dict[str, Any]]:
    """Seconds of a word for each length, round by round, and the memory of a process that reads one such document."""
    nlp = our_pipeline(folder, LABELS)
    measured: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
    for number in range(rounds + 1 if sizes else 0):
        for size in sizes if number else sizes[:2]:
            of_clock_and_processor = seconds_of_a_word(nlp, size)
            measured[size] += [of_clock_and_processor] if number else []
    for size in sizes:
        file = scratch / f"{size}.json"
        file.write_text(json.dumps([text_of(size)]), encoding="utf8")
        alone = fresh("spacy-gliner", folder, file, 1)
        seconds, cpu_seconds = map(list, zip(*measured[size], strict=True))
        known = {"kind": "length", "words": size, "peak": alone["peak"]}
        yield known | {"seconds_of_a_word": seconds, "cpu_seconds_of_a_word": cpu_seconds}


def seconds_of_a_word(nlp: Any, size: int) -> tuple[float, float]:
    """Of documents of this size, one after the other: seconds of the clock and of the processor."""
    documents = [text_of(size, first) for first in range(max(1, 2000 // size))]
    begin, cpu_begin = time.perf_counter(), time.process_time()
    n_words = sum(len(nlp(text)) for text in documents)
    return (time.perf_counter() - begin) / n_words, (time.process_time() - cpu_begin) / n_words


def of_stream(folder: Path, number: int, system: str, scratch: Path) -> dict[str, Any]:
    """The resident memory after every so many short texts."""
    texts = make_texts("short", 25 * number)[:number]
    file = scratch / "stream.json"
    file.write_text(json.dumps(texts), encoding="utf8")
    alone = fresh(system, folder, file, SAMPLE)
    return {key: alone[key] for key in ("system", "resident", "peak", "texts", "every", "peak_first")}


if __name__ == "__main__":
    typer.run(main)
