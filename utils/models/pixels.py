"""The first layer of every image model: checks its images and normalises them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ForImages(nn.Module):
    """A classifier of images, made with the ``mean`` and ``std`` of the pixels of each channel."""


class Pixels(nn.Module):
    """(x - mean) / std per channel, of pixels x (n, c, h, w) in [0, 1].

    Mean and std are persistent buffers, so weights bring the scaling that they were trained with.

    Args:
        inputs: shape (c, h, w) of an image.
        mean: of each channel's pixels in [0, 1], (c,).
        std: likewise, > 0.
        shrink: how many times lower and narrower the model's last map is than its images, the product of its strides.
        batch_norm: whether the model has batch norm up to its last map.

    Raises:
        ValueError: no shape of images, a mean or std for another number of channels, a std that is not positive, or
            images with fewer pixels to a side than ``shrink``. When called: images of another shape; in training, a
            single row where batch norm would see a single value of each channel.
    """

    mean: Tensor  # (c, 1, 1)
    std: Tensor  # (c, 1, 1)

    def __init__(
        self, inputs: Sequence[int], mean: Sequence[float], std: Sequence[float], *, shrink: int, batch_norm: bool
    ) -> None:
        super().__init__()
        self.inputs = _shape(inputs)
        channels, height, width = self.inputs
        if min(height, width) < shrink:
            raise ValueError(
                f"images of {height} x {width} pixels are too small for this model, whose strides need {shrink} x "
                f"{shrink}; choose larger images or a model with smaller strides (model=small_cnn, model.strides)"
            )
        if not len(mean) == len(std) == channels:
            raise ValueError(f"images with {channels} channels need as many means and stds: {list(mean)}, {list(std)}")
        if not all(number > 0 for number in std):
            raise ValueError(f"std={list(std)}: every channel needs a positive one; one that is constant says nothing")
        single = max(height, width) <= shrink  # the last map is one pixel
        self.least = 2 if batch_norm and single else 1
        self.register_buffer("mean", torch.tensor(list(mean)).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std)).reshape(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x (n, c, h, w) in [0, 1] -> the same, centred and scaled."""
        if x.ndim != 4 or x.shape[1:] != self.inputs:
            raise ValueError(f"this model takes images (n, {', '.join(map(str, self.inputs))}), not {tuple(x.shape)}")
        if self.training and len(x) < self.least:
            raise ValueError(
                "batch norm needs at least 2 rows a batch of images this small, and a batch had 1 (the last batch of "
                "an epoch has the rows that are left); choose another trainer.batch_size, or model=small_cnn with "
                "model.norm=group"
            )
        return (x - self.mean) / self.std


def _shape(inputs: Sequence[int]) -> tuple[int, int, int]:
    if not isinstance(inputs, Sequence) or len(inputs) != 3 or min(inputs) < 1:
        raise ValueError(
            f"this model takes images, of a shape (channels, height, width), not inputs={inputs}; choose model=mlp or "
            "model=logistic for a table"
        )
    channels, height, width = inputs
    return channels, height, width
