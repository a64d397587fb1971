"""The loss equals the reference's where that one is right, and its gradient is the slope."""

import pytest
import spacy
import torch
from gliner.modeling.loss_functions import focal_loss_with_logits
from torch.nn.functional import binary_cross_entropy_with_logits

from spacy_gliner.losses import configure_focal_loss, focal_loss, loss_and_gradient
from spacy_gliner.targets import IGNORE

SETTINGS = [
    {},
    {"alpha": 0.75},
    {"gamma": 2.0},
    {"gamma": 0.5},
    {"smoothing": 0.1},
    {"alpha": 0.25, "gamma": 2.0, "smoothing": 0.05},
    {"alpha": 0.0},
    {"alpha": 1.0, "gamma": 1.0},
]


def logits_and_targets(n=60, ignored=False):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(n, generator=generator) * 3
    target = torch.randint(0, 2, (n,), generator=generator).float()
    if ignored:
        target[::4] = IGNORE
    return logits, target


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_loss_and_gradient_are_those_of_the_reference(settings, reduction):
    logits, target = logits_and_targets(ignored=True)
    value, gradient = loss_and_gradient(logits, target, configure_focal_loss(**settings, reduction=reduction))
    leaf = logits.clone().requires_grad_()
    keep = target != IGNORE
    theirs = focal_loss_with_logits(
        leaf[keep],
        target[keep],
        alpha=settings.get("alpha", -1),
        gamma=settings.get("gamma", 0),
        label_smoothing=settings.get("smoothing", 0),
        reduction=reduction,
    )
    theirs.backward()
    assert value == pytest.approx(float(theirs.detach()), rel=1e-5)
    torch.testing.assert_close(gradient, leaf.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_gradient_is_the_slope(settings):
    logits, target = logits_and_targets(8)
    loss = configure_focal_loss(**settings)
    _, gradient = loss_and_gradient(logits, target, loss)
    step = 1e-2
    for row in range(len(logits)):
        shift = step * torch.eye(len(logits))[row]
        slope = (loss(logits + shift, target) - loss(logits - shift, target)) / (2 * step)
        assert float(gradient[row]) == pytest.approx(float(slope), abs=1e-4)


def test_plain_settings_are_the_cross_entropy():
    logits, target = logits_and_targets()
    expected = binary_cross_entropy_with_logits(logits, target)
    assert float(focal_loss(logits, target)) == pytest.approx(float(expected), rel=1e-6)
    assert float(focal_loss(logits, target, reduction="sum")) == pytest.approx(60 * float(expected), rel=1e-5)


def test_smoothing_moves_targets_towards_one_half():
    logits, target = logits_and_targets()
    moved = 0.8 * target + 0.1
    expected = binary_cross_entropy_with_logits(logits, moved)
    assert float(focal_loss(logits, target, smoothing=0.2)) == pytest.approx(float(expected), rel=1e-5)


def test_what_is_ignored_counts_in_no_way():
    logits, target = logits_and_targets(ignored=True)
    keep = target != IGNORE
    loss = configure_focal_loss(alpha=0.75, gamma=2, smoothing=0.1)
    value, gradient = loss_and_gradient(logits, target, loss)
    assert value == loss_and_gradient(logits[keep], target[keep], loss)[0]
    assert gradient[~keep].eq(0).all()
    assert gradient[keep].ne(0).all()


@pytest.mark.parametrize("n", [0, 3])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_nothing_to_learn_is_a_loss_of_zero(n, reduction):
    value, gradient = loss_and_gradient(
        torch.ones(n), torch.full((n,), IGNORE), configure_focal_loss(gamma=2, reduction=reduction)
    )
    assert value == 0
    assert torch.equal(gradient, torch.zeros(n))


@pytest.mark.parametrize("logit, target", [(40.0, 0.0), (-40.0, 1.0), (1000.0, 0.0)])
@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_certain_errors_keep_their_gradient(logit, target, gamma):
    logits, target = torch.tensor([logit]), torch.tensor([target])
    _, gradient = loss_and_gradient(logits, target, configure_focal_loss(gamma=gamma))
    assert abs(float(gradient)) == pytest.approx(1.0)
    leaf = logits.clone().requires_grad_()
    focal_loss_with_logits(leaf, target, alpha=-1, gamma=gamma, reduction="sum").backward()
    assert abs(float(leaf.grad)) < 1e-6  # the clamp of the reference swallows it


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_certainty_that_is_right_gives_no_gradient(gamma):
    logits, target = torch.tensor([40.0, -40.0, 1000.0]), torch.tensor([1.0, 0.0, 1.0])
    value, gradient = loss_and_gradient(logits, target, configure_focal_loss(gamma=gamma))
    assert value == pytest.approx(0.0, abs=1e-6)
    torch.testing.assert_close(gradient, torch.zeros(3), atol=1e-6, rtol=0)


def test_the_loss_of_half_precision_is_computed_in_full():
    logits, target = logits_and_targets()
    loss = configure_focal_loss(gamma=2)
    value, gradient = loss_and_gradient(logits.bfloat16(), target, loss)
    assert value == loss_and_gradient(logits.bfloat16().float(), target, loss)[0]
    assert gradient.dtype == torch.bfloat16


def test_logits_are_left_as_they_are():
    logits, target = logits_and_targets()
    logits.requires_grad_()
    loss_and_gradient(logits, target, configure_focal_loss())
    assert logits.grad is None


@pytest.mark.parametrize(
    "settings", [{"alpha": 1.5}, {"gamma": -1.0}, {"smoothing": -0.1}, {"smoothing": 1.1}], ids=lambda s: next(iter(s))
)
def test_bad_settings_are_an_error_that_shows_them(settings):
    ((key, value),) = settings.items()
    with pytest.raises(ValueError, match=rf"focal_loss needs .*{key}={value}"):
        configure_focal_loss(**settings)


def test_the_registered_loss_takes_its_settings():
    make = spacy.registry.get("misc", "spacy_gliner.focal_loss.v1")
    logits, target = logits_and_targets()
    assert make(alpha=0.75, gamma=2)(logits, target) == focal_loss(logits, target, alpha=0.75, gamma=2)
