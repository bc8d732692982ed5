import torch
from torch import nn

from utils.views import answering, steady


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
    rough = answering(model, torch.device("cpu"), precision=torch.bfloat16, channels_last=True)(x)
    assert rough.dtype == torch.float32
    assert torch.allclose(rough, model(x), atol=0.05)
    assert not torch.equal(rough, model(x))
