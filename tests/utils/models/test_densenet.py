"""DenseNet-BC, against published counts and its parts."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from tests.utils.models.test_blocks import normed, stirred
from utils.models.densenet import DenseNet

RGB = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.5]}


def model(inputs=(3, 8, 8), outputs=10, **settings):
    return DenseNet(list(inputs), outputs, **RGB, **{"depth": 16, "growth": 4, "compression": 0.5} | settings)


@pytest.mark.parametrize(("depth", "growth", "millions"), [(100, 12, 0.8), (250, 24, 15.3), (190, 40, 25.6)])
def test_the_published_number_of_parameters(depth, growth, millions):
    """Huang et al. 2017, table 2, DenseNet-BC."""
    with torch.device("meta"):
        network = model(depth=depth, growth=growth)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == millions


def test_the_exact_number_of_parameters_of_the_common_one():
    """769,162 of DenseNet-BC-100 with growth 12 and 10 classes, as of the published implementations."""
    with torch.device("meta"):
        network = model(depth=100, growth=12)
    assert sum(p.numel() for p in network.parameters()) == 769_162


def test_it_is_its_layers_between_stem_and_head():
    """Every layer sees all before it: [x, conv3x3 relu bn conv1x1 relu bn x]; a transition halves size and channels."""
    network, x = stirred(model()), torch.rand(2, 3, 8, 8)
    scaled = (x - torch.tensor(RGB["mean"]).reshape(-1, 1, 1)) / torch.tensor(RGB["std"]).reshape(-1, 1, 1)
    z = F.conv2d(scaled, network.stem.weight, padding=1)
    shapes = [tuple(z.shape[1:])]
    for i, part in enumerate(network.blocks):
        if i % 2:
            z = F.avg_pool2d(F.conv2d(normed(z, part[0]).clamp_min(0), part[2].weight), 2)
        else:
            for layer in part:
                bn1, _, conv1, bn2, _, conv2 = layer.residual
                narrow = F.conv2d(normed(z, bn1).clamp_min(0), conv1.weight)
                z = torch.cat([z, F.conv2d(normed(narrow, bn2).clamp_min(0), conv2.weight, padding=1)], 1)
        shapes.append(tuple(z.shape[1:]))
    assert shapes == [(8, 8, 8), (16, 8, 8), (8, 4, 4), (16, 4, 4), (8, 2, 2), (16, 2, 2)]
    pooled = normed(z, network.last[0]).clamp_min(0).mean((2, 3))
    assert torch.allclose(network(x), pooled @ network.head.weight.T + network.head.bias, atol=1e-5)


@pytest.mark.parametrize("inputs", [(3, 4, 4), (3, 9, 14), (3, 64, 64)])
def test_it_takes_images_of_any_size_from_4_pixels_on(inputs):
    assert model(inputs)(torch.rand(2, *inputs)).shape == (2, 10)


def test_the_answer_to_a_row_does_not_depend_on_the_others():
    network, x = stirred(model()), torch.rand(5, 3, 8, 8)
    assert torch.allclose(network(x)[2:3], network(x[2:3]), atol=1e-5)


def test_smaller_images_are_refused():
    with pytest.raises(ValueError, match="need 4 x 4"):
        model((3, 3, 8))


@pytest.mark.parametrize(("depth", "near"), [(99, "94 or 100"), (4, "10 or 16"), (101, "100 or 106")])
def test_another_depth_is_refused_with_the_nearest(depth, near):
    with pytest.raises(ValueError, match=rf"model\.depth={depth} must be 6n \+ 4 and at least 10, such as {near}"):
        model(depth=depth)


@pytest.mark.parametrize("compression", [0, 1.5])
def test_a_compression_outside_its_range_is_refused(compression):
    with pytest.raises(ValueError, match=rf"model\.compression={compression} must be above 0 and at most 1"):
        model(compression=compression)


def test_a_growth_below_1_is_refused():
    with pytest.raises(ValueError, match=r"model\.growth=0 must be at least 1"):
        model(growth=0)
