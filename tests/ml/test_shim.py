"""The network inside thinc: when it loads, who owns it, how it learns, and that it comes back from bytes."""

import gc
import pickle
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from thinc.api import Adam

from spacy_gliner.ml import shim as shims
from spacy_gliner.ml.architectures import build_gliner, shim_of
from spacy_gliner.ml.prediction import Prediction, weights_changed
from spacy_gliner.ml.shim import UNLIMITED_PIECES
from spacy_gliner.ml.sources import Checkpoint
from spacy_gliner.nn import layout, onednn, precision
from spacy_gliner.nn.onednn import OneDnnLinear, is_x86
from spacy_gliner.training.optimizers import AdamW

from ..tiny import QUERIES, assert_equal, tiny_bert, tiny_deberta, tiny_network_checkpoint


class Source:
    """Gives a tiny network without dropout, counts how often, and says that equal keys load the same."""

    def __init__(self, key=None, **settings):
        backbone = tiny_bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        self.key = key
        self.settings = {"backbone": backbone, "dropout": 0.0, **settings}
        self.n_calls = 0

    def identity(self):
        return self.key

    def __call__(self):
        self.n_calls += 1
        return tiny_network_checkpoint(**self.settings)


class Untouchable(Source):
    """A source that cannot be asked."""

    def __call__(self):
        raise OSError("the source was asked")


def scores(model):
    return model.predict(QUERIES).per_query()


def weights(model):
    return {name: tensor.clone() for name, tensor in shim_of(model).network.state_dict().items()}


def changed(before, after):
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


def backprop(model, slope=1.0):
    """A gradient that lowers all scores."""
    logits, callback = model.begin_update(QUERIES)
    callback(type(logits)(**{**vars(logits), "scores": torch.full_like(logits.scores, slope)}))


def learn(model, optimizer):
    backprop(model)
    model.finish_update(optimizer)


def gradients(model):
    named = shim_of(model).network.named_parameters()
    return {name: parameter.grad.clone() for name, parameter in named if parameter.grad is not None}


def norm(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors]).norm()


# Loading and sharing


def test_creating_reads_nothing():
    model = build_gliner(Untouchable())
    assert not shim_of(model).loaded
    with pytest.raises(OSError, match="the source was asked"):
        model.initialize()


@pytest.mark.parametrize("use", ["initialize", "predict", "begin_update", "to_bytes"])
def test_the_first_use_loads_the_weights_and_later_ones_do_not(use):
    source = Source()
    model = build_gliner(source)
    {
        "initialize": model.initialize,
        "predict": lambda: model.predict(QUERIES),
        "begin_update": lambda: model.begin_update(QUERIES),
        "to_bytes": model.to_bytes,
    }[use]()
    assert shim_of(model).loaded
    model.predict(QUERIES)
    model.to_bytes()
    assert source.n_calls == 1


def test_initializing_again_asks_the_source_again():
    model = build_gliner(Source())
    model.initialize()
    before = scores(model)
    learn(model, AdamW(0.1, 0.1))
    assert not torch.allclose(scores(model)[0], before[0], atol=1e-2)
    model.initialize()
    assert_equal(scores(model), before, atol=0)


def test_equal_sources_share_one_network():
    first, second = Source("shared"), Source("shared")
    one, other = build_gliner(first), build_gliner(second)
    assert_equal(scores(one), scores(other), atol=0)
    assert shim_of(one).network is shim_of(other).network
    assert shim_of(one).tokenizer is shim_of(other).tokenizer
    assert (first.n_calls, second.n_calls) == (1, 0)


@pytest.mark.parametrize("keys", [("a", "b"), (None, None)])
def test_other_sources_share_nothing(keys):
    one, other = (build_gliner(Source(key)) for key in keys)
    assert shim_of(one).network is not shim_of(other).network


def test_a_network_that_nobody_uses_is_forgotten():
    source = Source("forgotten")
    for _ in range(2):
        build_gliner(source).initialize()
        gc.collect()
    assert source.n_calls == 2


def test_a_model_that_learns_takes_its_own_copy():
    one, other = build_gliner(Source("taught")), build_gliner(Source("taught"))
    before = scores(other)
    learn(one, AdamW(0.01, 0.01))
    assert shim_of(one).network is not shim_of(other).network
    assert_equal(scores(other), before, atol=0)
    assert not torch.allclose(scores(one)[0], before[0], atol=1e-3)
    assert gradients(other) == {}


def test_a_shared_network_stays_as_it_was_for_those_who_come_later():
    one = build_gliner(Source("early"))
    keeper = build_gliner(Source("early"))
    before = scores(keeper)
    learn(one, AdamW(0.01, 0.01))
    assert_equal(scores(build_gliner(Source("early"))), before, atol=0)


# Modes


def test_a_network_is_in_evaluation_mode_outside_of_training():
    model = build_gliner(Source(dropout=0.5))
    network = shim_of(model).network
    before = scores(model)
    assert not network.training
    model.begin_update(QUERIES)
    assert not any(module.training for module in shim_of(model).network.modules())
    assert_equal(scores(model), before, atol=0)


def test_a_failed_update_leaves_it_in_evaluation_mode(monkeypatch):
    model = build_gliner(Source())
    network = shim_of(model).network
    monkeypatch.setattr(network, "forward", lambda batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.begin_update(QUERIES)
    assert not network.training


def test_dropout_is_on_in_an_update():
    model = build_gliner(Source(dropout=0.5))
    first, second = (model.begin_update(QUERIES)[0].scores for _ in range(2))
    assert not torch.equal(first, second)


def test_without_dropout_an_update_sees_what_a_prediction_sees():
    model = build_gliner(Source())
    logits, _ = model.begin_update(QUERIES)
    assert_equal([block.detach() for block in logits.per_query()], scores(model), atol=1e-4)


def test_a_prediction_has_no_gradient():
    model = build_gliner(Source())
    logits, callback = model(QUERIES, is_train=False)
    assert not logits.scores.requires_grad
    with pytest.raises(RuntimeError, match="begin_update"):
        callback(logits)


def test_threads_predict_the_same():
    model = build_gliner(Source("threads"))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: scores(model), range(24)))
    for answer in answers:
        assert_equal(answer, answers[0])


def test_threads_load_once():
    source = Source("loaded by threads")
    models = [build_gliner(source) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(scores, models))
    assert source.n_calls == 1


# Learning


@pytest.mark.parametrize("optimizer", [AdamW(0.01, 0.01), Adam(0.01)], ids=["AdamW", "Adam of thinc"])
def test_a_step_follows_the_gradient(optimizer):
    model = build_gliner(Source())
    before = torch.cat([block.flatten() for block in scores(model)]).sum()
    for _ in range(3):
        learn(model, optimizer)
    assert torch.cat([block.flatten() for block in scores(model)]).sum() < before


@pytest.mark.parametrize("optimizer", [AdamW(0.01, 0.01), Adam(0.01)], ids=["AdamW", "Adam of thinc"])
def test_a_second_step_without_a_new_gradient_changes_nothing(optimizer):
    model = build_gliner(Source())
    learn(model, optimizer)
    before = weights(model)
    model.finish_update(optimizer)
    assert changed(before, weights(model)) == set()


def test_a_step_before_anything_was_loaded_loads_nothing():
    model = build_gliner(Untouchable())
    model.finish_update(Adam(0.01))
    assert not shim_of(model).loaded


def test_gradients_of_several_batches_add_up():
    model = build_gliner(Source())
    backprop(model)
    one = gradients(model)
    backprop(model, slope=2.0)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, 3 * one[name], atol=1e-3, rtol=1e-3)


def test_the_two_learning_rates_apply_each_to_its_part():
    for rates, backbone_learns in (((0.01, 0.0), True), ((0.0, 0.01), False)):
        model = build_gliner(Source())
        before = weights(model)
        learn(model, AdamW(*rates, weight_decay=0.0))
        trained = {name for name, _ in shim_of(model).network.named_parameters()}
        of_backbone = {name for name in trained if name.startswith("encoder.transformer.")}
        assert changed(before, weights(model)) == (of_backbone if backbone_learns else trained - of_backbone)


def test_a_plain_optimizer_has_one_rate_for_everything():
    model = build_gliner(Source())
    before = weights(model)
    learn(model, Adam(0.01))
    trained = {name for name, _ in shim_of(model).network.named_parameters()}
    assert changed(before, weights(model)) == trained


def test_schedules_of_the_rates_are_followed():
    model = build_gliner(Source())
    optimizer = AdamW([0.0, 0.01], [0.01, 0.0], weight_decay=0.0)
    for backbone_learns in (False, True):
        before = weights(model)
        learn(model, optimizer)
        optimizer.step_schedules()
        names = changed(before, weights(model))
        assert {name.startswith("encoder.transformer.") for name in names} == {backbone_learns}


def test_the_gradient_is_clipped_by_its_global_norm():
    # With an epsilon this large, a step of Adam is the gradient times rate / epsilon.
    epsilon, limit = 1e6, 0.5
    model = build_gliner(Source())
    before = weights(model)
    backprop(model)
    gradient = gradients(model)
    assert norm(gradient.values()) > 10 * limit
    model.finish_update(AdamW(epsilon, epsilon, weight_decay=0.0, eps=epsilon, grad_clip=limit))
    after = weights(model)
    factor = limit / norm(gradient.values())
    for name, slope in gradient.items():
        torch.testing.assert_close(before[name] - after[name], slope * factor, atol=1e-4, rtol=0)
    assert float(norm([before[name] - after[name] for name in gradient])) == pytest.approx(limit, rel=1e-3)


def test_without_a_limit_the_gradient_is_not_clipped():
    epsilon = 1e6
    model = build_gliner(Source())
    before = weights(model)
    backprop(model)
    gradient = gradients(model)
    model.finish_update(AdamW(1.0, 1.0, weight_decay=0.0, eps=epsilon, grad_clip=0.0))
    after = weights(model)
    name = max(gradient, key=lambda name: gradient[name].norm())
    torch.testing.assert_close((before[name] - after[name]) * epsilon, gradient[name], atol=0.2, rtol=0.1)


def test_biases_and_norms_do_not_decay():
    model = build_gliner(Source())
    before = weights(model)
    backprop(model, slope=0.0)
    model.finish_update(AdamW(0.1, 0.2, weight_decay=0.5))
    after = weights(model)
    for name, parameter in shim_of(model).network.named_parameters():
        rate = 0.1 if name.startswith("encoder.transformer.") else 0.2
        expected = before[name] * (1 - rate * 0.5 if parameter.ndim > 1 else 1.0)
        torch.testing.assert_close(after[name], expected, atol=1e-6, rtol=0)


# Bytes


def test_a_model_comes_back_from_bytes_without_its_source(any_checkpoint):
    model = build_gliner(Checkpoint(str(any_checkpoint)))
    again = build_gliner(Untouchable()).from_bytes(model.to_bytes())
    assert_equal(scores(again), scores(model), atol=0)
    assert shim_of(again).tokenizer.to_bytes() == shim_of(model).tokenizer.to_bytes()
    assert not shim_of(again).network.training


def test_what_was_learned_comes_back_from_disk(tmp_path):
    model = build_gliner(Source())
    learn(model, AdamW(0.01, 0.01))
    model.to_disk(tmp_path / "model")
    again = build_gliner(Untouchable()).from_disk(tmp_path / "model")
    assert_equal(scores(again), scores(model), atol=0)


def test_a_model_from_bytes_can_go_on_learning():
    model = build_gliner(Source())
    learn(model, AdamW(0.01, 0.01))
    again = build_gliner(Untouchable()).from_bytes(model.to_bytes())
    before = scores(again)
    learn(again, AdamW(0.01, 0.01))
    assert not torch.allclose(scores(again)[0], before[0], atol=1e-3)


def test_bytes_replace_what_was_loaded():
    model, other = build_gliner(Source()), build_gliner(Source(head="marker", seed=3))
    learn(model, AdamW(0.01, 0.01))
    model.from_bytes(other.to_bytes())
    assert_equal(scores(model), scores(other), atol=0)
    learn(model, AdamW(0.01, 0.01))
    assert not torch.allclose(scores(model)[0], scores(other)[0], atol=1e-3)


def test_a_model_can_be_pickled_and_copied(any_checkpoint):
    model = build_gliner(Checkpoint(str(any_checkpoint)))
    before = scores(model)
    for again in (pickle.loads(pickle.dumps(model)), model.copy()):
        assert_equal(scores(again), before, atol=0)
        learn(again, AdamW(0.01, 0.01))
        assert_equal(scores(model), before, atol=0)


def test_weights_that_do_not_fit_are_an_error(monkeypatch):
    model = build_gliner(Source())
    monkeypatch.setattr(shims, "network_weights", lambda network: {"other.weight": torch.zeros(1)})
    data = model.to_bytes()
    with pytest.raises(ValueError, match="weights of the saved pipeline don't fit .* Unexpected: other.weight"):
        build_gliner(Source()).from_bytes(data)


# Limits, devices, forks


def test_how_much_can_be_read_is_what_positions_allow():
    for backbone, limit in ((tiny_bert(), 128), (tiny_deberta(), UNLIMITED_PIECES)):
        shim = shim_of(build_gliner(Source(backbone=backbone)))
        assert (shim.max_pieces, shim.max_word_pieces) == (limit, limit // 2)


def test_weights_lie_as_prediction_reads_them_but_for_training(monkeypatch):
    monkeypatch.setattr(layout, "has_faster_onednn", lambda: False)  # with it, all would lie in one way

    def lie_by_output(model):
        return {m.weight.is_contiguous() for m in shim_of(model).network.modules() if isinstance(m, torch.nn.Linear)}

    model = build_gliner(Source())
    before = scores(model)
    again = build_gliner(Untouchable()).from_bytes(model.to_bytes())
    assert lie_by_output(model) == lie_by_output(again) == {False, True}
    for _ in range(2):
        logits, backprop = model.begin_update(QUERIES)
        assert lie_by_output(model) == {True}
        assert_equal(scores(model), before, atol=0)
        assert lie_by_output(model) == {False, True}
        backprop(replace(logits, scores=torch.ones_like(logits.scores)))
        model.finish_update(AdamW(0.0, 0.0, weight_decay=0.0))
        assert lie_by_output(model) == {True}
        assert_equal(scores(model), before, atol=0)


@pytest.mark.skipif(not (is_x86() and torch.backends.mkldnn.is_available()), reason="needs x86 and oneDNN")
def test_where_onednn_multiplies_prediction_follows_training(monkeypatch):
    for module in (layout, onednn, precision):
        monkeypatch.setattr(module, "has_faster_onednn", lambda: True)
    model = build_gliner(Source())
    before = scores(model)
    predicting = shim_of(model).prediction.network_of(shim_of(model).network)
    assert any(isinstance(module, OneDnnLinear) for module in predicting.modules())
    backprop(model)
    assert_equal(scores(model), before, atol=0)
    model.finish_update(AdamW(0.01, 0.01))
    learned = scores(model)
    assert not any(torch.allclose(new, old) for new, old in zip(learned, before, strict=True))
    assert_equal(scores(build_gliner(Untouchable()).from_bytes(model.to_bytes())), learned)
    monkeypatch.setattr(precision, "has_faster_onednn", lambda: False)
    weights_changed(shim_of(model).network)
    assert_equal(scores(model), learned)


def test_what_predicts_keeps_no_network_alive():
    for settings in ({}, {"precision": "bfloat16"}, {"packed": False}):
        network = tiny_network_checkpoint(tiny_deberta(), fuse_layers=not settings).network
        gone = weakref.ref(network)
        Prediction(**settings).network_of(network)
        del network
        gc.collect()
        assert gone() is None


def test_threads_that_predict_after_training_wait_until_the_weights_lie_as_they_read_them(monkeypatch):
    model = build_gliner(Source())
    learn(model, AdamW(0.01, 0.01))
    n_calls, by_input = [], shims.by_input

    def slowly(network):
        n_calls.append(network)
        time.sleep(0.2)
        by_input(network)

    monkeypatch.setattr(shims, "by_input", slowly)
    with ThreadPoolExecutor(8) as pool:
        first, *others = pool.map(lambda _: scores(model), range(8))
    assert len(n_calls) == 1
    for other in others:
        assert_equal(other, first, atol=0)


def test_predicting_between_update_and_step_does_not_change_what_is_learned():
    learned = []
    for predicts in (False, True):
        model = build_gliner(Source())
        for _ in range(3):
            logits, backprop = model.begin_update(QUERIES)
            if predicts:
                scores(model)
            backprop(replace(logits, scores=torch.ones_like(logits.scores)))
            if predicts:
                scores(model)
            model.finish_update(AdamW(0.01, 0.01))
        learned.append(scores(model))
    assert_equal(*learned, atol=0)


@pytest.mark.parametrize("backbone", [tiny_bert, tiny_deberta])
def test_training_reads_without_padding_unless_told(backbone):
    learned = []
    for packed in (True, False):
        without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        model = build_gliner(Source(backbone=backbone(**without)), packed=packed)
        learn(model, AdamW(0.01, 0.01))
        assert (shim_of(model).network.encoder.transformer.packed is not None) is packed
        again = build_gliner(Untouchable()).from_bytes(model.to_bytes())
        assert_equal(scores(again), scores(model))
        learned.append(scores(model))
    assert_equal(*learned, atol=1e-3)


def test_moving_to_the_device_where_it_is_changes_nothing():
    model = build_gliner(Source("moved"))
    before = scores(model)
    strides = [weight.stride() for weight in shim_of(model).network.parameters()]
    layout.by_output(shim_of(model).network)  # as on other devices
    model.to_cpu()
    assert shim_of(model).device == torch.device("cpu")
    assert_equal(scores(model), before, atol=0)
    assert [weight.stride() for weight in shim_of(model).network.parameters()] == strides


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_a_model_runs_on_an_accelerator():
    model = build_gliner(Source())
    before = scores(model)
    shim_of(model).to_device("gpu", 0)
    assert next(shim_of(model).network.parameters()).is_cuda
    assert_equal([block.cpu() for block in scores(model)], before, atol=1e-3)
    learn(model, AdamW(0.01, 0.01))
    again = build_gliner(Untouchable()).from_bytes(model.to_bytes())
    assert_equal([block.cpu() for block in scores(again)], [block.cpu() for block in scores(model)], atol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
@pytest.mark.parametrize("backbone", [tiny_bert, tiny_deberta])
def test_asking_an_accelerator_waits_for_nothing(backbone):
    model = build_gliner(Source(backbone=backbone()))
    shim_of(model).to_device("gpu", 0)
    model.predict(QUERIES)
    torch.cuda.set_sync_debug_mode("error")
    try:
        logits = model.predict(QUERIES)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert logits.scores.is_cuda
