"""Fashion-MNIST: the publisher's figures on the real files, the IDX format and errors on small ones."""

import gzip

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

import paths_config
from tests.image_files import drawn, idx, write

real = pytest.mark.skipif(
    not (paths_config.data() / "fashion-mnist/train-images-idx3-ubyte.gz").is_file(),
    reason="no fashion-mnist in the data folder (TRILEMMA_DATA)",
)
LABELS = np.arange(40, dtype=np.uint8) % 10


def made(**changes):
    config = OmegaConf.load(paths_config.ROOT / "config/dataset/fashion_mnist.yaml")
    del config["defaults"]
    return instantiate(config, **changes)(seed=0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with a small Fashion-MNIST; tests replace files of it."""
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path))
    files = {
        "train-images-idx3-ubyte.gz": idx(drawn(40, (28, 28))),
        "train-labels-idx1-ubyte.gz": idx(LABELS),
        "t10k-images-idx3-ubyte.gz": idx(drawn(20, (28, 28), 1)),
        "t10k-labels-idx1-ubyte.gz": idx(LABELS[:20]),
    }
    write(tmp_path / "fashion-mnist", files)
    return tmp_path / "fashion-mnist"


@pytest.fixture(scope="module")
def published():
    return made(valid=0.0)


@real
def test_the_real_classes_have_the_published_sizes(published):
    """arXiv 1708.07747, section 2: 6,000 training and 1,000 test images of each class."""
    assert torch.bincount(published.train.y).tolist() == [6000] * 10
    assert torch.bincount(published.test.y).tolist() == [1000] * 10


@real
def test_the_real_pixels_have_the_known_moments(published):
    """Mean .2860 and deviation .3530, as in common use."""
    assert published.loc.item() == pytest.approx(0.2860, abs=1e-4)
    assert published.scale.item() == pytest.approx(0.3530, abs=1e-4)


@real
def test_the_real_images_stand_upright(published):
    """Trousers part below: between their legs it is darker than at the waist."""
    trousers = published.train.x[published.train.y == 1].float().mean(0)[0]
    assert trousers[20:26, 13:15].mean() < 0.7 * trousers[2:6, 13:15].mean()


@real
def test_the_task_of_two_thousand_pooled_images_has_all_classes():
    dataset = made(rows=2000, test_rows=2000, valid=0.0, size=14)
    assert (dataset.shape, len(dataset.train.y), len(dataset.test.y)) == ((1, 14, 14), 2000, 2000)


def test_images_and_labels_are_those_of_the_files(folder):
    dataset = made(valid=0.0)
    assert np.array_equal(dataset.train.x, drawn(40, (1, 28, 28)))
    assert np.array_equal(dataset.test.x, drawn(20, (1, 28, 28), 1))
    assert np.array_equal(dataset.train.y, LABELS)


def test_the_names_stand_in_the_publishers_order(folder):
    """arXiv 1708.07747, table 2, in short."""
    names = "T-shirt Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Boot"
    assert made().class_names == tuple(names.split())


IMAGES = idx(drawn(20, (28, 28), 1))
INSIDE = gzip.decompress(IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no whole .gz file|is no IDX file"),
        (IMAGES[: len(IMAGES) // 2], "is no whole .gz file"),
        (INSIDE, "is no whole .gz file"),
        (gzip.compress(INSIDE[:-1]), "announces 20x28x28 bytes and holds 15,679; is it cut short"),
        (gzip.compress(INSIDE[:10]), "is no IDX file of bytes in 3 dimensions"),
        (gzip.compress(INSIDE + b"0"), "announces 20x28x28 bytes and holds 15,681"),
        (idx(LABELS), "is no IDX file of bytes in 3 dimensions"),
        (idx(drawn(20, (32, 32))), "holds images of 1x32x32, not of 1x28x28"),
        (idx(drawn(19, (28, 28))), "holds 19 images, but 20 labels"),
    ],
    ids=["empty", "cut", "unpacked", "cut inside", "head", "longer", "labels", "size", "number"],
)
def test_a_file_of_something_else_is_named(folder, content, message):
    write(folder, {"t10k-images-idx3-ubyte.gz": content})
    with pytest.raises(ValueError, match=rf"t10k-images-idx3-ubyte.gz ({message})"):
        made()


def test_a_damaged_file_is_named(folder):
    """A .gz file ends with the checksum of its content."""
    write(folder, {"t10k-images-idx3-ubyte.gz": IMAGES[:-8] + b"0000" + IMAGES[-4:]})
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte.gz is no whole .gz file \(CRC check failed"):
        made()


def test_a_label_out_of_range_is_named(folder):
    write(folder, {"train-labels-idx1-ubyte.gz": idx(LABELS + 1)})
    with pytest.raises(ValueError, match=r"the label of image 9 \(counting from 0\) is 10, not one of 0 to 9"):
        made()


def test_without_files_and_network_the_first_is_named_with_the_variable(tmp_path, monkeypatch):
    for variable in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # a network that nobody answers from
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"cannot download .*fashion-mnist/train-images.*TRILEMMA_DATA"):
        made()
