"""Components that use the network of another: one in memory, once on disk, one step in training."""

import copy
import gc
import pickle

import pytest
import spacy
import torch
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_gliner.ml.architectures import shim_of
from spacy_gliner.ml.sources import FromComponent
from spacy_gliner.pipeline.results import Relation
from spacy_gliner.training.optimizers import AdamW

from ..pipeline.components import LANGUAGE, QA, TRAVELS, assert_same_groups, groups
from ..pipeline.helpers import TEXTS, at_most

TEXT = "Bill Gates founded Microsoft in Seattle."
LENT = {"source": {"@misc": "spacy_gliner.FromComponent.v1", "component": "gliner_ner"}}
BORROWERS = {
    "gliner_relations": {"relations": ["met", "founded"]},
    "gliner_qa": {"questions": ["Who met Bill ?"]},
    "gliner_openie": {"prompts": ["any city :"]},
    "gliner_summarizer": {},
}


@pytest.fixture
def make_nlp(tiny_checkpoint):
    """A function that makes a pipeline of `gliner_ner` and of components that borrow its network."""

    def make(names=("gliner_qa",), owner=True, first=False):
        nlp = spacy.blank(LANGUAGE)
        source = {"name": str(tiny_checkpoint)}
        if owner:
            nlp.add_pipe("gliner_ner", config={"labels": ["person", "city"], "model": {"source": source}})
        for name in names:
            nlp.add_pipe(name, config={**BORROWERS[name], "model": LENT, "threshold": 0.3}, first=first or None)
        return nlp

    return make


def shims(nlp):
    return [shim_of(pipe.model) for _, pipe in nlp.pipeline]


def weights(nlp):
    return {name: weight.clone() for name, weight in shims(nlp)[0].network.state_dict().items()}


def equal(weights, others):
    return all(torch.equal(weight, others[name]) for name, weight in weights.items())


# -- one network


def test_all_borrowers_use_the_one_network_of_the_owner(make_nlp):
    nlp = make_nlp(BORROWERS)
    nlp(TEXT)
    assert len({id(shim) for shim in shims(nlp)}) == 1
    assert len({id(shim.network) for shim in shims(nlp)}) == len({id(shim.tokenizer) for shim in shims(nlp)}) == 1
    assert {nlp.get_pipe(name).device for name in nlp.pipe_names} == {"cpu"}


def test_a_borrower_finds_what_a_component_with_that_network_finds(make_nlp, tiny_checkpoint):
    own = QA.nlp(tiny_checkpoint, threshold=0.3, **BORROWERS["gliner_qa"])
    docs = list(make_nlp().pipe(TEXTS))
    for doc in docs:
        del doc.spans["gliner_ner"]
    assert_same_groups(docs, own.pipe(TEXTS))


def test_adding_a_borrower_and_joining_it_to_an_owner_read_no_weights(make_nlp):
    nlp = make_nlp(BORROWERS)
    assert not shims(nlp)[0].loaded
    assert nlp.config["components"]["gliner_qa"]["model"]["source"] == LENT["source"]


def test_initializing_loads_the_network_once(make_nlp):
    nlp = make_nlp(BORROWERS)
    loaded = []
    shim = shims(nlp)[0]
    load = shim.load
    shim.load = lambda: loaded.append(load())
    nlp.initialize()
    assert len(loaded) == 1


@pytest.mark.parametrize("first", [True, False])
def test_a_disabled_owner_still_lends_wherever_it_stands(make_nlp, first):
    nlp = make_nlp(first=first)
    assert nlp.pipe_names.index("gliner_qa") == (0 if first else 1)
    expected = groups(nlp(TEXT))["gliner_answers"]
    with nlp.select_pipes(disable="gliner_ner"):
        assert groups(nlp(TEXT)) == {"gliner_answers": expected}


def test_a_replaced_owner_lends_its_new_network(make_nlp, tiny_span_checkpoint):
    nlp = make_nlp()
    nlp(TEXT)
    source = {"name": str(tiny_span_checkpoint)}
    nlp.replace_pipe("gliner_ner", "gliner_ner", config={"labels": ["person"], "model": {"source": source}})
    nlp(TEXT)
    assert shims(nlp)[0] is shims(nlp)[1]
    assert shims(nlp)[0].network.config.head == "markerV0"


# -- on disk and elsewhere


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_weights_are_written_once(make_nlp, tmp_path):
    make_nlp([]).to_disk(tmp_path / "alone")
    make_nlp(BORROWERS).to_disk(tmp_path / "all")
    assert (tmp_path / "all" / "gliner_ner" / "model").stat().st_size > 50_000
    for name in BORROWERS:
        assert size_of(tmp_path / "all" / name) < 2_000
    assert size_of(tmp_path / "all") < size_of(tmp_path / "alone") + 20_000
    assert len(make_nlp(BORROWERS).to_bytes()) < len(make_nlp([]).to_bytes()) + 20_000


@pytest.mark.parametrize("travel", TRAVELS)
@pytest.mark.parametrize("first", [True, False])
def test_a_pipeline_finds_the_same_after_it_travelled_with_one_network(make_nlp, tmp_path, travel, first):
    nlp = make_nlp(("gliner_qa", "gliner_openie"), first=first)
    expected = list(nlp.pipe(TEXTS))
    again = travel(nlp, tmp_path / "pipeline")
    assert_same_groups(again.pipe(TEXTS), expected)
    networks = {id(shim.network) for shim in shims(again)}
    assert len(networks) == 1
    assert networks != {id(shims(nlp)[0].network)}
    twice = travel(again, tmp_path / "again")
    assert_same_groups(twice.pipe(TEXTS), expected)


def test_two_processes_find_what_one_finds(make_nlp):
    nlp = make_nlp(first=True)
    expected = [nlp(text) for text in TEXTS]
    with at_most(60):
        assert_same_groups(nlp.pipe(TEXTS, n_process=2, batch_size=4), expected)


def test_a_pickled_component_brings_the_network_along(make_nlp):
    nlp = make_nlp()
    expected = groups(nlp(TEXT))["gliner_answers"]
    pipe = pickle.loads(pickle.dumps(nlp.get_pipe("gliner_qa")))
    for again in (pipe, pickle.loads(pickle.dumps(pipe)), copy.deepcopy(nlp.get_pipe("gliner_qa"))):
        assert groups(again(nlp.make_doc(TEXT))) == {"gliner_answers": expected}
        assert shim_of(again.model).network is not shims(nlp)[0].network


def test_components_taken_over_from_a_pipeline_outlive_it(make_nlp):
    nlp = make_nlp()
    expected = groups(nlp(TEXT))
    other = spacy.blank(LANGUAGE)
    for name in nlp.pipe_names:
        other.add_pipe(name, source=nlp)
    del nlp
    gc.collect()
    assert groups(other(TEXT)) == expected
    assert len({id(shim.network) for shim in shims(other)}) == 1


def test_components_that_a_config_takes_from_a_saved_pipeline_work(make_nlp, tmp_path):
    nlp = make_nlp()
    expected = groups(nlp(TEXT))
    nlp.to_disk(tmp_path)
    config = {
        "nlp": {"lang": LANGUAGE, "pipeline": list(nlp.pipe_names)},
        "components": {name: {"source": str(tmp_path)} for name in nlp.pipe_names},
    }
    again = spacy.util.load_model_from_config(spacy.util.Config(config), auto_fill=True)
    gc.collect()
    assert groups(again(TEXT)) == expected


def test_a_borrower_can_write_a_checkpoint(make_nlp, tmp_path):
    nlp = make_nlp()
    nlp.get_pipe("gliner_qa").to_checkpoint(tmp_path / "checkpoint")
    own = QA.nlp(tmp_path / "checkpoint", threshold=0.3, **BORROWERS["gliner_qa"])
    assert groups(own(TEXT))["gliner_answers"] == groups(nlp(TEXT))["gliner_answers"]


# -- without an owner


def assert_useless(nlp, folder, message):
    """That using, saving and pickling say what is missing, and nothing is half written."""
    with pytest.raises(ValueError, match=message):
        nlp(TEXT)
    with pytest.raises(ValueError, match=message):
        nlp.to_bytes()
    with pytest.raises(ValueError, match=message):
        pickle.dumps(nlp.get_pipe("gliner_qa"))
    with pytest.raises(ValueError, match=message):
        nlp.to_disk(folder)
    assert not (folder / "gliner_qa").exists()


def test_a_missing_owner_is_an_error_that_names_it(make_nlp, tmp_path):
    nlp = make_nlp(owner=False)
    assert_useless(nlp, tmp_path, "'gliner_ner' .*no component of that name. Add it, or give the component a source")


def test_an_owner_may_come_later(make_nlp, tiny_checkpoint):
    nlp = make_nlp(owner=False)
    with pytest.raises(ValueError, match="no component of that name"):
        nlp(TEXT)
    source = {"name": str(tiny_checkpoint)}
    nlp.add_pipe("gliner_ner", config={"labels": ["person", "city"], "model": {"source": source}})
    assert groups(nlp(TEXT)) == groups(make_nlp()(TEXT))


def test_an_owner_that_left_is_missed(make_nlp, tmp_path):
    nlp = make_nlp()
    nlp(TEXT)
    nlp.remove_pipe("gliner_ner")
    assert_useless(nlp, tmp_path, "no component of that name")


def test_an_owner_that_was_not_loaded_is_missed(make_nlp, tmp_path):
    make_nlp().to_disk(tmp_path / "one")
    nlp = spacy.load(tmp_path / "one", exclude=["gliner_ner"])
    assert_useless(nlp, tmp_path / "two", "no component of that name")


@pytest.mark.parametrize("factory", ["sentencizer", "tagger"])
def test_a_component_of_another_kind_lends_nothing(make_nlp, tmp_path, factory):
    nlp = make_nlp(owner=False)
    nlp.add_pipe(factory, name="gliner_ner", first=True)
    with pytest.raises(ValueError, match="'gliner_ner' .*no component of spacy-gliner"):
        nlp.get_pipe("gliner_qa")(nlp.make_doc(TEXT))


def test_what_is_borrowed_is_not_lent(make_nlp, tmp_path):
    nlp = make_nlp(["gliner_openie"])
    source = {"@misc": "spacy_gliner.FromComponent.v1", "component": "gliner_openie"}
    nlp.add_pipe("gliner_qa", config={"questions": ["Who ?"], "model": {"source": source}})
    assert_useless(nlp, tmp_path, "'gliner_openie' .*borrows its network too")


def test_nobody_lends_to_himself(make_nlp, tmp_path):
    nlp = make_nlp(owner=False, names=[])
    source = {"@misc": "spacy_gliner.FromComponent.v1", "component": "gliner_qa"}
    nlp.add_pipe("gliner_qa", config={"questions": ["Who ?"], "model": {"source": source}})
    assert_useless(nlp, tmp_path, "'gliner_qa' .*borrows its network too")


def test_the_source_itself_loads_nothing():
    source = FromComponent("gliner_ner")
    assert source.identity() is None
    with pytest.raises(ValueError, match="'gliner_ner' is loaded by that component"):
        source()


# -- training


def examples_of(nlp):
    """One Example with the gold of all components."""
    predicted, reference = (Doc(nlp.vocab, words="Bill founded Microsoft in Seattle".split()) for _ in range(2))
    reference.ents = [spacy.tokens.Span(reference, 0, 1, label="person")]
    reference._.gliner_answers = {"Who ?": [reference[0:1]]}
    reference._.gliner_matches = {"any city :": [reference[4:5]]}
    reference._.gliner_relations = [Relation(reference[0:1], "founded", reference[2:3])]
    reference._.gliner_summary = [reference[0:3]]
    return [Example(predicted, reference)]


def gradients(nlp, names):
    """Of the network, after these components learned from the Example."""
    for name in names:
        fix_random_seed(0)
        nlp.get_pipe(name).teacher.rng.seed(0)
        losses = nlp.get_pipe(name).update(examples_of(nlp))
        assert losses[name] > 0
    return {name: p.grad for name, p in shims(nlp)[0].network.named_parameters() if p.grad is not None}


def test_gradients_of_all_components_add_up(make_nlp):
    names = ["gliner_ner", *BORROWERS]
    together = gradients(make_nlp(BORROWERS), names)
    alone = [gradients(make_nlp(BORROWERS), [name]) for name in names]
    assert set(together) == set().union(*alone)
    for parameter, gradient in together.items():
        parts = [grads[parameter] for grads in alone if parameter in grads]
        torch.testing.assert_close(gradient, torch.stack(parts).sum(0), atol=1e-5, rtol=1e-4)


def train_step(nlp, optimizer):
    """What `spacy train` does with a batch. (`nlp.update` with an optimizer takes a step after every component.)"""
    losses = nlp.update(examples_of(nlp), sgd=False)
    for _, pipe in nlp.pipeline:
        pipe.finish_update(optimizer)
    return losses


def test_a_batch_of_a_training_is_one_step_for_all(make_nlp):
    nlp = make_nlp(BORROWERS)
    nlp.initialize()
    optimizer = AdamW(learn_rate=0.001, head_learn_rate=0.001)
    for step in (1, 2):
        losses = train_step(nlp, optimizer)
        assert set(losses) == {"gliner_ner", *BORROWERS} and all(losses.values())
        assert {int(state["step"]) for state in shims(nlp)[0]._optimizer.state.values()} == {step}


def test_a_step_follows_the_sum_of_the_gradients(make_nlp):
    nlp, by_hand = make_nlp(BORROWERS), make_nlp(BORROWERS)
    optimizer = AdamW(learn_rate=0.001, head_learn_rate=0.001)
    fix_random_seed(3)
    train_step(nlp, optimizer)
    fix_random_seed(3)
    for _, pipe in by_hand.pipeline:
        pipe.update(examples_of(by_hand))
    shims(by_hand)[0].finish_update(optimizer)
    assert equal(weights(nlp), weights(by_hand))
    assert not equal(weights(nlp), weights(make_nlp()))


def test_what_one_learns_all_know_and_other_pipelines_do_not(make_nlp):
    nlp, other = make_nlp(("gliner_qa", "gliner_openie")), make_nlp()
    before, unchanged = groups(nlp(TEXT)), groups(other(TEXT))
    nlp.get_pipe("gliner_qa").update(examples_of(nlp), sgd=AdamW(learn_rate=0.05, head_learn_rate=0.05))
    after = groups(nlp(TEXT))
    assert all(before[key] != after[key] for key in before if before[key][0] or after[key][0])
    assert groups(other(TEXT)) == unchanged


def test_a_frozen_owner_is_trained_by_those_who_borrow(make_nlp):
    """Freezing leaves out its own examples. To keep the weights, freeze all that share them."""
    nlp = make_nlp()
    nlp.initialize()
    before = weights(nlp)
    optimizer = AdamW(learn_rate=0.01, head_learn_rate=0.01)
    losses = nlp.update(examples_of(nlp), sgd=optimizer, exclude=["gliner_ner", "gliner_qa"])
    assert losses == {}
    assert equal(before, weights(nlp))
    losses = nlp.update(examples_of(nlp), sgd=optimizer, exclude=["gliner_ner"])
    assert list(losses) == ["gliner_qa"]
    assert not equal(before, weights(nlp))


def test_training_without_the_owner_is_an_error(make_nlp):
    nlp = make_nlp(owner=False)
    with pytest.raises(ValueError, match="no component of that name"):
        nlp.update(examples_of(nlp), sgd=AdamW())
    with pytest.raises(ValueError, match="no component of that name"):
        nlp.initialize()


def test_averages_of_an_optimizer_leave_borrowers_alone(make_nlp, tmp_path):
    nlp = make_nlp()
    expected = groups(nlp(TEXT))
    with nlp.use_params({}):
        nlp.to_disk(tmp_path)
    assert groups(spacy.load(tmp_path)(TEXT)) == expected
