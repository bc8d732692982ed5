"""Assembling images: draws, splits, sizes, moments, fingerprints, and the images that are refused."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.image_files import drawn
from utils.datasets.images import (
    CHUNK,
    Images,
    assemble,
    check_images,
    describe,
    draw,
    fingerprint,
    join,
    moments,
    pool,
)

SHAPE = (3, 4, 4)
NAMES = ("cat", "dog", "ox")


def images(count, seed=0, shape=SHAPE):
    return Images(torch.from_numpy(drawn(count, shape, seed)), torch.arange(count) % len(NAMES))


def made(train=None, test=None, *, rows=None, test_rows=None, valid=0.1, size=None, seed=0):
    return assemble(
        "toy",
        images(300) if train is None else train,
        images(60, seed=1) if test is None else test,
        class_names=NAMES,
        rows=rows,
        test_rows=test_rows,
        valid=valid,
        size=size,
        seed=seed,
    )


def fit(dataset):
    """The rows that training may see, in ascending order."""
    return sorted([*dataset.train.index.tolist(), *dataset.valid.index.tolist()])


# Draws and splits


@given(seed=st.integers(0, 99), rows=st.integers(30, 300), valid=st.sampled_from([0.0, 0.1, 0.5]))
@settings(max_examples=30, deadline=None)
def test_each_drawn_image_is_in_training_or_validation_once(seed, rows, valid):
    found = fit(made(seed=seed, rows=rows, valid=valid))
    assert (len(found), len(set(found)), set(found) <= set(range(300))) == (rows, rows, True)


def test_without_a_draw_every_image_is_there_and_test_rows_are_numbered_behind():
    dataset = made()
    assert fit(dataset) == list(range(300))
    assert dataset.test.index.tolist() == list(range(300, 360))


def test_every_row_keeps_its_image_and_label():
    dataset = made(rows=100, test_rows=30)
    whole = join([images(300), images(60, seed=1)])
    for part in (dataset.train, dataset.valid, dataset.test):
        assert torch.equal(part.x, whole.x[part.index])
        assert torch.equal(part.y, whole.y[part.index])


def test_validation_is_the_share_of_the_drawn_images_rounded():
    dataset = made(rows=104, valid=0.25)
    assert (len(dataset.train.y), len(dataset.valid.y)) == (78, 26)


def test_a_share_of_zero_gives_an_empty_validation_split():
    assert made(valid=0.0).valid.x.shape == (0, *SHAPE)


def test_a_larger_draw_holds_the_smaller():
    assert set(fit(made(rows=50))) < set(fit(made(rows=51)))


def test_the_seed_moves_draw_and_split():
    assert fit(made(rows=100)) != fit(made(rows=100, seed=1))
    assert made().valid.index.tolist() != made(seed=1).valid.index.tolist()


def test_the_draw_of_test_images_does_not_depend_on_that_of_training_images():
    few, many = made(rows=30, test_rows=20), made(test_rows=20)
    assert torch.equal(few.test.index, many.test.index)


def test_the_draw_is_uniform():
    """Of 10 images, 3 are drawn: each in 30 % of 2,000 seeds, within four standard errors."""
    found = np.concatenate([draw("toy", "training", 10, "rows", 3, seed) for seed in range(2000)])
    shares = np.bincount(found, minlength=10) / 2000
    assert np.abs(shares - 0.3).max() < 4 * np.sqrt(0.3 * 0.7 / 2000)


# What a Dataset of images is


def test_splits_are_contiguous_bytes():
    dataset = made(size=2)
    parts = (dataset.train.x, dataset.valid.x, dataset.test.x)
    assert [(x.dtype, x.is_contiguous()) for x in parts] == [(torch.uint8, True)] * 3


def test_images_stored_column_by_column_become_contiguous():
    turned = Images(images(300).x.transpose(2, 3), images(300).y)
    dataset = made(turned, turned, valid=0.0)
    assert dataset.train.x.is_contiguous()
    assert torch.equal(dataset.train.x, turned.x)


def test_rows_are_of_one_group_and_of_weight_one():
    dataset = made()
    assert dataset.groups == ("all",)
    assert (dataset.train.s == 0).all()
    assert (dataset.train.w == 1).all()


def test_shape_classes_and_names_are_those_of_the_images():
    dataset = made(size=2)
    assert (dataset.shape, dataset.classes, dataset.class_names, dataset.columns) == ((3, 2, 2), 3, NAMES, ())


def test_the_line_about_the_images():
    """Memory: 370 images of 48 bytes, 17,760."""
    assert describe(made(images(300), images(70))) == (
        "toy: 270 + 30 + 70 images of 3x4x4 (training, validation, test), 0.0 MB in memory"
    )


def test_the_line_names_only_splits_that_have_images():
    large = Images(torch.zeros(30, 1, 1000, 1000, dtype=torch.uint8), torch.arange(30) % 3)
    dataset = made(large, large, valid=0.0)
    assert describe(dataset) == "toy: 30 + 30 images of 1x1000x1000 (training, test), 60 MB in memory"


# Scaling


def test_moments_are_those_of_the_channels():
    """NumPy's, in double precision, over more images than one chunk."""
    x = drawn(CHUNK + 7, SHAPE)
    loc, scale = moments(torch.from_numpy(x))
    assert np.allclose(loc, (x / 255).mean((0, 2, 3)), rtol=1e-6)
    assert np.allclose(scale, (x / 255).std((0, 2, 3)), rtol=1e-6)


def test_a_constant_channel_is_only_centred():
    x = torch.from_numpy(drawn(20, SHAPE))
    x[:, 1] = 51
    loc, scale = moments(x)
    assert loc[1] == pytest.approx(0.2)
    assert scale[1] == 1


def test_the_scaling_is_of_the_training_split():
    dataset = made(rows=100, valid=0.5, size=2)
    loc, scale = moments(dataset.train.x)
    assert torch.equal(dataset.loc, loc)
    assert torch.equal(dataset.scale, scale)


# Sizes


def test_half_the_size_is_the_rounded_mean_of_four_pixels():
    """Ties to even, as NumPy's rint."""
    dataset = made(valid=0.0, size=2)
    blocks = images(300).x.numpy().reshape(300, 3, 2, 2, 2, 2).mean((3, 5))
    assert np.array_equal(dataset.train.x, np.rint(blocks))


def test_two_of_three_pixels_are_means_of_overlapping_pairs():
    """Adaptive pooling from 3 to 2 covers the pixels 0, 1 and 1, 2."""
    x = torch.tensor([[0, 90, 180]], dtype=torch.uint8).expand(1, 1, 3, 3)
    assert pool(x, 2)[0, 0, 0].tolist() == [45, 135]


def test_pooling_in_parts_is_pooling_at_once():
    many = images(2 * CHUNK + 5)
    assert torch.equal(made(many, valid=0.0, size=3).train.x, pool(many.x, 3))


def test_a_draw_is_drawn_before_it_is_resized():
    dataset = made(rows=100, valid=0.2, size=2)
    assert torch.equal(dataset.valid.x, pool(images(300).x[dataset.valid.index], 2))


def test_the_published_size_changes_nothing():
    assert torch.equal(made(valid=0.0, size=4).train.x, images(300).x)


@pytest.mark.parametrize("size", [0, 5, -2, 2.0])
def test_a_size_that_pooling_cannot_give_is_refused(size):
    with pytest.raises(ValueError, match=rf"toy: size={size}, but the images are of 4x4 .*1 to 4"):
        made(size=size)


# Fingerprint


def test_the_fingerprint_is_sixteen_hex_digits():
    assert re.fullmatch("[0-9a-f]{16}", made().fingerprint)


def test_the_fingerprint_is_of_the_files_alone():
    assert made(rows=40, test_rows=30, valid=0.5, size=2, seed=3).fingerprint == made().fingerprint


def test_one_changed_pixel_changes_the_fingerprint():
    other = images(60, seed=1)
    other.x[-1, -1, -1, -1] ^= 1
    assert made(test=other).fingerprint != made().fingerprint


def test_one_changed_label_changes_the_fingerprint():
    other = images(300)
    other.y[0] = 2
    assert made(other).fingerprint != made().fingerprint


def test_an_image_that_moves_to_the_other_split_changes_the_fingerprint():
    whole = images(10)
    parts = [(Images(whole.x[:i], whole.y[:i]), Images(whole.x[i:], whole.y[i:])) for i in (5, 6)]
    assert fingerprint(*parts[0]) != fingerprint(*parts[1])


def test_memory_order_does_not_change_the_fingerprint():
    first = images(300)
    columns = Images(first.x.transpose(2, 3).contiguous().transpose(2, 3), first.y)
    assert made(columns).fingerprint == made().fingerprint


# What is refused


def test_a_class_without_training_images_is_named():
    some = images(300)
    with pytest.raises(ValueError, match="toy: the training split has no image of ox; draw more"):
        made(Images(some.x, some.y % 2))


def test_a_class_without_test_images_is_named():
    some = images(60)
    with pytest.raises(ValueError, match="toy: the test split has no image of cat, ox; draw more"):
        made(test=Images(some.x, torch.ones(60, dtype=torch.int64)))


def test_a_draw_that_loses_a_class_is_refused():
    with pytest.raises(ValueError, match="the training split has no image of"):
        made(rows=2, valid=0.0)


def test_of_many_absent_classes_ten_are_named():
    some = images(30)
    with pytest.raises(ValueError, match=r"no image of 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 7 more"):
        assemble(
            "toy", some, some, class_names=[*map(str, range(20))], rows=None, test_rows=None, valid=0, size=None, seed=0
        )


@pytest.mark.parametrize("rows", [0, 301, -1, 2.5])
def test_rows_that_are_not_there_are_refused(rows):
    with pytest.raises(ValueError, match=rf"toy: rows={rows}, but there are 300 training images; .*null"):
        made(rows=rows)


def test_test_rows_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="toy: test_rows=61, but there are 60 test images"):
        made(test_rows=61)


@pytest.mark.parametrize("valid", [-0.1, 1.0, 20])
def test_a_share_outside_zero_and_one_is_refused(valid):
    with pytest.raises(ValueError, match=rf"toy: valid={valid} is no share"):
        made(valid=valid)


@pytest.mark.parametrize("valid", [0.001, 0.999])
def test_a_share_that_empties_a_split_is_refused(valid):
    with pytest.raises(ValueError, match=rf"toy: valid={valid} of 300 training images leaves"):
        made(valid=valid)


def test_images_of_another_size_are_named():
    with pytest.raises(ValueError, match="file holds images of 3x4x4, not of 3x32x32"):
        check_images("file", drawn(2, SHAPE), np.array([0, 1]), shape=(3, 32, 32), classes=3)


def test_another_number_of_labels_is_named():
    with pytest.raises(ValueError, match="file holds 2 images, but 3 labels"):
        check_images("file", drawn(2, SHAPE), np.array([0, 1, 2]), shape=SHAPE, classes=3)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_range_is_named_with_its_image(label):
    with pytest.raises(ValueError, match=rf"file: the label of image 1 \(counting from 0\) is {label}, not .* 0 to 2"):
        check_images("file", drawn(2, SHAPE), np.array([0, label]), shape=SHAPE, classes=3)
