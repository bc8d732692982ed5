"""Perceptrons of a training: the values and gradients of their layers, whose bits depend on no other model."""

import pytest
import torch
from torch import nn

from utils.models.logistic import Logistic
from utils.models.mlp import MLP
from utils.threats import slope
from utils.views import written_out as module
from utils.views.one_pass import OnePass
from utils.views.stack import Stack
from utils.views.written_out import Perceptron, of_inputs_alone, write_out

ROUNDING = 1e-12  # of tanh by sigmoid, and of sums in another order, in double precision


def perceptrons(models=7, outputs=1, hidden=(9, 8), activation="tanh"):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return [MLP(5, outputs, hidden=hidden, activation=activation) for _ in range(models)]


def rows(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def everything(stack, x, towards):
    """Logits, slopes by inputs, and what a loss of both and of other logits gives for inputs and parameters."""
    point = x.clone().requires_grad_()
    logits = stack(point)
    base = (logits * towards).tanh().sum(-1)
    with of_inputs_alone():
        (found,) = torch.autograd.grad(base.sum(), point, create_graph=True)
    elsewhere = stack((point + found).detach())
    loss = (found.sin().sum(-1) + base + elsewhere.square().sum(-1)).sum()
    return [logits, found, *torch.autograd.grad(loss, [point, *stack.parameters()])]


@pytest.mark.parametrize("most", [1 << 17, 3 * 12 * 9], ids=["all at once", "three models at a time"])
@pytest.mark.parametrize("hidden", [(9,), (9, 8), (16, 12, 7)])
@pytest.mark.parametrize("outputs", [1, 3])
def test_values_and_gradients_are_those_of_the_layers(monkeypatch, most, hidden, outputs):
    monkeypatch.setattr(module, "MOST", most)
    stack = write_out(Stack(perceptrons(7, outputs, hidden))).double()
    x, towards = rows(7, 12, 5).double(), rows(7, 12, outputs).double()
    found = everything(stack.train(), x, towards)
    for own, expected in zip(found, everything(stack.eval(), x, towards), strict=True):
        assert torch.allclose(own, expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("outputs", [1, 3])
def test_gradients_are_differences_of_values(outputs):
    stack = write_out(Stack(perceptrons(2, outputs, (4, 3)))).double()
    names = [name for name, _ in stack.named_parameters()]

    def answer(x, *values):
        return torch.func.functional_call(stack, dict(zip(names, values, strict=True)), (x,))

    inputs = [rows(2, 3, 5).double().requires_grad_(), *stack.parameters()]
    assert torch.autograd.gradcheck(answer, inputs)
    assert torch.autograd.gradgradcheck(answer, inputs)


def test_gradients_by_inputs_alone_leave_weights_constant():
    stack, x = write_out(Stack(perceptrons())), rows(7, 12, 5)
    expected = torch.autograd.grad(stack(p := x.clone().requires_grad_()).square().sum(), p)[0]
    found, value = slope(lambda at: stack(at).square().sum(-1), x)
    assert torch.equal(found, expected)
    assert torch.equal(value, stack(x).square().sum(-1))
    with of_inputs_alone():
        assert not stack(x).requires_grad
    assert stack(x).requires_grad


def test_a_batch_that_a_search_asks_for_first_has_gradients_by_weights():
    stack, x = write_out(Stack(perceptrons())), rows(7, 12, 5)
    shared = OnePass(stack, x)
    slope(lambda at: (shared(at) - shared(x)).square().sum(-1), x + 1)
    grads = torch.autograd.grad(shared(x).sum(), list(stack.parameters()))
    assert all(grad.abs().max() > 0 for grad in grads)


@pytest.mark.parametrize(("hidden", "count"), [((100, 100), 100), ((37, 11), 64), ((30,), 37)])
def test_bits_of_a_model_do_not_depend_on_its_stack(hidden, count):
    models, x = perceptrons(9, 1, hidden), rows(9, count, 5)
    towards = torch.ones(9, count, 1)
    together = everything(write_out(Stack(models)), x, towards)
    for a, b in [(0, 1), (4, 5), (2, 4), (3, 9)]:
        apart = everything(write_out(Stack(models[a:b])), x[a:b], towards[a:b])
        assert all(torch.equal(own, of[a:b]) for own, of in zip(apart, together, strict=True))


class Sliced(nn.Module):
    """A user's own model, which takes a part of its layers."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))

    def forward(self, x):
        """(..., 5) -> (..., 1)."""
        return self.layers[-1](self.layers[:-1](x))


class Hooked(Sliced):
    """Another, whose layers have a hook."""

    def __init__(self):
        super().__init__()
        self.layers.register_forward_hook(lambda module, x, y: 2 * y)

    def forward(self, x):
        """(..., 5) -> (..., 1)."""
        return self.layers(x)


class Twice(Sliced):
    """Another, with one tanh at two places."""

    def __init__(self):
        super().__init__()
        self.layers[3] = self.layers[1]

    def forward(self, x):
        """(..., 5) -> (..., 1)."""
        return self.layers(x)


@pytest.mark.parametrize("kind", [Sliced, Hooked, Twice])
def test_own_models_answer_as_they_do_alone(kind):
    models, x = [kind() for _ in range(2)], rows(2, 6, 5)
    expected = torch.stack([model(own) for model, own in zip(models, x, strict=True)])
    assert torch.allclose(write_out(Stack(models))(x), expected, atol=1e-6)


def test_a_search_may_itself_go_by_gradients():
    plain, stack, x = (s.double() for s in (Stack(perceptrons()), write_out(Stack(perceptrons())), rows(7, 12, 5)))

    def steepness(model, at):
        [found] = torch.autograd.grad(model(at).square().sum(), at, create_graph=True)
        return found.square().sum(-1)

    [own], [expected] = (slope(lambda at, m=m: steepness(m, at), x)[:1] for m in (stack, plain))
    assert torch.allclose(own, expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("bend", [torch.tanh, lambda logits: logits])
def test_gradients_of_a_gradient_by_inputs_alone_keep_a_graph(bend):
    found = []
    for stack in (Stack(perceptrons()), write_out(Stack(perceptrons()))):
        point = rows(7, 12, 5).double().requires_grad_()
        bent = bend(stack.double()(point)).sum()
        with of_inputs_alone():
            [first] = torch.autograd.grad(bent, point, create_graph=True)
        wanted = [point, *stack.parameters()]
        found.append(torch.autograd.grad(first.sin().sum(), wanted, create_graph=True, materialize_grads=True))
    for own, expected in zip(found[1], found[0], strict=True):
        assert torch.allclose(own.reshape(-1)[: expected.numel()].sum(), expected.sum(), rtol=0, atol=1e-10)


def test_transforms_of_torch_go_through():
    stack, x = write_out(Stack(perceptrons())), rows(7, 12, 5)
    own = torch.func.grad(lambda at: stack(at).sum())(x)
    assert torch.allclose(own, torch.func.grad(lambda at: Stack(perceptrons())(at).sum())(x), atol=1e-6)


def test_tanh_is_off_by_two_ten_millionths_at_most():
    z = torch.linspace(-20, 20, 100_001).reshape(1, -1, 1)
    found = module._hidden(z, torch.ones(1, 1, 1), torch.zeros(1, 1, 1)).double()
    assert (found - z.double().tanh()).abs().max() <= 2e-7
    assert found.abs().max() == 1


def test_parameters_are_handed_back_as_they_were():
    models = perceptrons()
    before = [p.detach().clone() for model in models for p in model.parameters()]
    write_out(Stack(models)).hand_back()
    after = [p for model in models for p in model.parameters()]
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_only_a_training_goes_this_way():
    stack, x = write_out(Stack(perceptrons())), rows(7, 12, 5)
    assert "_Through" not in str(stack.eval()(x).grad_fn)
    assert torch.equal(stack(x), Stack(perceptrons())(x))


@pytest.mark.parametrize(
    "models",
    [
        perceptrons(activation="relu"),
        [Logistic(5, 1) for _ in range(2)],
        [MLP(1, 1, hidden=[4], activation="tanh") for _ in range(2)],
        [MLP(5, 1, hidden=[1, 4], activation="tanh") for _ in range(2)],
        [nn.Sequential(nn.Linear(5, 4, bias=False), nn.Tanh(), nn.Linear(4, 1)) for _ in range(2)],
    ],
    ids=["relu", "logistic", "one input", "one unit", "no bias"],
)
def test_other_models_stay_as_they_are(models):
    assert not any(isinstance(of, Perceptron) for of in write_out(Stack(models)).modules())
