"""Augmentation: against a loop over rows, the distribution of its offsets, and what it must not change."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  as everybody writes it
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from utils.augment import crop_and_flip, none
from utils.seeding import Rows

MANY = 20000


def rows(count, key=1, first=0):
    return Rows(key, torch.arange(first, first + count))


def images(count, shape=(3, 8, 6)):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


def moves(padding, flip, count=MANY, key=1):
    """Offsets down and right (n,) and whether each of many images was mirrored, read off its coordinates.

    Images of 3x3 whose channels hold row, column and 1 of each pixel, counted from the middle, wide enough that the
    middle of the result always shows some of the image.
    """
    side = 2 * padding + 3
    place = torch.arange(side) - side // 2.0
    x = torch.stack([place.unsqueeze(1).expand(side, side), place.expand(side, side), torch.ones(side, side)])
    found = crop_and_flip(x.expand(count, 3, side, side), rows(count, key), padding=padding, flip=flip)
    middle = found[:, :, side // 2, side // 2]
    step = found[:, 1, side // 2, side // 2 + 1] - middle[:, 1]
    assert (middle[:, 2] == 1).all()
    return middle[:, 0], middle[:, 1], step < 0


@given(
    n=st.integers(1, 5),
    h=st.integers(1, 7),
    w=st.integers(1, 7),
    padding=st.integers(0, 4),
    flip=st.booleans(),
    key=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_a_batch_is_a_loop_over_crops_of_the_padded_images(n, h, w, padding, flip, key):
    """Each row alone, by its own offset and side: a slice of the padded image, mirrored by ``flip``."""
    x = images(n, (2, h, w))
    uniform = rows(n, key).uniform(x.new_empty(1, n, 3))[0]
    expected = []
    for image, (down, right, side) in zip(F.pad(x, (padding,) * 4), uniform, strict=True):
        top, left = (int(u * (2 * padding + 1)) for u in (down, right))
        crop = image[:, top : top + h, left : left + w]
        expected.append(crop.flip(-1) if flip and side < 0.5 else crop)
    assert torch.equal(crop_and_flip(x, rows(n, key), padding=padding, flip=flip), torch.stack(expected))


def test_offsets_are_uniform_in_both_directions_and_together():
    """Chi-square over all 81 pairs of -4..4, p above one in a thousand."""
    down, right, _ = moves(padding=4, flip=False)
    counts = np.histogram2d(down, right, bins=9, range=[(-4.5, 4.5)] * 2)[0]
    assert counts.sum() == MANY
    assert chisquare(counts.flatten()).pvalue > 0.001


def test_half_of_the_images_are_mirrored_whatever_their_offset():
    """Chi-square over side and offset down, p above one in a thousand."""
    down, _, mirrored = moves(padding=2, flip=True)
    counts = np.histogram2d(down, mirrored.float(), bins=(5, 2), range=[(-2.5, 2.5), (-0.5, 1.5)])[0]
    assert chisquare(counts.flatten()).pvalue > 0.001


def test_without_flip_no_image_is_mirrored():
    assert not moves(padding=2, flip=False)[2].any()


def test_another_key_moves_the_images_otherwise():
    first, second = (moves(padding=4, flip=False, count=100, key=key)[0] for key in (1, 2))
    assert not torch.equal(first, second)


def test_a_row_does_not_depend_on_its_batch():
    x = images(10)
    whole = crop_and_flip(x, rows(10), padding=2, flip=True)
    part = crop_and_flip(x[6:9], rows(3, first=6), padding=2, flip=True)
    assert torch.equal(part, whole[6:9])


def test_without_padding_and_flip_nothing_changes():
    x = images(10)
    assert torch.equal(crop_and_flip(x, rows(10), padding=0, flip=False), x)


def test_none_changes_nothing():
    x = images(10)
    assert torch.equal(none(x, rows(10)), x)


def test_a_flip_alone_keeps_the_values_of_every_row_of_pixels():
    x = images(50)
    found = crop_and_flip(x, rows(50), padding=0, flip=True)
    assert not torch.equal(found, x)
    assert torch.equal(found.sort(-1).values, x.sort(-1).values)


def test_a_crop_holds_values_of_its_image_and_zeros():
    x = images(50, (1, 5, 5)) + 1
    found = crop_and_flip(x, rows(50), padding=4, flip=True).flatten(1)
    for before, after in zip(x.flatten(1), found, strict=True):
        left = after[after > 0]
        assert torch.isin(left, before).all()
        assert len(left.unique()) == len(left)


def test_all_channels_of_an_image_move_together():
    x = images(20, (1, 8, 8)).expand(20, 3, 8, 8)
    found = crop_and_flip(x, rows(20), padding=3, flip=True)
    assert torch.equal(found, found[:, :1].expand_as(found))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_type_stays_and_the_offsets_do_not_depend_on_it(dtype):
    x = (images(200) * 8).round()
    found = crop_and_flip(x.to(dtype), rows(200), padding=4, flip=True)
    assert found.dtype is dtype
    assert torch.equal(found.float(), crop_and_flip(x, rows(200), padding=4, flip=True))


def test_the_images_given_stay_as_they_are():
    x = images(10)
    before = x.clone()
    crop_and_flip(x, rows(10), padding=2, flip=True)
    assert torch.equal(x, before)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
def test_a_gpu_gives_the_same_images():
    x = images(100)
    there = crop_and_flip(x.cuda(), rows(100), padding=4, flip=True)
    assert there.is_cuda
    assert torch.equal(there.cpu(), crop_and_flip(x, rows(100), padding=4, flip=True))
