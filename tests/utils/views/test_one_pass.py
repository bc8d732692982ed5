"""One pass over a batch: the same answers and gradients, asked for as often as anybody likes."""

import torch
from torch import nn

from utils.views.one_pass import OnePass, answers_at


class Counted(nn.Module):
    """A linear model that counts its passes."""

    def __init__(self):
        super().__init__()
        self.linear, self.passes = nn.Linear(3, 1), 0

    def forward(self, x):
        self.passes += 1
        return self.linear(x).tanh()


def test_the_batch_is_gone_through_once_and_other_rows_each_time():
    model, x = Counted(), torch.randn(5, 3)
    shared = OnePass(model, x)
    assert torch.equal(shared(x), model(x))
    shared(x), answers_at(shared, x)
    assert model.passes == 2  # the second is that of the model itself
    assert torch.equal(shared(x + 1), model(x + 1))


def test_gradients_of_all_who_ask_add_up():
    model, x = Counted(), torch.randn(5, 3)
    shared = OnePass(model, x)
    point, logits = answers_at(shared, x)
    (slope,) = torch.autograd.grad(logits.sum(), point, create_graph=True)
    (shared(x).sum() + slope.square().sum()).backward()
    found = model.linear.weight.grad.clone()
    model.zero_grad()
    other = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(other).sum(), other, create_graph=True)
    (model(x).sum() + slope.square().sum()).backward()
    assert torch.allclose(found, model.linear.weight.grad, atol=1e-6)


def test_whoever_asks_first_without_gradients_takes_them_from_nobody():
    model, x = Counted(), torch.randn(5, 3)
    shared = OnePass(model, x)
    with torch.no_grad():
        assert not shared(x).requires_grad
    shared(x).sum().backward()
    assert model.linear.weight.grad.abs().sum() > 0
    assert not x.requires_grad


def test_a_plain_model_is_asked_anew():
    model, x = Counted(), torch.randn(5, 3)
    point, logits = answers_at(model, x)
    assert point.requires_grad
    assert torch.equal(logits, model(x))
