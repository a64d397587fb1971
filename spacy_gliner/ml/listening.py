"""Networks that get the vectors of words from another component, such as the transformer of a pipeline.

The vectors of a batch of Docs are asked for once, whatever number of passes then reads them, and get one gradient.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from thinc.api import Model, torch2xp, xp2torch
from torch import Tensor

from ..types import Query

Tok2Vec = Model[list[Any], list[Any]]  # of Docs


class Heard(NamedTuple):
    """Queries, and the vectors of all tokens (T, E) of the texts that their words are from."""

    queries: list[Query]
    vectors: list[Tensor]


def tok2vec_of(model: Model[Any, Any]) -> Tok2Vec | None:
    """The layer that gives the vectors of words; None for a network that reads them itself."""
    return model.layers[0] if model.layers else None


def asked(queries: list[Query], vectors: list[Tensor] | None) -> list[Query] | Heard:
    """The input of a model: queries, with the vectors of its layer where it has one."""
    return queries if vectors is None else Heard(queries, vectors)


def hear(model: Model[Any, Any], docs: Sequence[Any]) -> list[Tensor] | None:
    """The vectors of the tokens of each Doc; None for a network that reads words itself."""
    tok2vec = tok2vec_of(model)
    return None if tok2vec is None else [xp2torch(vectors) for vectors in tok2vec.predict(list(docs))]


def begin_hearing(
    model: Model[Any, Any], docs: Sequence[Any]
) -> tuple[list[Tensor] | None, Callable[[list[Tensor]], Any]]:
    """As `hear`, in training, with a callback that takes the gradient of these vectors, or none at all.

    The callback has to be called even if nothing was learned: others may listen to the same component.
    """
    tok2vec = tok2vec_of(model)
    if tok2vec is None:
        return None, lambda gradients: None
    arrays, backprop = tok2vec.begin_update(list(docs))

    def backprop_vectors(gradients: list[Tensor]) -> Any:
        given = [torch2xp(gradient) for gradient in gradients] or [array * 0 for array in arrays]
        return backprop([tok2vec.ops.asarray(gradient) for gradient in given])

    return [xp2torch(array) for array in arrays], backprop_vectors


def initialize(tok2vec: Tok2Vec, docs: Sequence[Any] | None) -> int:
    """Make a layer ready that gives vectors of words. Returns how wide they are.

    Raises ValueError for a layer that listens to nobody.
    """
    listener = tok2vec.maybe_get_ref("listener")
    if not hasattr(listener, "upstream_name"):
        listener = None  # what `replace_listeners` puts there listens to nobody
    if listener is not None and not listener.has_dim("nO"):
        raise ValueError(
            "It isn't known how wide the vectors of the component are that this one listens to. Is there such a "
            "component (a 'transformer', say) before it in the pipeline, and is it initialized or trained?"
        )
    docs = list(docs or [])
    tok2vec.initialize(X=docs)
    for node in filter(None, (listener, tok2vec)):
        if node.has_dim("nO"):
            return int(node.get_dim("nO"))
    return max((vectors.shape[1] for vectors in tok2vec.predict(docs)), default=0)


def with_gradient(vectors: list[Tensor]) -> list[Tensor]:
    """The same vectors as leaves of a new graph."""
    return [each.detach().requires_grad_() for each in vectors]


def gradients_of(vectors: list[Tensor]) -> list[Tensor]:
    """What arrived at leaves; zeros where nothing did."""
    return [torch.zeros_like(each) if each.grad is None else each.grad for each in vectors]
