"""The narrow ResNet-18 of the face-scoring study."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from tests.utils.models.test_blocks import stirred
from utils.models.resnet18_narrow import ResNet18Narrow

RGB = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.5]}


def model(inputs=(3, 16, 16), outputs=1, width=4):
    return ResNet18Narrow(list(inputs), outputs, **RGB, width=width)


def test_the_number_of_parameters_by_hand():
    """Of 64x64 images, width 64: stem and four stages of two blocks, the last 256 wide, a head on 4 x 256 means."""

    def block(a, b, shortcut):
        return 9 * a * b + 9 * b * b + 4 * b + shortcut * (a * b + 2 * b)

    stages = [(64, 64, 0), (64, 64, 0), (64, 128, 1), (128, 128, 0), (128, 256, 1), (256, 256, 0), (256, 256, 1)]
    by_hand = 9 * 3 * 64 + 2 * 64 + sum(block(*b) for b in stages) + block(256, 256, 0) + 4 * 256 + 1
    with torch.device("meta"):
        network = model((3, 64, 64), width=64)
    assert sum(p.numel() for p in network.parameters()) == by_hand


def test_the_head_sees_the_mean_of_each_quarter_of_the_last_map():
    """An adaptive average pool to 2 x 2, where the map's side is even."""
    network, x = stirred(model((3, 32, 32))), torch.rand(2, 3, 32, 32)
    last = network.stages(network.stem(network.pixels(x)))
    assert last.shape == (2, 16, 4, 4)
    quarters = F.adaptive_avg_pool2d(last, 2).flatten(1)
    assert torch.allclose(network(x), quarters @ network.head.weight.T + network.head.bias, atol=1e-5)


@pytest.mark.parametrize("inputs", [(3, 8, 8), (3, 9, 17), (3, 64, 64), (3, 20, 40)])
def test_it_takes_images_of_any_size_from_8_pixels_on(inputs):
    assert model(inputs)(torch.rand(2, *inputs)).shape == (2, 1)


def test_the_answer_to_a_row_does_not_depend_on_the_others():
    network, x = stirred(model()), torch.rand(5, 3, 16, 16)
    assert torch.allclose(network(x)[2:3], network(x[2:3]), atol=1e-5)


def test_smaller_images_are_refused():
    with pytest.raises(ValueError, match="need 8 x 8"):
        model((3, 7, 8))


def test_a_width_below_1_is_refused():
    with pytest.raises(ValueError, match=r"model\.width=0 must be at least 1"):
        model(width=0)
