"""What goes into a pass together: groups of labels that fit, and ranges of words that fit beside them."""

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from spacy.tokens import Doc

from ..batching import PieceTokenizer, by_length
from ..ml.shim import GlinerShim
from ..types import Origin, Query
from .windows import Range, fit, in_words

# Labels take at most this many pieces of a pass, and never more than half of it; more labels go in several groups.
PROMPT_PIECES = 512
# With more labels than this beside a text, a network that reads them apart is better and faster.
MANY_LABELS = 100
# Labels that are read apart from the text take no pieces of a pass; but their scores take memory, so that even these go
# in groups.
LABELS_APART = 16_384
# Words times labels of a pass: a span head gives a dozen scores for each.
SCORES = 2_000_000
# A label of a query takes memory by itself, where it is read beside each text: about that of so many scores.
WORDS_OF_A_LABEL = 64
# A question that leaves fewer pieces than this to its label is too long.
LABEL_ROOM = 8
# Words that two halves of a window share when it has to be split.
SPLIT_OVERLAP = 24


logger = logging.getLogger("spacy_gliner")


@dataclass(frozen=True)
class Part:
    """A query about one range of words of one Doc, and how many pieces it takes."""

    doc: int
    place: Range
    query: Query
    n_pieces: int


def parts(
    row: int,
    doc: Doc,
    words: Sequence[int],
    asked: Iterable[tuple[Range, Sequence[Query]]],
    groups: "Groups",
) -> Iterator[Part]:
    """Every ask about every window of a Doc, in groups of labels.

    row: Where the Doc stands among those of a batch.
    words: The tokens of the Doc that are words.
    asked: Ranges of these words, each with queries without words, whose spans are tokens of the Doc.
    groups: Of the network whose tokenizer and limits count.
    """
    shim = groups.shim
    texts = tuple(doc[word].text for word in words)
    sizes = shim.word_sizes(texts)
    for window, asks in asked:
        for ask in asks:
            for group, prompt_size in groups.of(ask):
                places = list(fit(window, sizes, budget=shim.max_pieces - prompt_size, overlap=SPLIT_OVERLAP))
                if group.spans is not None and len(places) > 1:
                    warn_of_distant_pairs(group, places, words)
                for place in places:
                    query = replace(
                        group,
                        words=texts[place.start : place.end],
                        spans=_inside(group, place, words),
                        origin=Origin(row, tuple(words[place.start : place.end])),
                    )
                    if query.spans is None or len(query.spans) > 1:
                        yield Part(row, place, query, prompt_size + sum(sizes[place.start : place.end]))


class Groups:
    """The groups of labels of asks, each with the pieces that it takes before the words: once for the same ask.

    shim: The network whose tokenizer and limits count.
    """

    def __init__(self, shim: GlinerShim) -> None:
        self.shim = shim
        self._known: dict[Query, list[tuple[Query, int]]] = {}

    def of(self, ask: Query) -> list[tuple[Query, int]]:
        """As of `label_groups`."""
        if ask not in self._known:
            tokenizer = self.shim.tokenizer
            split = label_groups(ask, tokenizer, self.shim.max_pieces)
            self._known[ask] = [(group, tokenizer.prompt_size(group)) for group in split]
        return self._known[ask]


def _inside(ask: Query, place: Range, words: Sequence[int]) -> tuple[tuple[int, int], ...] | None:
    """Those of the spans of an ask, which are tokens of the Doc, that lie in a range of words, counted from there."""
    if ask.spans is None:
        return None
    found = (in_words(span, words) for span in ask.spans)
    inside = (span for span in found if _holds(place, span))
    return tuple((start - place.start, end - place.start) for start, end in inside)


def passes(asked: Sequence[Part], max_pieces: int) -> Iterator[list[int]]:
    """Rows of parts of similar length that go into a pass: so many pieces when padded, and not too many scores."""
    for rows in by_length([part.n_pieces for part in asked], max_pieces=max_pieces):
        first = n_scores = 0
        for end, row in enumerate(rows):
            query = asked[row].query
            size = (len(query.words) + WORDS_OF_A_LABEL + len(query.spans or ()) ** 2) * len(query.labels)
            if end > first and n_scores + size > SCORES:
                yield rows[first:end]
                first, n_scores = end, 0
            n_scores += size
        yield rows[first:]


def warn_of_distant_pairs(ask: Query, places: Sequence[Range], words: Sequence[int]) -> None:
    """Say how many of the pairs that are asked for stand in no range together."""
    found = [in_words(span, words) for span in ask.spans or ()]
    seen = {pair for place in places for pair in itertools.combinations([s for s in found if _holds(place, s)], 2)}
    n_pairs = sum(1 for _ in itertools.combinations([s for s in found if any(_holds(p, s) for p in places)], 2))
    if n_pairs > len(seen):
        logger.warning(
            "Of %d pairs of entities in a window, %d stand too far apart to be read together beside the labels, and "
            "get no relations. Ask for fewer relations at a time, or take a network whose backbone reads more.",
            n_pairs,
            n_pairs - len(seen),
        )


def _holds(place: Range, span: tuple[int, int]) -> bool:
    return place.start <= span[0] < span[1] <= place.end


def label_groups(ask: Query, tokenizer: PieceTokenizer, max_pieces: int) -> Iterator[Query]:
    """The labels of an ask in their order, in groups of about the same size that leave the words half of a pass.

    Scores of different groups are compared as they are. Those of a bi-encoder are the same in any group; where labels
    stand in the text, or are fused with it, they read each other a little, within their group.

    Labels that are read beside others take half of their room at most; what doesn't fit is left out, with a warning.

    Raises ValueError for a label that is too long for a group of its own, and for an instruction that leaves no room.
    """
    ask = _with_room(ask, tokenizer, min(max_pieces // 2, PROMPT_PIECES))
    bare = tokenizer.prompt_size(replace(ask, labels=(), prompts=()))
    room = min(max_pieces // 2, PROMPT_PIECES) - bare
    if ask.instruction and room < LABEL_ROOM:
        raise ValueError(
            f"'{' '.join(ask.instruction)[:60]}…' is {bare} pieces long; with this network a question may have about "
            f"{room + bare - LABEL_ROOM} at most. Say it in fewer words."
        )
    if tokenizer.labels_apart:
        for first in range(0, len(ask.labels), LABELS_APART):
            group = slice(first, first + LABELS_APART)
            yield replace(ask, labels=ask.labels[group], prompts=ask.label_prompts[group])
        return
    if len(ask.labels) > MANY_LABELS and not ask.instruction:
        warn_of_many(len(ask.labels))
    sizes = [1 + len(pieces) for pieces in tokenizer.pieces(ask.label_prompts)]
    fair_share = sum(sizes) / max(1, -(-sum(sizes) // max(room, 1)))
    first = 0
    while first < len(sizes):
        if sizes[first] > room:
            raise ValueError(
                f"The label '{ask.label_prompts[first][:60]}…' is {sizes[first]} pieces long; with this network labels "
                f"may have {room} at most. Say it in fewer words."
            )
        last, used = first, 0
        while last < len(sizes) and used + sizes[last] <= room and used < fair_share:
            used += sizes[last]
            last += 1
        yield replace(ask, labels=ask.labels[first:last], prompts=ask.label_prompts[first:last])
        first = last


def _with_room(ask: Query, tokenizer: PieceTokenizer, room: int) -> Query:
    """The ask with as many of the labels beside as leave half of the room. That others read none is said elsewhere."""
    if tokenizer.relation_marker is None:
        return ask
    sizes = itertools.accumulate(1 + len(pieces) for pieces in tokenizer.pieces(ask.beside))
    n_fit = sum(size <= room // 2 for size in sizes)
    if n_fit == len(ask.beside):
        return ask
    logger.warning(
        "Of %d labels that are read beside the others, only the first %d fit: without %s.",
        len(ask.beside),
        n_fit,
        ", ".join(ask.beside[n_fit:])[:200],
    )
    return replace(ask, beside=ask.beside[:n_fit])


def warn_of_many(n_labels: int) -> None:
    """Say, once in a process, that there are better networks for so many labels."""
    if warned:
        return
    warned.append(n_labels)
    logger.warning(
        "%d labels are read beside every text, in groups. Networks of this kind were trained with about 25 at a time; "
        "for more than %d, bi-encoders were made: see 'Thousands of labels' in the README.",
        n_labels,
        MANY_LABELS,
    )


warned: list[int] = []
