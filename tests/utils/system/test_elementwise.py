"""Functions of single numbers whose bits do not depend on how many are computed at once."""

import pytest
import torch

from utils.losses.objective import cross_entropy
from utils.system.elementwise import atanh, for_curvature, log_sigmoid, sigmoid


def parts_of(function, *numbers):
    """The function of all numbers, and of the first ones alone, with its gradients and gradients of these."""

    def both(count):
        own = [of[:count].clone().requires_grad_() for of in numbers]
        values = function(*own)
        slopes = torch.autograd.grad(values.sum(), own, create_graph=True)
        curvatures = torch.autograd.grad(sum(slope.square().sum() for slope in slopes), own)
        return [of.detach() for of in (values, *slopes, *curvatures)]

    whole = both(1000)
    return [(of[:count], part) for count in range(1, 40) for of, part in zip(whole, both(count), strict=True)]


@pytest.mark.parametrize("function", [log_sigmoid, atanh])
def test_bits_do_not_depend_on_the_numbers_beside(function):
    x = 2 * torch.rand(1000, generator=torch.Generator().manual_seed(0)) - 1
    with for_curvature():
        assert all(torch.equal(of, part) for of, part in parts_of(function, x))


def test_bits_of_sigmoid_and_its_gradient_do_not_depend_on_the_numbers_beside():
    x = torch.randn(1000)
    for count in range(1, 40):
        own = x[:count].clone().requires_grad_()
        whole = x.clone().requires_grad_()
        values = sigmoid(own), sigmoid(whole)
        slopes = [torch.autograd.grad(of.sum(), at)[0] for of, at in zip(values, (own, whole), strict=True)]
        assert torch.equal(values[0], values[1][:count])
        assert torch.equal(slopes[0], slopes[1][:count])


def test_sigmoid_is_that_of_torch():
    x = torch.linspace(-80, 80, 10_001, dtype=torch.float64).requires_grad_()
    assert torch.allclose(sigmoid(x), torch.sigmoid(x), rtol=1e-14, atol=0)
    [slope] = torch.autograd.grad(sigmoid(x).sum(), x)
    assert torch.allclose(slope, (-x.abs()).exp() / (1 + (-x.abs()).exp()).square(), rtol=1e-12, atol=0)
    assert sigmoid(torch.tensor([-torch.inf, torch.inf])).tolist() == [0, 1]


def test_bits_of_the_loss_and_its_gradient_do_not_depend_on_the_rows_beside():
    logits, y = torch.randn(1000, 1), torch.arange(1000) % 2
    with for_curvature():
        assert all(torch.equal(of, part) for of, part in parts_of(lambda z: cross_entropy(z, y[: len(z)]), logits))


def test_atanh_is_that_of_torch():
    x = torch.linspace(-1, 1, 10_001, dtype=torch.float64)
    assert torch.allclose(atanh(x), torch.atanh(x), rtol=1e-14, atol=0)


def test_transforms_of_torch_go_through():
    x = torch.randn(9)
    slopes = torch.func.vmap(torch.func.grad(log_sigmoid))(x)
    assert torch.allclose(slopes, sigmoid(-x), rtol=1e-6, atol=0)
