"""AutoAugment: each operation against Pillow, the policy against its published table, a batch against its rows."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from utils.augment import crop_and_flip
from utils.auto_augment import KINDS, OPERATIONS, POLICY, auto_augment, to_numbers
from utils.schedules import piecewise
from utils.seeding import Rows

STEP = 1 / 255


def rows(count, key=1, first=0):
    return Rows(key, torch.arange(first, first + count))


def faces(count=6, shape=(3, 20, 16), seed=0):
    """Smooth bytes of a narrow range, as numbers in [0, 1]."""
    rng = np.random.default_rng(seed)
    waves = np.sin(np.linspace(0, 4, shape[1])[:, None] + np.linspace(0, 3, shape[2])) * 60
    noise = rng.normal(0, 12, (count, *shape)) + rng.uniform(90, 160, (count, shape[0], 1, 1))
    return torch.from_numpy(np.clip(waves + noise, 20, 235).round() / 255).float()


def pillow(x, change):
    """``change`` of every image (n, 3, h, w) as Pillow does it."""
    pixels = (x * 255).round().byte().permute(0, 2, 3, 1).numpy()
    changed = np.stack([np.asarray(change(Image.fromarray(image))) for image in pixels])
    return torch.from_numpy(changed).permute(0, 3, 1, 2) / 255


def each(x, strength):
    return torch.full((len(x),), float(strength))


def operate(name, x, strength):
    """An operation by its published name."""
    return KINDS[OPERATIONS[name].kind](x, to_numbers(name, strength))


# Operations


@pytest.mark.parametrize("factor", [0.1, 0.6, 1.0, 1.9])
@pytest.mark.parametrize("name", ["brightness", "color", "contrast", "sharpness"])
def test_an_enhancement_is_pillow_s_within_two_steps_of_a_byte(name, factor):
    """Pillow rounds its base, the result, and for contrast the mean to bytes; beyond 1 a base's error is amplified."""
    x = faces()
    found = operate(name, x, each(x, factor))
    expected = pillow(x, lambda image: getattr(ImageEnhance, name.capitalize())(image).enhance(factor))
    assert (found - expected).abs().max() <= 2 * STEP + 1e-6


@pytest.mark.parametrize("bits", [4, 5, 6, 8])
def test_posterize_is_pillow_s(bits):
    x = faces()
    expected = pillow(x, lambda image: ImageOps.posterize(image, bits))
    assert torch.allclose(operate("posterize", x, each(x, bits)), expected, atol=1e-6)


@pytest.mark.parametrize("threshold", [0, 57, 128, 256])
def test_solarize_is_pillow_s(threshold):
    x = faces()
    found = operate("solarize", x, each(x, (threshold - 0.5) / 255))  # between two bytes
    assert torch.allclose(found, pillow(x, lambda image: ImageOps.solarize(image, threshold)), atol=1e-6)


def test_invert_is_pillow_s():
    x = faces()
    assert torch.allclose(operate("invert", x, each(x, 0)), pillow(x, ImageOps.invert), atol=1e-6)


def test_auto_contrast_is_pillow_s_within_a_step():
    x = faces()
    assert (operate("auto_contrast", x, each(x, 0)) - pillow(x, ImageOps.autocontrast)).abs().max() <= STEP + 1e-6


@pytest.mark.parametrize("shape", [(3, 20, 16), (3, 40, 32), (3, 4, 4)])
def test_equalize_is_pillow_s(shape):
    x = faces(shape=shape)
    assert torch.allclose(operate("equalize", x, each(x, 0)), pillow(x, ImageOps.equalize), atol=1e-6)


@pytest.mark.parametrize("name", ["auto_contrast", "equalize"])
def test_a_constant_channel_stays(name):
    x = torch.full((2, 3, 20, 20), 0.3)
    assert torch.allclose(operate(name, x, each(x, 0)), x, atol=STEP / 2)


@pytest.mark.parametrize("degrees", [-30.0, 7.0, 20.0])
def test_a_rotation_is_pillow_s_but_for_pixels_on_an_edge_between_two(degrees):
    """Pillow computes places in fixed point."""
    x = faces(shape=(3, 40, 32))
    expected = pillow(x, lambda image: image.rotate(degrees, Image.Resampling.NEAREST))
    assert ((operate("rotate", x, each(x, degrees)) - expected).abs() > STEP / 2).float().mean() < 0.01


@pytest.mark.parametrize("slope", [-0.3, 0.1])
def test_a_shear_is_pillow_s_but_for_pixels_on_an_edge_between_two(slope):
    x = faces(shape=(3, 40, 32))
    expected = pillow(x, lambda image: image.transform(image.size, Image.Transform.AFFINE, (1, 0, 0, slope, 1, 0)))
    assert ((operate("shear_y", x, each(x, slope)) - expected).abs() > STEP / 2).float().mean() < 0.01


def test_shifts_move_by_whole_pixels_and_leave_black():
    """A share of .33 of 16 columns is 5, of .45 of 20 rows 9, cut."""
    x = faces()
    right, up = operate("shift_x", x, each(x, 0.33)), operate("shift_y", x, each(x, -0.45))
    assert torch.equal(right[..., 5:], x[..., :-5])
    assert torch.equal(up[..., :-9, :], x[..., 9:, :])
    assert not right[..., :5].any()
    assert not up[..., -9:, :].any()


def test_operations_of_a_kind_are_done_together_as_each_by_itself():
    x = faces(len(OPERATIONS))
    strengths = torch.cat([own.strength(torch.tensor([0.7])) for own in OPERATIONS.values()])
    for kind, change in KINDS.items():
        own = [i for i, name in enumerate(OPERATIONS) if OPERATIONS[name].kind == kind]
        names = [list(OPERATIONS)[i] for i in own]
        numbers = [to_numbers(name, strengths[i : i + 1]) for name, i in zip(names, own, strict=True)]
        alone = [operate(name, x[i : i + 1], strengths[i : i + 1]) for name, i in zip(names, own, strict=True)]
        assert torch.allclose(change(x[own], torch.cat(numbers)), torch.cat(alone), atol=1e-7)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_row_gets_its_own_strength(name):
    x = faces()
    strengths = OPERATIONS[name].strength(torch.linspace(-1, 1, len(x)))
    alone = [operate(name, x[i : i + 1], strengths[i : i + 1]) for i in range(len(x))]
    assert torch.allclose(operate(name, x, strengths), torch.cat(alone), atol=1e-6)


@pytest.mark.parametrize("name", ["shear_y", "shift_x", "shift_y", "rotate", "brightness", "color", "contrast"])
def test_magnitude_0_changes_nothing(name):
    x = faces()
    assert torch.allclose(operate(name, x, OPERATIONS[name].strength(torch.zeros(len(x)))), x, atol=1e-6)


def test_the_strongest_operations_are_those_of_table_6():
    """Shear .3, shift 150 of 331 pixels, 30 degrees, factor .1 and 1.9, 4 bits, and every pixel inverted."""
    ends = {name: own.strength(torch.tensor([-1.0, 1.0])).tolist() for name, own in OPERATIONS.items()}
    assert ends["shear_y"] == pytest.approx([-0.3, 0.3])
    assert ends["shift_x"] == ends["shift_y"] == pytest.approx([-150 / 331, 150 / 331])
    assert ends["rotate"] == pytest.approx([-30, 30])
    for name in ("brightness", "color", "contrast", "sharpness"):
        assert ends[name] == pytest.approx([0.1, 1.9])
    assert ends["posterize"] == [4, 4]
    assert ends["solarize"] == [0, 0]


# The policy


def test_there_are_25_pairs_of_known_operations_in_tenths_and_whole_magnitudes():
    assert len(POLICY) == 25
    for name, chance, magnitude in (step for pair in POLICY for step in pair):
        assert name in OPERATIONS
        assert chance in [tenths / 10 for tenths in range(10)]
        assert magnitude in range(10)


@pytest.mark.parametrize(("before", "expected"), [(0.0, (0.1 + 0.1) / 25), (1.0, (0.5 + 0.2 + 0.4 + 0.8 + 0.2) / 25)])
def test_pairs_are_equally_likely_and_operations_have_their_probability(before, expected):
    """Only inverting, pairs 0 and 23, makes black white; to make white black, pairs 14, 18, 20 and 22 solarize too."""
    x = torch.full((20000, 1, 2, 2), before)
    found = auto_augment(x, rows(len(x)), padding=0, flip=False).flatten(1)
    share = (found == 1 - before).all(1).double().mean()
    assert share.item() == pytest.approx(expected, abs=5 * (expected / len(x)) ** 0.5)


def test_an_image_that_no_operation_can_change_is_only_shifted_and_mirrored():
    """With uniform numbers that are all above every probability."""

    class Last(Rows):
        def uniform(self, like):
            return torch.full_like(like, 0.95)

    x = faces()
    found = auto_augment(x, Last(1, torch.arange(len(x))), padding=2, flip=True)
    assert torch.equal(found, crop_and_flip(x, Last(1, torch.arange(len(x))), padding=2, flip=True))


def test_images_stay_in_range_finite_and_of_their_type():
    x = faces(400)
    found = auto_augment(x, rows(400), padding=4, flip=True)
    assert found.dtype is x.dtype
    assert found.isfinite().all()
    assert 0 <= found.min() <= found.max() <= 1
    assert ((found - x).abs().flatten(1).amax(1) > 0.01).double().mean() > 0.9


def test_a_row_does_not_depend_on_its_batch():
    x = faces(60)
    whole = auto_augment(x, rows(60), padding=2, flip=True)
    part = auto_augment(x[40:47], rows(7, first=40), padding=2, flip=True)
    assert torch.allclose(part, whole[40:47], atol=1e-6)


def test_another_key_changes_images_otherwise():
    x = faces(20)
    assert not torch.equal(*(auto_augment(x, rows(20, key), padding=0, flip=False) for key in (1, 2)))


def test_the_images_given_stay_as_they_are():
    x = faces(60)
    before = x.clone()
    auto_augment(x, rows(60), padding=0, flip=False)
    assert torch.equal(x, before)


def test_grey_images_stay_grey():
    x = faces(60, shape=(1, 12, 12))
    assert auto_augment(x, rows(60), padding=2, flip=True).shape == x.shape


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(ValueError, match="1 or 3 channels, not 2"):
        auto_augment(torch.rand(2, 2, 8, 8), rows(2), padding=0, flip=False)


def test_the_faces_recipe_drops_its_rate_after_epochs_3_5_and_8(option):
    """The published rates: .1, .01, .001 and .0001 for 3, 2, 3 and 2 epochs."""
    shares = {key: option("trainer/schedule", "faces")[key] for key in ("at", "factors")}
    rates = [0.1 * piecewise(epoch, 10, **shares) for epoch in range(10)]
    assert rates == pytest.approx([0.1] * 3 + [0.01] * 2 + [0.001] * 3 + [0.0001] * 2)
