"""Learned equations in layers: what the equations give one at a time, to rounding."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from utils import seeding
from utils.scms import layers
from utils.scms.from_data import threshold_equation
from utils.scms.layers import EquationNet, Layered, in_layers
from utils.scms.structure import additive, regression_equation, resample, structural
from utils.threats import Ball, CausalThreat
from utils.types import Column
from utils.views.stack import stack_scms

SENSITIVE = (Column("s", "binary", levels=(0.0, 1.0), sensitive=True),)
COLUMNS = (*(Column(name, "continuous") for name in "ab"), *SENSITIVE, *(Column(name, "continuous") for name in "cdef"))
# two levels of the graph, the first of two columns, one of a single parent; s has a parent and is set nevertheless
GRAPH = {"s": ("a",), "c": ("s",), "d": ("b", "s"), "e": ("a", "c", "d"), "f": ("d",)}


def causal(seed, equation=regression_equation, graph=GRAPH):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        nets = {name: EquationNet(len(parents), 7).requires_grad_(False) for name, parents in graph.items()}
    equations = {name: equation(graph[name], net) for name, net in nets.items()}
    return structural(COLUMNS, equations, resample(torch.zeros(1, 7), COLUMNS))


class Named(TorchDispatchMode):
    """Keeps the names of operations."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(str(function))
        return function(*args, **(kwargs or {}))


def rows(models, number=20):
    x = torch.randn(models, number, 7, generator=torch.Generator().manual_seed(0))
    x[..., 2] = (x[..., 2] > 0).float()
    return x


@pytest.mark.parametrize("twins", [False, True])
@pytest.mark.parametrize(("models", "number"), [(1, 20), (3, 20), (2, 13)])
def test_moved_rows_and_slopes_are_those_of_the_equations_one_at_a_time(models, number, twins):
    scm, x, found = stack_scms([causal(seed) for seed in range(models)]), rows(models, number), []
    delta = torch.randn(2 if twins else 1, *x.shape, generator=torch.Generator().manual_seed(1))
    for own in (scm, in_layers(scm)):
        point = delta.clone().requires_grad_()
        moved = CausalThreat(own, Ball("l2"), twins, seeding.generator(0, "attack")).at(x)(point)
        (slope,) = torch.autograd.grad(moved.square().sum(), point)
        found.append((moved, slope))
    assert [len(of.outer[0]) for of in in_layers(scm).layers] == [14, 14]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5)


def test_gradients_of_gradients_and_those_of_transforms_are_those_of_plain_operations():
    level, v = in_layers(stack_scms([causal(0), causal(1)])).layers[1], rows(2)
    found = []
    for of in (level, level.plain):
        point, along = v.clone().requires_grad_(), torch.ones_like(v).requires_grad_()
        (slope,) = torch.autograd.grad((of(point).square() * along).sum(), point, create_graph=True)
        found.append([slope, *torch.autograd.grad(slope.square().sum(), [point, along])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    transformed = torch.func.jvp(level, (v,), (v,))[1]
    torch.testing.assert_close(transformed, torch.func.jvp(level.plain, (v,), (v,))[1])


@pytest.mark.parametrize("number", [13, 32])
def test_a_slope_alone_takes_no_tanh_of_torch_and_has_the_bits_of_any_stack(number):
    found = []
    for models in (1, 3):
        level, v = in_layers(stack_scms([causal(seed) for seed in range(models)])).layers[1], rows(3, number)[:models]
        with Named() as heard:
            (slope,) = torch.autograd.grad(level(v.requires_grad_()).square().sum(), v)
        assert not {"aten.tanh.default", "aten.tanh_backward.default"} & heard.names
        found.append(slope[0])
    assert torch.equal(*found)


def test_the_noise_of_other_interventions_goes_through_the_equations():
    scm, x = stack_scms([causal(0)]), rows(1)
    do = {0: x[..., 0] + 1}
    assert torch.equal(in_layers(scm).around(x, do)(torch.zeros_like(x)), scm.around(x, do)(torch.zeros_like(x)))


@pytest.mark.parametrize(
    "equation",
    [threshold_equation, lambda parents, _: additive(parents, lambda *p: p[0])],
    ids=["threshold", "known"],
)
def test_other_equations_stay_as_they_are(equation):
    scm = stack_scms([causal(0, equation)])
    assert in_layers(scm) is scm


def test_levels_that_would_be_mostly_zeros_stay_as_they_are(monkeypatch):
    scm = stack_scms([causal(0)])
    monkeypatch.setattr(layers, "MOST", 14 * 7 - 1)
    assert in_layers(scm) is scm
    monkeypatch.setattr(layers, "MOST", 14 * 7)
    assert isinstance(in_layers(scm), Layered)
