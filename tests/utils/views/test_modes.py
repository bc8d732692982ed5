import copy

import torch
from torch import nn

from utils.models.mlp import MLP
from utils.models.resnet18 import ResNet18
from utils.views.modes import as_predict, bears_channels_last, in_double, steady
from utils.views.stack import Stack


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))


def test_a_view_answers_as_the_model_in_eval_mode_also_after_a_step():
    model, x = network(), torch.rand(5, 3, 8, 8)
    view = steady(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        model(x).square().sum().backward()
        optimizer.step()
        seen = view(x)
        assert torch.equal(seen, model.eval()(x))
        model.train()


def test_a_view_moves_no_statistics_and_gives_no_weight_a_gradient():
    model, x = network(), torch.rand(5, 3, 8, 8, requires_grad=True)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    steady(model)(x).sum().backward()
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())
    assert all(p.grad is None for p in model.parameters())
    assert x.grad is not None
    assert model.training


def test_a_view_follows_weights_that_are_loaded():
    model, other = network(), network()
    view, x = steady(model), torch.rand(2, 3, 8, 8)
    model.load_state_dict(other.state_dict())
    assert torch.equal(view(x), other.eval()(x))


def test_another_precision_answers_in_the_type_of_the_input_and_nearly_the_same():
    model, x = network().eval(), torch.rand(4, 3, 8, 8)
    rough = as_predict(model, torch.device("cpu"), precision=torch.bfloat16, channels_last=True)(x)
    assert rough.dtype == torch.float32
    assert torch.allclose(rough, model(x), atol=0.05)
    assert not torch.equal(rough, model(x))


def test_scores_are_the_same_alone_in_a_batch_and_in_a_stack():
    """In single precision three rows in four get other last bits in a stack."""
    models, x = [MLP(12, 1, hidden=[64, 64], activation="tanh") for _ in range(3)], torch.randn(500, 12)
    together = in_double(models[1])(x)
    assert torch.equal(torch.cat([in_double(models[1])(row) for row in x.split(1)]), together)
    assert torch.equal(in_double(Stack(models))(x.expand(3, -1, -1))[1], together)


def test_scores_are_the_answers_of_the_model_in_double_precision():
    model, x = MLP(5, 3, hidden=[8], activation="relu"), torch.randn(20, 5)
    found = in_double(model)(x)
    assert found.dtype is x.dtype
    assert next(model.parameters()).dtype is torch.float32
    assert torch.equal(found, copy.deepcopy(model).double()(x.double()).float())


def test_what_has_no_parameters_scores_as_it_answers():
    assert in_double(torch.tanh) is torch.tanh


def test_strided_convolutions_of_few_channels_keep_their_layout_on_cpus():
    """The shortcuts of a residual network: the first strided one reads as many channels as the network is wide."""
    for width, bears in ((4, False), (7, False), (8, True)):
        model = ResNet18([1, 8, 8], 10, mean=[0.5], std=[0.25], width=width)
        assert bears_channels_last(model, torch.device("cpu")) is bears
        assert bears_channels_last(model, torch.device("cuda"))
    assert bears_channels_last(nn.Conv2d(1, 4, 3, 2), torch.device("cpu"))
