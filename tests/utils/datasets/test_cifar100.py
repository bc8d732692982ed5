"""CIFAR-100 in files of the official format."""

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

import paths_config
from tests.image_files import drawn, python2_pickle, write

FINE = [f"fine {i}" for i in range(100)]


def made(**changes):
    config = OmegaConf.load(paths_config.ROOT / "config/dataset/cifar100.yaml")
    del config["defaults"]
    return instantiate(config, **changes)(seed=0)


def batch(count, seed, **changes):
    """A file of the official format: both labels of an image, in 20 coarse and 100 fine classes."""
    entries = {
        "filenames": [f"{i}.png" for i in range(count)],
        "batch_label": "a batch",
        "fine_labels": [i % 100 for i in range(count)],
        "coarse_labels": [i % 20 for i in range(count)],
        "data": drawn(count, (3072,), seed),
    }
    return python2_pickle(entries | changes)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with a small CIFAR-100; tests replace files of it."""
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path))
    meta = python2_pickle({"fine_label_names": FINE, "coarse_label_names": ["coarse"] * 20})
    path = tmp_path / "cifar-100-python"
    write(path, {"train": batch(300, 0), "test": batch(200, 1), "meta": meta})
    return path


def test_the_classes_are_the_hundred_fine_ones(folder):
    dataset = made(valid=0.0)
    assert (dataset.classes, dataset.class_names) == (100, tuple(FINE))
    assert dataset.train.y.tolist() == [*range(100)] * 3


def test_images_are_those_of_the_files(folder):
    dataset = made(valid=0.0)
    assert (dataset.train.x.numpy() == drawn(300, (3, 32, 32), 0)).all()
    assert (dataset.test.x.numpy() == drawn(200, (3, 32, 32), 1)).all()


def test_a_fine_label_out_of_range_is_named(folder):
    write(folder, {"test": batch(200, 1, fine_labels=[100] * 200)})
    with pytest.raises(ValueError, match=r"cifar-100-python/test: the label of image 0 .* is 100, not one of 0 to 99"):
        made()


def test_a_file_cut_short_is_named(folder):
    write(folder, {"train": batch(300, 0)[:50000]})
    with pytest.raises(ValueError, match="cifar-100-python/train is no whole pickle"):
        made()


def test_a_small_draw_that_loses_classes_is_refused(folder):
    with pytest.raises(ValueError, match=r"cifar100: the training split has no image of fine \d+, .* and \d+ more"):
        made(rows=50)


def test_a_missing_file_is_told_with_the_variable(folder):
    (folder / "meta").unlink()
    with pytest.raises(ValueError, match=r"cifar-100-python has no meta: .*TRILEMMA_DATA"):
        made()
