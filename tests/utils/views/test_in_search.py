"""A stack as a search sees it: the answers and the gradients by inputs of the stack itself."""

import pytest
import torch
from torch import nn

from utils.models.logistic import Logistic
from utils.models.mlp import MLP
from utils.views import in_search as module
from utils.views.in_search import in_search
from utils.views.one_pass import OnePass
from utils.views.stack import Stack


def stack_of(models, outputs=1, hidden=(16, 32), activation="tanh"):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Stack([MLP(5, outputs, hidden=hidden, activation=activation) for _ in range(models)])


def slopes(predict, x):
    """Logits, and the gradient by x of their squares."""
    point = x.clone().requires_grad_()
    logits = predict(point)
    return logits.detach(), torch.autograd.grad(logits.square().sum(), point)[0]


@pytest.mark.parametrize("shape", [(7, 12, 5), (3, 7, 12, 5)])
@pytest.mark.parametrize("hidden", [(16,), (16, 32), (9, 8, 7)])
@pytest.mark.parametrize("outputs", [1, 3])
def test_answers_and_slopes_are_those_of_the_stack(monkeypatch, shape, hidden, outputs):
    monkeypatch.setattr(module, "MOST", 3 * 12 * 32)  # some models at a time, and fewer at the end
    stack, x = stack_of(7, outputs, hidden), torch.randn(shape)
    for found, expected in zip(slopes(in_search(stack, x), x), slopes(stack, x), strict=True):
        assert found.shape == expected.shape
        assert torch.equal(found, expected)


def test_answers_follow_the_batch_of_one_pass_and_the_weights_of_the_moment():
    stack, x = stack_of(2), torch.randn(2, 4, 5)
    before = in_search(OnePass(stack, x), x)(x)
    with torch.no_grad():
        for p in stack.parameters():
            p.mul_(1.5)
    after = in_search(OnePass(stack, x), x)(x)
    assert torch.equal(after, stack(x))
    assert not torch.allclose(after, before, atol=1e-3)


def test_weights_get_no_gradient():
    stack, x = stack_of(2), torch.randn(2, 4, 5)
    assert stack(x).requires_grad
    assert not in_search(stack, x)(x).requires_grad


def test_units_that_are_sure_have_the_slope_of_tanh_there_which_is_zero():
    stack, x = stack_of(2), 1e4 * torch.randn(2, 4, 5)
    logits, slope = slopes(in_search(stack, x), x)
    assert torch.equal(logits, stack(x))
    assert torch.equal(slope, torch.zeros_like(x))


def test_bits_of_a_model_do_not_depend_on_its_stack():
    stack, x = stack_of(9), torch.randn(9, 20, 5)
    logits, slope = slopes(in_search(stack, x), x)
    for i in (0, 4, 8):
        alone = slopes(in_search(Stack([stack.each[i]]), x[:1]), x[i : i + 1])
        assert torch.equal(alone[0][0], logits[i])
        assert torch.equal(alone[1][0], slope[i])


@pytest.mark.parametrize(
    "model",
    [
        stack_of(2, activation="relu"),
        Stack([Logistic(5, 1) for _ in range(2)]),
        Stack([MLP(1, 1, hidden=[4], activation="tanh")]),
        Stack([nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Linear(4, 1)) for _ in range(2)]),
        MLP(5, 1, hidden=[4], activation="tanh"),
        torch.tanh,
    ],
    ids=["relu", "logistic", "one input", "other layers", "no stack", "a function"],
)
def test_other_models_stay_as_they_are(model):
    assert in_search(model, torch.randn(2, 4, 5)) is model
