"""No causal model, as of images."""

import numpy as np
from torch import Tensor

from utils.types import SCM, Dataset


def none(dataset: Dataset, *, seed: int) -> SCM:
    """A causal model of no columns: what needs one refuses it by name."""
    empty = dataset.loc.new_zeros(0)

    def no_noise(n: int, rng: np.random.Generator) -> Tensor:
        return empty.expand(n, 0)

    return SCM((), (), (), empty.reshape(1, 0), empty, empty, empty, no_noise, radius_unit="none")
