"""How long it takes until a first text is read, and what memory that takes, beside other libraries.

    python benchmarks/startup.py --network embedded --peers gliner,gliner-onnx --rounds 5

Every system is measured in a process of its own (`fresh.py`), again and again in turns: importing it, loading the
checkpoint, a first short text, and the latency of that text when it comes again. Importing spaCy and torch, which this
package can't do without, is measured by itself. Then a stream of paragraphs is read, for the largest resident memory.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import systems
import typer
from fresh import IMPORTS
from machine import machine
from tables import startup_table
from works import checkpoint_folder, make_texts

FRESH = Path(__file__).parent / "fresh.py"
ALONE = [name for name in IMPORTS if " and " in name]


def main(
    network: Annotated[str, typer.Option(help="embedded, a size that inference.py knows, or a folder")] = "embedded",
    peers: Annotated[str, typer.Option(help=", ".join(set(IMPORTS) - {*ALONE, "spacy-gliner"}))] = "gliner",
    rounds: Annotated[int, typer.Option(help="Processes of each system, in turns")] = 5,
    words: Annotated[int, typer.Option(help="Words of the stream of paragraphs")] = 2000,
    output: Annotated[Path | None, typer.Option(help="Add JSON lines to this file")] = None,
) -> None:
    """Print a table."""
    with TemporaryDirectory() as scratch:
        folders = prepare([*ALONE, "spacy-gliner", *filter(None, peers.split(","))], network, Path(scratch))
        texts = Path(scratch) / "texts.json"
        texts.write_text(json.dumps(make_texts("paragraph", words)), encoding="utf8")
        known = {"kind": "startup", "network": Path(network).name, "run": time.time(), "machine": machine()}
        rows = []
        for number in range(rounds + 1):  # the first warms the disk's cache and does not count
            of_round = [known | fresh(name, folder, texts, 10**6) for name, folder in folders.items()]
            rows += of_round if number else []
    print(startup_table(rows))
    if output:
        with output.open("a", encoding="utf8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def prepare(names: Sequence[str], network: str, scratch: Path) -> dict[str, Path]:
    """The folder that each system loads. Those whose package is missing are told of."""
    folder = checkpoint_folder(network, scratch)
    folders = {}
    for name in names:
        try:
            if name not in ALONE:
                systems.check(name)
            folders[name] = systems.prepared(name, folder, scratch)
        except Exception as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return folders


def fresh(name: str, folder: Path, texts: Path | str, every: int) -> dict[str, Any]:
    """What `fresh.py` tells of a system."""
    arguments = [sys.executable, "-W", "ignore", str(FRESH), name, str(folder), str(texts), str(every)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr[-2000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


if __name__ == "__main__":
    typer.run(main)
