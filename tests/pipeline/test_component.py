"""The component as spaCy users meet it: creating, calling, streaming, adding to pipelines."""

import copy
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import spacy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy import displacy
from spacy.tokens import Doc
from spacy.training import Example

from spacy_gliner.ml.architectures import shim_of

from .helpers import TEXTS, assert_same, at_most, ents, found, scored, stub_network


@pytest.fixture
def trained():
    """A pipeline with a tagger that has learned something."""
    nlp = spacy.blank("en")
    nlp.add_pipe("tagger")
    examples = [
        Example.from_dict(nlp.make_doc("Ada met Bill"), {"tags": ["N", "V", "N"]}),
        Example.from_dict(nlp.make_doc("Bill founded Microsoft"), {"tags": ["N", "V", "N"]}),
    ]
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(8):
        nlp.update(examples, sgd=optimizer)
    assert [token.tag_ for token in nlp("Ada met Bill")] == ["N", "V", "N"]
    return nlp


def labels_found(doc):
    return {span.label_ for span in doc.spans["gliner_ner"]}


def test_creating_configuring_and_describing_read_no_weights(make_nlp, tmp_path):
    nlp = make_nlp(checkpoint=tmp_path / "nothing")
    pipe = nlp.get_pipe("gliner_ner")
    assert pipe.add_label("river") == 1
    assert pipe.labels == ("person", "company", "city", "river")
    assert pipe.label_data == ["person", "company", "city", "river"]
    assert nlp.config.to_str()
    assert nlp.analyze_pipes()["problems"] == {"gliner_ner": []}
    assert not shim_of(pipe.model).loaded
    with pytest.raises(FileNotFoundError, match="nothing"):
        nlp("Ada met Babbage")


def test_a_blank_pipeline_finds_spans_without_being_initialized(make_nlp, any_checkpoint):
    doc = make_nlp(checkpoint=any_checkpoint)("Bill Gates founded Microsoft in Seattle.")
    assert doc.ents
    assert len(doc.spans["gliner_ner"]) == len(doc.spans["gliner_ner"].attrs["scores"]) > 0
    assert all(0.5 < score < 1 for *_, score in scored(doc))
    assert {span.label_ for span in doc.spans["gliner_ner"]} <= {"person", "company", "city"}


def test_a_trained_pipeline_keeps_its_weights_when_the_component_joins(trained, tiny_checkpoint):
    before = trained.get_pipe("tagger").model.to_bytes()
    source = {"name": str(tiny_checkpoint)}
    trained.add_pipe("gliner_ner", config={"labels": ["person"], "threshold": 0.0, "model": {"source": source}})
    doc = trained("Bill founded Microsoft")
    assert [token.tag_ for token in doc] == ["N", "V", "N"]
    assert doc.spans["gliner_ner"]
    assert trained.get_pipe("tagger").model.to_bytes() == before


def test_a_stream_gives_what_single_calls_give(make_nlp, any_checkpoint):
    nlp = make_nlp(checkpoint=any_checkpoint)
    assert_same(nlp.pipe(TEXTS), [nlp(text) for text in TEXTS])


def test_any_texts_can_stream(make_nlp):
    nlp = make_nlp()

    @settings(max_examples=15)
    @given(texts=st.lists(st.text(max_size=12), max_size=4), batch_size=st.integers(1, 5))
    def check(texts, batch_size):
        docs = list(nlp.pipe(texts, batch_size=batch_size))
        assert [doc.text for doc in docs] == texts
        for doc, text in zip(docs, texts, strict=True):
            assert len(doc.spans["gliner_ner"]) == len(nlp(text).spans["gliner_ner"])

    check()


@pytest.mark.parametrize("batch_size", [1, 3, 100])
@pytest.mark.parametrize("max_pieces", [1, 300, 100_000])
def test_answers_do_not_depend_on_batch_size_or_order(make_nlp, any_checkpoint, batch_size, max_pieces):
    expected = {text: doc for text, doc in zip(TEXTS, make_nlp(checkpoint=any_checkpoint).pipe(TEXTS), strict=True)}
    order = random.Random(batch_size).sample(TEXTS, len(TEXTS))
    docs = make_nlp(checkpoint=any_checkpoint, max_pieces=max_pieces).pipe(order, batch_size=batch_size)
    assert_same(docs, [expected[text] for text in order])


def test_a_stream_carries_contexts(make_nlp):
    nlp = make_nlp()
    pairs = list(nlp.pipe([("Ada met Bill", {"id": 1}), ("", {"id": 2})], as_tuples=True))
    assert [(doc.text, context) for doc, context in pairs] == [("Ada met Bill", {"id": 1}), ("", {"id": 2})]
    assert_same([doc for doc, _ in pairs], [nlp("Ada met Bill"), nlp("")])


@pytest.fixture
def two_threads():
    """What torch does by default on machines with two cores or more."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_two_processes_find_what_one_finds_after_the_parent_has_computed(make_nlp, two_threads):
    nlp = make_nlp()
    expected = [nlp(text) for text in TEXTS]
    with at_most(60):
        assert_same(nlp.pipe(TEXTS, n_process=2, batch_size=2), expected)


def test_two_processes_find_what_one_finds_when_nothing_was_computed_before(make_nlp):
    nlp = make_nlp()
    with at_most(60):
        docs = list(nlp.pipe(TEXTS, n_process=2, batch_size=4))
    assert_same(docs, map(nlp, TEXTS))


def test_threads_can_share_a_pipeline(make_nlp):
    nlp = make_nlp()
    with ThreadPoolExecutor(4) as pool:
        docs = list(pool.map(nlp, TEXTS * 2))
    assert_same(docs, map(nlp, TEXTS * 2))


def test_prediction_changes_neither_documents_nor_the_random_generators(make_nlp):
    nlp = make_nlp()
    pipe = nlp.get_pipe("gliner_ner")
    doc = nlp.make_doc("Bill Gates founded Microsoft")
    nlp("the weights are there")
    before = doc.to_bytes()
    state, python_state = torch.random.get_rng_state(), random.getstate()
    pipe.predict([doc])
    assert doc.to_bytes() == before
    assert torch.equal(torch.random.get_rng_state(), state)
    assert random.getstate() == python_state


def test_a_disabled_component_writes_nothing(make_nlp):
    nlp = make_nlp()
    with nlp.select_pipes(disable="gliner_ner"):
        assert "gliner_ner" not in nlp("Bill Gates founded Microsoft").spans
    assert nlp("Bill Gates founded Microsoft").spans["gliner_ner"]


def test_adding_a_label_tells_whether_it_is_new_and_asks_for_it(make_nlp):
    nlp = make_nlp(labels=["person"], threshold=0.0, multi_label=True, nested=True)
    pipe = nlp.get_pipe("gliner_ner")
    assert pipe.add_label({"name": "river", "description": "a stream of water"}) == 1
    assert pipe.add_label("person") == 0
    assert pipe.labels == ("person", "river")
    assert labels_found(nlp("Ada met Bill")) == {"person", "river"}


def test_initializing_keeps_configured_labels(make_nlp):
    nlp = make_nlp(labels=["city"])
    example = Example.from_dict(nlp.make_doc("Ada met Bill"), {"entities": [(0, 3, "person")]})
    nlp.initialize(lambda: [example])
    assert nlp.get_pipe("gliner_ner").labels == ("city",)


def test_initializing_takes_the_labels_of_the_data_where_none_are_configured(make_nlp):
    nlp = make_nlp(labels=[])
    docs = [nlp.make_doc("Ada met Bill"), nlp.make_doc("Bill founded Microsoft")]
    examples = [
        Example.from_dict(docs[0], {"entities": [(0, 3, "person")]}),
        Example.from_dict(docs[1], {"entities": [(13, 22, "company"), (0, 4, "person")]}),
    ]
    nlp.initialize(lambda: examples)
    assert set(nlp.get_pipe("gliner_ner").labels) == {"person", "company"}


def test_initializing_takes_given_labels_over_those_of_the_data(make_nlp):
    nlp = make_nlp(labels=[])
    nlp.config["initialize"]["components"]["gliner_ner"] = {"labels": ["river", {"name": "x", "description": "a city"}]}
    example = Example.from_dict(nlp.make_doc("Ada met Bill"), {"entities": [(0, 3, "person")]})
    nlp.initialize(lambda: [example])
    pipe = nlp.get_pipe("gliner_ner")
    assert pipe.label_data == ["river", {"name": "x", "description": "a city"}]


def test_initializing_without_data_is_possible(make_nlp):
    nlp = make_nlp()
    nlp.initialize()
    assert shim_of(nlp.get_pipe("gliner_ner").model).loaded
    assert_same([nlp("Ada met Bill")], [make_nlp()("Ada met Bill")])


def test_scoring_gives_f1_over_all_labels_and_each(make_nlp):
    nlp = make_nlp()
    texts = ["Bill Gates founded Microsoft in Seattle.", "Ada met Babbage"]
    examples = []
    for text in texts:
        gold = nlp(text)
        examples.append(Example(nlp.make_doc(text), gold))
    scores = nlp.evaluate(examples)
    assert (scores["ents_p"], scores["ents_r"], scores["ents_f"]) == (1.0, 1.0, 1.0)
    labels = {ent.label_ for example in examples for ent in example.reference.ents}
    assert {label: row["f"] for label, row in scores["ents_per_type"].items()} == dict.fromkeys(labels, 1.0)


def test_a_stricter_threshold_scores_lower_recall(make_nlp):
    gold = make_nlp()("Bill Gates founded Microsoft in Seattle.")
    nlp = make_nlp(threshold=1.0)
    scores = nlp.evaluate([Example(nlp.make_doc(gold.text), gold)])
    assert (scores["ents_r"], scores["ents_f"]) == (0.0, 0.0)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_the_device_can_be_asked(make_nlp, device):
    nlp = make_nlp(device=device)
    assert nlp.get_pipe("gliner_ner").device == "cpu"
    nlp("Ada")
    (parameter, *_) = shim_of(nlp.get_pipe("gliner_ner").model).network.parameters()
    assert str(parameter.device) == "cpu"


@pytest.mark.parametrize("device", ["gpu please", "", 0.5, None, "cuda:0", "mps"])
def test_a_device_that_is_not_there_is_an_error_from_the_start(make_nlp, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device"):
        make_nlp(device=device)


@pytest.mark.parametrize(
    "setting, value, message",
    [
        ("threshold", 1.5, "threshold must be a number from 0 to 1"),
        ("threshold", -0.1, "threshold must be a number from 0 to 1"),
        ("threshold", "0.5", "threshold must be a number from 0 to 1"),
        ("label_thresholds", [["person", 2]], "label 'person'"),
        ("label_thresholds", [["person"]], "pairs such as"),
        ("label_thresholds", ["person"], "pairs such as"),
        ("max_pieces", 0, "max_pieces"),
    ],
)
def test_settings_out_of_range_are_errors_that_say_what_is_expected(make_nlp, setting, value, message):
    with pytest.raises(ValueError, match=message):
        make_nlp(**{setting: value})


def test_components_with_the_same_checkpoint_share_one_network(make_nlp, tiny_checkpoint, tiny_span_checkpoint):
    nlp = make_nlp(labels=["person"])
    for name, folder in [("second", tiny_checkpoint), ("other", tiny_span_checkpoint)]:
        source = {"name": str(folder)}
        nlp.add_pipe("gliner_ner", name=name, config={"labels": ["city"], "model": {"source": source}})
    nlp("Ada met Bill")
    networks = [shim_of(nlp.get_pipe(name).model).network for name in ("gliner_ner", "second", "other")]
    assert networks[0] is networks[1]
    assert networks[0] is not networks[2]


def test_a_component_that_learns_leaves_the_shared_network_to_the_others(make_nlp):
    nlp, other = make_nlp(), make_nlp()
    text = "Bill Gates founded Microsoft"
    before = scored(other(text))
    example = Example.from_dict(nlp.make_doc(text), {"entities": [(0, 10, "person")]})
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.1
    for _ in range(2):
        nlp.update([example], sgd=optimizer)
    assert scored(nlp(text)) != before
    assert scored(other(text)) == before


def test_one_bad_doc_goes_alone_to_the_error_handler(make_nlp):
    nlp = make_nlp(labels=[])
    failed = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.append((name, docs, error)))
    docs = [nlp.make_doc(text) for text in ("Ada met Bill", "no labels here", "Bill founded Microsoft")]
    for doc in (docs[0], docs[2]):
        doc._.gliner_labels = ["person", "company"]
    annotated = list(nlp.pipe(docs))
    assert [doc.text for doc in annotated] == ["Ada met Bill", "Bill founded Microsoft"]
    assert all("gliner_ner" in doc.spans for doc in annotated)
    ((name, bad, error),) = failed
    assert (name, [doc.text for doc in bad]) == ("gliner_ner", ["no labels here"])
    assert "'gliner_ner' has nothing to look for" in str(error)


def test_a_bad_doc_raises_where_no_error_handler_is_set(make_nlp):
    nlp = make_nlp(labels=[])
    with pytest.raises(ValueError, match="nothing to look for"):
        list(nlp.pipe(["Ada met Bill"]))


def test_chinese_is_read_through_the_tokenizer_of_the_language(tiny_checkpoint):
    nlp = spacy.blank("zh")
    source = {"name": str(tiny_checkpoint)}
    nlp.add_pipe("gliner_ner", config={"labels": ["person"], "threshold": 0.0, "model": {"source": source}})
    seen = stub_network(nlp, lambda query: [])
    assert len(nlp("我在北京见了她。")) == 8
    assert [query.words for query in seen] == [tuple("我在北京见了她。")]


def test_entities_can_be_drawn(make_nlp):
    doc = make_nlp()("Bill Gates founded Microsoft in Seattle.")
    assert doc.ents[0].label_ in displacy.render(doc, style="ent", jupyter=False)


def test_a_copied_pipeline_is_independent(make_nlp):
    nlp = make_nlp()
    nlp("Ada")
    twin = copy.deepcopy(nlp)
    twin.get_pipe("gliner_ner").add_label("river")
    assert "river" not in nlp.get_pipe("gliner_ner").labels
    twin.get_pipe("gliner_ner").cfg["labels"].remove("river")
    assert_same([twin("Ada met Bill")], [nlp("Ada met Bill")])


def test_results_are_the_same_for_a_doc_made_by_hand(make_nlp):
    nlp = make_nlp()
    doc = nlp("Bill founded Microsoft")
    by_hand = nlp(Doc(nlp.vocab, words=["Bill", "founded", "Microsoft"]))
    assert scored(doc) == found(by_hand)
    assert ents(doc) == ents(by_hand)
