"""Margins and logit ratios: their definitions, the decision they agree with, and the published implementation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted

from utils.adversary.margins import dlr, dlr_targeted, margin
from utils.decides.threshold import Threshold


def logits(k, n=50, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(k, n=50):
    return torch.arange(n) % k


@pytest.mark.parametrize("k", [2, 3, 10])
def test_the_margin_is_the_lead_over_the_best_other_class(k):
    z, y = logits(k), labels(k)
    expected = [row[c] - max(row[:c] + row[c + 1 :]) for row, c in zip(z.tolist(), y.tolist(), strict=True)]
    assert torch.allclose(margin(z, y), torch.tensor(expected, dtype=torch.float64))


@given(st.floats(-80, 80, width=32), st.sampled_from([0, 1]))
def test_a_two_class_margin_is_negative_exactly_where_one_half_decides_for_the_other_class(z, y):
    z, y = torch.tensor([[z]]), torch.tensor([y])
    assert torch.equal(margin(z, y) < 0, Threshold(0.5)(z, y) != y)


@pytest.mark.parametrize("y", [0, 1])
def test_a_two_class_margin_is_the_signed_logit(y):
    z = torch.tensor([[-2.5], [0.0], [1e-20], [3.0]])
    assert torch.allclose(margin(z, torch.tensor(y)), (2 * y - 1) * z[:, 0], atol=1e-37)


@pytest.mark.parametrize("k", [3, 4, 10])
def test_dlr_is_that_of_the_published_code(k):
    z, y = logits(k), labels(k)
    reference = APGDAttack(None, eps=1.0).dlr_loss(z, y)
    assert torch.allclose(dlr(z, y), reference)


@pytest.mark.parametrize("k", [4, 10])
def test_targeted_dlr_is_that_of_the_published_code(k):
    z, y, target = logits(k), labels(k), (labels(k) + 1) % k
    attack = APGDAttack_targeted(None, eps=1.0)
    attack.y_target = target
    assert torch.allclose(dlr_targeted(z, y, target), attack.dlr_loss_targeted(z, y))


def test_of_three_classes_the_way_to_each_other_one_has_a_gradient():
    """The ratio with the denominator of dlr would be -1 towards the last, whatever the logits."""
    z, y = logits(3).requires_grad_(), torch.zeros(50, dtype=torch.int64)
    for target in (1, 2):
        (gradient,) = torch.autograd.grad(dlr_targeted(z, y, torch.tensor(target)).sum(), z)
        assert torch.equal(gradient, torch.eye(3, dtype=torch.float64)[[target]].sub(torch.eye(3)[:1]).expand(50, 3))


@pytest.mark.parametrize("k", [1, 2])
def test_of_two_classes_the_losses_are_the_margin(k):
    z, y = logits(k), labels(2)
    assert torch.equal(dlr(z, y), -margin(z, y))
    assert torch.equal(dlr_targeted(z, y, 1 - y), -margin(z, y))


@given(st.floats(0.01, 1e4), st.floats(-1e3, 1e3))
def test_scale_and_shift_of_the_logits_change_no_ratio(scale, shift):
    z, y, target = logits(5), labels(5), (labels(5) + 2) % 5
    moved = scale * z + shift
    assert torch.allclose(dlr(moved, y), dlr(z, y), atol=1e-8)
    assert torch.allclose(dlr_targeted(moved, y, target), dlr_targeted(z, y, target), atol=1e-8)


def test_ratios_of_equal_logits_are_zero_with_finite_gradients():
    z, y = torch.zeros(2, 4, requires_grad=True), torch.tensor([0, 3])
    total = dlr(z, y) + dlr_targeted(z, y, torch.tensor([1, 1]))
    (gradient,) = torch.autograd.grad(total.sum(), z)
    assert torch.equal(total, torch.zeros(2))
    assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", [margin, dlr, lambda z, y: dlr_targeted(z, y, (y + 1) % 5)])
def test_a_stack_equals_its_models(loss):
    z, y = logits(5, 60).reshape(3, 20, 5), labels(5, 60).reshape(3, 20)
    assert torch.equal(loss(z, y), torch.stack([loss(own, of) for own, of in zip(z, y, strict=True)]))
