"""CIFAR-10 (Krizhevsky 2009): 60,000 photographs of 32x32 in 10 classes, as the publisher's python pickles."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.datasets.archives import entry, integers, texts, unpack, unpickle
from utils.datasets.images import Images, assemble, by, check_images, join
from utils.types import Dataset

FOLDER = "cifar-10-batches-py"
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"

TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST = ("test_batch",)
META = "batches.meta"
SHAPE = (3, 32, 32)


def read(paths: Sequence[Path], labels: str, classes: int) -> Images:
    """The images of CIFAR's pickles, one file after the other; ``labels`` is their entry of class numbers.

    Raises ValueError, naming the file, for anything but images of 3x32x32 with a label of 0..classes-1 each.
    """
    return join([_read(path, labels, classes) for path in paths])


def _read(path: Path, labels: str, classes: int) -> Images:
    content = unpickle(path)
    x, y = entry(path, content, "data"), integers(path, content, labels)
    pixels = int(np.prod(SHAPE))
    if not isinstance(x, np.ndarray) or x.shape[1:] != (pixels,):
        found = f"an array of {by(x.shape)}" if isinstance(x, np.ndarray) else f"a {type(x).__name__}"
        raise ValueError(f"{path}: the entry 'data' is {found}, not an array of nx{pixels}, images of {by(SHAPE)}.")
    return check_images(path, x.reshape(-1, *SHAPE), y, shape=SHAPE, classes=classes)


def read_names(path: Path, key: str, classes: int) -> list[str]:
    """The names of the classes. Raises ValueError, naming the file, for another number of them."""
    names = texts(path, unpickle(path), key)
    if len(names) != classes:
        raise ValueError(f"{path}: the entry {key!r} names {len(names)} classes, not {classes}.")
    return names


def cifar10(
    *, name: str, rows: int | None, test_rows: int | None, valid: float, size: int | None, seed: int
) -> Dataset:
    """CIFAR-10, 50,000 training and 10,000 test images; the settings are those of ``images.assemble``."""
    folder = unpack(FOLDER, (*TRAIN, *TEST, META), url=URL, sha256=SHA256)
    class_names = read_names(folder / META, "label_names", 10)
    return assemble(
        name,
        read([folder / file for file in TRAIN], "labels", 10),
        read([folder / file for file in TEST], "labels", 10),
        class_names=class_names,
        rows=rows,
        test_rows=test_rows,
        valid=valid,
        size=size,
        seed=seed,
    )
