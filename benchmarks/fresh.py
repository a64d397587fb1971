"""What one system takes in a process of its own, written as JSON: run by `startup.py` and `scaling.py`.

    python benchmarks/fresh.py spacy-gliner path/to/checkpoint texts.json 1000

Imports next to nothing before time is taken. The arguments are a system, a checkpoint's folder (for a
runtime, the folder of the exported graph), a file with texts, and after how many texts of the stream memory is noted.

spaCy imports every installed package that registers a component, so that what else is in an environment would count as
start-up of whoever uses spaCy: such packages are hidden, but for the one that is measured.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from statistics import median
from typing import Any

import catalogue
from machine import peak_memory

TEXT = "Satya Nadella of Microsoft presented Windows 11 in Seattle on Tuesday."
LABELS = ["person", "company", "product", "city", "date"]
CALLS = 20  # of one short text
BATCH = 8
IMPORTS = {
    "spacy and torch": ["spacy", "torch"],
    "spacy, torch and transformers": ["spacy", "torch", "transformers"],
    "spacy-gliner": ["spacy", "spacy_gliner.pipeline.ner"],
    "gliner-spacy": ["spacy", "gliner_spacy.pipeline"],
    "fast-gliner": ["fast_gliner"],
    "gliner": ["gliner"],
    "gliner-onnx": ["gliner"],
    "gliner-openvino": ["gliner"],
}
OTHERS = {"gliner-spacy", "spacy-transformers", "spacy-curated-transformers", "spacy-llm", "spacy-alignments"}
Read = Callable[[Sequence[str]], Any]  # what is found in texts, or an iterator over it


def main(name: str, folder: str, file: str, every: int) -> dict[str, Any]:
    """Import, load, read a first text, read it again and again, read the texts of the file."""
    catalogue.AVAILABLE_ENTRY_POINTS = EntryPoints(OTHERS - {name})
    start, cpu_start = time.perf_counter(), time.process_time()
    for module in IMPORTS[name]:
        importlib.import_module(module)
    taken: dict[str, Any] = {"system": name, "import": time.perf_counter() - start, "peak_import": peak_memory()}
    taken["cpu"] = time.process_time() - cpu_start
    if " and " in name:
        return taken
    read, taken["load"] = timed(lambda: LOADERS[name](folder))
    taken["cpu"] = time.process_time() - cpu_start
    _, taken["first"] = timed(lambda: list(read([TEXT])))
    taken["latency"] = median(timed(lambda: list(read([TEXT])))[1] for _ in range(CALLS))
    taken["peak_first"] = peak_memory()
    texts = json.loads(Path(file).read_text(encoding="utf8")) if file else []
    if texts:
        taken["resident"] = [resident()]
        seconds = [
            timed(lambda texts=texts[n : n + every]: noted(read, texts, taken))[1] for n in range(0, len(texts), every)
        ]
        taken |= {"every": every, "seconds": seconds, "peak": peak_memory(), "texts": len(texts)}
    return taken


class EntryPoints:
    """What installed packages register, but for some of them. hidden: Their names."""

    def __init__(self, hidden: Set[str]) -> None:
        everything = catalogue.AVAILABLE_ENTRY_POINTS
        self.groups = {
            group: [point for point in everything.select(group=group) if point.dist.name not in hidden]
            for group in everything.groups
            if group.startswith(("spacy", "thinc"))
        }

    def select(self, group: str) -> list[Any]:
        """Those of a group."""
        return self.groups.get(group, [])


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and the seconds it takes."""
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def noted(read: Read, texts: Sequence[str], taken: dict[str, Any]) -> None:
    """Read the texts and forget what is found, then note the resident memory."""
    for _ in read(texts):
        pass
    taken["resident"].append(resident())


def resident() -> float:
    """The resident size of this process now, in MB; where the system does not tell, the largest so far."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if statm.exists() else peak_memory()


def spacy_gliner(folder: str) -> Read:
    """This package, as its users add it. The weights, which load with the first text, are asked for at once."""
    import spacy

    from spacy_gliner.ml.architectures import shim_of

    nlp = spacy.blank("en")
    pipe: Any = nlp.add_pipe("gliner_ner", config={"labels": LABELS, "model": {"source": {"name": folder}}})
    assert shim_of(pipe.model).network
    nlp.max_length = 10**9
    return lambda texts: [nlp(texts[0])] if len(texts) == 1 else nlp.pipe(texts)


def gliner_spacy(folder: str) -> Read:
    """The package gliner-spacy."""
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("gliner_spacy", config={"gliner_model": folder, "labels": LABELS})
    return nlp.pipe


def gliner(folder: str, **graph: Any) -> Read:
    """The reference library."""
    from gliner import GLiNER

    model = GLiNER.from_pretrained(folder, **graph)

    def read(texts: Sequence[str]) -> Any:
        return (
            [model.predict_entities(texts[0], LABELS)]
            if len(texts) == 1
            else model.inference(texts, LABELS, batch_size=BATCH)
        )

    return read


def fast_gliner(folder: str) -> Read:
    """The library in Rust."""
    from fast_gliner import FastGLiNER

    model = FastGLiNER.from_pretrained(folder, onnx_path="model.onnx")
    return lambda texts: (
        one for n in range(0, len(texts), BATCH) for one in model.predict_entities(list(texts[n : n + BATCH]), LABELS)
    )


LOADERS: dict[str, Callable[[str], Read]] = {
    "spacy-gliner": spacy_gliner,
    "gliner-spacy": gliner_spacy,
    "fast-gliner": fast_gliner,
    "gliner": gliner,
    "gliner-onnx": lambda folder: gliner(folder, runtime="onnxruntime", runtime_model_file="model.onnx"),
    "gliner-openvino": lambda folder: gliner(folder, runtime="openvino", runtime_model_file="model.xml"),
}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:4], int(sys.argv[4]))))
