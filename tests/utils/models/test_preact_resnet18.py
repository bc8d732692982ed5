"""The pre-activation ResNet-18."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from tests.utils.models.test_blocks import normed, stirred
from utils.models.preact_resnet18 import PreActResNet18

RGB = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.5]}


def model(inputs=(3, 8, 8), outputs=10, width=4):
    return PreActResNet18(list(inputs), outputs, **RGB, width=width)


def test_the_published_number_of_parameters():
    """11.17 M for 10 classes: 11,171,146 without the last batch norm, which has 2 * 512."""
    with torch.device("meta"):
        network = model((3, 32, 32), width=64)
    assert sum(p.numel() for p in network.parameters()) == 11_171_146 + 1024


def test_it_is_its_blocks_between_stem_and_head():
    """x -> scaled -> conv -> blocks of 1, 2, 4, 8 times the width, two of each -> relu bn -> mean -> linear."""
    network, x = stirred(model((3, 17, 16))), torch.rand(2, 3, 17, 16)
    scaled = (x - torch.tensor(RGB["mean"]).reshape(-1, 1, 1)) / torch.tensor(RGB["std"]).reshape(-1, 1, 1)
    z = F.conv2d(scaled, network.stem.weight, padding=1)
    shapes = []
    for stage in network.stages:
        for block in stage:
            z = block(z)
            shapes.append(tuple(z.shape[1:]))
    expected = [(4, 17, 16), (8, 9, 8), (16, 5, 4), (32, 3, 2)]
    assert shapes == [shape for shape in expected for _ in range(2)]
    pooled = normed(z, network.last[0]).clamp_min(0).mean((2, 3))
    assert torch.allclose(network(x), pooled @ network.head.weight.T + network.head.bias, atol=1e-5)


def test_pixels_reach_the_logits_undisturbed_where_every_residual_is_zero():
    """The shortcut is the identity where the shape stays: zero second convolutions make of a stage its first block."""
    network = stirred(model())
    for stage in network.stages:
        for block in stage:
            torch.nn.init.zeros_(block.residual[-1].weight)
    z = torch.randn(2, 4, 8, 8)
    assert torch.equal(network.stages[0](z), z)


@pytest.mark.parametrize("inputs", [(3, 8, 8), (3, 28, 28), (3, 64, 48)])
def test_it_takes_images_of_any_size_from_8_pixels_on(inputs):
    assert model(inputs, outputs=1)(torch.rand(2, *inputs)).shape == (2, 1)


def test_smaller_images_are_refused():
    with pytest.raises(ValueError, match="need 8 x 8"):
        model((3, 32, 7))


def test_the_answer_to_a_row_does_not_depend_on_the_others():
    network, x = stirred(model()), torch.rand(5, 3, 8, 8)
    assert torch.allclose(network(x)[2:3], network(x[2:3]), atol=1e-5)


@pytest.mark.parametrize(("side", "trains"), [(8, False), (9, True)])
def test_a_single_row_trains_only_where_the_last_map_has_several_pixels(side, trains):
    network, x = model((3, side, side)).train(), torch.rand(1, 3, side, side)
    if trains:
        assert network(x).shape == (1, 10)
    else:
        with pytest.raises(ValueError, match="batch norm needs at least 2 rows"):
            network(x)


def test_it_can_learn():
    """Two classes told apart by the brightness of one corner: plain gradient steps bring the loss to nearly 0."""
    x = torch.rand(32, 3, 8, 8) * 0.5
    y = torch.arange(32) % 2
    x[y == 1, :, :3, :3] += 0.5
    network = model(outputs=2).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(20):
        loss = F.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_a_width_below_1_is_refused():
    with pytest.raises(ValueError, match=r"model\.width=0 must be at least 1"):
        model(width=0)
