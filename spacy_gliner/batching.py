"""Turn queries into a `Batch`: prompt layout, pieces, row numbers; and group them into passes.

Knows the tokenizer and the prompt; does not know spaCy, devices, or which network will read the batch.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer

from .types import Batch, Query

CACHE_SIZE = 200_000


class PieceTokenizer:
    """A subword tokenizer with the markers of a GLiNER prompt.

    Published checkpoints read a text as pre-split words, each cut into pieces by itself. So a word's pieces never
    depend on its neighbours, and are remembered.

    tokenizer: A `tokenizers.Tokenizer`. Markers that it lacks are appended as `[FLERT]`, `label_marker`,
        `separator`, which gives them the ids of published checkpoints.
    """

    def __init__(self, tokenizer: Tokenizer, label_marker: str = "<<ENT>>", separator: str = "<<SEP>>") -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        if tokenizer.token_to_id(label_marker) is None or tokenizer.token_to_id(separator) is None:
            tokenizer.add_special_tokens(
                [AddedToken(t, normalized=False, special=True) for t in ("[FLERT]", label_marker, separator)]
            )
        self.tokenizer = tokenizer
        self.label_marker = label_marker
        self.separator = separator
        self.label_marker_id: int = tokenizer.token_to_id(label_marker)
        self.separator_id: int = tokenizer.token_to_id(separator)
        self.prefix, self.suffix = _template(tokenizer)
        self._pieces: dict[str, tuple[int, ...]] = {}

    def __len__(self) -> int:
        """The number of ids, markers included: the rows that an embedding matrix needs."""
        return int(self.tokenizer.get_vocab_size(with_added_tokens=True))

    def pieces(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """The piece ids of each word; none for a word of control characters, say."""
        known = self._pieces
        unseen = [word for word in dict.fromkeys(words) if word not in known]
        if unseen:
            if len(known) + len(unseen) > CACHE_SIZE:
                known = self._pieces = {}
                unseen = list(dict.fromkeys(words))
            encoded = self.tokenizer.encode_batch([[w] for w in unseen], is_pretokenized=True, add_special_tokens=False)
            known.update(zip(unseen, (tuple(e.ids) for e in encoded), strict=True))
        return [known[word] for word in words]

    def prompt_size(self, query: Query) -> int:
        """How many pieces of a pass everything but the words of the text takes."""
        prompts = self.pieces([*query.label_prompts, *query.instruction])
        return len(self.prefix) + sum(map(len, prompts)) + len(query.labels) + 1 + len(self.suffix)

    def to_bytes(self) -> bytes:
        """The tokenizer and its markers, as bytes."""
        message = [self.label_marker, self.separator, self.tokenizer.to_str()]
        return json.dumps(message).encode("utf8")

    @classmethod
    def from_bytes(cls, data: bytes) -> "PieceTokenizer":
        """The inverse of `to_bytes`."""
        label_marker, separator, tokenizer = json.loads(data)
        return cls(Tokenizer.from_str(tokenizer), label_marker, separator)

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.to_bytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(PieceTokenizer.from_bytes(state["data"]).__dict__)


def _template(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special pieces that the tokenizer puts before and after any text, as `[CLS]` and `[SEP]`."""
    bare = len(tokenizer.encode("a", add_special_tokens=False).ids)
    full = tokenizer.encode("a", add_special_tokens=True)
    n_before = full.special_tokens_mask.index(0)
    return tuple(full.ids[:n_before]), tuple(full.ids[n_before + bare :])


def collate(queries: Sequence[Query], tokenizer: PieceTokenizer, *, max_word_pieces: int | None = None) -> Batch:
    """Lay the queries out as one `Batch`.

    max_word_pieces: Of a longer word only the first pieces are read; the word itself stays.

    `<<ENT>> person <<SEP>> Bill Gates` -> pieces `[CLS] <<ENT>> person <<SEP>> Bill Gates [SEP]`,
    label_marks `[1]`, word_starts `[4, 5]`.
    """
    ids: list[int] = []
    piece_lengths, word_starts, label_marks = [], [], []
    for query in queries:
        begin = len(ids)
        ids.extend(tokenizer.prefix)
        for prompt in tokenizer.pieces(query.label_prompts):
            label_marks.append(len(ids))
            ids.append(tokenizer.label_marker_id)
            ids.extend(prompt)
        ids.append(tokenizer.separator_id)
        for word in tokenizer.pieces([*query.instruction, *query.words]):
            word_starts.append(len(ids) if word else -1)
            ids.extend(word[:max_word_pieces])
        ids.extend(tokenizer.suffix)
        piece_lengths.append(len(ids) - begin)
    return Batch(
        piece_ids=torch.tensor(ids, dtype=torch.long),
        piece_lengths=piece_lengths,
        word_starts=torch.tensor(word_starts, dtype=torch.long),
        word_lengths=[len(query.instruction) + len(query.words) for query in queries],
        instruction_lengths=[len(query.instruction) for query in queries],
        label_marks=torch.tensor(label_marks, dtype=torch.long),
        label_lengths=[len(query.labels) for query in queries],
    )


def by_length(lengths: Sequence[int], *, max_pieces: int) -> Iterator[list[int]]:
    """Group things of these lengths into passes of similar ones, at most `max_pieces` long each when padded.

    Something longer than `max_pieces` makes a pass of its own.

    lengths 5, 90, 6, 7 and max_pieces 100 -> [0, 2, 3], [1]
    """
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows and lengths[row] * (len(rows) + 1) > max_pieces:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows
