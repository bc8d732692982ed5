"""The first layer of image models, and when batch norm has too few values."""

import pytest
import torch
from torch import nn

from utils.models.pixels import Pixels

RGB = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.5]}
GREY = {"mean": [0.5], "std": [0.25]}


def pixels(inputs=(3, 8, 8), shrink=4, batch_norm=True, **scaling):
    return Pixels(inputs, **(scaling or RGB), shrink=shrink, batch_norm=batch_norm)


def test_a_channel_has_mean_0_and_std_1_where_its_pixels_have_the_given_ones():
    x = torch.rand(20, 3, 8, 8)
    mean, std = x.mean((0, 2, 3)), x.std((0, 2, 3))
    z = pixels(mean=mean.tolist(), std=std.tolist())(x)
    assert torch.allclose(z.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(z.std((0, 2, 3)), torch.ones(3), atol=1e-5)


def test_every_channel_has_its_own_scaling():
    x = torch.full((1, 3, 8, 8), 0.9)
    z = pixels()(x)
    assert z[0, :, 0, 0].tolist() == pytest.approx([0.4 / 0.2, 0.5 / 0.25, 0.6 / 0.5], abs=1e-5)


def test_weights_bring_their_scaling():
    layer, other = pixels(), pixels(mean=[0.0] * 3, std=[1.0] * 3)
    other.load_state_dict(layer.state_dict())
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(layer(x), other(x))


def test_the_scaling_is_not_trained():
    assert list(pixels().parameters()) == []


@pytest.mark.parametrize("inputs", [(3, 8, 7), (3, 7, 8)])
def test_images_smaller_than_the_strides_are_refused_with_the_size_needed(inputs):
    with pytest.raises(ValueError, match="too small for this model, whose strides need 8 x 8"):
        pixels(inputs, shrink=8)


@pytest.mark.parametrize("inputs", [7, [7], [3, 8], [0, 8, 8], [1, 3, 8, 8]])
def test_what_is_no_shape_of_images_is_refused(inputs):
    with pytest.raises(ValueError, match="takes images, of a shape .*model=mlp"):
        pixels(inputs)


@pytest.mark.parametrize("scaling", [GREY, RGB | {"std": [1.0]}, RGB | {"mean": [0.5] * 4}])
def test_a_scaling_of_other_channels_is_refused(scaling):
    with pytest.raises(ValueError, match="images with 3 channels need as many means and stds"):
        pixels(**scaling)


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan")])
def test_a_std_that_is_not_positive_is_refused(std):
    with pytest.raises(ValueError, match="every channel needs a positive one"):
        pixels(mean=[0.5] * 3, std=[0.2, std, 0.2])


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 1, 8, 8), (2, 3, 8, 9), (1, 2, 3, 8, 8)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"this model takes images \(n, 3, 8, 8\), not"):
        pixels()(torch.zeros(shape))


@pytest.mark.parametrize("side", [4, 5, 7, 8])
@pytest.mark.parametrize("rows", [1, 2])
def test_a_batch_is_refused_exactly_where_batch_norm_has_one_value_of_a_channel(side, rows):
    """Torch's own batch norm behind convolutions that shrink by 4 is the judge."""
    convolutions = [nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, 1, 2)]
    network = nn.Sequential(*convolutions, nn.BatchNorm2d(1))
    x = torch.rand(rows, 1, side, side)
    layer = pixels((1, side, side), **GREY)
    try:
        network(x)
    except ValueError:
        with pytest.raises(ValueError, match=r"batch norm needs at least 2 rows .*trainer\.batch_size.*model\.norm"):
            layer(x)
    else:
        assert layer(x).shape == x.shape


@pytest.mark.parametrize(("training", "batch_norm"), [(False, True), (True, False)])
def test_a_single_row_passes_in_eval_mode_and_without_batch_norm(training, batch_norm):
    layer = pixels((1, 4, 4), batch_norm=batch_norm, **GREY).train(training)
    assert layer(torch.zeros(1, 1, 4, 4)).shape == (1, 1, 4, 4)
