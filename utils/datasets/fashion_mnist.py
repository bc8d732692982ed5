"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747): 70,000 grey images of 28x28, 10 kinds of clothes."""

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from utils.datasets.fetch import locate
from utils.datasets.images import Images, assemble, by, check_images
from utils.types import Dataset

PUBLISHER = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
FILES = {  # of images and of labels, with their SHA-256
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
CLASS_NAMES = (
    *("T-shirt", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Boot"),
)
SHAPE = (1, 28, 28)
BYTES = 0x08  # IDX's number of the type uint8


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """An array of bytes from a gzipped IDX file: two zero bytes, type, number of dimensions, each size, the bytes.

    Raises ValueError, naming the file, for one that is cut short or no such file.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is no whole .gz file ({error}); remove it to have it downloaded anew.") from error
    start = 4 + 4 * dimensions
    if len(content) < start or content[:4] != bytes((0, 0, BYTES, dimensions)):
        raise ValueError(f"{path} is no IDX file of bytes in {dimensions} dimensions; is it another file renamed?")
    shape = np.frombuffer(content, ">u4", dimensions, offset=4).astype(np.int64)
    if len(content) - start != int(np.prod(shape)):
        raise ValueError(
            f"{path} announces {by(shape.tolist())} bytes and holds {len(content) - start:,}; is it cut short?"
        )
    return np.frombuffer(bytearray(content[start:]), np.uint8).reshape(shape)


def read(images: Path, labels: Path) -> Images:
    """The images of one file and the labels of another. Raises ValueError, naming the file, for any others."""
    x, y = read_idx(images, 3), read_idx(labels, 1)
    return check_images(images, x[:, None], y, shape=SHAPE, classes=len(CLASS_NAMES))


def fashion_mnist(
    *, name: str, rows: int | None, test_rows: int | None, valid: float, size: int | None, seed: int
) -> Dataset:
    """Fashion-MNIST, 60,000 training and 10,000 test images; the settings are those of ``images.assemble``."""
    paths = [locate(f"fashion-mnist/{file}", url=f"{PUBLISHER}/{file}", sha256=sha) for file, sha in FILES.items()]
    return assemble(
        name,
        read(*paths[:2]),
        read(*paths[2:]),
        class_names=CLASS_NAMES,
        rows=rows,
        test_rows=test_rows,
        valid=valid,
        size=size,
        seed=seed,
    )
