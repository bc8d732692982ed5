"""Digits: scikit-learn's images as bytes."""

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sklearn.datasets import load_digits

import paths_config


def made(seed=0, **changes):
    config = OmegaConf.load(paths_config.ROOT / "config/dataset/digits.yaml")
    del config["defaults"]
    return instantiate(config, **changes)(seed=seed)


def whole(dataset):
    parts = (dataset.train, dataset.valid, dataset.test)
    order = torch.cat([part.index for part in parts]).argsort()
    return torch.cat([part.x for part in parts])[order], torch.cat([part.y for part in parts])[order]


def test_the_images_are_scikit_learns_from_black_to_white():
    """Its 0..16 are 0..255."""
    x, y = whole(made())
    known = load_digits()
    assert np.abs(x[:, 0].numpy() / 255 * 16 - known.images).max() <= 16 / 510
    assert (x.min(), x.max()) == (0, 255)
    assert np.array_equal(y, known.target)


def test_every_image_is_in_one_split_of_the_given_size():
    dataset = made()
    assert [len(part.y) for part in (dataset.train, dataset.valid, dataset.test)] == [1150, 288, 359]
    assert len(whole(dataset)[1]) == 1797


def test_names_and_shape():
    dataset = made()
    assert (dataset.shape, dataset.classes, dataset.class_names) == ((1, 8, 8), 10, tuple("0123456789"))


def test_the_seed_moves_the_split_and_not_the_data():
    assert made(seed=1).fingerprint == made().fingerprint
    assert made(seed=1).test.index.tolist() != made().test.index.tolist()


def test_a_split_that_loses_classes_is_refused():
    with pytest.raises(ValueError, match="digits: the test split has no image of"):
        made(split=[0.995, 0.0, 0.005])


def test_fractions_that_sum_to_more_are_refused():
    with pytest.raises(ValueError, match=r"digits: split=\[0.9, 0.0, 0.2\]"):
        made(split=[0.9, 0.0, 0.2])
