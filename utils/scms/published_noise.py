"""Noise distributions from which the published unfair areas drew their individuals.

Ehyaei et al. 2024 (arXiv 2308.08938), their released code: on standardised columns, roots and residuals alike.
They are not the data's own (adult's residuals are far from N(0, 1)), so figures on such draws speak of the
publication's individuals, not of the rows of the file.
"""

import numpy as np
import torch
from torch import Tensor

from utils.scms.structure import SampleNoise

# (bernoulli, p) or (normal, standard deviation) per column
NOISE: dict[str, dict[str, tuple[str, float]]] = {
    "adult": {
        "sex": ("bernoulli", 0.669),
        "age": ("normal", 1.0),
        "native_country": ("bernoulli", 0.896),
        "married": ("normal", 1.0),
        "education_num": ("normal", 1.0),
        "hours_per_week": ("normal", 1.0),
    },
    "compas": {
        "age": ("normal", 1.0),
        "sex": ("bernoulli", 0.810),
        "race": ("normal", 0.465),
        "priors_count": ("normal", 1.0),
    },
}


def published_noise(dataset: str, names: tuple[str, ...]) -> SampleNoise:
    """The published sampler of one data set, n -> (n, d) in the order of ``names``.

    Raises:
        ValueError: nothing was published for the data set.
    """
    if dataset not in NOISE:
        raise ValueError(
            f"scm.sampling=published: no noise was published for data set {dataset!r}, only for {sorted(NOISE)}; "
            "use scm.sampling=residuals"
        )

    def column(kind: str, value: float, n: int, rng: np.random.Generator) -> np.ndarray:
        return (rng.random(n) < value).astype(float) if kind == "bernoulli" else rng.normal(0.0, value, n)

    def sample(n: int, rng: np.random.Generator) -> Tensor:
        columns = [column(*NOISE[dataset][name], n, rng) for name in names]
        return torch.from_numpy(np.stack(columns, -1)).float()

    return sample
