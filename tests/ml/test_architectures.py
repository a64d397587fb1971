"""The thinc model: queries in, logits out."""

import pytest
import spacy
import torch
from thinc.api import Linear, chain

from spacy_gliner.ml.architectures import build_gliner, shim_of
from spacy_gliner.ml.sources import Checkpoint
from spacy_gliner.types import Query, SpanLogits, TokenLogits

from ..tiny import QUERIES, assert_equal, scores_of


@pytest.fixture
def model(any_checkpoint):
    return build_gliner(Checkpoint(str(any_checkpoint)))


def test_a_model_answers_as_its_network_does(model):
    shim = shim_of(model)
    logits = model.predict(QUERIES)
    assert isinstance(logits, SpanLogits | TokenLogits)
    assert_equal(logits.per_query(), scores_of(shim.network, shim.tokenizer, QUERIES), atol=1e-5)


def test_the_registered_architecture_takes_a_source(tiny_checkpoint):
    config = {
        "model": {
            "@architectures": "spacy_gliner.GLiNER.v1",
            "source": {"@misc": "spacy_gliner.Checkpoint.v1", "name": str(tiny_checkpoint)},
        }
    }
    model = spacy.registry.resolve(config)["model"]
    assert model.name == "gliner"
    assert not shim_of(model).loaded
    expected = build_gliner(Checkpoint(str(tiny_checkpoint))).predict(QUERIES)
    assert torch.equal(model.predict(QUERIES).scores, expected.scores)


def test_a_gradient_of_logits_goes_back(model):
    logits, backprop = model.begin_update(QUERIES)
    assert backprop(type(logits)(**{**vars(logits), "scores": torch.ones_like(logits.scores)})) == []
    network = shim_of(model).network
    learned = {name.split(".")[0] for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert learned == {"encoder", "head"}


def test_initializing_loads(model):
    assert not shim_of(model).loaded
    model.initialize()
    assert shim_of(model).loaded


def test_a_word_without_end_is_read_in_part(tiny_checkpoint):
    model = build_gliner(Checkpoint(str(tiny_checkpoint)))
    scores = model.predict([Query(("in", "x" * 99), ("city",))]).per_query()
    longer = model.predict([Query(("in", "x" * 64), ("city",))]).per_query()
    assert_equal(scores, longer, atol=0)


@pytest.mark.parametrize("other", [Linear(2, 2), chain(Linear(2, 2), Linear(2, 2))])
def test_another_model_is_an_error_that_says_which_is_needed(other):
    with pytest.raises(ValueError, match="spacy_gliner.GLiNER.v1"):
        shim_of(other)
