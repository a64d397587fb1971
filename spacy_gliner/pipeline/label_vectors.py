"""Vectors of labels, for networks that read labels apart from the text: made ahead, written to a file, read back."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..ml.label_table import LabelTable, fingerprint, read_vectors, write_vectors
from ..ml.shim import GlinerShim


class LabelVectors:
    """The label vectors of a component, such as `nlp.get_pipe("gliner_ner").label_vectors`.

    Every label is encoded once, when it is first asked for; that is kept until the network's weights change, and saved
    with the pipeline. These methods are for those who want to say when and where.

    shim: Holds the network.
    prompts_of: What the network reads for labels; for those of the component, for None.
    """

    def __init__(self, shim: GlinerShim, prompts_of: Callable[[Any], Sequence[str]]) -> None:
        self.shim = shim
        self.prompts_of = prompts_of

    def __len__(self) -> int:
        """How many labels are encoded and kept; those of single Docs are neither counted nor saved."""
        return len(self._table().kept)

    def encode(self, labels: Any = None) -> None:
        """Encode labels ahead of the first text: the component's own, or others. They are saved with the pipeline.

        Raises ValueError for a label that the network can't read whole.
        """
        self._table().encode(self.prompts_of(labels), self.shim.network, self.shim.tokenizer, keep=True)

    def keep(self) -> None:
        """Before the pipeline is saved: encode the component's own labels, where its network reads them apart."""
        if self.shim.tokenizer.labels_apart:
            self.encode()

    def to_disk(self, path: str | Path, labels: Any = None) -> None:
        """Write the vectors of the component's labels, or of others, to a safetensors file."""
        prompts, table = list(dict.fromkeys(self.prompts_of(labels))), self._table()
        if not prompts:
            raise ValueError("There are no labels to write the vectors of: none are given, or they depend on texts.")
        self.encode(labels)
        assert table.vectors is not None
        rows = [table.prompts[prompt] for prompt in prompts]
        write_vectors(Path(path), prompts, table.vectors[rows], fingerprint(self.shim.network, self.shim.tokenizer))

    def from_disk(self, path: str | Path) -> list[str]:
        """Take over what `to_disk` wrote, so that these labels need not be encoded.

        RETURNS: What was read for each label: its name, or its description where it has one.
        Raises FileNotFoundError; ValueError for other files, and for vectors of another label encoder.
        """
        prompts, vectors = read_vectors(Path(path), fingerprint(self.shim.network, self.shim.tokenizer))
        self._table().add(prompts, vectors)
        return prompts

    def clear(self) -> None:
        """Forget all of them."""
        self._table().clear()

    def _table(self) -> LabelTable:
        if not self.shim.tokenizer.labels_apart:
            raise ValueError(
                "This network reads labels in the text, beside the words, so it has no vectors of labels alone. "
                "Bi-encoders have, such as knowledgator/gliner-bi-base-v2.0."
            )
        return self.shim.label_table
