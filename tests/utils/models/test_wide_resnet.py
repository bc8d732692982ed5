"""Wide residual networks."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from tests.utils.models.test_blocks import normed, stirred
from utils.models.wide_resnet import WideResNet

RGB = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.5]}


def model(inputs=(3, 8, 8), outputs=10, **settings):
    return WideResNet(list(inputs), outputs, **RGB, **{"depth": 10, "widen": 1, "dropout": 0.0} | settings)


@pytest.mark.parametrize(
    ("depth", "widen", "millions"), [(40, 1, 0.6), (40, 4, 8.9), (16, 8, 11.0), (28, 10, 36.5), (28, 12, 52.5)]
)
def test_the_published_number_of_parameters(depth, widen, millions):
    """Zagoruyko and Komodakis 2016, table 4."""
    with torch.device("meta"):
        network = model(depth=depth, widen=widen)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == millions


def test_the_number_of_parameters_of_the_network_of_trades():
    """WRN-34-10: 46.16 M."""
    with torch.device("meta"):
        network = model(depth=34, widen=10)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == 46.16


def test_it_is_its_blocks_between_stem_and_head():
    """Table 1: stem of 16, stages of 16k, 32k and 64k with strides 1, 2, 2 and (depth - 4) / 6 blocks each."""
    network, x = stirred(model((3, 9, 8), depth=16, widen=2)), torch.rand(2, 3, 9, 8)
    scaled = (x - torch.tensor(RGB["mean"]).reshape(-1, 1, 1)) / torch.tensor(RGB["std"]).reshape(-1, 1, 1)
    z = F.conv2d(scaled, network.stem.weight, padding=1)
    shapes = [tuple(z.shape[1:])]
    for stage in network.stages:
        for block in stage:
            z = block(z)
            shapes.append(tuple(z.shape[1:]))
    assert shapes == [(16, 9, 8), *[(32, 9, 8)] * 2, *[(64, 5, 4)] * 2, *[(128, 3, 2)] * 2]
    pooled = normed(z, network.last[0]).clamp_min(0).mean((2, 3))
    assert torch.allclose(network(x), pooled @ network.head.weight.T + network.head.bias, atol=1e-5)


def test_dropout_acts_in_training_only():
    network, x = model(dropout=0.5), torch.rand(4, 3, 8, 8)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_the_answer_to_a_row_does_not_depend_on_the_others():
    network, x = stirred(model(dropout=0.3)), torch.rand(5, 3, 8, 8)
    assert torch.allclose(network(x)[2:3], network(x[2:3]), atol=1e-5)


@pytest.mark.parametrize(("side", "trains"), [(4, False), (5, True)])
def test_a_single_row_trains_only_where_the_last_map_has_several_pixels(side, trains):
    network, x = model((3, side, side)).train(), torch.rand(1, 3, side, side)
    if trains:
        assert network(x).shape == (1, 10)
    else:
        with pytest.raises(ValueError, match="batch norm needs at least 2 rows"):
            network(x)


@pytest.mark.parametrize(("depth", "near"), [(27, "22 or 28"), (29, "28 or 34"), (4, "10 or 16"), (0, "10 or 16")])
def test_another_depth_is_refused_with_the_nearest(depth, near):
    with pytest.raises(ValueError, match=rf"model\.depth={depth} must be 6n \+ 4 and at least 10, such as {near}"):
        model(depth=depth)


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_a_dropout_that_is_no_share_is_refused(dropout):
    with pytest.raises(ValueError, match=r"model\.dropout=.* must be at least 0 and below 1"):
        model(dropout=dropout)


def test_a_factor_below_1_is_refused():
    with pytest.raises(ValueError, match=r"model\.widen=0 must be at least 1"):
        model(widen=0)


def test_smaller_images_are_refused():
    with pytest.raises(ValueError, match="need 4 x 4"):
        model((3, 3, 8))
