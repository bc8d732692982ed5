"""CIFAR-10: the publisher's figures on the real files, the official format and errors on small ones."""

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

import paths_config
from tests.image_files import drawn, python2_pickle, write
from utils.datasets.images import describe

real = pytest.mark.skipif(
    not (paths_config.data() / "cifar-10-batches-py/test_batch").is_file(),
    reason="no cifar-10-batches-py in the data folder (TRILEMMA_DATA)",
)
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def made(**changes):
    config = OmegaConf.load(paths_config.ROOT / "config/dataset/cifar10.yaml")
    del config["defaults"]
    return instantiate(config, **changes)(seed=0)


def batch(count=20, seed=0, **changes):
    """A file of the official format: rows of 1,024 red, 1,024 green and 1,024 blue bytes, each row by row."""
    entries = {
        "batch_label": "a batch",
        "labels": [i % 10 for i in range(count)],
        "data": drawn(count, (3072,), seed),
        "filenames": [f"{i}.png" for i in range(count)],
    }
    return python2_pickle(entries | changes)


def files(**changes):
    batches = {name: batch(seed=i) for i, name in enumerate(BATCHES)}
    return batches | {"batches.meta": python2_pickle({"label_names": NAMES, "num_vis": 3072})} | changes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with a small CIFAR-10; tests replace files of it."""
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path))
    write(tmp_path / "cifar-10-batches-py", files())
    return tmp_path / "cifar-10-batches-py"


@pytest.fixture(scope="module")
def published():
    return made(valid=0.0)


@real
def test_the_real_classes_have_the_published_sizes(published):
    """The publisher's page: 5,000 training and 1,000 test images of each class."""
    assert torch.bincount(published.train.y).tolist() == [5000] * 10
    assert torch.bincount(published.test.y).tolist() == [1000] * 10


@real
def test_the_real_channels_have_the_known_moments(published):
    """Mean .4914, .4822, .4465 and deviation .2470, .2435, .2616; copies made from JPEG are a little smoother."""
    assert np.allclose(published.loc, [0.4914, 0.4822, 0.4465], atol=0.001)
    assert np.allclose(published.scale, [0.2470, 0.2435, 0.2616], atol=0.003)


@real
def test_the_real_images_stand_upright_and_in_colour(published):
    """The sky is above and blue: over airplanes and ships, the upper rows are brighter, and bluest of all channels."""
    outdoors = published.train.x[(published.train.y == 0) | (published.train.y == 8)].float().mean(0)
    assert outdoors[:, :8].mean() > outdoors[:, -8:].mean()
    assert outdoors.mean((1, 2)).argmax() == 2


@real
def test_the_real_set_takes_184_megabytes(published):
    assert describe(published) == "cifar10: 50,000 + 10,000 images of 3x32x32 (training, test), 184 MB in memory"


def test_pixels_go_from_red_to_blue_and_row_by_row(folder):
    """The publisher's page: 1,024 red, 1,024 green, 1,024 blue, the first 32 being the first row."""
    write(folder, {"data_batch_1": batch(data=np.tile(np.arange(3072) // 32, (20, 1)).astype(np.uint8))})
    image = made(valid=0.0).train.x[0]
    assert torch.equal(image, torch.arange(96).reshape(3, 32, 1).expand(3, 32, 32).to(torch.uint8))


def test_the_files_follow_each_other_and_the_test_file_comes_last(folder):
    dataset = made(valid=0.0)
    expected = np.concatenate([drawn(20, (3, 32, 32), seed) for seed in range(5)])
    assert np.array_equal(dataset.train.x, expected)
    assert np.array_equal(dataset.test.x, drawn(20, (3, 32, 32), 5))
    assert dataset.test.index.tolist() == list(range(100, 120))


def test_labels_and_names_are_those_of_the_files(folder):
    dataset = made(valid=0.0)
    assert dataset.train.y.tolist() == [*range(10)] * 10
    assert dataset.class_names == tuple(NAMES)


def test_the_settings_reach_the_images(folder):
    dataset = made(rows=50, test_rows=18, valid=0.1, size=16)
    parts = (dataset.train, dataset.valid, dataset.test)
    assert [tuple(part.x.shape) for part in parts] == [(45, 3, 16, 16), (5, 3, 16, 16), (18, 3, 16, 16)]


@pytest.mark.parametrize("length", [0, 100, 30000, len(batch()) - 1])
def test_a_batch_cut_short_is_named(folder, length):
    write(folder, {"data_batch_3": batch()[:length]})
    with pytest.raises(ValueError, match="data_batch_3 is no whole pickle of images"):
        made()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [10] * 20}, r"test_batch: the label of image 0 \(counting from 0\) is 10, not one of 0 to 9"),
        ({"labels": [0] * 19}, r"test_batch holds 20 images, but 19 labels"),
        ({"labels": ["cat"] * 20}, r"test_batch: the entry 'labels' is no list of whole numbers"),
        ({"data": drawn(20, (300,))}, r"test_batch: the entry 'data' is an array of 20x300, .* 3x32x32"),
        ({"data": "none"}, r"test_batch: the entry 'data' is a bytes, not an array"),
        ({"labels": [0] * 20}, r"cifar10: the test split has no image of automobile, bird"),
    ],
)
def test_a_batch_of_something_else_is_named(folder, changes, message):
    write(folder, {"test_batch": batch(**changes)})
    with pytest.raises(ValueError, match=message):
        made()


def test_a_batch_without_labels_is_named(folder):
    """As a file of CIFAR-100 in its place."""
    write(folder, {"test_batch": python2_pickle({"fine_labels": [0], "data": drawn(1, (3072,))})})
    with pytest.raises(ValueError, match="test_batch has no entry 'labels'; it has fine_labels, data"):
        made()


def test_another_number_of_names_is_named(folder):
    write(folder, {"batches.meta": python2_pickle({"label_names": NAMES[:9]})})
    with pytest.raises(ValueError, match="batches.meta: the entry 'label_names' names 9 classes, not 10"):
        made()


def test_a_missing_batch_is_told_with_the_variable(folder):
    (folder / "data_batch_5").unlink()
    with pytest.raises(ValueError, match=r"cifar-10-batches-py has no data_batch_5: .*TRILEMMA_DATA"):
        made()
