"""The small convolutional network."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from tests.utils.models.test_blocks import normed, stirred
from utils.models.small_cnn import SmallCNN

SETTINGS = {"widths": [16, 32, 64], "strides": [1, 2, 2], "norm": "batch"}


def model(inputs=(1, 8, 8), outputs=10, mean=0.5, std=0.25, **settings):
    c = inputs[0]
    return SmallCNN(list(inputs), outputs, mean=[mean] * c, std=[std] * c, **SETTINGS | settings)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_it_is_the_formula(norm):
    """conv 16, conv 32 stride 2, conv 64 stride 2, each with its norm and ReLU, then linear."""
    network, x = stirred(model((1, 14, 13), norm=norm)), torch.rand(3, 1, 14, 13)
    convs = [part for part in network.layers if isinstance(part, nn.Conv2d)]
    norms = [part for part in network.layers if isinstance(part, nn.BatchNorm2d | nn.GroupNorm)]
    z = (x - 0.5) / 0.25
    for i, (conv, stride) in enumerate(zip(convs, [1, 2, 2], strict=True)):
        z = F.conv2d(z, conv.weight, conv.bias, stride=stride, padding=1)
        if norm == "batch":
            z = normed(z, norms[i])
        if norm == "group":  # of 8 channels
            groups = z.reshape(3, -1, 8, *z.shape[2:])
            variance, mean = torch.var_mean(groups, (2, 3, 4), correction=0, keepdim=True)
            z = ((groups - mean) / (variance + 1e-5).sqrt()).reshape(z.shape)
        z = z.clamp_min(0)
    assert torch.allclose(network(x), z.flatten(1) @ network.head.weight.T + network.head.bias, atol=1e-4)


def test_the_head_has_an_input_for_each_number_of_the_last_map():
    """14 x 13 becomes 7 x 7 and 4 x 4, a stride rounding up."""
    assert model((1, 14, 13)).head.in_features == 64 * 4 * 4


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_the_answer_to_a_row_does_not_depend_on_the_others(norm):
    network, x = stirred(model(norm=norm)), torch.rand(5, 1, 8, 8)
    assert torch.allclose(network(x)[2:3], network(x[2:3]), atol=1e-5)


@pytest.mark.parametrize(("norm", "trains"), [("batch", False), ("group", True), ("none", True)])
def test_a_single_row_of_the_smallest_size_trains_without_batch_norm(norm, trains):
    network, x = model((1, 4, 4), norm=norm).train(), torch.rand(1, 1, 4, 4)
    if trains:
        assert network(x).shape == (1, 10)
    else:
        with pytest.raises(ValueError, match="batch norm needs at least 2 rows"):
            network(x)


def test_a_single_row_of_larger_images_trains_with_batch_norm():
    assert model((1, 5, 4)).train()(torch.rand(1, 1, 5, 4)).shape == (1, 10)


def test_images_smaller_than_the_strides_are_refused():
    with pytest.raises(ValueError, match="need 8 x 8"):
        model((1, 7, 8), strides=[2, 2, 2])


def test_another_norm_is_refused():
    with pytest.raises(
        ValueError, match=r"model\.norm='layer' is not known; choose one of \['batch', 'group', 'none'\]"
    ):
        model(norm="layer")


@pytest.mark.parametrize(
    "settings", [{"widths": [], "strides": []}, {"strides": [1, 2]}, {"strides": [1, 2, 2, 2]}, {"widths": [16]}]
)
def test_widths_and_strides_must_go_together(settings):
    with pytest.raises(ValueError, match=r"model\.widths=.* and model\.strides=.* must list a number for each"):
        model(**settings)


@pytest.mark.parametrize("key", ["widths", "strides"])
def test_numbers_below_1_are_refused(key):
    with pytest.raises(ValueError, match=rf"model\.{key}=0 must be at least 1"):
        model(**{key: [1, 0, 1]})


def test_group_norm_needs_widths_of_whole_groups():
    with pytest.raises(ValueError, match=r"model\.widths=\[16, 20, 64\]: with model\.norm=group .* multiple of 8"):
        model(widths=[16, 20, 64], norm="group")
