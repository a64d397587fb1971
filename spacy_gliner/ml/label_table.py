"""Vectors of labels that a network reads apart from the text: encoded once, kept, saved, and forgotten when it changes.

Knows no queries and no components.
"""

import hashlib
import json
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..batching import PieceTokenizer
from ..nn.encoders import BiEncoder
from ..nn.network import Network
from ..transfer import sent
from ..types import Pieces

# Above so many labels, those not asked for right now are forgotten.
KEPT = 100_000
# So many labels are encoded at once.
BLOCK = 1024


class LabelTable:
    """What a network made of labels. Threads may share it.

    prompts: What was read for each label, with its row.
    vectors (N, D): What `Network.encode_labels` gave for them.
    kept: Those to be saved, and never forgotten to make room: what was asked for by name, not met in some text.
    """

    def __init__(self) -> None:
        self.prompts: dict[str, int] = {}
        self.vectors: Tensor | None = None
        self.kept: dict[str, None] = {}
        self._read: Tensor | None = None  # of the first rows, what the head made of them
        self._lock = threading.RLock()

    def look_up(self, prompts: Sequence[str], network: Network, tokenizer: PieceTokenizer) -> Tensor:
        """What the network's head reads for these labels. Those that are not there yet are encoded.

        Raises ValueError for a label that is longer than the network reads.
        """
        with self._lock:
            self.encode(prompts, network, tokenizer)
            read, rows = self._read_rows(network), self._rows(prompts)
        if rows == list(range(rows[0], rows[0] + len(rows))):
            return read[rows[0] : rows[0] + len(rows)]
        return read[sent(torch.tensor(rows), read.device)]

    def look_up_vectors(self, prompts: Sequence[str], network: Network, tokenizer: PieceTokenizer) -> Tensor:
        """The vectors (N, D) of these labels, for a head in training. Those that are not there yet are encoded.

        Raises ValueError for a label that is longer than the network reads.
        """
        with self._lock:
            self.encode(prompts, network, tokenizer)
            assert self.vectors is not None
            return self.vectors[self._rows(prompts)]

    def _rows(self, prompts: Sequence[str]) -> list[int]:
        return [self.prompts[prompt] for prompt in prompts]

    def encode(
        self, prompts: Iterable[str], network: Network, tokenizer: PieceTokenizer, *, keep: bool = False
    ) -> None:
        """Encode those of the labels that are not there yet; `keep` them, so that they are saved."""
        with self._lock:
            prompts = list(dict.fromkeys(prompts))
            if keep:
                self.kept |= dict.fromkeys(prompts)
            missing = [prompt for prompt in prompts if prompt not in self.prompts]
            if len(self.prompts) + len(missing) > KEPT:
                self._make_room(prompts)
            blocks = [missing[first : first + BLOCK] for first in range(0, len(missing), BLOCK)]
            if blocks:
                self._append(missing, torch.cat([encode_labels(b, network, tokenizer).cpu() for b in blocks]))

    def add(self, prompts: Sequence[str], vectors: Tensor) -> None:
        """Take over and keep vectors (N, D); those of labels that are there already are replaced."""
        with self._lock:
            if self.vectors is not None and self.vectors.shape[1] != vectors.shape[1]:
                raise ValueError(
                    f"The labels' vectors are {vectors.shape[1]} wide, but this network's {self.vectors.shape[1]}."
                )
            self.kept |= dict.fromkeys(prompts)
            known = [row for row, prompt in enumerate(prompts) if prompt in self.prompts]
            if self.vectors is not None and known:
                self.vectors = self.vectors.clone()
                self.vectors[[self.prompts[prompts[row]] for row in known]] = vectors[known]
                self._read = None
            new = [row for row, prompt in enumerate(prompts) if prompt not in self.prompts]
            self._append([prompts[row] for row in new], vectors[new])

    def saved(self) -> tuple[list[str], Tensor] | None:
        """The labels that are kept, with their vectors; None where there are none."""
        with self._lock:
            prompts = [prompt for prompt in self.kept if prompt in self.prompts]
            if self.vectors is None or not prompts:
                return None
            return prompts, self.vectors[[self.prompts[prompt] for prompt in prompts]]

    def forget(self, *, encoder_changed: bool) -> None:
        """Forget what weights that have changed had made: everything, or only what the head made of the vectors."""
        with self._lock:
            self._read = None
            if encoder_changed:
                self.prompts, self.vectors = {}, None

    def clear(self) -> None:
        """Forget everything, and what was to be kept."""
        with self._lock:
            self.forget(encoder_changed=True)
            self.kept = {}

    def _append(self, prompts: Sequence[str], vectors: Tensor) -> None:
        for prompt in prompts:
            self.prompts[prompt] = len(self.prompts)
        self.vectors = vectors if self.vectors is None else torch.cat([self.vectors, vectors])

    def _make_room(self, needed: Sequence[str]) -> None:
        """Forget all but what is needed now or kept."""
        if self.vectors is not None:
            staying = [prompt for prompt in dict.fromkeys([*self.kept, *needed]) if prompt in self.prompts]
            self.vectors = self.vectors[[self.prompts[prompt] for prompt in staying]]
            self.prompts, self._read = {prompt: row for row, prompt in enumerate(staying)}, None

    def _read_rows(self, network: Network) -> Tensor:
        """What the head reads for all rows; only for new ones it is computed."""
        assert self.vectors is not None
        device = next(network.parameters()).device
        done = self._read if self._read is not None and self._read.device == device else None
        first = 0 if done is None else len(done)
        if first < len(self.vectors):
            with torch.no_grad():
                new = [network.read_labels(block.to(device)) for block in self.vectors[first:].split(BLOCK)]
            self._read = torch.cat(new if done is None else [done, *new])
        assert self._read is not None
        return self._read


def label_pieces(prompts: Sequence[str], network: Network, tokenizer: PieceTokenizer) -> Pieces:
    """The pieces of labels that are read apart. Raises ValueError for one that is too long."""
    pieces, limit = tokenizer.label_pieces(prompts), network.max_label_pieces
    for prompt, size in zip(prompts, pieces.lengths, strict=True):
        if limit is not None and size > limit:
            raise ValueError(
                f"The label '{prompt[:60]}…' is {size} pieces long; this network's label encoder reads {limit} at "
                f"most. Say it in fewer words."
            )
    return pieces


def encode_labels(prompts: Sequence[str], network: Network, tokenizer: PieceTokenizer) -> Tensor:
    """Vectors (N, D) of labels, without a gradient. Raises ValueError for one that is too long."""
    pieces = label_pieces(prompts, network, tokenizer)
    device = next(network.parameters()).device
    with torch.no_grad():
        return network.encode_labels(Pieces(pieces.ids.to(device), pieces.lengths)).float()


def fingerprint(network: Network, tokenizer: PieceTokenizer) -> str:
    """What vectors of labels depend on: the weights of the label encoder and its tokenizer."""
    assert tokenizer.label_tokenizer is not None and isinstance(network.encoder, BiEncoder)
    digest = hashlib.sha256(tokenizer.label_tokenizer.to_str().encode("utf8"))
    for name, tensor in sorted(network.encoder.labels.state_dict().items()):
        digest.update(name.encode("utf8"))
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_vectors(path: Path, prompts: Sequence[str], vectors: Tensor, made_by: str) -> None:
    """A safetensors file with the vectors (N, D), and in its metadata the labels and the fingerprint."""
    names = json.dumps(list(prompts), ensure_ascii=False)
    save_file({"vectors": vectors.contiguous()}, path, metadata={"labels": names, "made_by": made_by})


def read_vectors(path: Path, made_by: str) -> tuple[list[str], Tensor]:
    """The inverse of `write_vectors`.

    Raises FileNotFoundError; ValueError for another file, and for vectors that a network of another fingerprint made.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata, vectors = file.metadata() or {}, file.get_tensor("vectors")
        prompts = json.loads(metadata["labels"])
        made_by_theirs = metadata["made_by"]
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path} holds no vectors of labels ({error}).") from error
    if made_by_theirs != made_by:
        raise ValueError(
            f"The vectors in {path} were made by another label encoder, or before this one was trained further. Make "
            f"them again with this pipeline."
        )
    return prompts, vectors
