"""The prompt in pieces, where every word and marker stands in it, and what is read together."""

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import processors

from spacy_gliner import batching
from spacy_gliner.batching import PieceTokenizer, by_length, collate
from spacy_gliner.types import Query

from .tiny import QUERIES, WORDS, tiny_tokenizer

TOKENIZER = PieceTokenizer(tiny_tokenizer())
APART = PieceTokenizer(tiny_tokenizer(), label_tokenizer=tiny_tokenizer())
strange = st.sampled_from(["<<ENT>>", "<<SEP>>", "[FLERT]", "[SEP]", "[PAD]", "\x00", "\u200b", " ", "<<ENT>> x"])
words = st.one_of(st.sampled_from(WORDS), strange, st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
word_lists = st.lists(words, max_size=6).map(tuple)


@st.composite
def queries(draw):
    labels = draw(word_lists)
    prompts = tuple(draw(words) for _ in labels) if draw(st.booleans()) else ()
    return Query(draw(word_lists), labels, prompts, draw(word_lists))


def as_lists(batch):
    fields = {name: value for name, value in vars(batch).items() if value is not None}
    assert fields.pop("labels_read") is False  # there are none apart
    return {name: value.tolist() if torch.is_tensor(value) else value for name, value in fields.items()}


def pieces(*texts):
    return [TOKENIZER.tokenizer.id_to_token(row) for row in texts]


def test_layout_of_a_prompt():
    query = Query(("Bill", "Gates", "founded", "Microsofts", "."), ("person", "a company"))
    batch = collate([query], TOKENIZER)
    assert pieces(*batch.piece_ids.tolist()) == (
        "[CLS] <<ENT>> person <<ENT>> a company <<SEP>> bill gates founded microsoft ##s . [SEP]".split()
    )
    assert as_lists(batch) == {
        "piece_ids": batch.piece_ids.tolist(),
        "piece_lengths": [14],
        "word_starts": [7, 8, 9, 10, 12],
        "word_sizes": [1, 1, 1, 2, 1],
        "word_lengths": [5],
        "instruction_lengths": [0],
        "label_marks": [1, 3],
        "label_lengths": [2],
    }


def test_prompts_are_read_in_place_of_labels_and_instructions_before_the_words():
    query = Query(("Paris",), ("loc",), prompts=("a city",), instruction=("who", "is"))
    batch = collate([query], TOKENIZER)
    assert pieces(*batch.piece_ids.tolist()) == "[CLS] <<ENT>> a city <<SEP>> who is paris [SEP]".split()
    assert (batch.word_lengths, batch.instruction_lengths) == ([3], [2])
    assert batch.word_starts.tolist() == [5, 6, 7]


def test_rows_count_through_the_whole_batch():
    batch = collate([Query(("Paris",), ("city",)), Query(("in", "Berlin"), ("city", "date"))], TOKENIZER)
    assert batch.piece_lengths == [6, 9]
    assert batch.label_marks.tolist() == [1, 7, 9]
    assert batch.word_starts.tolist() == [4, 12, 13]


def test_a_word_without_pieces_has_no_row_and_takes_none_from_its_neighbours():
    batch = collate([Query(("in", "\x07", "Paris"), ("city",))], TOKENIZER)
    assert batch.word_starts.tolist() == [4, -1, 5]
    assert batch.word_lengths == [3]


def test_a_label_without_pieces_still_has_its_marker():
    batch = collate([Query(("Paris",), ("\x07", "city"))], TOKENIZER)
    assert batch.label_marks.tolist() == [1, 2]
    assert batch.word_starts.tolist() == [5]


@given(queries())
def test_positions_are_those_of_the_prompt_encoded_as_one_sequence(query):
    batch = collate([query], TOKENIZER)
    prompt = [part for label in query.label_prompts for part in ("<<ENT>>", label)] + ["<<SEP>>"]
    sequence = [*prompt, *query.instruction, *query.words]
    encoded = TOKENIZER.tokenizer.encode(sequence, is_pretokenized=True)
    assert batch.piece_ids.tolist() == encoded.ids
    row_of = {}
    for row, word in enumerate(encoded.word_ids):
        if word is not None:
            row_of.setdefault(word, row)
    assert batch.label_marks.tolist() == [row_of[2 * label] for label in range(len(query.labels))]
    assert batch.word_starts.tolist() == [row_of.get(word, -1) for word in range(len(prompt), len(sequence))]


@given(st.lists(queries(), max_size=4))
def test_a_batch_is_the_concatenation_of_its_queries(asked):
    together = as_lists(collate(asked, TOKENIZER))
    alone = [as_lists(collate([query], TOKENIZER)) for query in asked]
    n_before = 0
    for one in alone:
        for name in ("word_starts", "label_marks"):
            one[name] = [row + n_before if row >= 0 else -1 for row in one[name]]
        n_before += len(one["piece_ids"])
    for name, value in together.items():
        assert value == [number for one in alone for number in one[name]], name


@given(queries())
def test_the_prompt_takes_what_the_words_leave(query):
    n_words = sum(map(len, TOKENIZER.pieces(query.words)))
    assert collate([query], TOKENIZER).piece_lengths == [TOKENIZER.prompt_size(query) + n_words]


def test_of_a_long_word_only_the_first_pieces_are_read():
    long = Query(("in", "xyzxyzxyz", "Paris"), ("xyzxyz",))
    full, cut = collate([long], TOKENIZER), collate([long], TOKENIZER, max_word_pieces=2)
    assert full.word_starts.tolist() == [9, 10, 19]
    assert cut.word_starts.tolist() == [9, 10, 12]
    assert pieces(*cut.piece_ids[10:12].tolist()) == ["x", "##y"]
    assert cut.label_marks.tolist() == full.label_marks.tolist()


def test_no_queries_are_an_empty_batch():
    batch = collate([], TOKENIZER)
    assert not any(as_lists(batch).values())
    assert batch.piece_ids.dtype == batch.word_starts.dtype == batch.label_marks.dtype == torch.long


def test_missing_markers_are_appended_with_the_ids_of_published_checkpoints():
    plain = tiny_tokenizer()
    n_before = plain.get_vocab_size()
    tokenizer = PieceTokenizer(plain)
    assert plain.token_to_id("[FLERT]") == n_before
    assert (tokenizer.label_marker_id, tokenizer.separator_id) == (n_before + 1, n_before + 2)
    assert len(tokenizer) == n_before + 3


def test_markers_that_are_there_keep_their_ids():
    plain = tiny_tokenizer()
    plain.add_special_tokens(["<<SEP>>", "<<ENT>>"])
    n_before = plain.get_vocab_size()
    tokenizer = PieceTokenizer(plain)
    assert len(tokenizer) == n_before
    assert (tokenizer.label_marker_id, tokenizer.separator_id) == (n_before - 1, n_before - 2)


def test_markers_may_have_other_names():
    tokenizer = PieceTokenizer(tiny_tokenizer(), "[LABEL]", "[TEXT]")
    batch = collate([Query(("Paris",), ("city",))], tokenizer)
    read = [tokenizer.tokenizer.id_to_token(row) for row in batch.piece_ids.tolist()]
    assert read == "[CLS] [LABEL] city [TEXT] paris [SEP]".split()


@pytest.mark.parametrize("template", ["$A", "$A [SEP]", "[CLS] $A", "[CLS] [MASK] $A [SEP] [SEP]"])
def test_whatever_the_tokenizer_puts_around_a_text_is_put_around_the_prompt(template):
    plain = tiny_tokenizer()
    special = [(piece, plain.token_to_id(piece)) for piece in ("[CLS]", "[SEP]", "[MASK]")]
    plain.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    tokenizer = PieceTokenizer(plain)
    query = Query(("Paris",), ("city",))
    ids = collate([query], tokenizer).piece_ids.tolist()
    read = " ".join(plain.id_to_token(row) for row in ids)
    assert read == template.replace("$A", "<<ENT>> city <<SEP>> paris")
    assert tokenizer.prompt_size(query) == len(ids) - 1


def test_tokenizers_that_truncate_and_pad_are_freed():
    plain = tiny_tokenizer()
    plain.enable_truncation(4)
    plain.enable_padding(length=8)
    asked = [*QUERIES, Query(("xyzxyz",), ("xyzxyz",))]
    assert as_lists(collate(asked, PieceTokenizer(plain))) == as_lists(collate(asked, TOKENIZER))


def test_a_saved_tokenizer_reads_the_same():
    tokenizer = PieceTokenizer(tiny_tokenizer(), "[LABEL]", "[TEXT]")
    for again in (PieceTokenizer.from_bytes(tokenizer.to_bytes()), pickle.loads(pickle.dumps(tokenizer))):
        assert as_lists(collate(QUERIES, again)) == as_lists(collate(QUERIES, tokenizer))
        assert (again.label_marker, again.separator, len(again)) == ("[LABEL]", "[TEXT]", len(tokenizer))
        assert again.to_bytes() == tokenizer.to_bytes()


def test_a_cache_that_overflows_changes_nothing(monkeypatch):
    monkeypatch.setattr(batching, "CACHE_SIZE", 3)
    small = PieceTokenizer(tiny_tokenizer())
    for query in [*QUERIES, *QUERIES]:
        assert as_lists(collate([query], small)) == as_lists(collate([query], TOKENIZER))


def test_the_cache_does_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(batching, "CACHE_SIZE", 10)
    small = PieceTokenizer(tiny_tokenizer())
    for number in range(100):
        small.pieces([str(number), "city"])
        assert len(small._pieces) <= 10


lengths = st.lists(st.integers(0, 60), max_size=30)


@given(lengths, st.integers(1, 100))
def test_passes_hold_every_row_once_and_stay_within_their_size(lengths, max_pieces):
    passes = list(by_length(lengths, max_pieces=max_pieces))
    assert sorted(row for rows in passes for row in rows) == list(range(len(lengths)))
    for rows in passes:
        padded = len(rows) * max(lengths[row] for row in rows)
        assert padded <= max_pieces or len(rows) == 1


@given(lengths, st.integers(1, 100))
def test_passes_are_no_more_than_needed(lengths, max_pieces):
    passes = list(by_length(lengths, max_pieces=max_pieces))
    for rows, later in zip(passes, passes[1:], strict=False):
        shortest = min(lengths[row] for row in later)
        assert max(lengths[row] for row in rows) <= shortest
        assert (len(rows) + 1) * shortest > max_pieces


def test_passes_of_a_small_example():
    assert list(by_length([5, 90, 6, 7], max_pieces=100)) == [[0, 2, 3], [1]]
    assert list(by_length([200, 5], max_pieces=100)) == [[1], [0]]
    assert list(by_length([], max_pieces=100)) == []


def test_a_query_has_one_prompt_per_label_or_none():
    assert Query((), ("a", "b")).label_prompts == ("a", "b")
    assert Query((), ("a", "b"), ("c", "d")).label_prompts == ("c", "d")
    with pytest.raises(ValueError, match="one prompt per label, got 1 for 2"):
        Query((), ("a", "b"), ("c",))


def test_labels_that_are_read_apart_leave_the_text_without_a_prompt():
    asked = [Query(("Bill",), ("person", "city")), Query(("Paris",), ("loc",), ("city",), ("who", "is"))]
    batch = collate(asked, APART)
    assert pieces(*batch.piece_ids.tolist()) == "[CLS] bill [SEP] [CLS] who is paris [SEP]".split()
    assert batch.label_marks.tolist() == [0, 1, 1]
    assert batch.prompts_apart == ["person", "city"]
    assert APART.prompt_size(asked[1]) == 4


def test_labels_apart_have_the_special_pieces_of_their_tokenizer():
    read = APART.label_pieces(["person", "a city"])
    assert pieces(*read.ids.tolist()) == "[CLS] person [SEP] [CLS] a city [SEP]".split()
    assert read.lengths == [3, 4]
    assert APART.label_pieces([]).lengths == []


def test_ids_that_the_network_lacks_are_read_as_unknown():
    tokenizer = PieceTokenizer(TOKENIZER.tokenizer, label_tokenizer=tiny_tokenizer(), n_ids=len(TOKENIZER) - 3)
    assert tokenizer.pieces(["<<ENT>>", "person"]) == [
        (tokenizer.tokenizer.token_to_id("[UNK]"),),
        TOKENIZER.pieces(["person"])[0],
    ]
    again = PieceTokenizer.from_bytes(tokenizer.to_bytes())
    assert again.pieces(["<<ENT>>"]) == tokenizer.pieces(["<<ENT>>"])
    assert (
        again.n_label_ids is None
        and again.labels_apart
        and again.label_pieces(["a"]).ids.tolist() == tokenizer.label_pieces(["a"]).ids.tolist()
    )


def test_ids_of_labels_that_the_network_lacks_are_read_as_unknown():
    tokenizer = PieceTokenizer(tiny_tokenizer(), label_tokenizer=TOKENIZER.tokenizer, n_label_ids=len(TOKENIZER) - 3)
    read = PieceTokenizer.from_bytes(tokenizer.to_bytes()).label_pieces(["<<ENT>>"])
    assert pieces(*read.ids.tolist()) == ["[CLS]", "[UNK]", "[SEP]"]
