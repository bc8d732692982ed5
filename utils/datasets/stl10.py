"""STL-10 (Coates, Lee and Ng 2011): 13,000 labelled photographs of 96x96 in 10 classes, as the publisher's binaries.

The 100,000 unlabelled images of the archive are left in it.
"""

from pathlib import Path

import numpy as np

from utils.datasets.archives import unpack
from utils.datasets.fetch import read_lines
from utils.datasets.images import Images, assemble, check_images
from utils.types import Dataset

FOLDER = "stl10_binary"
URL = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"
SHA256 = "f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866"

TRAIN = ("train_X.bin", "train_y.bin")
TEST = ("test_X.bin", "test_y.bin")
NAMES = "class_names.txt"
CLASSES = 10
SHAPE = (3, 96, 96)


def read(images: Path, labels: Path) -> Images:
    """The images of one file and the labels of another, which counts the classes from 1.

    A channel is stored column by column, so height and width change places here.

    Raises ValueError, naming the file, for one that is cut short or holds a label outside 1..10.
    """
    data = np.fromfile(images, np.uint8)
    pixels = int(np.prod(SHAPE))
    if not len(data) or len(data) % pixels:
        raise ValueError(
            f"{images} has {len(data):,} bytes, no multiple of the {pixels:,} of an image; is it cut short?"
        )
    x = data.reshape(-1, *SHAPE).transpose(0, 1, 3, 2)
    y = np.fromfile(labels, np.uint8).astype(np.int64) - 1
    if len(y) and not 0 <= y.min() <= y.max() < CLASSES:
        strange = int(np.flatnonzero((y < 0) | (y >= CLASSES))[0])
        raise ValueError(f"{labels}: the label of image {strange} (counting from 0) is {y[strange] + 1}, not 1 to 10.")
    return check_images(images, x, y, shape=SHAPE, classes=CLASSES)


def read_names(path: Path) -> list[str]:
    """The names of the classes, a line each. Raises ValueError, naming the file, for another number than 10."""
    names = [line.strip() for line in read_lines(path) if line.strip()]
    if len(names) != CLASSES:
        raise ValueError(f"{path} names {len(names)} classes, not {CLASSES}.")
    return names


def stl10(*, name: str, rows: int | None, test_rows: int | None, valid: float, size: int | None, seed: int) -> Dataset:
    """STL-10, 5,000 training and 8,000 test images; the settings are those of ``images.assemble``."""
    folder = unpack(FOLDER, (*TRAIN, *TEST, NAMES), url=URL, sha256=SHA256)
    train, test = ([folder / file for file in files] for files in (TRAIN, TEST))
    return assemble(
        name,
        read(*train),
        read(*test),
        class_names=read_names(folder / NAMES),
        rows=rows,
        test_rows=test_rows,
        valid=valid,
        size=size,
        seed=seed,
    )
