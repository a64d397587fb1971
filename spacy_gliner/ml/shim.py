"""The one place where torch enters thinc: a network and its tokenizer as a thinc shim.

Why not thinc's own `PyTorchShim`: it leaves the network in training mode after `predict`, steps on zeroed gradients
when `finish_update` is called twice, clips per tensor, and needs cupy for its optimizer on CUDA.
"""

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import srsly
import torch
from safetensors.torch import load, save
from thinc.api import Optimizer, Shim, get_torch_default_device
from torch import Tensor

from ..batching import PieceTokenizer, collate, collate_vectors
from ..nn.layout import by_input, by_output
from ..nn.network import Network, NetworkConfig
from ..nn.transformer import unpack_all
from ..types import Batch, Logits, Query
from . import forking
from .checkpoints import Checkpoint
from .label_table import LabelTable, label_pieces
from .parameters import Freeze, freeze_weights
from .prediction import AS_TRAINED, Prediction, weights_changed
from .sharing import label_table_of, loaded
from .sources import NewNetwork, Source
from .steps import new_optimizer, step, warn_of_high_rate
from .weights import network_weights, trained_network

# Where the positions of a backbone set no limit, this does: attention takes memory with the square of the length.
UNLIMITED_PIECES = 4096

_laying_out = threading.Lock()


class GlinerShim(Shim):
    """Holds a network and its tokenizer, or knows the source that they will come from.

    source: Loads them when they are first needed.
    device: "auto" for the device of thinc's current ops, or a torch device.
    freeze: What training leaves as it is; see `parameters`.
    mixed_precision: Whether training multiplies matrices in bfloat16.
    prediction: How the network predicts, where it is not as it is trained.
    """

    def __init__(
        self,
        source: Source,
        device: str = "auto",
        freeze: Freeze = "nothing",
        mixed_precision: bool = False,
        prediction: Prediction = AS_TRAINED,
    ) -> None:
        super().__init__(None)
        self.source = source
        self.device_name = device
        self.freeze = freeze
        self.mixed_precision = mixed_precision
        self.prediction = prediction
        self.vector_width = 0  # of vectors that another component gives
        self._tokenizer: PieceTokenizer | None = None
        self._owned = False
        self._frozen = LabelTable()  # of labels that are asked for in training, if it leaves their encoder as it is
        self._trains = False  # whether the weights lie as training needs them
        forking.watch(self)

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._model is not None

    @property
    def loadable(self) -> bool:
        """Whether the source can load them by itself; not where it waits to be told how wide given vectors are."""
        return not isinstance(self.source, NewNetwork) or self.source.backbone is not None or bool(self.vector_width)

    @property
    def network(self) -> Network:
        """The network, loaded from its source if need be."""
        if self._model is None:
            self.load()
        network: Network = self._model
        return network

    @property
    def tokenizer(self) -> PieceTokenizer:
        """The tokenizer, loaded from its source if need be."""
        if self._tokenizer is None:
            self.load()
        assert self._tokenizer is not None
        return self._tokenizer

    @property
    def label_table(self) -> LabelTable:
        """The vectors of labels that the network reads apart from the text; empty for other networks."""
        return label_table_of(self.network)

    def collate(self, queries: Sequence[Query], is_train: bool, vectors: Sequence[Tensor] | None = None) -> Batch:
        """The queries as a Batch; labels that are read apart as vectors or, if they are to be trained, as pieces.

        vectors: Of the tokens of the texts that the queries are about, where another component gives them.
        """
        if vectors is not None:
            batch = collate_vectors(queries, vectors)
        else:
            batch = collate(queries, self.tokenizer, max_word_pieces=self.max_word_pieces)
        labels = batch.prompts_apart
        if labels is None:
            return batch
        if not labels or (is_train and self.freeze != "labels"):
            return replace(batch, labels_apart=label_pieces(labels, self.network, self.tokenizer))
        if is_train:
            return replace(batch, labels_apart=self._frozen.look_up_vectors(labels, self.network, self.tokenizer))
        read = self.label_table.look_up(labels, self.network, self.tokenizer)
        return replace(batch, labels_apart=read, labels_read=True)

    def word_sizes(self, words: Sequence[str]) -> list[int]:
        """How many pieces of a pass each word takes; one, where another component reads them."""
        if self.network.config.backbone is None:
            return [1] * len(words)
        most = self.max_word_pieces
        return [min(len(pieces), most) for pieces in self.tokenizer.pieces(words)]

    @property
    def max_pieces(self) -> int:
        """The longest query in pieces."""
        return self.network.max_pieces or UNLIMITED_PIECES

    @property
    def max_word_pieces(self) -> int:
        """Of a longer word only the first pieces are read. Labels leave this much room: they take half at most."""
        return self.max_pieces // 2

    @property
    def device(self) -> torch.device:
        """Where the network runs or, before it is loaded, will run."""
        if self._model is not None:
            return next(self._model.parameters()).device
        return self._wanted_device()

    def _wanted_device(self) -> torch.device:
        """The configured device. Asked once, when loading: thinc's current ops differ from thread to thread."""
        return torch.device(get_torch_default_device() if self.device_name == "auto" else self.device_name)

    def load(self) -> None:
        """Take the network that another component has from the same source, or call the source."""
        network, tokenizer, shared = loaded(self.source, self._wanted_device(), self.vector_width)
        self._take(network, tokenizer, owned=not shared)

    def _take(self, network: Network, tokenizer: PieceTokenizer, *, owned: bool) -> None:
        self._model, self._tokenizer, self._owned, self._optimizer = network, tokenizer, owned, None
        self._frozen = LabelTable()
        self._trains = False

    def own(self) -> None:
        """Make sure that nobody else uses this network, as before training."""
        if not self._owned:
            self._model = copy.deepcopy(self.network)
            self._owned = True
        if not self.prediction.packed:
            unpack_all(self.network)
        if self._optimizer is None:
            freeze_weights(self.network, self.freeze)

    def _lay_out(self, *, trains: bool) -> None:
        """Have the weights lie as training needs them, or as prediction does. Of several threads, one does it."""
        if trains == self._trains:
            return
        with _laying_out:
            if trains != self._trains:
                (by_output if trains else by_input)(self.network)
                self._trains = trains

    def __call__(self, inputs: Batch, is_train: bool) -> tuple[Logits, Callable[[Tensor], None]]:
        """Batch -> Logits, with a callback that takes the gradient of their scores."""
        if is_train:
            return self.begin_update(inputs)
        self._lay_out(trains=False)
        network = self.prediction.network_of(self.network)
        weight = next(network.parameters())
        with torch.inference_mode():
            logits = network(inputs.to(weight.device, weight.dtype))
        return replace(logits, scores=logits.scores.float()), _no_backprop

    def begin_update(self, inputs: Batch) -> tuple[Logits, Callable[[Tensor], None]]:
        """Run in training mode, and only here: at all other times the network is in evaluation mode."""
        self.own()
        self._lay_out(trains=True)
        self.network.train()
        try:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed_precision):
                logits = self.network(inputs.to(self.device))
        finally:
            self.network.eval()
        logits = replace(logits, scores=logits.scores.float())

        def backprop(d_scores: Tensor) -> None:
            self._lay_out(trains=True)  # as a gradient lies as its weights do
            logits.scores.backward(d_scores.to(logits.scores))

        return logits, backprop

    def finish_update(self, optimizer: Optimizer) -> None:
        """One step of a native AdamW with the thinc optimizer's settings, if a gradient arrived since the last one.

        `optimizer.learn_rate` is the backbone's rate, `optimizer.head_learn_rate` (where there is one) everybody
        else's. Weight decay leaves out biases and norms; the gradient is clipped by its global norm.
        """
        if self._model is None or all(parameter.grad is None for parameter in self._model.parameters()):
            return
        self._lay_out(trains=True)
        if self._optimizer is None:
            self._optimizer = self._new_optimizer(getattr(optimizer, "layer_decay", 1.0))
            warn_of_high_rate(optimizer)
        step(self._optimizer, self.network, optimizer)
        weights_changed(self.network)
        self.label_table.forget(encoder_changed=self.freeze != "labels")

    def _new_optimizer(self, layer_decay: float) -> torch.optim.Optimizer:
        self._layer_decay = layer_decay
        return new_optimizer(self.network, layer_decay)

    def training_state(self) -> dict[str, Any]:
        """Weights and what the optimizer remembers, to go on from."""
        optimizer = None if self._optimizer is None else (self._layer_decay, self._optimizer.state_dict())
        return {"weights": self.network.state_dict(), "optimizer": optimizer}

    def set_training_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `training_state`."""
        self._optimizer = None
        self.own()
        self.network.load_state_dict(state["weights"])
        weights_changed(self.network)
        self.label_table.forget(encoder_changed=True)
        self._frozen.clear()
        if state["optimizer"] is not None:
            layer_decay, remembered = state["optimizer"]
            self._optimizer = self._new_optimizer(layer_decay)
            self._optimizer.load_state_dict(remembered)

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move to "cpu" or to the "gpu" of that number."""
        self.device_name = "cpu" if device_type == "cpu" else f"cuda:{device_id}"
        if self._model is not None:
            self.own()
            self._model.to(self._wanted_device())
            if not self._trains:
                by_input(self._model)
            weights_changed(self._model)

    def to_bytes(self) -> bytes:
        """Configuration, weights, tokenizer and vectors of labels. Loads the network if need be."""
        message: dict[str, Any] = {
            "network": self.network.config.to_json(),
            "weights": save(network_weights(self.network)),
            "tokenizer": self.tokenizer.to_bytes(),
        }
        if (saved := self.label_table.saved()) is not None:
            message |= {"labels": saved[0], "label_vectors": save({"vectors": saved[1]})}
        data: bytes = srsly.msgpack_dumps(message)
        return data

    def from_bytes(self, bytes_data: bytes) -> "GlinerShim":
        """The inverse of `to_bytes`; the source is not asked."""
        try:
            message = srsly.msgpack_loads(bytes_data)
        except ValueError as error:
            raise ValueError(f"The saved network can't be read; is its file truncated or damaged? ({error})") from error
        config = NetworkConfig.from_json(message["network"])
        network = trained_network(config, load(message["weights"]), where="the saved pipeline")
        by_input(network)
        self._take(network.to(self._wanted_device()), PieceTokenizer.from_bytes(message["tokenizer"]), owned=True)
        if "labels" in message:
            self.label_table.add(message["labels"], load(message["label_vectors"])["vectors"])
        return self

    def checkpoint(self) -> Checkpoint:
        """The network and its tokenizer as one."""
        return Checkpoint(self.network, self.tokenizer)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("source", "device_name", "freeze", "mixed_precision", "prediction", "vector_width", "id", "cfg")
        return {name: getattr(self, name) for name in kept} | {"data": self.to_bytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        data = state.pop("data")
        self.__dict__.update(state)
        self.from_bytes(data)
        forking.watch(self)
        forking.in_one_thread_if_child()


def _no_backprop(d_scores: Tensor) -> None:
    raise RuntimeError("These logits came from a prediction; use Model.begin_update to get a gradient.")
