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
    labels_of: The labels, parsed; those of the component for None.
    """

    def __init__(self, shim: GlinerShim, labels_of: Callable[[Any], Sequence[Any]]) -> None:
        self.shim = shim
        self.labels_of = labels_of

    def __len__(self) -> int:
        """How many labels are encoded."""
        return len(self._table().prompts)

    def encode(self, labels: Any = None) -> None:
        """Encode labels ahead of the first text: the component's own, or others.

        Raises ValueError for a label that the network can't read whole.
        """
        self._table().encode(self._prompts(labels), self.shim.network, self.shim.tokenizer)

    def to_disk(self, path: str | Path, labels: Any = None) -> None:
        """Write the vectors of the component's labels, or of others, to a safetensors file."""
        self.encode(labels)
        prompts, table = list(dict.fromkeys(self._prompts(labels))), self._table()
        assert table.vectors is not None or not prompts
        rows = [table.prompts[prompt] for prompt in prompts]
        if table.vectors is None:
            raise ValueError("There are no labels to write the vectors of.")
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

    def _prompts(self, labels: Any) -> list[str]:
        return [getattr(label, "prompt", label.name) for label in self.labels_of(labels)]

    def _table(self) -> LabelTable:
        if not self.shim.tokenizer.labels_apart:
            raise ValueError(
                "This network reads labels in the text, beside the words, so it has no vectors of labels alone. "
                "Bi-encoders have, such as knowledgator/gliner-bi-base-v2.0."
            )
        return self.shim.label_table
