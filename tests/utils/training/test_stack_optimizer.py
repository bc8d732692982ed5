"""The optimizer of a stack: to the bit that of each of its models alone, one tensor after another."""

from functools import partial

import pytest
import torch
from torch import nn

from utils.models.mlp import MLP
from utils.training.stack_optimizer import PER_PARAMETER, optimizer_of
from utils.views.stack import Stack

RATES = [0.1, 0.03, 0.03]
NAMES = [name for name in PER_PARAMETER if name != "Rprop"]  # which has no penalty


def started(name, rates):
    """A stack of a model for each learning rate, and its optimizer; the models are the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stack = Stack([MLP(3, 1, hidden=[5], activation="tanh") for _ in RATES][-len(rates) :])
    return stack, optimizer_of(stack, getattr(torch.optim, name), rates, [rate / 10 for rate in rates])


def walk(stack, optimizer, seed, steps=4):
    """Steps by gradients that are drawn for all three models, of which the stack holds the last ones."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for p in stack.parameters():
            p.grad = torch.randn(len(RATES), *p.shape[1:], generator=generator)[-len(p) :]
        optimizer.step()
        assert all(p.grad is None for p in stack.parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rates", [RATES, RATES[:1] * 2, RATES[-1:]], ids=["three", "two alike", "one"])
def test_its_steps_are_those_of_each_parameter_of_each_model(name, rates):
    stack, optimizer = started(name, rates)
    alone = [[nn.Parameter(p.detach()[i : i + 1].clone()) for p in stack.parameters()] for i in range(len(rates))]
    walk(stack, optimizer, seed=1)
    for i, (own, rate) in enumerate(zip(alone, rates, strict=True)):
        plain = getattr(torch.optim, name)(own, lr=rate, weight_decay=rate / 10, foreach=False)
        generator = torch.Generator().manual_seed(1)
        for _ in range(4):
            for p in own:
                p.grad = torch.randn(len(RATES), *p.shape[1:], generator=generator)[-len(rates) :][i : i + 1]
            plain.step()
        assert all(torch.equal(p[i : i + 1], q) for p, q in zip(stack.parameters(), own, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("before", "after"), [(RATES, RATES), (RATES, RATES[-1:]), (RATES[-1:], RATES[-1:])])
def test_a_model_goes_on_where_it_was_in_any_stack(name, before, after):
    first, second = started(name, before), started(name, after)
    walk(*first, seed=1)
    second[1].take([first[1].of_model(len(before) - len(after) + i) for i in range(len(after))])
    for stack, optimizer in (first, second):
        walk(stack, optimizer, seed=2)
    for p, q in zip(first[0].parameters(), second[0].parameters(), strict=True):
        assert torch.equal(p[-len(q) :], q)


def test_what_is_kept_of_a_model_does_not_move_with_it():
    stack, optimizer = started("Adam", RATES[-1:])
    walk(stack, optimizer, seed=1)
    kept = optimizer.of_model(0)
    before = [value.clone() for value in (*kept["parameters"], *(of["exp_avg"] for of in kept["optimizer"]))]
    walk(stack, optimizer, seed=2)
    after = [*kept["parameters"], *(of["exp_avg"] for of in kept["optimizer"])]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_sweep_of_rates_has_the_bits_of_adam_with_its_constants():
    rates, made = [0.3, 0.1, 0.01], partial(torch.optim.Adam, betas=(0.8, 0.9), eps=1e-3)
    model = MLP(3, 1, hidden=[5], activation="tanh")
    whole, apart = Stack([model] * 3), [Stack([model]) for _ in rates]
    for i, (stack, lr) in enumerate(((whole, rates), *((one, [rate]) for one, rate in zip(apart, rates, strict=True)))):
        optimizer = optimizer_of(stack, made if i == 0 else partial(made, foreach=True), lr, [0.0] * len(lr))
        assert (type(optimizer).__name__ == "_Adam") == (i == 0)
        walk(stack, optimizer, seed=1) if i == 0 else walk_one(stack, optimizer, i - 1)
    for p, *others in zip(*(stack.parameters() for stack in (whole, *apart)), strict=True):
        assert torch.equal(p, torch.cat(others))


def walk_one(stack, optimizer, i):
    """Steps of model i by the gradients that ``walk`` draws for three."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        for p in stack.parameters():
            p.grad = torch.randn(len(RATES), *p.shape[1:], generator=generator)[i : i + 1]
        optimizer.step()


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"betas": [1.5, 0.9]}, "index 0: 1.5"), ({"betas": [0.9, 1.0]}, "index 1: 1.0"), ({"eps": -1.0}, "epsilon")],
)
def test_constants_that_torch_refuses_are_refused(settings, why):
    with pytest.raises(ValueError, match=why):
        optimizer_of(started("Adam", RATES)[0], partial(torch.optim.Adam, **settings), RATES, [0.0] * 3)


class Scaled(nn.Module):
    """A parameter that is one number, and others."""

    def __init__(self):
        super().__init__()
        self.scale, self.weight = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.ones(3, 2))


@pytest.mark.parametrize("name", ["Adam", "NAdam", "ASGD"])
def test_a_parameter_of_one_number_goes_on_where_another_has_no_gradient(name):
    ends = []
    for rates in (RATES, RATES[-1:]):
        stack = Stack([Scaled() for _ in rates])
        optimizer = optimizer_of(stack, getattr(torch.optim, name), rates, [0.0] * len(rates))
        for step in range(4):
            for p in list(stack.parameters())[: 1 if step == 2 else 2]:
                p.grad = torch.full_like(p, 1.0 + step)
            optimizer.step()
            if step == 2:
                stored = [optimizer.of_model(i) for i in range(len(rates))]
                optimizer = optimizer_of(stack, getattr(torch.optim, name), rates, [0.0] * len(rates))
                optimizer.take(stored)
        ends.append([p[-1].detach().clone() for p in stack.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


def test_the_caller_may_choose_how_torch_steps():
    stack = started("Adam", RATES)[0]
    for chosen in (True, False):
        made = optimizer_of(stack, partial(torch.optim.Adam, foreach=chosen), RATES, [0.0] * 3)
        assert made.optimizer.defaults["foreach"] is chosen


def test_a_parameter_without_a_gradient_stays_where_it_is_as_in_a_stack():
    """Under a penalty too; alone, and beside two others. The first never has one, the second not in every step."""
    ends = []
    for rates in (RATES[-1:], RATES):
        stack, optimizer = started("Adam", rates)
        first, second, *others = stack.parameters()
        before = first.detach().clone()
        for step in range(4):
            for p in others if step % 2 else (second, *others):
                p.grad = torch.full_like(p, 1.0 + step)
            optimizer.step()
        assert torch.equal(first, before)
        ends.append([p[-1].detach().clone() for p in stack.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


def test_such_a_model_goes_on_where_it_was():
    def step(stack, optimizer, by):
        for p in list(stack.parameters())[1:]:
            p.grad = torch.full_like(p, by)
        optimizer.step()

    (whole, one), (half, other), (again, last) = (started("Adam", RATES[-1:]) for _ in range(3))
    for by in (1.0, 2.0):
        step(whole, one, by)
    step(half, other, 1.0)
    last.take([other.of_model(0)])
    step(again, last, 2.0)
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), again.parameters(), strict=True))


def test_parameters_of_several_types_are_taken_one_by_one():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1).double())
    optimizer = optimizer_of(Stack([model]), torch.optim.Adam, [0.1], [0.0])
    assert {p.dtype for p in optimizer.parameters} == {torch.float32, torch.float64}
    for p in optimizer.parameters:
        p.grad = torch.ones_like(p)
    optimizer.step()
