"""The systems of the benchmarks: spacy-gliner and its peers. Each loads a checkpoint's folder and finds entities.

- spacy-gliner-bfloat16, spacy-gliner-int8: this package with that `precision`, beside itself in float32.
- gliner: the reference library as it comes, texts in their order, batches of several sizes, of which the best counts.
- gliner-sorted: the same, with texts sorted by length.
- gliner-compiled, gliner-packed, gliner-flash: sorted too; compiled for a GPU, in packed streams, with flashdeberta.
- gliner-onnx, gliner-openvino: the reference library with a graph that it exported itself, for ONNX Runtime and for
  OpenVINO, sorted. On CPUs with bfloat16 units OpenVINO computes in bfloat16 unless told otherwise;
  gliner-openvino-f32 is told to compute in float32, as all others do.
- gliner-spacy: its component, with a tokenizer that cuts the checkpoint's words. It cuts texts into pieces of 250
  characters, and reads these one by one.
- fast-gliner: the Rust library, with the exported ONNX graph, sorted. It always takes four threads, and a threshold of
  0.5. Its token networks expect an older layout of the scores, which is restored in the graph.

A peer needs its package: `INSTALL` says which. Runtimes get as many threads as torch has. On another device than a CPU
there are only this package, the reference library and gliner-spacy.
"""

import importlib.util
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import spacy
import torch
from works import WINDOW, Piece, Work

THRESHOLD = 0.5
INSTALL: dict[str, list[str]] = {
    "spacy-gliner": [],
    "spacy-gliner-bfloat16": [],
    "spacy-gliner-int8": [],
    "gliner": ["gliner"],
    "gliner-sorted": ["gliner"],
    "gliner-compiled": ["gliner"],
    "gliner-packed": ["gliner"],
    "gliner-flash": ["gliner", "flashdeberta"],
    "gliner-onnx": ["gliner", "onnx", "onnxruntime"],
    "gliner-openvino": ["gliner", "openvino"],
    "gliner-openvino-f32": ["gliner", "openvino"],
    "gliner-spacy": ["gliner_spacy"],
    "fast-gliner": ["gliner", "onnx", "fast_gliner"],
}
STREAM = 1024  # pieces of a packed stream of the reference library


class Setting(NamedTuple):
    """Where and how all networks compute; and how many pieces this package reads at once, 0 for what is usual."""

    device: str = "cpu"
    precision: str = "float32"
    max_pieces: int = 0


ON_CPU = Setting()


class Found(NamedTuple):
    """An entity: the row of its text, its characters, its label."""

    row: int
    start: int
    end: int
    label: str


Find = Callable[[Work], list[Found]]
FindParts = Callable[[list[Piece], list[str]], Iterable[Sequence[dict[str, Any]]]]


def load(
    name: str, folder: Path, scratch: Path, *, batches: Sequence[int], one_by_one: bool, setting: Setting = ON_CPU
) -> dict[str, Find]:
    """A system, under one name or, with several sizes of batches, under several. Exported graphs are kept in scratch.

    Raises ImportError where a package is missing, ValueError for a name that is none, or none on this device.
    """
    if setting.device != "cpu" and name.startswith(("gliner-onnx", "gliner-openvino", "fast-gliner")):
        raise ValueError("it is measured on CPUs only")
    check(name)
    folder = prepared(name, folder, scratch)
    if name.startswith("spacy-gliner"):
        precision = name.removeprefix("spacy-gliner").lstrip("-") or setting.precision
        return {name: ours(folder, setting._replace(precision=precision), one_by_one=one_by_one)}
    if name == "gliner-spacy":
        return {name: gliner_spacy(folder, setting.device, one_by_one=one_by_one)}
    model: Any = fast_gliner(folder) if name == "fast-gliner" else gliner(name, folder, setting)
    sizes = [1] if one_by_one else batches
    call = rust_call if name == "fast-gliner" else python_call
    in_order = name != "gliner" and not one_by_one
    return {
        name if len(sizes) == 1 else f"{name}, batches of {size}": in_parts(call(model, size), in_order=in_order)
        for size in sizes
    }


def check(name: str) -> None:
    """Raises ImportError where a package is missing, ValueError for a name that is none."""
    if name not in INSTALL:
        raise ValueError(f"no such system; there are {', '.join(INSTALL)}")
    missing = [package for package in INSTALL[name] if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(f"to measure it: pip install {' '.join(missing).replace('_', '-')}")


def prepared(name: str, folder: Path, scratch: Path) -> Path:
    """The folder that a system loads: the checkpoint's or, in scratch, one with what it needs besides."""
    if name == "gliner-spacy":
        return with_tokenizer(folder, scratch)
    with quiet():
        if name == "fast-gliner":
            return for_rust(folder, scratch)
        if name.startswith(("gliner-onnx", "gliner-openvino")):
            return exported(folder, scratch, name.split("-")[1])
    return folder


def ours(folder: Path, setting: Setting, *, one_by_one: bool) -> Find:
    """This package, from texts to `doc.ents`. Components for other labels share the network."""
    pipelines: dict[tuple[str, ...], Any] = {}

    def find(work: Work) -> list[Found]:
        labels = tuple(work.labels)
        if labels not in pipelines:
            pipelines[labels] = our_pipeline(folder, work.labels, setting)
        nlp = pipelines[labels]
        return list(from_docs(map(nlp, work.texts) if one_by_one else nlp.pipe(work.texts)))

    return find


def our_pipeline(folder: Path | str, labels: list[str], setting: Setting = ON_CPU) -> Any:
    """A pipeline with the component `gliner_ner`, whose windows don't overlap."""
    nlp = spacy.blank("en", config={"nlp": {"tokenizer": {"@tokenizers": "spacy_gliner.WordSplitter.v1"}}})
    windows = {"@misc": "spacy_gliner.strided_windows.v1", "size": WINDOW, "stride": WINDOW}
    model = {"source": {"name": str(folder)}, "precision": setting.precision}
    config = {"labels": labels, "threshold": THRESHOLD, "windows": windows, "model": model, "device": setting.device}
    nlp.add_pipe("gliner_ner", config=config | ({"max_pieces": setting.max_pieces} if setting.max_pieces else {}))
    nlp.max_length = 10**9
    return nlp


def gliner_spacy(folder: Path, device: str, *, one_by_one: bool) -> Find:
    """The package gliner-spacy."""
    import gliner_spacy.pipeline  # noqa: F401  (registers its factory)

    nlp = spacy.blank("en", config={"nlp": {"tokenizer": {"@tokenizers": "spacy_gliner.WordSplitter.v1"}}})
    config = {"gliner_model": str(folder), "threshold": THRESHOLD, "map_location": device}
    pipe: Any = nlp.add_pipe("gliner_spacy", config=config)
    nlp.max_length = 10**9

    def find(work: Work) -> list[Found]:
        if len(work.groups) > 1:
            raise ValueError("it can't ask for labels in groups, and these don't fit beside a text")
        pipe.labels = work.labels
        return list(from_docs(map(nlp, work.texts) if one_by_one else nlp.pipe(work.texts)))

    return find


def with_tokenizer(folder: Path, scratch: Path) -> Path:
    """A copy that names itself as the model whose tokenizer is to be taken: gliner-spacy looks for it there only."""
    target = scratch / f"{folder.name}-spacy"
    if not target.exists():
        shutil.copytree(folder, target)
        config = json.loads((folder / "gliner_config.json").read_text(encoding="utf8"))
        (target / "gliner_config.json").write_text(json.dumps({**config, "model_name": str(target)}), encoding="utf8")
    return target


def from_docs(docs: Iterable[Any]) -> Iterator[Found]:
    """What stands in `doc.ents`."""
    for row, doc in enumerate(docs):
        yield from (Found(row, ent.start_char, ent.end_char, ent.label_) for ent in doc.ents)


def in_parts(call: FindParts, *, in_order: bool) -> Find:
    """A system that reads the parts of the texts, once for each group of labels."""

    def find(work: Work) -> list[Found]:
        parts = sorted(work.parts, key=lambda part: len(part.text)) if in_order else work.parts
        return [
            Found(part.row, part.start + one["start"], part.start + one["end"], one["label"])
            for group in work.groups
            for part, found in zip(parts, call(parts, group), strict=True)
            for one in found
        ]

    return find


def python_call(model: Any, size: int) -> FindParts:
    """The reference library: in batches or, with a size of 1, one by one as its users do."""

    def call(parts: list[Piece], labels: list[str]) -> Any:
        if size == 1:
            return [model.predict_entities(part.text, labels, threshold=THRESHOLD) for part in parts]
        return model.inference([part.text for part in parts], labels, threshold=THRESHOLD, batch_size=size)

    return call


def rust_call(model: Any, size: int) -> FindParts:
    """The library in Rust, which reads all it is given as one batch."""

    def call(parts: list[Piece], labels: list[str]) -> Any:
        batches = [parts[first : first + size] for first in range(0, len(parts), size)]
        return [found for batch in batches for found in model.predict_entities([part.text for part in batch], labels)]

    return call


def gliner(name: str, folder: Path, setting: Setting) -> Any:
    """The reference library, with the runtime or the option that the name says."""
    from gliner import GLiNER
    from gliner.infer_packing import InferencePackingConfig

    if name.startswith("gliner-onnx"):
        options: Any = {"session_options": session_options()}
        graph = {"runtime": "onnxruntime", "runtime_model_file": "model.onnx", "runtime_options": options}
        return GLiNER.from_pretrained(str(folder), **graph)
    if name.startswith("gliner-openvino"):
        options = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
        options |= {"INFERENCE_PRECISION_HINT": "f32"} if name.endswith("f32") else {}
        graph = {"runtime": "openvino", "runtime_model_file": "model.xml", "runtime_options": {"config": options}}
        return GLiNER.from_pretrained(str(folder), **graph)
    if name == "gliner-compiled" and setting.device == "cpu":
        raise ValueError("it compiles for CUDA only")
    os.environ["USE_FLASHDEBERTA"] = "1" if name == "gliner-flash" else ""
    options = {"map_location": setting.device, "compile_torch_model": name == "gliner-compiled"}
    model = GLiNER.from_pretrained(str(folder), dtype=setting.precision, **options)
    if name == "gliner-packed":
        model.configure_inference_packing(InferencePackingConfig(max_length=STREAM))
    return model


def session_options() -> Any:
    """ONNX Runtime with torch's number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return options


def exported(folder: Path, scratch: Path, runtime: str) -> Path:
    """The folder of a checkpoint as the reference library exports it, for "onnx" or "openvino"."""
    target = scratch / f"{folder.name}-{runtime}"
    if not (target / "gliner_config.json").exists():
        from gliner import GLiNER

        target.mkdir(parents=True, exist_ok=True)
        model = GLiNER.from_pretrained(str(folder))
        model.export_to_onnx(target) if runtime == "onnx" else model.export_to_openvino(target)
    return target


def fast_gliner(folder: Path) -> Any:
    """The library in Rust."""
    from fast_gliner import FastGLiNER

    return FastGLiNER.from_pretrained(str(folder), onnx_path="model.onnx")


def for_rust(folder: Path, scratch: Path) -> Path:
    """The exported graph as the library in Rust reads it: a key of its own says whether a network has a token head."""
    target = scratch / f"{folder.name}-fast"
    if not target.exists():
        shutil.copytree(exported(folder, scratch, "onnx"), target)
        config = json.loads((target / "gliner_config.json").read_text(encoding="utf8"))
        if config["span_mode"] == "token_level":
            (target / "gliner_config.json").write_text(json.dumps({**config, "mode": "token"}), encoding="utf8")
            restore_layout(target / "model.onnx")
    return target


def restore_layout(file: Path) -> None:
    """Scores (B, W, C, 3) of a token network become (3, B, W, C), as exports were before gliner 0.2.22."""
    import onnx

    model = onnx.load(str(file))
    last = next(node for node in model.graph.node if "logits" in node.output)
    last.output[list(last.output).index("logits")] = "logits_by_word"
    model.graph.node.append(onnx.helper.make_node("Transpose", ["logits_by_word"], ["logits"], perm=[3, 0, 1, 2]))
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    onnx.save(model, str(file))


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of tracing and exporting."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
