"""Where word and label vectors come from: `Batch` to `Reps`.

Knows no scores; the heads turn vectors into logits.
"""

import torch
from torch import Tensor, nn

from ..types import Batch, Reps
from .layers import BiLSTM
from .transformer import Transformer


class UniEncoder(nn.Module):
    """Labels stand in the text as a prompt, and one pass gives the vectors of both (GLiNER, 2.1).

    A word's vector is that of its first piece, a label's that of its marker. Words pass through a BiLSTM.

    width: Width of the vectors; where it is not the transformer's, they are projected.
    lstm_layers: 0 for no BiLSTM.
    """

    def __init__(self, transformer: Transformer, *, width: int, lstm_layers: int) -> None:
        super().__init__()
        self.transformer = transformer
        self.projection = nn.Linear(transformer.width, width) if transformer.width != width else nn.Identity()
        self.lstm = BiLSTM(width, lstm_layers) if lstm_layers else None

    def forward(self, batch: Batch) -> Reps:
        """Batch -> Reps, the words of the instructions left out."""
        pieces = self.transformer(batch.piece_ids, batch.piece_lengths)
        words = self.projection(pieces[batch.word_starts.clamp(min=0)])
        words = words.masked_fill((batch.word_starts < 0)[:, None], 0.0)
        if self.lstm is not None:
            words = self.lstm(words, batch.word_lengths)
        labels = self.projection(pieces[batch.label_marks])
        return Reps(*_without_instructions(words, batch), labels, batch.label_lengths)


def _without_instructions(words: Tensor, batch: Batch) -> tuple[Tensor, list[int]]:
    """Only the words of the texts, and how many each has."""
    if not any(batch.instruction_lengths):
        return words, batch.word_lengths
    texts = [text[skip:] for text, skip in zip(words.split(batch.word_lengths), batch.instruction_lengths, strict=True)]
    return torch.cat(texts), [len(text) for text in texts]
