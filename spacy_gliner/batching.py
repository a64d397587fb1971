"""Turn queries into a `Batch`: prompt layout, pieces, row numbers; and group them into passes.

Knows the tokenizer and the prompt; does not know spaCy, devices, or which network will read the batch.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer

from .types import Batch, GivenSpans, Pieces, Query

CACHE_SIZE = 200_000
FLOOR_ROOM = 0.01


class PieceTokenizer:
    """A subword tokenizer with the markers of a GLiNER prompt.

    Published checkpoints read a text as pre-split words, each cut into pieces by itself. So a word's pieces never
    depend on its neighbours, and are remembered.

    tokenizer: A `tokenizers.Tokenizer`. Markers that it lacks are appended as `[FLERT]`, `label_marker`,
        `separator`, which gives them the ids of published checkpoints.
    label_tokenizer: That of a network that reads labels apart; then texts have no prompt, and no markers.
    relation_marker: That of a network that knows relations too; None for others. Of such networks, the markers that are
        lacking are appended as `label_marker`, `separator`, `relation_marker`.
    separator_first: Whether such texts begin with the separator.
    n_ids, n_label_ids: How many ids the network knows, where the tokenizer of texts, or that of labels, has more; those
        are read as unknown words.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        label_marker: str = "<<ENT>>",
        separator: str = "<<SEP>>",
        *,
        label_tokenizer: Tokenizer | None = None,
        relation_marker: str | None = None,
        separator_first: bool = False,
        n_ids: int | None = None,
        n_label_ids: int | None = None,
    ) -> None:
        for each in filter(None, (tokenizer, label_tokenizer)):
            each.no_truncation()
            each.no_padding()
        markers = [marker for marker in (label_marker, separator, relation_marker) if marker is not None]
        if label_tokenizer is None and any(tokenizer.token_to_id(marker) is None for marker in markers):
            added = markers if relation_marker is not None else ["[FLERT]", *markers]
            tokenizer.add_special_tokens([AddedToken(marker, normalized=False, special=True) for marker in added])
        self.tokenizer = tokenizer
        self.label_marker = label_marker
        self.separator = separator
        self.label_marker_id: int = tokenizer.token_to_id(label_marker)
        self.separator_id: int = tokenizer.token_to_id(separator)
        self.relation_marker = relation_marker
        self.separator_first = separator_first
        self.label_tokenizer = label_tokenizer
        self.n_ids = n_ids
        self.n_label_ids = n_label_ids
        self.prefix, self.suffix = _template(tokenizer)
        self._pieces: dict[str, tuple[int, ...]] = {}

    @property
    def marker_ids(self) -> list[int]:
        """The ids of the markers."""
        markers = filter(None, (self.label_marker, self.separator, self.relation_marker))
        return [self.tokenizer.token_to_id(marker) for marker in markers]

    @property
    def labels_apart(self) -> bool:
        """Whether labels are read by an encoder of their own, so that texts have no prompt."""
        return self.label_tokenizer is not None

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
            known.update(zip(unseen, (known_ids(e.ids, self.n_ids, self.tokenizer) for e in encoded), strict=True))
        return [known[word] for word in words]

    def label_pieces(self, labels: Sequence[str]) -> Pieces:
        """The pieces of labels that are read apart, each with the special ones of their tokenizer."""
        assert self.label_tokenizer is not None
        encoded = self.label_tokenizer.encode_batch(list(labels))
        ids = [piece for e in encoded for piece in known_ids(e.ids, self.n_label_ids, self.label_tokenizer)]
        return Pieces(torch.tensor(ids, dtype=torch.long), [len(label.ids) for label in encoded])

    def prompt_size(self, query: Query) -> int:
        """How many pieces of a pass everything but the words of the text takes."""
        size = len(self.prefix) + sum(map(len, self.pieces(query.instruction))) + len(self.suffix)
        return size + sum(map(len, self.prompt(query)[0]))

    def prompt(self, query: Query) -> tuple[list[tuple[int, ...]], list[int]]:
        """What is read before the text, in parts, and which of these begin with the markers of the query's labels."""
        if query.beside and self.relation_marker is None:
            raise ValueError(
                f"This network reads no labels beside those that it looks for ('{query.beside[0]}'); only joint "
                f"networks for entities and relations do. Leave the setting 'beside' empty."
            )
        separator = (self.separator_id,)
        if self.labels_apart:
            return [separator] if self.separator_first else [], []
        parts = [(self.label_marker_id, *pieces) for pieces in self.pieces(query.label_prompts)]
        if self.relation_marker is None:
            return [*parts, separator], list(range(len(parts)))
        of_relations, of_spans = self.tokenizer.token_to_id(self.relation_marker), self.label_marker_id
        beside = self.pieces(query.beside)
        if query.spans is None:
            relations = [(of_relations, *pieces) for pieces in beside]
            return [*parts, separator, *relations, separator], list(range(len(parts)))
        types, relations = [(of_spans, *pieces) for pieces in beside], [(of_relations, *part[1:]) for part in parts]
        first = len(types) + 1
        return [*types, separator, *relations, separator], list(range(first, first + len(relations)))

    def to_bytes(self) -> bytes:
        """The tokenizer, its markers and that of the labels, as bytes."""
        of_labels = None if self.label_tokenizer is None else self.label_tokenizer.to_str()
        message = [self.label_marker, self.separator, self.tokenizer.to_str(), of_labels, self.n_ids, self.n_label_ids]
        message += [self.relation_marker, self.separator_first]
        return json.dumps(message).encode("utf8")

    @classmethod
    def from_bytes(cls, data: bytes) -> "PieceTokenizer":
        """The inverse of `to_bytes`."""
        saved: list[Any] = json.loads(data)
        label_marker, separator, tokenizer, *apart = saved
        apart += [None, None, None, None, False][len(apart) :]  # what was saved earlier lacks some
        of_labels, n_ids, n_label_ids, relation_marker, separator_first = apart
        return cls(
            Tokenizer.from_str(tokenizer),
            label_marker,
            separator,
            label_tokenizer=None if of_labels is None else Tokenizer.from_str(of_labels),
            relation_marker=relation_marker,
            separator_first=separator_first,
            n_ids=n_ids,
            n_label_ids=n_label_ids,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.to_bytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(PieceTokenizer.from_bytes(state["data"]).__dict__)


def known_ids(ids: Sequence[int], n_ids: int | None, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids; those from `n_ids` on as that of an unknown word."""
    if n_ids is None or max(ids, default=0) < n_ids:
        return tuple(ids)
    unknown = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "") or 0
    return tuple(i if i < n_ids else unknown for i in ids)


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
    label_marks `[1]`, word_starts `[4, 5]`. Of labels that are read apart, label_marks are rows of `prompts_apart`.
    """
    ids: list[int] = []
    piece_lengths, word_starts, word_sizes = [], [], []
    label_marks: list[int] = []
    apart = distinct_prompts(queries) if tokenizer.labels_apart else {}
    for query in queries:
        begin = len(ids)
        ids.extend(tokenizer.prefix)
        if tokenizer.labels_apart:
            label_marks.extend(map(apart.__getitem__, query.label_prompts))
        prompt, marks = tokenizer.prompt(query)
        rows = list(itertools.accumulate(map(len, prompt), initial=len(ids)))
        label_marks.extend(rows[mark] for mark in marks)
        ids.extend(itertools.chain.from_iterable(prompt))
        for word in tokenizer.pieces([*query.instruction, *query.words]):
            word_starts.append(len(ids) if word else -1)
            ids.extend(word[:max_word_pieces])
            word_sizes.append(len(word[:max_word_pieces]))
        ids.extend(tokenizer.suffix)
        piece_lengths.append(len(ids) - begin)
    return Batch(
        piece_ids=torch.tensor(ids, dtype=torch.long),
        piece_lengths=piece_lengths,
        word_starts=torch.tensor(word_starts, dtype=torch.long),
        word_sizes=torch.tensor(word_sizes, dtype=torch.long),
        word_lengths=[len(query.instruction) + len(query.words) for query in queries],
        instruction_lengths=[len(query.instruction) for query in queries],
        label_marks=torch.tensor(label_marks, dtype=torch.long),
        label_lengths=[len(query.labels) for query in queries],
        prompts_apart=list(apart) if tokenizer.labels_apart else None,
        spans=_given_spans(queries, [query.spans for query in queries]),
        again=_given_spans(queries, [query.again for query in queries]),
        floors=_floors(queries),
    )


def collate_vectors(queries: Sequence[Query], vectors: Sequence[torch.Tensor]) -> Batch:
    """As `collate`, for networks that read labels apart and are given the vectors of words.

    vectors: Of all tokens (T, E) of each text that the queries' words come from.
    Raises ValueError for an instruction, of which there are no vectors.
    """
    if any(query.instruction for query in queries):
        raise ValueError(
            "A network that gets the vectors of words from another component can't read questions, relations or "
            "prompts before the text. It finds entities (gliner_ner); give other components a network of their own."
        )
    apart = distinct_prompts(queries)
    none = torch.zeros(0, dtype=torch.long)
    words = [vectors[query.origin.text][list(query.origin.tokens)] for query in queries if query.origin is not None]
    return Batch(
        piece_ids=none,
        piece_lengths=[],
        word_starts=none,
        word_sizes=none,
        word_lengths=[len(query.words) for query in queries],
        instruction_lengths=[0] * len(queries),
        label_marks=torch.tensor(
            [apart[label] for query in queries for label in query.label_prompts], dtype=torch.long
        ),
        label_lengths=[len(query.labels) for query in queries],
        prompts_apart=list(apart),
        again=_given_spans(queries, [query.again for query in queries]),
        vectors=torch.cat(words) if words else None,
        floors=_floors(queries),
    )


def _floors(queries: Sequence[Query]) -> list[float] | None:
    """A little below the logits of the queries' floors, as probabilities are rounded; None where there are none."""
    if not any(query.floor > 0 for query in queries):
        return None
    return [torch.tensor(query.floor, dtype=torch.float64).logit().item() - FLOOR_ROOM for query in queries]


def _given_spans(queries: Sequence[Query], given: Sequence[Sequence[tuple[int, int]] | None]) -> GivenSpans | None:
    if all(spans is None for spans in given):
        return None
    if any(spans is None for spans in given):
        raise ValueError("The queries of a batch must all ask for spans, or all for scores of given spans.")
    rows: list[tuple[int, int]] = []
    before = 0
    for query, spans in zip(queries, given, strict=True):
        rows.extend((before + start, before + end - 1) for start, end in spans or ())
        before += len(query.words)
    return GivenSpans(torch.tensor(rows, dtype=torch.long).view(-1, 2), [len(spans or ()) for spans in given])


def distinct_prompts(queries: Iterable[Query]) -> dict[str, int]:
    """What is read for the labels of all queries, each once, with its row."""
    sets = dict.fromkeys(query.label_prompts for query in queries)
    return {prompt: row for row, prompt in enumerate(dict.fromkeys(prompt for labels in sets for prompt in labels))}


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
