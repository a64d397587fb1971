"""An accelerator is asked ahead. Here the CPU is, so that order, errors and results can be seen everywhere."""

import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_gliner.ml.architectures import set_device
from spacy_gliner.ml.shim import GlinerShim
from spacy_gliner.pipeline import ahead, extractor
from spacy_gliner.pipeline.ahead import look_ahead, n_ahead

from .helpers import TEXTS, assert_same, find_planted, stub_network


@pytest.fixture
def asked_ahead(monkeypatch):
    """As on an accelerator."""
    for module in (ahead, extractor):
        monkeypatch.setattr(module, "n_ahead", lambda model: 1)


@given(st.lists(st.integers()), st.integers(0, 5))
def test_all_items_come_in_order_each_after_those_ahead_of_it(items, n):
    made = []
    seen = []
    for item in look_ahead((made.append(item) or item for item in items), n):
        seen.append(item)
        assert len(made) == min(len(items), len(seen) + n)
    assert seen == items


@pytest.mark.parametrize("n", [0, 1, 3])
def test_what_was_made_before_an_error_comes_first(n):
    def make():
        yield from (1, 2)
        raise ValueError("the third")

    seen = []
    with pytest.raises(ValueError, match="the third"):
        for item in look_ahead(make(), n):
            seen.append(item)
    assert seen == [1, 2]


def test_only_an_accelerator_is_asked_ahead(make_nlp):
    model = make_nlp().get_pipe("gliner_ner").model
    for device, n in (("cpu", 0), ("cuda:0", 1), ("mps", 1)):
        set_device(model, device)
        assert n_ahead(model) == n


@pytest.mark.usefixtures("asked_ahead")
@pytest.mark.parametrize("batch_size", [1, 3, 128])
@pytest.mark.parametrize("max_pieces", [1, 64, 2048])
def test_a_stream_is_annotated_as_its_texts_are(make_nlp, batch_size, max_pieces):
    nlp = make_nlp(threshold=0.3, max_pieces=max_pieces)
    assert_same(nlp.pipe(TEXTS, batch_size=batch_size), map(make_nlp(threshold=0.3), TEXTS))


@pytest.mark.usefixtures("asked_ahead")
def test_a_batch_is_asked_for_before_the_one_before_it_is_yielded(make_nlp):
    nlp = make_nlp(labels=["run"])
    seen = stub_network(nlp, find_planted)
    stream = nlp.pipe(["B one", "B two", "B three"], batch_size=1)
    doc = next(stream)
    assert [query.words for query in seen] == [("B", "one"), ("B", "two")]
    assert [ent.text for ent in doc.ents] == ["B"]
    assert [[ent.text for ent in doc.ents] for doc in stream] == [["B"], ["B"]]
    assert len(seen) == 3  # nothing is asked twice


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 100])
@pytest.mark.parametrize("bad", [[0], [3], [6], [1, 2], [0, 1, 2, 3, 4, 5, 6]])
def test_only_docs_that_fail_are_left_out_and_the_order_stays(make_nlp, request, ahead, batch_size, bad):
    if ahead:
        request.getfixturevalue("asked_ahead")
    nlp = make_nlp(labels=[])
    failed = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.extend((doc.text, str(error)) for doc in docs))
    docs = [nlp.make_doc(f"Ada met Bill {row}") for row in range(7)]
    for row in set(range(7)) - set(bad):
        docs[row]._.gliner_labels = ["person"]
    annotated = list(nlp.pipe(docs, batch_size=batch_size))
    assert [doc.text for doc in annotated] == [docs[row].text for row in range(7) if row not in bad]
    assert all("gliner_ner" in doc.spans for doc in annotated)
    assert [text for text, _ in failed] == [docs[row].text for row in bad]
    assert all("nothing to look for" in error for _, error in failed)


@pytest.mark.parametrize("ahead", [False, True])
def test_a_pass_that_fails_takes_only_its_own_docs_along(make_nlp, request, monkeypatch, ahead):
    if ahead:
        request.getfixturevalue("asked_ahead")
    nlp = make_nlp()
    predict = GlinerShim.__call__

    def out_of_memory(self, inputs, is_train):
        if len(inputs.word_lengths) > 2:
            raise torch.OutOfMemoryError("too much at once")
        return predict(self, inputs, is_train)

    expected = list(nlp.pipe(TEXTS))
    monkeypatch.setattr(GlinerShim, "__call__", out_of_memory)
    assert_same(nlp.pipe(TEXTS, batch_size=5), expected)


def test_an_error_of_a_batch_is_raised_once(make_nlp):
    nlp = make_nlp(labels=[])
    with pytest.raises(ValueError, match="nothing to look for") as caught:
        list(nlp.pipe(["Ada met Bill"] * 64))
    assert caught.value.__context__ is None


def test_a_missing_owner_is_an_error_of_each_doc_and_none_of_an_empty_stream(make_nlp):
    nlp = make_nlp()
    lent = {"source": {"@misc": "spacy_gliner.FromComponent.v1", "component": "gliner_ner"}}
    nlp.add_pipe("gliner_ner", "borrower", config={"labels": ["person"], "model": lent})
    nlp.remove_pipe("gliner_ner")
    failed = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.append(str(error)))
    assert list(nlp.pipe([])) == list(nlp.pipe(["Ada met Bill", "Bill met Ada"])) == []
    assert len(failed) == 2 and all("'gliner_ner'" in error for error in failed)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_no_more_scores_are_kept_than_are_asked_for_ahead(n):
    class Item:
        pass

    alive = []

    def make():
        for _ in range(6):
            alive[:] = [ref for ref in alive if ref() is not None]
            assert len(alive) <= n
            item = Item()
            alive.append(weakref.ref(item))
            yield item
            del item

    for item in look_ahead(make(), n):
        del item


@pytest.mark.usefixtures("asked_ahead")
def test_what_was_read_before_the_stream_broke_is_yielded(make_nlp):
    def stream():
        yield from ("Ada met Bill", "Bill met Ada")
        raise OSError("the file ended")

    nlp = make_nlp()
    seen = []
    with pytest.raises(OSError, match="the file ended"):
        for doc in nlp.pipe(stream(), batch_size=1):
            seen.append(doc.text)
    assert seen == ["Ada met Bill", "Bill met Ada"]
