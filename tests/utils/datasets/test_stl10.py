"""STL-10 in files of the official format."""

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

import paths_config
from tests.image_files import drawn, write
from utils.datasets.images import pool

NAMES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]


def made(**changes):
    config = OmegaConf.load(paths_config.ROOT / "config/dataset/stl10.yaml")
    del config["defaults"]
    return instantiate(config, **changes)(seed=0)


def stored(images):
    """Images (n, c, h, w) as the publisher stores them: channel by channel, each column by column."""
    return images.transpose(0, 1, 3, 2).tobytes()


def labels(count):
    """1 to 10 in turn."""
    return bytes(1 + i % 10 for i in range(count))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with a small STL-10; tests replace files of it."""
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path))
    files = {
        "train_X.bin": stored(drawn(40, (3, 96, 96))),
        "train_y.bin": labels(40),
        "test_X.bin": stored(drawn(20, (3, 96, 96), 1)),
        "test_y.bin": labels(20),
        "class_names.txt": "\n".join(NAMES).encode() + b"\n",
    }
    write(tmp_path / "stl10_binary", files)
    return tmp_path / "stl10_binary"


def test_columns_become_rows(folder):
    """The publisher's page: the images are in column-major order, one channel at a time."""
    dataset = made(valid=0.0, size=None)
    assert np.array_equal(dataset.train.x, drawn(40, (3, 96, 96)))
    assert np.array_equal(dataset.test.x, drawn(20, (3, 96, 96), 1))


def test_labels_count_from_zero(folder):
    dataset = made(valid=0.0)
    assert dataset.train.y.tolist() == [*range(10)] * 4
    assert dataset.class_names == tuple(NAMES)


def test_by_default_images_are_pooled_to_64(folder):
    dataset = made(valid=0.0)
    assert dataset.shape == (3, 64, 64)
    assert torch.equal(dataset.test.x, pool(torch.from_numpy(drawn(20, (3, 96, 96), 1)), 64))


@pytest.mark.parametrize("length", [0, 1000, 96 * 96 * 3 * 19 + 1])
def test_images_cut_short_are_named(folder, length):
    write(folder, {"test_X.bin": stored(drawn(20, (3, 96, 96), 1))[:length]})
    with pytest.raises(ValueError, match=r"test_X.bin has [\d,]+ bytes, no multiple of the 27,648 of an image"):
        made()


@pytest.mark.parametrize("file", ["test_X.bin", "test_y.bin"])
def test_files_of_different_lengths_are_named(folder, file):
    content = {"test_X.bin": stored(drawn(19, (3, 96, 96), 1)), "test_y.bin": labels(19)}
    write(folder, {file: content[file]})
    with pytest.raises(ValueError, match=r"test_X.bin holds (19|20) images, but (19|20) labels"):
        made()


@pytest.mark.parametrize("label", [0, 11])
def test_a_label_out_of_range_is_named_as_the_file_counts(folder, label):
    write(folder, {"train_y.bin": labels(39) + bytes([label])})
    with pytest.raises(ValueError, match=rf"train_y.bin: the label of image 39 .* is {label}, not 1 to 10"):
        made()


def test_another_number_of_names_is_named(folder):
    write(folder, {"class_names.txt": b"airplane\nbird\n"})
    with pytest.raises(ValueError, match="class_names.txt names 2 classes, not 10"):
        made()


def test_a_missing_file_is_told_with_the_variable(folder):
    (folder / "train_y.bin").unlink()
    with pytest.raises(ValueError, match=r"stl10_binary has no train_y.bin: .*TRILEMMA_DATA"):
        made()
