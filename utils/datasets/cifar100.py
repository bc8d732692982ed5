"""CIFAR-100 (Krizhevsky 2009): 60,000 photographs of 32x32 in 100 classes, as the publisher's python pickles."""

from utils.datasets.archives import unpack
from utils.datasets.cifar10 import read, read_names
from utils.datasets.images import assemble
from utils.types import Dataset

FOLDER = "cifar-100-python"
URL = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
SHA256 = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"

TRAIN, TEST, META = "train", "test", "meta"


def cifar100(
    *, name: str, rows: int | None, test_rows: int | None, valid: float, size: int | None, seed: int
) -> Dataset:
    """CIFAR-100 with its 100 fine classes, 50,000 training and 10,000 test images.

    The settings are those of ``images.assemble``.
    """
    folder = unpack(FOLDER, (TRAIN, TEST, META), url=URL, sha256=SHA256)
    class_names = read_names(folder / META, "fine_label_names", 100)
    return assemble(
        name,
        read([folder / TRAIN], "fine_labels", 100),
        read([folder / TEST], "fine_labels", 100),
        class_names=class_names,
        rows=rows,
        test_rows=test_rows,
        valid=valid,
        size=size,
        seed=seed,
    )
