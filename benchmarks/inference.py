"""Words per second of prediction beside the reference library: the same checkpoint, texts, words and labels.

    python benchmarks/inference.py --shape minilm --works short,paragraph --labels 5,25 --rounds 5
    python benchmarks/inference.py --checkpoint path/to/checkpoint --peers gliner,gliner-sorted

All systems stand in one process and take turns in every round, so that what else runs on the machine hits all of them;
a ratio is taken within a round. Threads are as torch has them (`OMP_NUM_THREADS=1` for one). Without a checkpoint, a
network of a real size is made with random weights, that of the span head of GLiNER (512 wide, BiLSTM, 12 words), and
thresholds are high, so that decoding has as little to do as with real weights.

- spacy-gliner: `nlp.pipe` with `spacy_gliner.WordSplitter.v1`, from texts to `doc.ents`.
- gliner: `inference` with batches of 8 and of 16, texts as they come; longer texts than it reads are given to it in
  windows of 250 words.
- gliner-sorted: the same, with texts sorted by length.
- gliner-spacy: its component (pip install gliner-spacy), with the tokenizer that belongs to the checkpoint.

The share of the limit is the time that the multiplications of the unpadded pieces take at the speed of a large matrix
product in the same round: layers of the encoder with their attention and relative positions, BiLSTM, and the span head
in its shortest form (what acts on one word is done once per word, labels are folded into the last Linear).
"""

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import spacy
import torch
import typer

from spacy_gliner.batching import PieceTokenizer
from spacy_gliner.ml.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from spacy_gliner.ml.sources import EMBEDDED
from spacy_gliner.nn.network import NetworkConfig, build_network
from spacy_gliner.pipeline.words import WORD

ASSETS = Path(__file__).parent.parent / "assets"
WORKS = {"short": (5, 35), "paragraph": (110, 150), "long": (2000, 2000), "very-long": (10_000, 10_000)}
WORDS_OF_A_ROUND = {"short": 1200, "paragraph": 2000, "long": 4000, "very-long": 10_000}
WINDOW = 250
THRESHOLD = 0.9
LABELS = (
    "person organization city country date product event law disease drug chemical river mountain animal plant food "
    "sport team film book song award language religion currency building vehicle weapon software website"
).split()
DEBERTA = {
    "model_type": "deberta-v2",
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}
SIZES: dict[str, dict[str, Any]] = {
    "deberta-v3-small": {**DEBERTA, "hidden_size": 768, "num_hidden_layers": 6, "num_attention_heads": 12},
    "deberta-v3-base": {**DEBERTA, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "minilm": {"model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12},
}
System = Callable[[list[str], list[str]], Any]


def main(
    checkpoint: Annotated[str, typer.Option(help="A GLiNER checkpoint's folder")] = "",
    shape: Annotated[str, typer.Option(help=f"Without one, the size: {', '.join(SIZES)}")] = "deberta-v3-small",
    works: Annotated[str, typer.Option(help=f"Texts: {', '.join(WORKS)}")] = "short,paragraph,long",
    labels: Annotated[str, typer.Option(help="Numbers of labels, with commas between them")] = "5,25",
    peers: Annotated[str, typer.Option(help="gliner, gliner-sorted, gliner-spacy")] = "gliner,gliner-sorted",
    rounds: Annotated[int, typer.Option(help="Timed rounds, after one that does not count")] = 5,
) -> None:
    """Print a line for every system, work and number of labels."""
    with TemporaryDirectory() as scratch:
        folder = Path(checkpoint) if checkpoint else random_network(Path(scratch) / shape, shape)
        tokenizer = read_checkpoint(folder).tokenizer
        print("| work | labels | system | words/s | share of the limit | ours is (median, lowest – highest) |")
        print("| --- | ---: | --- | ---: | ---: | --- |")
        for work in works.split(","):
            texts = make_texts(work)
            n_words = sum(len(WORD.findall(text)) for text in texts)
            for number in map(int, labels.split(",")):
                names = [LABELS[i] if i < len(LABELS) else f"{LABELS[i % len(LABELS)]} {i}" for i in range(number)]
                systems = make_systems(folder, peers.split(",") if peers else [], names)
                work_flops = flops(folder, tokenizer, texts, names)
                measured, limits = take_turns(systems, texts, names, rounds, work_flops)
                report(work, number, n_words, measured, limits)


def report(work: str, n_labels: int, n_words: int, measured: dict[str, list[float]], limits: Sequence[float]) -> None:
    """One line for each system."""
    ours = measured["spacy-gliner"]
    for name, seconds in measured.items():
        ratios = [theirs / own for theirs, own in zip(seconds, ours, strict=True)]
        share = median(limit / own for limit, own in zip(limits, seconds, strict=True))
        beside = "" if seconds is ours else f"{median(ratios):.2f} × ({min(ratios):.2f} – {max(ratios):.2f})"
        print(f"| {work} | {n_labels} | {name} | {n_words / median(seconds):.0f} | {100 * share:.0f} % | {beside} |")


def take_turns(
    systems: dict[str, System], texts: list[str], names: list[str], rounds: int, work_flops: float
) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds of every system in every round, and of the limit."""
    measured: dict[str, list[float]] = {name: [] for name in systems}
    limits = []
    for number in range(rounds + 1):
        for name, system in systems.items():
            begin = time.perf_counter()
            system(texts, names)
            if number:
                measured[name].append(time.perf_counter() - begin)
        if number:
            limits.append(work_flops / product_speed())
    return measured, limits


def make_systems(folder: Path, peers: Sequence[str], names: list[str]) -> dict[str, System]:
    """The systems that are measured, each loaded and ready."""
    systems: dict[str, System] = {"spacy-gliner": ours(folder, names)}
    gliner = None
    for peer in peers:
        if peer == "gliner-spacy":
            systems[peer] = gliner_spacy(folder, names)
            continue
        if gliner is None:
            from gliner import GLiNER

            gliner = GLiNER.from_pretrained(str(folder))
        for size in (8, 16):
            systems[f"{peer}, batches of {size}"] = theirs(gliner, size, in_order=peer == "gliner-sorted")
    return systems


def ours(folder: Path, names: list[str]) -> System:
    """This package."""
    nlp = spacy.blank("en", config={"nlp": {"tokenizer": {"@tokenizers": "spacy_gliner.WordSplitter.v1"}}})
    config = {"labels": names, "threshold": THRESHOLD, "model": {"source": {"name": str(folder)}}}
    nlp.add_pipe("gliner_ner", config=config)
    return lambda texts, names: list(nlp.pipe(texts))


def theirs(model: Any, batch_size: int, *, in_order: bool) -> System:
    """The reference library."""

    def run(texts: list[str], names: list[str]) -> Any:
        parts = [part for text in texts for part in windows(text)]
        parts = sorted(parts, key=len) if in_order else parts
        return model.inference(parts, names, threshold=THRESHOLD, batch_size=batch_size)

    return run


def gliner_spacy(folder: Path, names: list[str]) -> System:
    """The package gliner-spacy."""
    import gliner_spacy.pipeline  # noqa: F401  (registers its factory)

    nlp = spacy.blank("en")
    nlp.add_pipe("gliner_spacy", config={"gliner_model": str(folder), "labels": names, "threshold": THRESHOLD})
    return lambda texts, names: list(nlp.pipe(texts))


def windows(text: str) -> list[str]:
    """A text in windows of so many words that the reference library reads them whole."""
    words = list(WORD.finditer(text))
    starts = [word.start() for word in words[::WINDOW]] or [0]
    return [text[start:end].strip() for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def make_texts(work: str) -> list[str]:
    """Texts of the work's lengths, from the sentences of the sample data."""
    lines = (ASSETS / "macintosh.txt").read_text(encoding="utf8") + (ASSETS / "microsoft.txt").read_text(
        encoding="utf8"
    )
    words = lines.split()
    rng, texts, n_words = random.Random(1), [], 0
    while n_words < WORDS_OF_A_ROUND[work]:
        size, start = rng.randint(*WORKS[work]), rng.randrange(len(words))
        texts.append(" ".join((words * (2 + size // len(words)))[start : start + size]))
        n_words += size
    return texts


def random_network(folder: Path, shape: str) -> Path:
    """A checkpoint of a real size with random weights, and the embedded model's tokenizer."""
    tokenizer = PieceTokenizer(read_checkpoint(EMBEDDED).tokenizer.tokenizer)
    backbone = {**SIZES[shape], "vocab_size": len(tokenizer), "intermediate_size": 4 * SIZES[shape]["hidden_size"]}
    torch.manual_seed(1)
    network = build_network(NetworkConfig(backbone, head="markerV0", width=512, max_width=12))
    write_checkpoint(Checkpoint(network, tokenizer), folder)
    return folder


def flops(folder: Path, tokenizer: PieceTokenizer, texts: list[str], names: list[str]) -> float:
    """The floating-point operations of the texts, cut into windows that don't overlap, beside their labels."""
    config = read_checkpoint(folder).network.config
    backbone, width = config.backbone or {}, config.width
    size, inner = backbone["hidden_size"], backbone["intermediate_size"]
    prompt = sum(1 + len(pieces) for pieces in tokenizer.pieces(names)) + 3
    total = 0.0
    for part in (part for text in texts for part in windows(text)):
        words = WORD.findall(part)
        pieces = prompt + sum(map(len, tokenizer.pieces(words)))
        layer = 2 * pieces * (4 * size**2 + 2 * size * inner) + 4 * pieces**2 * size
        if backbone["model_type"].startswith("deberta"):
            layer += 4 * pieces * min(2 * pieces, 2 * backbone["position_buckets"]) * size
        total += backbone["num_hidden_layers"] * layer + 2 * (len(words) + len(names)) * size * width
        total += config.lstm_layers * 2 * len(words) * 8 * (width // 2) * (width + width // 2)
        spans = len(words) * config.max_width
        hidden, spans = 4 * width, len(words) * config.max_width
        total += 2 * len(words) * (2 * 2 + 2) * hidden * width + 2 * len(names) * 2 * hidden * width
        total += 2 * spans * min(hidden * len(names), hidden * width + width * len(names))
    return total


def product_speed(size: int = 1024) -> float:
    """Operations per second of a large product of float32 matrices."""
    a, b = torch.randn(2, size, size)
    torch.mm(a, b)
    best = 0.0
    for _ in range(5):
        begin = time.perf_counter()
        torch.mm(a, b)
        best = max(best, 2 * size**3 / (time.perf_counter() - begin))
    return best


if __name__ == "__main__":
    typer.run(main)
