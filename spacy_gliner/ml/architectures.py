"""The thinc model: queries in, logits out. One node, whose shim carries the network with its tokenizer."""

from collections.abc import Callable
from typing import Any

from thinc.api import Model, Shim

from ..types import Logits, Query
from .borrowing import BorrowingShim, Find
from .parameters import Freeze
from .shim import GlinerShim
from .sources import FromComponent, Source

GlinerModel = Model[list[Query], Logits]


def build_gliner(source: Source, freeze: Freeze = "nothing", mixed_precision: bool = False) -> GlinerModel:
    """A GLiNER network: `spacy_gliner.GLiNER.v1`. Reads no weights; `initialize`, a prediction or saving will.

    source: Where the network comes from. Its shape comes with it.
    freeze: What training leaves as it is: "nothing", the "embeddings" of the backbone, the whole "backbone", a number:
        the embeddings and so many of the lowest layers; or the encoder of "labels" that are read apart.
    mixed_precision: Whether matrices are multiplied in bfloat16 in training; weights and steps stay in float32.

    Of a network that is borrowed, the owner decides.
    """
    shim: Shim
    if isinstance(source, FromComponent):
        shim = BorrowingShim(source.component)
    else:
        shim = GlinerShim(source, freeze=freeze, mixed_precision=mixed_precision)
    return Model("gliner", forward, init=init, shims=[shim])


def connect(model: GlinerModel, find: Find) -> None:
    """Tell a model that borrows its network how to find another component. Others need nothing."""
    shim = model.shims[0] if model.shims else None
    if isinstance(shim, BorrowingShim):
        shim.connect(find)


def forward(model: GlinerModel, queries: list[Query], is_train: bool) -> tuple[Logits, Callable[[Logits], list[Query]]]:
    """Queries -> Logits, with a callback that takes their gradient, as Logits."""
    shim = shim_of(model)
    logits, backprop_scores = shim(shim.collate(queries, is_train), is_train)

    def backprop(d_logits: Logits) -> list[Query]:
        backprop_scores(d_logits.scores)
        return []

    return logits, backprop


def init(model: GlinerModel, X: Any = None, Y: Any = None) -> None:
    """Ask the source, whatever was there before. A network that is borrowed is left to its owner."""
    shim = owned_shim(model)
    if shim is not None:
        shim.load()


def set_device(model: GlinerModel, device: str) -> None:
    """Where the network will run. A network that is borrowed runs where its owner says."""
    for shim in model.shims:
        if isinstance(shim, GlinerShim):
            shim.device_name = device


def owned_shim(model: GlinerModel) -> GlinerShim | None:
    """The shim of a model that owns its network; None for one that borrows it."""
    shim = shim_of(model)
    return shim if shim in model.shims else None


def shim_of(model: GlinerModel) -> GlinerShim:
    """The shim that holds the model's network and tokenizer: its own, or that of the component it borrows from."""
    shim = next(iter(model.shims), None)
    if isinstance(shim, BorrowingShim):
        shim = shim.owner
    if not isinstance(shim, GlinerShim):
        raise ValueError(
            f"Expected a model built by the architecture 'spacy_gliner.GLiNER.v1', got '{model.name}' with a "
            f"{type(shim).__name__}."
        )
    return shim
