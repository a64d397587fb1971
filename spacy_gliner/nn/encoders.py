"""Where word and label vectors come from: `Batch` to `Reps`.

Knows no scores; the heads turn vectors into logits.
"""

import torch
from torch import Tensor, nn

from ..transfer import sent
from ..types import Batch, Pieces, Pooling, Reps
from .fusion import Fusion
from .layers import BiLSTM
from .transformer import Transformer


class UniEncoder(nn.Module):
    """Labels stand in the text as a prompt, and one pass gives the vectors of both (GLiNER, 2.1).

    A word's vector is made of its pieces', a label's is that of its marker. Words pass through a BiLSTM.

    width: Width of the vectors; where it is not the transformer's, they are projected.
    lstm_layers: 0 for no BiLSTM.
    pooling: What of a word's pieces is taken: the "first", the "last", their "mean", or the "max" of each dimension.
    embed_marker: Whether a label's vector is that of its marker, or that of the piece behind it.
    embed_relation_marker: The same for labels of relations.
    """

    def __init__(
        self,
        transformer: Transformer,
        *,
        width: int,
        lstm_layers: int,
        pooling: Pooling = "first",
        embed_marker: bool = True,
        embed_relation_marker: bool = True,
    ) -> None:
        super().__init__()
        self.pooling: Pooling = pooling
        self.embed_marker = embed_marker
        self.embed_relation_marker = embed_relation_marker
        self.transformer = transformer
        self.projection = projection(transformer, width)
        self.lstm = BiLSTM(width, lstm_layers) if lstm_layers else None

    def forward(self, batch: Batch) -> Reps:
        """Batch -> Reps, the words of the instructions left out."""
        at_marker = self.embed_marker if batch.spans is None else self.embed_relation_marker
        marks = batch.label_marks if at_marker else batch.label_marks + 1
        rows = torch.cat([_rows(batch, self.pooling), marks])
        of_words, of_labels = self.transformer(batch.piece_ids, batch.piece_lengths, rows).split(
            [len(rows) - len(marks), len(marks)]
        )
        words = _words(self.projection, of_words, batch, self.pooling)
        if self.lstm is not None:
            words = self.lstm(words, batch.word_lengths)
        labels = self.projection(of_labels)
        return Reps(*_without_instructions(words, batch), labels, batch.label_lengths)


class LabelEncoder(nn.Module):
    """Labels by themselves: the mean over a label's pieces, the tokenizer's special ones included.

    width: Width of the vectors; where it is not the transformer's, they are projected.
    """

    def __init__(self, transformer: Transformer, *, width: int) -> None:
        super().__init__()
        self.transformer = transformer
        self.projection = projection(transformer, width)

    @property
    def max_pieces(self) -> int | None:
        """The longest label in pieces; None for any length."""
        return self.transformer.max_pieces

    def forward(self, labels: Pieces) -> Tensor:
        """The pieces of C labels -> (C, D)."""
        pieces = self.transformer(labels.ids, labels.lengths)
        sizes = torch.tensor(labels.lengths, dtype=torch.long)
        rows = sent(torch.repeat_interleave(torch.arange(len(sizes)), sizes), pieces.device)
        sizes = sent(sizes, pieces.device)
        sums = pieces.new_zeros(len(sizes), pieces.shape[1]).index_add(0, rows, pieces)
        mean: Tensor = self.projection(sums / sizes.clamp(min=1)[:, None])
        return mean


class StoredLabels(nn.Module):
    """Vectors of some labels that were computed once and for all, in place of an encoder of labels.

    A label has one piece: its row.
    """

    max_pieces = None

    def __init__(self, n_labels: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.zeros(n_labels, width))

    def forward(self, labels: Pieces) -> Tensor:
        """The pieces of C labels -> (C, D). Raises ValueError for others than the stored."""
        if bool((labels.ids >= len(self.vectors)).any()):
            raise ValueError(
                f"This network has stored vectors of {len(self.vectors)} labels (precomputed_prompts) and can be asked "
                "for no others. Choose among `id_to_classes` in its gliner_config.json, or take the checkpoint that it "
                "was made from."
            )
        return self.vectors[labels.ids]


class BiEncoder(nn.Module):
    """Labels have an encoder of their own, so that their vectors are the same beside every text.

    With a fusion, words and labels then read each other: a poly-encoder.

    transformer: Reads the texts; None where another component gives the vectors of words.
    vector_width: How wide those are.
    lstm_layers: Of a BiLSTM over words, where labels are stored; published bi-encoders have none.
    width: Width of the vectors; where it is not the transformer's, they are projected.
    fusion: Of a poly-encoder.
    pooling: As of a `UniEncoder`.
    """

    def __init__(
        self,
        transformer: Transformer | None,
        labels: LabelEncoder | StoredLabels,
        *,
        width: int,
        vector_width: int = 0,
        lstm_layers: int = 0,
        fusion: Fusion | None = None,
        pooling: Pooling = "first",
    ) -> None:
        super().__init__()
        self.pooling: Pooling = pooling
        self.transformer = transformer
        self.projection = nn.Linear(vector_width, width) if transformer is None else projection(transformer, width)
        self.lstm = BiLSTM(width, lstm_layers) if lstm_layers else None
        self.labels = labels
        self.fusion = fusion

    def forward(self, batch: Batch) -> Reps:
        """Batch, whose labels are pieces or vectors, -> Reps, the words of the instructions left out."""
        words = self._words(batch)
        if self.lstm is not None:
            words = self.lstm(words, batch.word_lengths)
        words, word_lengths = _without_instructions(words, batch)
        apart = batch.labels_apart
        if apart is None:
            raise ValueError("A bi-encoder needs the labels of a batch apart, as pieces or as vectors.")
        labels = self.labels(apart) if isinstance(apart, Pieces) else apart
        if self.fusion is None:
            rows, read = batch.label_marks, batch.labels_read
            return Reps(words, word_lengths, labels, batch.label_lengths, rows, labels_read=read, floors=batch.floors)
        labels = labels[sent(batch.label_marks, labels.device)]
        words, labels = self.fusion(words, word_lengths, labels, batch.label_lengths)
        return Reps(words, word_lengths, labels, batch.label_lengths)

    def _words(self, batch: Batch) -> Tensor:
        if self.transformer is not None:
            pieces = self.transformer(batch.piece_ids, batch.piece_lengths, _rows(batch, self.pooling))
            return _words(self.projection, pieces, batch, self.pooling)
        if batch.vectors is None:
            raise ValueError(
                "This network gets the vectors of words from another component, so that it can't be borrowed "
                "(spacy_gliner.FromComponent.v1). Give the component that asks a network of its own; other labels "
                "can be asked of the owner, with doc._.gliner_labels."
            )
        words: Tensor = self.projection(batch.vectors)
        return words


def projection(transformer: Transformer, width: int) -> nn.Module:
    """A Linear where the transformer's vectors are of another width, otherwise nothing."""
    return nn.Linear(transformer.width, width) if transformer.width != width else nn.Identity()


def _rows(batch: Batch, pooling: Pooling) -> Tensor:
    """The rows of the pieces that the vectors of words are made of, word by word; of a word without any, some row."""
    starts, sizes = batch.word_starts, batch.word_sizes
    if pooling in ("first", "last"):
        return (starts if pooling == "first" else starts + sizes - 1).clamp(min=0)
    of_word = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
    before = torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
    return starts[of_word] + torch.arange(len(of_word), device=sizes.device) - before


def _words(projection: nn.Module, pieces: Tensor, batch: Batch, pooling: Pooling) -> Tensor:
    """The vector of each word from those of its pieces, which `_rows` names; zeros for a word without any."""
    values, sizes = projection(pieces), batch.word_sizes
    if pooling in ("first", "last"):
        words: Tensor = values.masked_fill((batch.word_starts < 0)[:, None], 0.0)
        return words
    of_word = torch.repeat_interleave(torch.arange(len(sizes), device=pieces.device), sizes)
    words = values.new_zeros(len(sizes), values.shape[1])
    if pooling == "mean":
        return words.index_add(0, of_word, values) / sizes.clamp(min=1)[:, None]
    return words.scatter_reduce(0, of_word[:, None].expand_as(values), values, "amax", include_self=False)


def _without_instructions(words: Tensor, batch: Batch) -> tuple[Tensor, list[int]]:
    """Only the words of the texts, and how many each has."""
    if not any(batch.instruction_lengths):
        return words, batch.word_lengths
    texts = [text[skip:] for text, skip in zip(words.split(batch.word_lengths), batch.instruction_lengths, strict=True)]
    return torch.cat(texts), [len(text) for text in texts]
