"""Long texts: windows, what does not fit into a pass, and that nothing is lost on the way."""

import itertools

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_gliner.decoding import drop_overlaps
from spacy_gliner.ml import shim
from spacy_gliner.pipeline.windows import (
    Finding,
    Range,
    configure_sentence_windows,
    configure_strided_windows,
    fit,
    merge,
    sentence_windows,
    strided_windows,
    word_ranges,
    word_tokens,
)
from spacy_gliner.types import ScoredSpan

from .helpers import ents, find_planted, found, scored, stub_network

VOCAB = spacy.blank("en").vocab
SPACES = [" ", "\n", "\n\n", "\t", "\u00a0", "\u2003 "]
WORDS = "Bill Gates founded Microsoft in Seattle with Steve Jobs from New York City and Ada met Babbage".split()


def make_doc(words):
    return Doc(VOCAB, words=list(words))


def bounds(windows):
    return [(window.start, window.end) for window in windows]


def letters_with_runs(n_words, length, offset):
    """`O O B I I O B I I …`, with runs of a length at every `length + 1`-th word, and where these are."""
    run = ["B", *["I"] * (length - 1)]
    letters = ["O"] * n_words
    starts = range(offset, n_words - length + 1, length + 1)
    for start in starts:
        letters[start : start + length] = run
    return letters, [(start, start + length) for start in starts]


# -- cutting


@pytest.mark.parametrize(
    "n_words, expected",
    [
        (0, []),
        (1, [(0, 1)]),
        (6, [(0, 6)]),
        (7, [(0, 6), (4, 7)]),
        (10, [(0, 6), (4, 10)]),
        (11, [(0, 6), (4, 10), (8, 11)]),
    ],
)
def test_strided_windows_on_small_documents(n_words, expected):
    assert bounds(strided_windows(make_doc("a" * n_words), size=6, stride=4)) == expected


def test_strided_windows_count_words_and_not_space():
    doc = make_doc(["\n", "a", " ", "b", "c", "\n", "d", " "])
    assert [window.text.split() for window in strided_windows(doc, size=2, stride=1)] == [
        ["a", "b"],
        ["b", "c"],
        ["c", "d"],
    ]


@settings(max_examples=150)
@given(n_words=st.integers(0, 60), size=st.integers(1, 12), data=st.data())
def test_every_word_is_in_a_strided_window_and_neighbours_overlap(n_words, size, data):
    stride = data.draw(st.integers(1, size))
    doc = make_doc("a" * n_words)
    windows = bounds(configure_strided_windows(size, stride)(doc))
    assert {word for start, end in windows for word in range(start, end)} == set(range(n_words))
    assert all(end - start <= size for start, end in windows)
    for (_, end), (start, _) in itertools.pairwise(windows):
        assert end - start == size - stride
    # no window lies within the one before
    assert all(a[1] < b[1] for a, b in itertools.pairwise(windows))


@pytest.mark.parametrize("size, stride", [(0, 0), (5, 0), (5, 6), (5, -1)])
def test_strides_that_would_skip_words_are_errors(size, stride):
    with pytest.raises(ValueError, match="0 < stride <= size"):
        configure_strided_windows(size, stride)


def test_sentence_windows_hold_whole_sentences():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    doc = nlp("One two. Three. Four five six seven eight nine. Ten. Eleven.")
    windows = configure_sentence_windows(5)(doc)
    assert [window.text for window in windows] == [
        "One two. Three.",
        "Four five six seven eight nine.",
        "Ten. Eleven.",
    ]


def test_sentence_windows_do_not_count_space():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    doc = nlp("One. \n\n \n Two. \n \n Three.")
    assert len(sentence_windows(doc, size=6)) == 1
    assert len(sentence_windows(doc, size=5)) == 2


@given(starts=st.lists(st.booleans(), max_size=30), size=st.integers(1, 10))
def test_sentence_windows_are_the_text_in_order(starts, size):
    doc = Doc(VOCAB, words=["a"] * len(starts), sent_starts=starts)
    windows = sentence_windows(doc, size=size)
    assert [token.i for window in windows for token in window] == list(range(len(doc)))
    assert all(len(window) <= size or len(list(window.sents)) == 1 for window in windows)


def test_sentence_windows_without_boundaries_are_an_error_that_names_a_remedy(make_nlp):
    nlp = make_nlp(windows={"@misc": "spacy_gliner.sentence_windows.v1"})
    with pytest.raises(ValueError, match="sentence boundaries.*sentencizer.*strided_windows"):
        nlp("Ada met Bill. They founded it.")
    assert nlp("").ents == ()
    nlp.add_pipe("sentencizer", first=True)
    assert nlp("Ada met Bill. They founded it.").spans["gliner_ner"] is not None


def test_a_sentence_longer_than_a_pass_is_read_whole(make_nlp):
    nlp = make_nlp(labels=["thing"], windows={"@misc": "spacy_gliner.sentence_windows.v1"})
    nlp.add_pipe("sentencizer", first=True)
    letters, places = letters_with_runs(400, 3, 1)
    stub_network(nlp, find_planted)
    doc = nlp.get_pipe("sentencizer")(Doc(nlp.vocab, words=letters))
    assert bounds(nlp.get_pipe("gliner_ner")(doc).ents) == places


def test_sizes_of_windows_are_checked():
    with pytest.raises(ValueError, match="at least one word"):
        configure_sentence_windows(0)


@given(st.lists(st.booleans(), max_size=20), st.data())
def test_ranges_of_words_are_those_of_the_windows(is_space, data):
    doc = make_doc([" " if space else "a" for space in is_space])
    words = word_tokens(doc)
    start = data.draw(st.integers(0, len(doc)))
    end = data.draw(st.integers(start, len(doc)))
    window = doc[start:end]
    ranges = list(word_ranges([window], words))
    inside = [row for row, token in enumerate(words) if start <= token < end]
    assert [row for place, _ in ranges for row in range(*place)] == inside
    assert [(span.start, span.end) for _, span in ranges] == ([(start, end)] if inside else [])


# -- splitting what does not fit


def test_a_window_that_does_not_fit_is_split():
    assert list(fit(Range(0, 5), [1, 1, 1, 1, 1], budget=3, overlap=1)) == [(0, 3), (2, 5)]
    assert list(fit(Range(1, 4), [9, 1, 1, 1, 9], budget=3, overlap=1)) == [(1, 4)]
    assert list(fit(Range(0, 3), [3, 3, 3], budget=3, overlap=2)) == [(0, 1), (1, 2), (2, 3)]


@settings(max_examples=150)
@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=40), extra=st.integers(0, 20), overlap=st.integers(0, 8))
def test_parts_of_a_window_fit_and_share_words(sizes, extra, overlap):
    budget = max(sizes) + extra
    ranges = list(fit(Range(0, len(sizes)), sizes, budget=budget, overlap=overlap))
    assert {word for start, end in ranges for word in range(start, end)} == set(range(len(sizes)))
    assert all(start < end and sum(sizes[start:end]) <= budget for start, end in ranges)
    # as long as possible: one word more would not fit
    assert all(end == len(sizes) or sum(sizes[start : end + 1]) > budget for start, end in ranges)
    for a, b in itertools.pairwise(ranges):
        assert a.start < b.start
        assert a.end - b.start == min(overlap, (a.end - a.start) // 2)


# -- merging what windows found

X = ("x",)


def test_a_span_seen_twice_counts_once_with_its_best_score():
    found = [
        Finding(Range(0, 8), X, [ScoredSpan(4, 6, "x", 0.6)]),
        Finding(Range(3, 12), X, [ScoredSpan(1, 3, "x", 0.9)]),
    ]
    assert merge(found) == [ScoredSpan(4, 6, "x", 0.9)]


def test_a_half_at_the_border_yields_to_the_window_that_sees_the_whole():
    found = [
        Finding(Range(0, 8), X, [ScoredSpan(6, 8, "x", 0.99)]),
        Finding(Range(4, 12), X, [ScoredSpan(2, 6, "x", 0.6)]),
    ]
    assert merge(found) == [ScoredSpan(6, 10, "x", 0.6)]
    found = [
        Finding(Range(0, 8), X, [ScoredSpan(2, 6, "x", 0.6)]),
        Finding(Range(4, 12), X, [ScoredSpan(0, 2, "x", 0.99)]),
    ]
    assert merge(found) == [ScoredSpan(2, 6, "x", 0.6)]


def test_a_span_that_fills_the_overlap_of_two_windows_is_kept():
    found = [
        Finding(Range(0, 8), X, [ScoredSpan(5, 8, "x", 0.9)]),
        Finding(Range(5, 12), X, [ScoredSpan(0, 3, "x", 0.8)]),
    ]
    assert merge(found) == [ScoredSpan(5, 8, "x", 0.9)]


def test_a_half_yields_to_a_much_longer_window():
    found = [
        Finding(Range(0, 20), X, [ScoredSpan(17, 19, "x", 0.6)]),
        Finding(Range(18, 21), X, [ScoredSpan(0, 1, "x", 0.99)]),
    ]
    assert merge(found) == [ScoredSpan(17, 19, "x", 0.6)]


def test_a_half_yields_only_to_a_window_that_was_asked_for_its_label():
    half = Finding(Range(0, 8), ("x",), [ScoredSpan(6, 8, "x", 0.9)])
    assert merge([half, Finding(Range(4, 12), ("y",), [])]) == [ScoredSpan(6, 8, "x", 0.9)]
    assert merge([half, Finding(Range(4, 12), ("y", "x"), [])]) == []


def test_a_span_that_fills_a_short_last_window_is_kept():
    assert merge([Finding(Range(0, 5), X, []), Finding(Range(4, 6), X, [ScoredSpan(0, 2, "x", 0.9)])]) == [
        ScoredSpan(4, 6, "x", 0.9)
    ]


def test_spans_at_the_borders_of_the_text_are_kept():
    assert merge([Finding(Range(0, 4), X, [ScoredSpan(0, 4, "x", 0.9)])]) == [ScoredSpan(0, 4, "x", 0.9)]
    found = [
        Finding(Range(0, 8), X, [ScoredSpan(0, 2, "x", 0.9)]),
        Finding(Range(4, 12), X, [ScoredSpan(6, 8, "x", 0.8)]),
    ]
    assert merge(found) == [ScoredSpan(0, 2, "x", 0.9), ScoredSpan(10, 12, "x", 0.8)]


@settings(max_examples=150)
@given(lengths=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 6)), max_size=12), size=st.integers(7, 20))
def test_spans_no_longer_than_the_overlap_are_found_whole_wherever_they_stand(lengths, size):
    letters, places = [], []
    for gap, length in lengths:
        letters += ["O"] * gap
        places.append((len(letters), len(letters) + length))
        letters += ["B", *["I"] * (length - 1)]
    ranges = [Range(*place) for place in bounds(strided_windows(make_doc(letters), size=size, stride=size - 6))]
    views = []
    for window in ranges:
        spans = []
        for place in places:
            start, end = max(place[0], window.start), min(place[1], window.end)
            if start < end:  # halves score higher
                spans.append(
                    ScoredSpan(start - window.start, end - window.start, "x", 0.6 if (start, end) == place else 0.9)
                )
        views.append(Finding(window, X, spans))
    assert [span[:2] for span in drop_overlaps(merge(views))] == places


# -- whole documents


@pytest.mark.parametrize("length, n_labels", [(1, 1), (5, 1), (12, 1), (2, 20), (7, 20)])
def test_what_is_planted_at_any_position_of_5000_words_is_found(make_nlp, length, n_labels):
    nlp = make_nlp(labels=["thing", *(f"no {number}" for number in range(n_labels - 1))])
    stub_network(nlp, find_planted_first)
    positions = set()
    for offset in range(length + 1):
        letters, places = letters_with_runs(5000, length, offset)
        doc = nlp(Doc(nlp.vocab, words=letters))
        assert bounds(doc.ents) == places
        positions.update(start for start, _ in places)
    assert positions == set(range(5000 - length + 1))


def find_planted_first(query):
    """As `find_planted`, for the label "thing" alone."""
    return find_planted(query) if query.labels[0] == "thing" else ()


@pytest.mark.parametrize("overlap", [1, 2, 3, 6, 12])
def test_what_is_as_long_as_the_overlap_is_found_at_any_position(make_nlp, overlap):
    windows = {"@misc": "spacy_gliner.strided_windows.v1", "size": 30, "stride": 30 - overlap}
    nlp = make_nlp(labels=["thing"], windows=windows)
    stub_network(nlp, find_planted)
    for offset in range(overlap + 1):
        letters, places = letters_with_runs(300, overlap, offset)
        assert bounds(nlp(Doc(nlp.vocab, words=letters)).ents) == places


def test_groups_of_labels_do_not_hide_each_others_spans(make_nlp):
    """One group of labels sees more words at once than the other, and so the whole of what touches a border there."""
    windows = {"@misc": "spacy_gliner.strided_windows.v1", "size": 1000, "stride": 900}
    nlp = make_nlp(labels=["w " * 55, "x " * 20], windows=windows)
    seen = stub_network(nlp, lambda query: [])
    doc = Doc(nlp.vocab, words=["O"] * 200)
    nlp(doc)
    widest = {query.labels: 0 for query in seen}
    for query in seen:
        widest[query.labels] = max(widest[query.labels], len(query.words))
    assert len(set(widest.values())) == 2
    narrow = min(widest, key=widest.get)
    spans = [ScoredSpan(30, widest[narrow], narrow[0], 0.9)]
    stub_network(
        nlp, lambda query: spans if query.labels == narrow and len(query.words) == widest[narrow] else [], width=99
    )
    found = nlp(doc).spans["gliner_ner"]
    assert (found[0].start, found[0].end) == (30, widest[narrow])


def test_space_tokens_anywhere_change_nothing(make_nlp, any_checkpoint):
    nlp = make_nlp(checkpoint=any_checkpoint, threshold=0.3)
    spaces = st.lists(st.sampled_from(SPACES), max_size=2)

    @settings(max_examples=30)
    @given(st.lists(st.tuples(spaces, st.sampled_from(WORDS)), max_size=12), spaces)
    def check(spaced_words, after):
        words = [word for _, word in spaced_words]
        spaced = [*itertools.chain.from_iterable((*before, word) for before, word in spaced_words), *after]
        plain, doc = nlp(Doc(nlp.vocab, words=words)), nlp(Doc(nlp.vocab, words=spaced))
        rows = word_tokens(doc)
        moved = [(rows[start], rows[end - 1] + 1, label, score) for start, end, label, score in found(plain)]
        assert scored(doc) == moved
        assert [ent.text.split() for ent in doc.ents] == [ent.text.split() for ent in plain.ents]

    check()


@pytest.fixture
def batches(monkeypatch):
    """Notes the queries of every pass, and the batch that became of them."""
    seen = []
    collate = shim.collate

    def noted(queries, tokenizer, **settings):
        batch = collate(queries, tokenizer, **settings)
        seen.append((queries, batch))
        return batch

    monkeypatch.setattr(shim, "collate", noted)
    return seen


@pytest.mark.parametrize("labels", [["person"], [f"the person with number {n}" for n in range(20)]])
def test_no_word_of_a_long_text_is_left_out_and_no_pass_is_too_long(make_nlp, labels, batches):
    words = [f"w{number}" for number in range(400)] + ["x" * 90, "y" * 500, "\x00", "."]
    nlp = make_nlp(labels=labels)
    nlp(Doc(nlp.vocab, words=words))
    queries = [query for queries, _ in batches for query in queries]
    asked = {pair for query in queries for pair in itertools.product(query.words, query.labels)}
    assert asked == set(itertools.product(words, labels))
    assert max(length for _, batch in batches for length in batch.piece_lengths) <= 128


def test_every_word_of_a_long_text_can_be_found(make_nlp):
    nlp = make_nlp(labels=["person", "city"], threshold=0.0, multi_label=True, nested=True)
    doc = nlp(Doc(nlp.vocab, words=[f"w{number}" for number in range(600)]))
    assert {token.i for span in doc.spans["gliner_ner"] for token in span} == set(range(600))


def test_passes_keep_to_the_number_of_pieces(make_nlp, batches):
    list(make_nlp(max_pieces=300).pipe(["a", "Ada met Bill " * 30, "Ada met Bill", ""] * 5))
    lengths = [batch.piece_lengths for _, batch in batches]
    assert all(max(pieces) * len(pieces) <= 300 or len(pieces) == 1 for pieces in lengths)
    assert max(map(len, lengths)) > 1


def test_a_word_of_a_million_characters_is_one_word(make_nlp):
    nlp = make_nlp(labels=["thing"])
    doc = nlp(Doc(nlp.vocab, words=["Ada", "a" * 1_000_000, "met"]))
    assert len(doc) == 3
    assert "gliner_ner" in doc.spans


def test_a_text_of_a_million_characters_is_read_to_its_end(make_nlp):
    nlp = make_nlp(labels=["thing"])
    seen = stub_network(
        nlp,
        lambda query: [
            ScoredSpan(row, row + 1, "thing", 0.9) for row, word in enumerate(query.words) if word == "last"
        ],
    )
    text = ("internationalization " * 48_000)[: 1_000_000 - 5] + " last"
    doc = nlp(text)
    assert len(text) == 1_000_000
    assert ents(doc) == [("last", "thing")]
    assert sum(len(query.words) for query in seen) >= len(word_tokens(doc))


@pytest.mark.parametrize("words", [[], [" "], ["\n", "\t", " "]])
def test_a_doc_without_words_is_annotated_with_nothing(make_nlp, words):
    nlp = make_nlp()
    seen = stub_network(nlp, lambda query: [])
    doc = nlp(Doc(nlp.vocab, words=words))
    assert seen == []
    assert doc.ents == ()
    assert scored(doc) == []


def test_overlapping_windows_never_give_a_span_twice(make_nlp):
    nlp = make_nlp(labels=["thing"], threshold=0.0, nested=True, multi_label=True)
    doc = nlp(Doc(nlp.vocab, words=WORDS * 30))
    spans = [span[:3] for span in scored(doc)]
    assert len(spans) == len(set(spans)) > 0


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 5), st.floats(0.1, 1)), max_size=10))
def test_merging_one_window_changes_nothing(rows):
    spans = [ScoredSpan(start, start + width, "x", score) for start, width, score in dict.fromkeys(rows)]
    spans = list({span[:3]: span for span in spans}.values())
    assert sorted(merge([Finding(Range(0, 20), X, spans)])) == sorted(spans)
    assert drop_overlaps(merge([Finding(Range(0, 20), X, spans)])) == drop_overlaps(spans)
