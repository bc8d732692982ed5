"""Batch norm folded into the convolution before it."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from utils.models.preact_resnet18 import PreActResNet18
from utils.models.resnet18 import ResNet18
from utils.models.small_cnn import SmallCNN
from utils.models.wide_resnet import WideResNet
from utils.views.fold import fold_batch_norms, refold

DATA = {"inputs": [3, 8, 8], "outputs": 10, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.5]}
SMALL = {"widths": [8, 16], "strides": [1, 2]}
MODELS = {
    "small_cnn": lambda: SmallCNN(**DATA, **SMALL, norm="batch"),
    "group": lambda: SmallCNN(**DATA, **SMALL, norm="group"),
    "none": lambda: SmallCNN(**DATA, **SMALL, norm="none"),
    "resnet18": lambda: ResNet18(**DATA, width=4),
    "preact_resnet18": lambda: PreActResNet18(**DATA, width=4),
    "wide_resnet": lambda: WideResNet(**DATA, depth=10, widen=1, dropout=0.3),
}
FOLDED = {  # batch norms that stay
    "small_cnn": 0,
    "group": 0,
    "none": 0,
    "resnet18": 0,
    "preact_resnet18": 8 + 1,  # before each block and the last
    "wide_resnet": 3 + 1,
}
X = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def trained(model, steps=3):
    """A few steps, so that weights and running statistics are no longer those of the start."""
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(X), torch.arange(4)).backward()
        optimizer.step()
    return model


def answers(model):
    with torch.no_grad():
        return model(X)


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_their_gradient_are_those_of_the_model_in_eval_mode(name):
    model = trained(MODELS[name]())
    copy = fold_batch_norms(model)
    slopes = []
    for network in (model.eval(), copy):
        x = X.clone().requires_grad_()
        slopes.append(torch.autograd.grad(network(x).square().sum(), x)[0])
    assert torch.allclose(answers(copy), answers(model), atol=1e-5)
    assert torch.allclose(*slopes, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_only_batch_norms_that_follow_no_convolution_stay(name):
    left = [part for part in fold_batch_norms(MODELS[name]()).modules() if isinstance(part, nn.BatchNorm2d)]
    assert len(left) == FOLDED[name]


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_left_as_it_is(name):
    model = trained(MODELS[name]())
    before = deepcopy(model.state_dict())
    copy = fold_batch_norms(model)
    copy(X)
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    assert list(before) == list(model.state_dict())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", MODELS)
def test_refolding_after_more_training_is_folding_anew(name):
    model = trained(MODELS[name]())
    copy = fold_batch_norms(model)
    trained(model)
    refold(copy, model)
    assert torch.equal(answers(copy), answers(fold_batch_norms(model)))


def test_refolding_keeps_every_tensor_in_its_place():
    model = trained(MODELS["resnet18"]())
    copy = fold_batch_norms(model)
    before = {name: tensor.data_ptr() for name, tensor in copy.state_dict().items()}
    refold(copy, trained(model))
    assert {name: tensor.data_ptr() for name, tensor in copy.state_dict().items()} == before


def test_a_copy_does_not_follow_its_model():
    model = trained(MODELS["resnet18"]())
    copy = fold_batch_norms(model)
    before = answers(copy)
    trained(model)
    assert torch.equal(answers(copy), before)


def test_a_copy_learns_nothing():
    copy = fold_batch_norms(trained(MODELS["preact_resnet18"]()))
    assert not any(p.requires_grad or p.grad is not None for p in copy.parameters())
    assert not copy.training


@pytest.mark.parametrize("bias", [False, True])
def test_a_pair_becomes_what_torch_makes_of_it(bias):
    pair = nn.Sequential(nn.Conv2d(3, 5, 3, bias=bias), nn.BatchNorm2d(5))
    pair(torch.rand(4, 3, 8, 8))
    nn.init.normal_(pair[1].weight)
    nn.init.normal_(pair[1].bias)
    conv, expected = fold_batch_norms(pair)[0], fuse_conv_bn_eval(*pair.eval())
    assert torch.allclose(conv.weight, expected.weight, atol=1e-6)
    assert torch.allclose(conv.bias, expected.bias, atol=1e-6)
    assert (pair[0].bias is None) is not bias


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(5, affine=False), nn.BatchNorm2d(5, track_running_stats=False), nn.GroupNorm(1, 5)]
)
def test_other_norms_stay(norm):
    model = nn.Sequential(nn.Conv2d(3, 5, 3), norm).eval()
    assert torch.equal(answers(fold_batch_norms(model)), answers(model))
