"""Vectors of labels that a network reads apart from the text: encoded once, kept, saved, and forgotten when it changes.

Knows no queries and no components.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..batching import PieceTokenizer
from ..nn.encoders import BiEncoder
from ..nn.network import Network

# Above so many labels, those not asked for right now are forgotten.
KEPT = 100_000
# So many labels are encoded at once.
BLOCK = 1024


class LabelTable:
    """What a network made of labels.

    prompts: What was read for each label, with its row.
    vectors (N, D): What `Network.encode_labels` gave for them.
    """

    def __init__(self) -> None:
        self.prompts: dict[str, int] = {}
        self.vectors: Tensor | None = None
        self._read: Tensor | None = None

    def look_up(self, prompts: Sequence[str], network: Network, tokenizer: PieceTokenizer) -> Tensor:
        """What the network's head reads for these labels. Those that are not there yet are encoded.

        Raises ValueError for a label that is longer than the network reads.
        """
        self.encode(prompts, network, tokenizer)
        device = next(network.parameters()).device
        if self._read is None or self._read.device != device:
            assert self.vectors is not None
            with torch.no_grad():
                self._read = network.read_labels(self.vectors.to(device))
        rows = [self.prompts[prompt] for prompt in prompts]
        if rows == list(range(rows[0], rows[0] + len(rows))):
            return self._read[rows[0] : rows[0] + len(rows)]
        return self._read[torch.tensor(rows, device=device)]

    def encode(self, prompts: Iterable[str], network: Network, tokenizer: PieceTokenizer) -> None:
        """Encode those of the labels that are not there yet."""
        prompts = list(dict.fromkeys(prompts))
        missing = [prompt for prompt in prompts if prompt not in self.prompts]
        if len(self.prompts) + len(missing) > KEPT:
            self.clear()
            missing = prompts
        for first in range(0, len(missing), BLOCK):
            block = missing[first : first + BLOCK]
            self.add(block, encode_labels(block, network, tokenizer).cpu())

    def add(self, prompts: Sequence[str], vectors: Tensor) -> None:
        """Take over vectors (N, D); those of labels that are there already are replaced."""
        if self.vectors is not None and self.vectors.shape[1] != vectors.shape[1]:
            raise ValueError(
                f"The vectors of the labels are {vectors.shape[1]} wide, but this network's {self.vectors.shape[1]}."
            )
        known = self.vectors
        kept = [(prompt, row) for prompt, row in self.prompts.items() if prompt not in set(prompts)]
        if known is not None and kept:
            old = known if len(kept) == len(known) else known[[row for _, row in kept]]
            vectors = torch.cat([old, vectors])
        names = [*(prompt for prompt, _ in kept), *prompts]
        self.prompts, self.vectors, self._read = {name: row for row, name in enumerate(names)}, vectors, None

    def forget(self, *, encoder_changed: bool) -> None:
        """Forget what weights that have changed had made: everything, or only what the head made of the vectors."""
        self._read = None
        if encoder_changed:
            self.clear()

    def clear(self) -> None:
        """Forget everything, as when weights change."""
        self.prompts, self.vectors, self._read = {}, None, None


def encode_labels(prompts: Sequence[str], network: Network, tokenizer: PieceTokenizer) -> Tensor:
    """Vectors (N, D) of labels, without a gradient. Raises ValueError for one that is too long."""
    pieces = tokenizer.label_pieces(prompts)
    limit = network.max_label_pieces
    for prompt, size in zip(prompts, pieces.lengths, strict=True):
        if limit is not None and size > limit:
            raise ValueError(
                f"The label '{prompt[:60]}…' is {size} pieces long; this network's label encoder reads {limit} at "
                f"most. Say it in fewer words."
            )
    device = next(network.parameters()).device
    with torch.no_grad():
        return network.encode_labels(type(pieces)(pieces.ids.to(device), pieces.lengths)).float()


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
