"""Small layers shared by encoders and heads: the two-layer perceptron, the BiLSTM over ragged words."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from .onednn import for_programs, product, takes_onednn

Folded = tuple[Tensor, Tensor]


class Perceptron(nn.Sequential):
    """Linear - ReLU - Dropout - Linear, the "projection layer" of every GLiNER head."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int, dropout: float) -> None:
        super().__init__(nn.Linear(n_in, n_hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(n_hidden, n_out))

    @property
    def first(self) -> nn.Linear:
        """The Linear that reads the input."""
        return cast(nn.Linear, self[0])

    @property
    def second(self) -> nn.Linear:
        """The Linear that gives the output."""
        return cast(nn.Linear, self[3])

    def forward(self, rows: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        if rows.dim() != 2 or not takes_onednn(rows):
            read: Tensor = super().forward(rows)
            return read
        hidden = product(for_programs(rows), self.first.weight, self.first.bias)
        return product(self.activate(hidden), self.second.weight, self.second.bias)[: len(rows)]

    def activate(self, hidden: Tensor) -> Tensor:
        """What lies between the two. Without a gradient, `hidden` itself is overwritten: it may be large."""
        if not torch.is_grad_enabled() and not self.training:
            return hidden.relu_()
        activated: Tensor = self[2](self[1](hidden))
        return activated

    def folds(self, n_labels: int, n_rows: int) -> bool:
        """Whether output · label of so many rows and labels takes less work with `folded`, and the folding itself."""
        width, n_hidden = self.second.weight.shape
        return n_hidden * n_labels * (n_rows + width) <= n_rows * width * (n_hidden + n_labels)

    def folded(self, labels: Tensor) -> Folded:
        """Labels (C, D) with the last Linear taken into them: weights (C, H) and biases (C)."""
        return labels @ self.second.weight, labels @ self.second.bias

    def onto(self, labels: Tensor, n_rows: int, folded: Folded | None = None) -> Callable[[Tensor], Tensor]:
        """What `first` gave (…, H) -> output · label (…, C), for labels (C, D); what is least work for so many rows.

        folded: What `folded` gives for the labels, if it is known.
        """
        if not self.folds(len(labels), n_rows):
            return lambda hidden: self.second(self.activate(hidden)) @ labels.T
        weight, bias = folded or self.folded(labels)
        return lambda hidden: linear(self.activate(hidden), weight, bias)


class BiLSTM(nn.Module):
    """A bidirectional LSTM over each text's words (GLiNER, 2.1): (W, D) and lengths -> (W, D)."""

    def __init__(self, width: int, n_layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width // 2, num_layers=n_layers, bidirectional=True, batch_first=True)

    def forward(self, words: Tensor, lengths: list[int]) -> Tensor:
        """Read every text from both sides; texts without words take no part."""
        texts = [text for text in words.split(lengths) if len(text)]
        if not texts:
            return words
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        packed, _ = self.lstm(nn.utils.rnn.pack_sequence([texts[row] for row in order]))
        padded, _ = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
        read = dict(zip(order, padded, strict=True))
        return torch.cat([read[row][: len(text)] for row, text in enumerate(texts)])
