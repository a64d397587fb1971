"""The settings of how the network predicts, seen from the pipeline."""

import random

import pytest
import spacy
import torch
from spacy.training import Example

from spacy_gliner.ml.architectures import shim_of
from spacy_gliner.ml.checkpoints import write_checkpoint
from spacy_gliner.types import Query

from ..tiny import tiny_network_checkpoint
from .helpers import TEXTS, assert_same, found

PRECISIONS = ["bfloat16", "float16", "int8"]


@pytest.fixture(scope="module")
def tiny_checkpoint(tmp_path_factory):
    """As elsewhere, but for its random weights: with those, 8 bits move one score of a hundred by 0.17."""
    folder = tmp_path_factory.mktemp("checkpoints") / "token"
    write_checkpoint(tiny_network_checkpoint(seed=2), folder)
    return folder


@pytest.fixture
def make(any_checkpoint):
    def make(**settings):
        nlp = spacy.blank("en")
        model = {"source": {"name": str(any_checkpoint)}, **settings}
        config = {"labels": ["person", "company", "city"], "model": model, "threshold": 0.3}
        nlp.add_pipe("gliner_ner", config=config)
        return nlp

    return make


def scores(docs):
    return {(d, s.start, s.end, s.label_): p for d, doc in enumerate(docs) for s, p in all_found(doc)}


def all_found(doc):
    group = doc.spans["gliner_ner"]
    return zip(group, group.attrs["scores"], strict=True)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_in_any_precision_about_the_same_is_found(make, precision):
    exact, changed = (scores(make(precision=p).pipe(TEXTS)) for p in ("float32", precision))
    both = exact.keys() & changed.keys()
    assert len(both) > 0.6 * len(exact | changed)
    assert sum(abs(exact[span] - changed[span]) for span in both) < 0.05 * len(both)
    assert all(abs(exact[span] - changed[span]) < 0.15 for span in both)
    assert exact != changed


def test_in_8_bits_a_stream_gives_what_single_calls_give(make):
    nlp = make(precision="int8")
    texts = TEXTS[:1] * 3 + TEXTS
    together, alone = scores(nlp.pipe(texts)), scores(map(nlp, texts))
    assert together.keys() == alone.keys()
    assert all(score == pytest.approx(alone[span], abs=1e-3) for span, score in together.items())


def test_without_packing_the_same_is_found(make):
    nlp, plain = make(), make(packed=False)
    assert_same(nlp.pipe(TEXTS), plain.pipe(TEXTS))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_was_learned_shows_in_any_precision_and_is_saved_whole(make_nlp, tiny_checkpoint, tmp_path, precision):
    random.seed(0)
    nlp = make_nlp(model={"source": {"name": str(tiny_checkpoint)}, "precision": precision}, labels=["person"])
    examples = [Example.from_dict(nlp.make_doc("Ada met Babbage"), {"entities": [(0, 3, "person")]})]
    nlp("Ada met Babbage")  # makes the network that predicts
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.002
    for _ in range(80):
        nlp.update(examples, sgd=optimizer)
    doc = nlp("Ada met Babbage")
    assert [ent.text for ent in doc.ents] == ["Ada"]
    assert all(weight.dtype.itemsize == 4 for weight in shim_of(nlp.get_pipe("gliner_ner").model).network.parameters())
    nlp.to_disk(tmp_path / "nlp")
    again = spacy.load(tmp_path / "nlp")
    assert again.config["components"]["gliner_ner"]["model"]["precision"] == precision
    assert found(again("Ada met Babbage")) == found(doc)


def test_components_with_one_source_and_one_precision_share_what_predicts(make):
    a, b = (shim_of(make(precision="int8").get_pipe("gliner_ner").model) for _ in range(2))
    assert a.prediction.network_of(a.network) is b.prediction.network_of(b.network)
    assert a.prediction.network_of(a.network) is not a.network


def test_an_unknown_precision_is_an_error_from_the_start(make):
    with pytest.raises(ValueError, match="int4"):
        make(precision="int4")


def test_what_predicts_follows_every_step(make_nlp, tiny_checkpoint):
    nlp = make_nlp(model={"source": {"name": str(tiny_checkpoint)}, "precision": "bfloat16"}, labels=["person"])
    examples = [Example.from_dict(nlp.make_doc("Ada met Babbage"), {"entities": [(0, 3, "person")]})]
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.01
    pipe = nlp.get_pipe("gliner_ner")
    query = Query(("Ada", "met", "Babbage"), ("person",))
    nlp.update(examples, sgd=False, annotates=["gliner_ner"])  # as the loop of spaCy does, for other components
    before = pipe.model.predict([query]).scores
    pipe.finish_update(optimizer)
    assert not torch.equal(pipe.model.predict([query]).scores, before)


def test_prediction_without_packing_leaves_the_random_generators_alone(make_nlp, tiny_checkpoint):
    nlp = make_nlp(model={"source": {"name": str(tiny_checkpoint)}, "packed": False})
    before = torch.random.get_rng_state()
    nlp("Ada met Babbage")
    assert torch.equal(torch.random.get_rng_state(), before)
