"""Handwritten digits of 8x8 pixels (Alpaydin and Kaynak 1998, doi 10.24432/C50P49), which scikit-learn brings along."""

from collections.abc import Sequence

import numpy as np
from sklearn.datasets import load_digits

from utils.datasets.images import batch, check_images, complete, fingerprint
from utils.datasets.tabular import split_rows
from utils.types import Dataset

BRIGHTEST = 16  # a pixel counts the dark ones of a block of 4x4
SHAPE = (1, 8, 8)


def digits(*, name: str, split: Sequence[float], seed: int) -> Dataset:
    """The 1,797 images of scikit-learn's copy, their 0..16 as bytes, split into train, validation and test.

    Raises ValueError for fractions that do not sum to 1, or leave a class without training or test images.
    """
    pixels, labels = load_digits(return_X_y=True)
    x = np.rint(pixels * (255 / BRIGHTEST)).astype(np.uint8).reshape(-1, *SHAPE)
    images = check_images("scikit-learn's digits", x, labels, shape=SHAPE, classes=10)
    parts = [batch(images, np.sort(part), None) for part in split_rows(name, len(x), split, seed)]
    return complete(
        name, *parts, class_names=[str(digit) for digit in range(10)], groups=("all",), fingerprint=fingerprint(images)
    )
