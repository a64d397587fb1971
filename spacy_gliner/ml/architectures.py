"""The thinc model: queries in, logits out. One node, whose shim carries the network with its tokenizer."""

from collections.abc import Callable
from typing import Any

from thinc.api import Model, Shim
from torch import Tensor

from ..nn.precision import Precision
from ..types import Logits, Query
from .borrowing import BorrowingShim, Find
from .listening import Heard, Tok2Vec, gradients_of, initialize, tok2vec_of, with_gradient
from .parameters import Freeze
from .prediction import Prediction
from .shim import GlinerShim
from .sources import FromComponent, NewNetwork, Source

GlinerModel = Model[Any, Logits]  # of queries; where it listens to another component, of `Heard`


def build_gliner(
    source: Source,
    freeze: Freeze = "nothing",
    mixed_precision: bool = False,
    precision: Precision = "float32",
    packed: bool = True,
) -> GlinerModel:
    """A GLiNER network: `spacy_gliner.GLiNER.v1`. Reads no weights; `initialize`, a prediction or saving will.

    source: Where the network comes from. Its shape comes with it.
    freeze: What training leaves as it is: "nothing", the "embeddings" of the backbone, the whole "backbone", a number:
        the embeddings and so many of the lowest layers; or the encoder of "labels" that are read apart.
    mixed_precision: Whether matrices are multiplied in bfloat16 in training; weights and steps stay in float32.
    precision: Of prediction: "float32"; "bfloat16" or "float16", on accelerators and CPUs that have units for them; or
        "int8", on CPUs. Training and saving are in float32 all the same.
    packed: Whether the network reads without padding. `False` takes the Hugging Face forward pass of the backbone.

    Of a network that is borrowed, the owner decides.
    """
    shim: Shim
    if isinstance(source, FromComponent):
        shim = BorrowingShim(source.component)
    else:
        prediction = Prediction(precision, packed)
        shim = GlinerShim(source, freeze=freeze, mixed_precision=mixed_precision, prediction=prediction)
    return Model("gliner", forward, init=init, shims=[shim])


def build_listening_gliner(
    tok2vec: Tok2Vec,
    source: NewNetwork,
    freeze: Freeze = "nothing",
    mixed_precision: bool = False,
    precision: Precision = "float32",
    packed: bool = True,
) -> GlinerModel:
    """A network for the vectors that another component has of words: `spacy_gliner.ListeningGLiNER.v1`.

    Only labels and the head are its own, so that a pipeline that has a transformer finds entities at little cost. It
    has to be trained.

    tok2vec: Gives the vectors of the tokens of Docs: a listener of spacy-transformers or of spaCy.
    source: A `NewNetwork.v1` without a backbone.
    freeze, mixed_precision, precision, packed: As of `build_gliner`, for what is its own.
    Raises ValueError for another source.
    """
    if not isinstance(source, NewNetwork) or source.backbone is not None or source.label_backbone is None:
        raise ValueError(
            "spacy_gliner.ListeningGLiNER.v1 needs a source of the kind spacy_gliner.NewNetwork.v1, with backbone = "
            "null (another component reads the words) and a label_backbone (labels are read apart)."
        )
    prediction = Prediction(precision, packed)
    shim = GlinerShim(source, freeze=freeze, mixed_precision=mixed_precision, prediction=prediction)
    return Model("gliner_listening", forward, init=init, layers=[tok2vec], shims=[shim])


def connect(model: GlinerModel, find: Find) -> None:
    """Tell a model that borrows its network how to find another component. Others need nothing."""
    shim = model.shims[0] if model.shims else None
    if isinstance(shim, BorrowingShim):
        shim.connect(find)


def forward(
    model: GlinerModel, inputs: list[Query] | Heard, is_train: bool
) -> tuple[Logits, Callable[[Logits], list[Tensor]]]:
    """Queries -> Logits, with a callback that takes their gradient, as Logits, and returns that of given vectors."""
    shim = shim_of(model)
    queries, vectors = inputs if isinstance(inputs, Heard) else (inputs, None)
    if vectors is not None and is_train:
        vectors = with_gradient(vectors)
    logits, backprop_scores = shim(shim.collate(queries, is_train, vectors), is_train)

    def backprop(d_logits: Logits) -> list[Tensor]:
        backprop_scores(d_logits.scores)
        return gradients_of(vectors or [])

    return logits, backprop


def init(model: GlinerModel, X: Any = None, Y: Any = None) -> None:
    """Ask the source, whatever was there before. A network that is borrowed is left to its owner.

    X: Docs, for a layer that gives vectors of words and has to be initialized.
    """
    shim = owned_shim(model)
    tok2vec = tok2vec_of(model)
    if shim is not None and tok2vec is not None:
        shim.vector_width = initialize(tok2vec, X)
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
