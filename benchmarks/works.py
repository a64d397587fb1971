"""What the systems of a benchmark are given: a network, texts, labels; and how many multiplications that takes.

All systems get the same words, windows and groups of labels: spacy-gliner cuts windows and groups by itself, the
others are given its groups, and texts cut into parts that they read whole.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from spacy_gliner.batching import PieceTokenizer
from spacy_gliner.ml.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from spacy_gliner.ml.shim import UNLIMITED_PIECES
from spacy_gliner.ml.sources import EMBEDDED
from spacy_gliner.nn.network import Network, NetworkConfig, build_network
from spacy_gliner.nn.onednn import OneDnnLinear, has_faster_onednn
from spacy_gliner.pipeline.parts import label_groups
from spacy_gliner.pipeline.words import WORD
from spacy_gliner.types import Query

ASSETS = Path(__file__).parent.parent / "assets"
LENGTHS = {"short": (5, 35), "paragraph": (110, 150), "long": (2000, 2000), "very-long": (10_000, 10_000)}
WORDS = {"short": 1200, "paragraph": 2000, "long": 4000, "very-long": 10_000}
FEW_LABELS = 25  # of more, fewer words make a round
WINDOW = 250
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
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
BERT = {"model_type": "bert", "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536}
MODERNBERT = {
    "model_type": "modernbert",
    "hidden_size": 768,
    "num_hidden_layers": 22,
    "num_attention_heads": 12,
    "intermediate_size": 1152,
    "local_attention": 128,
    "global_attn_every_n_layers": 3,
    "pad_token_id": 0,
}
SIZES: dict[str, dict[str, Any]] = {
    "deberta-v3-small": {**DEBERTA, "num_hidden_layers": 6},
    "deberta-v3-base": {**DEBERTA, "num_hidden_layers": 12},
    "deberta-v3-large": {
        **DEBERTA,
        "num_hidden_layers": 24,
        "hidden_size": 1024,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
    },
    "minilm": {**BERT, "num_hidden_layers": 6},
    "modernbert": MODERNBERT,
}


class Piece(NamedTuple):
    """A part of a text: the row of the text, where the part begins in it, and its characters."""

    row: int
    start: int
    text: str


@dataclass(frozen=True)
class Work:
    """Texts and labels; the texts once more in parts, the labels in groups, for systems that don't cut by themselves.

    flops: The floating-point operations that the parts take.
    """

    name: str
    texts: list[str]
    labels: list[str]
    parts: list[Piece]
    groups: list[list[str]]
    n_words: int
    flops: float


def make_work(name: str, n_labels: int, network: Network, tokenizer: PieceTokenizer, n_words: int = 0) -> Work:
    """A work for this network. n_words: at least so many words, in place of what is usual for the work."""
    usual = WORDS[name] * FEW_LABELS // max(n_labels, FEW_LABELS)
    texts, labels = make_texts(name, n_words or usual), make_labels(n_labels)
    most = network.max_pieces or UNLIMITED_PIECES
    groups = [list(group.labels) for group in label_groups(Query((), tuple(labels)), tokenizer, most)]
    room = most - max(tokenizer.prompt_size(Query((), tuple(group))) for group in groups)
    parts = [part for row, text in enumerate(texts) for part in cut(row, text, tokenizer, room)]
    operations = sum(flops(network.config, tokenizer, [part.text for part in parts], group) for group in groups)
    return Work(name, texts, labels, parts, groups, sum(len(WORD.findall(text)) for text in texts), operations)


def make_labels(number: int) -> list[str]:
    """So many labels, all different."""
    return [LABELS[i] if i < len(LABELS) else f"{LABELS[i % len(LABELS)]} {i}" for i in range(number)]


def make_texts(name: str, n_words: int) -> list[str]:
    """Texts of the work's lengths, from the sentences of the sample data."""
    rng, texts, made = random.Random(1), [], 0
    n_sample = len(sample_words())
    while made < n_words:
        size, start = rng.randint(*LENGTHS[name]), rng.randrange(n_sample)
        texts.append(text_of(size, start))
        made += size
    return texts


def text_of(size: int, start: int = 0) -> str:
    """So many words of the sample data, from this word on, again and again."""
    words = sample_words()
    start %= len(words)
    return " ".join((words * (2 + size // len(words)))[start : start + size])


@cache
def sample_words() -> list[str]:
    """The words of the sample texts."""
    files = [ASSETS / "macintosh.txt", ASSETS / "microsoft.txt"]
    return "".join(file.read_text(encoding="utf8") for file in files).split()


def cut(row: int, text: str, tokenizer: PieceTokenizer, room: int) -> Iterator[Piece]:
    """A text in parts of 250 words, or of fewer where their pieces would take more than this room."""
    start, n_words, n_pieces = 0, 0, 0
    words = list(WORD.finditer(text))
    for word, pieces in zip(words, tokenizer.pieces([word.group() for word in words]), strict=True):
        if n_words == WINDOW or n_pieces + len(pieces) > room:
            yield Piece(row, start, text[start : word.start()].rstrip())
            start, n_words, n_pieces = word.start(), 0, 0
        n_words, n_pieces = n_words + 1, n_pieces + len(pieces)
    yield Piece(row, start, text[start:].rstrip())


def checkpoint_folder(name: str, scratch: Path) -> Path:
    """The folder of a network: the embedded one, a new one of a real size, or one that is there."""
    if name == "embedded":
        return EMBEDDED
    return random_network(scratch / name, name) if name in SIZES else Path(name)


def random_network(folder: Path, shape: str) -> Path:
    """A checkpoint of a real size with random weights, and the embedded model's tokenizer."""
    tokenizer = PieceTokenizer(read_checkpoint(EMBEDDED).tokenizer.tokenizer)
    torch.manual_seed(1)
    backbone = {**SIZES[shape], "vocab_size": len(tokenizer)}
    network = build_network(NetworkConfig(backbone, head="markerV0", width=512, max_width=12))
    write_checkpoint(Checkpoint(network, tokenizer), folder)
    return folder


def flops(config: NetworkConfig, tokenizer: PieceTokenizer, texts: Sequence[str], labels: Sequence[str]) -> float:
    """The floating-point operations of the texts beside the labels, without padding and in the shortest form."""
    backbone, prompt, total = config.backbone or {}, tokenizer.prompt_size(Query((), tuple(labels))), 0.0
    for text in texts:
        words = WORD.findall(text)
        total += encoder_flops(backbone, prompt + sum(map(len, tokenizer.pieces(words))))
        if backbone["hidden_size"] != config.width:
            total += 2 * (len(words) + len(labels)) * backbone["hidden_size"] * config.width
        total += config.lstm_layers * 2 * len(words) * 8 * (config.width // 2) * (config.width + config.width // 2)
        of_head = token_head_flops if config.head == "token" else span_head_flops
        total += of_head(config, len(words), len(labels))
    return total


def encoder_flops(backbone: dict[str, Any], n: int) -> float:
    """All layers over so many pieces, with what their attention and its relative positions take."""
    size, inner, layers = backbone["hidden_size"], backbone["intermediate_size"], backbone["num_hidden_layers"]
    kind = backbone["model_type"]
    feed_forward = 3 * size * inner if kind == "modernbert" else 2 * size * inner
    total = layers * 2 * n * (4 * size**2 + feed_forward)
    everywhere = -(-layers // backbone["global_attn_every_n_layers"]) if kind == "modernbert" else layers
    total += everywhere * 4 * n**2 * size
    if kind == "modernbert":
        total += (layers - everywhere) * 4 * n * min(n, backbone["local_attention"]) * size
    if kind.startswith("deberta"):
        total += layers * 4 * n * min(2 * n, 2 * backbone["position_buckets"]) * size
    return float(total)


def span_head_flops(config: NetworkConfig, n_words: int, n_labels: int) -> float:
    """What acts on one word is done once per word; labels are folded into the last Linear, if that is less."""
    width, hidden, n_spans = config.width, 4 * config.width, n_words * config.max_width
    of_words, of_labels = 2 * n_words * (2 * 2 + 2) * hidden * width, 2 * n_labels * 2 * hidden * width
    return float(of_words + of_labels + 2 * n_spans * min(hidden * n_labels, hidden * width + width * n_labels))


def token_head_flops(config: NetworkConfig, n_words: int, n_labels: int) -> float:
    """Of the last perceptron, what acts on words and on labels is done once for each; pairs need their product."""
    width, hidden = config.width, 4 * config.width
    return float(
        2 * (n_words + n_labels) * width * (2 * width + hidden) + 2 * n_words * n_labels * hidden * (width + 3)
    )


def product_speed(device: str = "cpu", precision: str = "float32") -> float:
    """Operations per second of a large product of matrices, by the faster library: the limit of this moment."""
    size = 1024 if device == "cpu" else 8192
    layer = nn.Linear(size, size, bias=False).to(device, getattr(torch, precision))
    rows = torch.randn_like(layer.weight)
    layers = [layer, OneDnnLinear(layer)] if device == "cpu" and has_faster_onednn() else [layer]
    with torch.inference_mode():
        return max(2 * size**3 / _seconds(multiply, rows) for _ in range(6) for multiply in layers)


def _seconds(multiply: nn.Module, rows: torch.Tensor) -> float:
    finished = torch.cuda.synchronize if rows.is_cuda else int
    finished()
    begin = time.perf_counter()
    multiply(rows)
    finished()
    return time.perf_counter() - begin
