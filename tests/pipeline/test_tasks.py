"""What relations, answers, matches and summaries share: streams, odd and long Docs, what is asked, what survives."""

import pickle
import random

import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from thinc.api import Config

from spacy_gliner.ml.architectures import shim_of
from spacy_gliner.types import ScoredSpan

from .components import (
    KITS,
    LANGUAGE,
    OPENIE,
    QA,
    SUMMARIZER,
    TRAVELS,
    assert_same_groups,
    bounds,
    each,
    each_asking,
    groups,
    nearly,
    through_disk,
)
from .helpers import TEXTS, at_most, find_planted, stub_network

TEXT = "Bill Gates founded Microsoft in Seattle. Ada met Bill in London."


def results(kit, doc):
    return doc._.get(kit.result)


# -- streams


@each
def test_a_stream_gives_what_single_calls_give(kit, any_checkpoint):
    expected = kit.docs(any_checkpoint, TEXTS)
    assert any(group for doc in expected for group in doc.spans.values())
    assert_same_groups(kit.nlp(any_checkpoint, threshold=0.3).pipe(TEXTS), expected)


@each
@pytest.mark.parametrize("batch_size, max_pieces", [(1, 1), (5, 300)])
def test_answers_do_not_depend_on_batch_size_or_order(kit, tiny_checkpoint, batch_size, max_pieces):
    expected = dict(zip(TEXTS, kit.docs(tiny_checkpoint, TEXTS), strict=True))
    order = random.Random(batch_size).sample(TEXTS, len(TEXTS))
    docs = kit.nlp(tiny_checkpoint, threshold=0.3, max_pieces=max_pieces).pipe(order, batch_size=batch_size)
    assert_same_groups(docs, [expected[text] for text in order])


@each
def test_two_processes_find_what_one_finds(kit, tiny_checkpoint):
    expected = kit.docs(tiny_checkpoint, TEXTS)
    nlp = kit.nlp(tiny_checkpoint, threshold=0.3)
    with at_most(60):
        assert_same_groups(nlp.pipe(TEXTS, n_process=2, batch_size=4), expected)


@each
def test_prediction_does_not_change_the_doc(kit, tiny_checkpoint):
    nlp = kit.nlp(tiny_checkpoint, threshold=0.0)
    with nlp.select_pipes(disable=kit.factory):
        doc = nlp(TEXT)
    before = doc.to_bytes()
    assert nlp.get_pipe(kit.factory).predict([doc])[0]
    assert doc.to_bytes() == before


@each
def test_a_doc_can_be_annotated_again(kit, tiny_checkpoint):
    nlp = kit.nlp(tiny_checkpoint, threshold=0.3)
    doc = nlp(TEXT)
    once = groups(doc)
    assert groups(nlp(doc)) == once


# -- Docs with little in them


@each
@pytest.mark.parametrize("words", [[], [" "], ["\n", "\t", " "]])
def test_a_doc_without_words_gets_results_with_nothing_in_them(kit, tiny_checkpoint, words):
    nlp = kit.nlp(tiny_checkpoint, threshold=0.0)
    seen = stub_network(nlp, lambda query: [], name=kit.factory)
    doc = nlp(Doc(nlp.vocab, words=words))
    assert seen == []
    assert results(kit, doc) == kit.nothing
    assert doc.spans


@each
@pytest.mark.parametrize("word", ["a", "🙂", "\x00", "."])
def test_a_doc_of_one_character_is_read(kit, tiny_checkpoint, word):
    nlp = kit.nlp(tiny_checkpoint, threshold=0.0)
    doc = nlp(Doc(nlp.vocab, words=[word]))
    assert {tuple(bound[:2]) for spans, _ in groups(doc).values() for bound in spans} <= {(0, 1)}
    if kit.factory != "gliner_relations":  # there are no heads
        assert any(len(group) for group in doc.spans.values())


# -- long Docs and many questions


@pytest.mark.parametrize("kit", [QA, OPENIE, SUMMARIZER], ids=str)
@pytest.mark.parametrize("length", [1, 7])
def test_what_is_planted_at_any_position_of_5000_words_is_found(kit, tiny_checkpoint, length):
    nlp = kit.nlp(tiny_checkpoint)
    stub_network(nlp, find_planted, name=kit.factory)
    n_groups = max(len(kit.asked), 1)
    positions = set()
    for offset in range(length + 1):
        words = ["O"] * 5000
        starts = range(offset, 5000 - length + 1, length + 1)
        for start in starts:
            words[start : start + length] = ["B", *["I"] * (length - 1)]
        doc = nlp(Doc(nlp.vocab, words=words))
        found = [bound[:2] for group in doc.spans.values() for bound in bounds(group)]
        assert sorted(found) == sorted([(start, start + length) for start in starts] * n_groups)
        positions.update(starts)
    assert positions == set(range(5000 - length + 1))


@pytest.mark.parametrize("kit", [QA, OPENIE], ids=str)
def test_every_one_of_many_questions_is_asked_once_about_every_word(kit, tiny_checkpoint):
    asked = [f"who is number {number}" for number in range(80)]
    nlp = kit.nlp(tiny_checkpoint, **{kit.setting: asked})
    seen = stub_network(nlp, lambda query: [ScoredSpan(3, 4, query.labels[0], 0.9)], name=kit.factory)
    doc = nlp(TEXT)
    assert sorted(" ".join(query.instruction) for query in seen) == sorted(asked)
    assert {query.words for query in seen} == {tuple(token.text for token in doc)}
    assert list(results(kit, doc)) == (sorted(asked) if kit is OPENIE else asked)
    assert {found[0].span.text for found in results(kit, doc).values()} == {"Microsoft"}


@each
def test_no_pass_is_longer_than_the_network_reads(kit, tiny_checkpoint):
    nlp = kit.nlp(tiny_checkpoint)
    seen = stub_network(nlp, lambda query: [], name=kit.factory)
    doc = nlp("Bill met Ada, who works in London; " * 100)
    shim = shim_of(nlp.get_pipe(kit.factory).model)
    assert seen
    for query in seen:
        sizes = [min(len(pieces), shim.max_word_pieces) for pieces in shim.tokenizer.pieces(query.words)]
        assert shim.tokenizer.prompt_size(query) + sum(sizes) <= shim.max_pieces == 128
    assert {word for query in seen for word in query.words} == {token.text for token in doc if not token.is_space}


# -- what is asked


@each_asking
def test_a_doc_can_ask_for_itself(kit, tiny_checkpoint):
    nlp = kit.nlp(tiny_checkpoint)
    seen = stub_network(nlp, lambda query: [], name=kit.factory)
    docs = [nlp.make_doc("Ada met Bill") for _ in range(3)]
    docs[1]._.set(kit.input, kit.own)
    docs[2]._.set(kit.input, [])
    names = []
    for doc in docs:
        seen.clear()
        nlp(doc)
        names.append({nlp.get_pipe(kit.factory).task.name_of(label) for query in seen for label in query.labels})
    assert names == [set(nlp.get_pipe(kit.factory).labels), set(kit.own), set()]
    assert results(kit, docs[2]) == type(kit.nothing)()


@each_asking
def test_what_docs_ask_is_enough_where_the_component_has_nothing(kit, tiny_checkpoint):
    nlp = kit.nlp(tiny_checkpoint, threshold=0.0, **{kit.setting: []})
    doc = nlp.make_doc(TEXT)
    doc._.set(kit.input, kit.own)
    assert results(kit, nlp(doc))


@each_asking
@pytest.mark.parametrize("text", [TEXT, ""])
def test_with_nothing_to_look_for_an_error_says_what_to_do(kit, tiny_checkpoint, text):
    nlp = kit.nlp(tiny_checkpoint, **{kit.setting: []})
    with pytest.raises(ValueError, match=f"'{kit.factory}' has nothing to look for.*{kit.setting}.*{kit.input}"):
        nlp(text)


@each_asking
def test_one_bad_doc_goes_alone_to_the_error_handler(kit, tiny_checkpoint):
    nlp = kit.nlp(tiny_checkpoint, **{kit.setting: []})
    failed = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.append((name, [doc.text for doc in docs], error)))
    docs = [nlp.make_doc(text) for text in ("Ada met Bill", "nothing is asked", "Bill", "", "that is no list")]
    for doc in docs[:4:2]:
        doc._.set(kit.input, kit.own)
    docs[3]._.set(kit.input, [])
    docs[4]._.set(kit.input, "text")
    annotated = list(nlp.pipe(docs))
    assert [doc.text for doc in annotated] == ["Ada met Bill", "Bill", ""]
    assert all(doc.spans for doc in annotated[:2])
    assert [(name, texts) for name, texts, _ in failed] == [
        (kit.factory, ["nothing is asked"]),
        (kit.factory, ["that is no list"]),
    ]


@each_asking
@pytest.mark.parametrize("bad", ["text", 3, [""], ["  "], [3], [None]])
def test_what_cannot_be_asked_is_an_error_wherever_it_is_given(kit, tiny_checkpoint, bad):
    nlp = kit.nlp(tiny_checkpoint)
    doc = nlp.make_doc(TEXT)
    doc._.set(kit.input, bad)
    with pytest.raises(ValueError, match=r"must|may|list"):
        nlp(doc)
    with pytest.raises(ValueError):  # spaCy checks types first, with words of its own
        kit.nlp(tiny_checkpoint, **{kit.setting: bad})


@each
def test_what_was_asked_can_have_thresholds_of_their_own(kit, tiny_checkpoint):
    nlp = kit.nlp(tiny_checkpoint)
    name = nlp.get_pipe(kit.factory).labels[0]
    for limit, n_found in [(0.7, 0), (0.5, 1)]:
        nlp = kit.nlp(tiny_checkpoint, threshold=0.6, label_thresholds=[[name, limit]])
        pipe = nlp.get_pipe(kit.factory)
        stub_network(
            nlp,
            lambda query, pipe=pipe: [
                ScoredSpan(2, 3, label, 0.65) for label in query.labels if pipe.task.name_of(label) == name
            ],
            name=kit.factory,
        )
        doc = nlp("Ada met Microsoft")
        assert sum(map(len, doc.spans.values())) == n_found


@each
def test_found_spans_know_their_scores(kit, tiny_checkpoint):
    (doc,) = kit.docs(tiny_checkpoint, [TEXT])
    scores = [score for group in doc.spans.values() for score in group.attrs["scores"]]
    assert scores and all(type(score) is float and 0.3 < score < 1 for score in scores)
    for group in doc.spans.values():
        for span, score in zip(group, group.attrs["scores"], strict=True):
            assert span._.gliner_score >= score


@each
def test_the_span_group_can_have_another_name(kit, tiny_checkpoint):
    nlp = kit.nlp(tiny_checkpoint, threshold=0.3, spans_key="mine")
    doc = nlp(TEXT)
    assert {key.partition(":")[0] for key in doc.spans} == {"mine"}
    assert results(kit, doc)


# -- what survives


@each
@pytest.mark.parametrize("travel", TRAVELS)
def test_a_pipeline_finds_the_same_after_it_travelled(kit, tiny_checkpoint, tmp_path, travel):
    nlp = kit.nlp(tiny_checkpoint, threshold=0.3, label_thresholds=[["x", 0.5]])
    again = travel(nlp, tmp_path / "pipeline")
    assert again.get_pipe(kit.factory).label_data == nlp.get_pipe(kit.factory).label_data
    assert again.get_pipe(kit.factory).cfg["threshold"] == pytest.approx(0.3)
    assert again.get_pipe(kit.factory).cfg["label_thresholds"] == {"x": 0.5}
    assert_same_groups(again.pipe(TEXTS), kit.docs(tiny_checkpoint, TEXTS))


ODD = ["a:b ?", "c = d", "100% of it", "#tag it", 'say "hi"', "it's", "名前", "back\\slash x", "{curly}", "null", "1"]


@each_asking
def test_what_is_asked_survives_with_any_characters(kit, tiny_span_checkpoint, tmp_path):
    nlp = kit.nlp(tiny_span_checkpoint, threshold=0.3, **{kit.setting: ODD})
    config = Config().from_str(nlp.config.to_str())
    assert config["components"][kit.factory][kit.setting] == ODD
    assert spacy.blank(LANGUAGE, config=config).get_pipe(kit.factory).labels == tuple(ODD)
    again = through_disk(nlp, tmp_path)
    assert again.get_pipe(kit.factory).labels == tuple(ODD)
    assert again.config["components"][kit.factory] == nlp.config["components"][kit.factory]
    assert_same_groups([again(TEXT)], [nlp(TEXT)])
    assert any(group for group in again(TEXT).spans.values())


@each
def test_every_setting_survives_in_the_config(kit, tiny_checkpoint, tmp_path):
    extra = {"gliner_summarizer": {"max_words": 3, "max_sentences": 2, "whole_sentences": False}}.get(kit.factory, {})
    if kit.factory == "gliner_relations":
        schema = {"name": "met", "head": ["person"], "tail": ["city"], "symmetric": True, "one_tail": True}
        extra = {"relations": [{**schema, "threshold": 0.25}], "entities_key": "sc", "tails": "entities"}
    nlp = kit.nlp(tiny_checkpoint, spans_key="mine", max_pieces=77, **extra)
    again = through_disk(nlp, tmp_path)
    assert again.config["components"] == nlp.config["components"]
    assert again.get_pipe(kit.factory).task == nlp.get_pipe(kit.factory).task
    assert again.get_pipe(kit.factory).label_data == nlp.get_pipe(kit.factory).label_data


def as_bytes(doc):
    return Doc(Vocab()).from_bytes(doc.to_bytes())


def pickled(doc):
    return pickle.loads(pickle.dumps(doc))


def in_a_doc_bin(doc):
    data = DocBin(docs=[doc]).to_bytes()
    (again,) = DocBin().from_bytes(data).get_docs(Vocab())
    return again


def in_a_doc_bin_of_data(doc):
    data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (again,) = DocBin().from_bytes(data).get_docs(Vocab())
    return again


@each
@pytest.mark.parametrize("travel", [as_bytes, pickled, in_a_doc_bin, in_a_doc_bin_of_data, Doc.copy])
def test_results_survive_with_their_doc(kit, tiny_checkpoint, travel):
    for doc in kit.docs(tiny_checkpoint, TEXTS):
        again = travel(doc)
        assert groups(again) == groups(doc)
        assert in_words(results(kit, again)) == in_words(results(kit, doc))
        for group in again.spans.values():
            for span, score in zip(group, group.attrs["scores"], strict=True):
                assert span._.gliner_score >= score


def in_words(result):
    """Results as texts and numbers, which compare across Docs."""
    if isinstance(result, dict):
        return {key: in_words(value) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [in_words(value) for value in result]
    return (result.start, result.end, result.label_) if isinstance(result, spacy.tokens.Span) else result


def test_results_of_all_components_live_beside_each_other(tiny_checkpoint):
    nlp = KITS[0].nlp(tiny_checkpoint, threshold=0.3)
    for kit in KITS[1:]:
        nlp.add_pipe(kit.factory, source=kit.nlp(tiny_checkpoint, threshold=0.3))
    doc = nlp(TEXT)
    for kit in KITS:
        (alone,) = kit.docs(tiny_checkpoint, [TEXT])
        assert alone.spans
        assert {key: groups(doc)[key] for key in alone.spans} == nearly(alone)
