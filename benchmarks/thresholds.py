"""What decoding takes: the same texts with thresholds down to where almost everything is a candidate.

    python benchmarks/thresholds.py --thresholds 0.99,0.5,0.1,0.01,0.001 --labels 25

Thresholds take turns in every round, in one process; with the highest least is found, and what the others take beyond
it is decoding. Of a network with random weights this would say nothing: the embedded one is measured.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from machine import machine
from systems import our_pipeline
from tables import threshold_table
from works import EMBEDDED, make_labels, make_texts


def main(
    network: Annotated[Path, typer.Option(help="A checkpoint's folder")] = EMBEDDED,
    thresholds: Annotated[str, typer.Option(help="With commas; the first is what others are compared with")] = (
        "0.99,0.5,0.1,0.01,0.001"
    ),
    labels: Annotated[int, typer.Option(help="Number of labels")] = 25,
    works: Annotated[str, typer.Option(help="Texts: short, paragraph, long")] = "paragraph",
    rounds: Annotated[int, typer.Option(help="Timed rounds, after one that does not count")] = 5,
    words: Annotated[int, typer.Option(help="Words of a round")] = 2000,
    output: Annotated[Path | None, typer.Option(help="Add JSON lines to this file")] = None,
) -> None:
    """Print a line for every threshold."""
    known = {"kind": "threshold", "network": network.name, "run": time.time(), "machine": machine()}
    nlp = our_pipeline(network, make_labels(labels))
    rows = []
    for work in works.split(","):
        texts = make_texts(work, words)
        of_work = {"work": work, "labels": labels, "words": sum(len(nlp.make_doc(text)) for text in texts)}
        measured = take_turns(nlp, texts, list(map(float, thresholds.split(","))), rounds)
        rows += [known | of_work | row for row in measured]
    print(threshold_table(rows))
    if output:
        with output.open("a", encoding="utf8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def take_turns(nlp: Any, texts: list[str], thresholds: list[float], rounds: int) -> list[dict[str, Any]]:
    """Of every threshold, the seconds of every round, and how many entities there are."""
    rows: list[dict[str, Any]] = [{"threshold": threshold, "seconds": []} for threshold in thresholds]
    for number in range(rounds + 1):
        for row in rows:
            nlp.get_pipe("gliner_ner").cfg["threshold"] = row["threshold"]
            begin = time.perf_counter()
            row["found"] = sum(len(doc.ents) for doc in nlp.pipe(texts))
            row["seconds"] += [time.perf_counter() - begin] if number else []
    return rows


if __name__ == "__main__":
    typer.run(main)
