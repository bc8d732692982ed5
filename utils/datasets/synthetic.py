"""Drawing a data set from its true SCM."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from utils import seeding
from utils.datasets.tabular import assemble
from utils.scms.structure import Equation, structural
from utils.types import Column, Dataset

DRAWING = 1  # raise it when the same settings draw other rows
Noise = Callable[[np.random.Generator, int], np.ndarray]  # n draws
Probability = Callable[[Mapping[str, Tensor]], Tensor]  # columns by name, natural units -> P(class 1)


def bernoulli(p: float) -> Noise:
    """0 or 1, as float."""
    return lambda rng, n: (rng.random(n) < p).astype(float)


def normal(deviation: float) -> Noise:
    """N(0, deviation^2)."""
    return lambda rng, n: rng.normal(0.0, deviation, n)


def generate(
    name: str,
    columns: tuple[Column, ...],
    noise: Mapping[str, Noise],
    equations: Mapping[str, Equation],
    probability: Probability,
    *,
    rows: int,
    split: Sequence[float],
    seed: int,
) -> Dataset:
    """Rows drawn from the SCM, labels from Bernoulli(probability) on natural units, split and scaled.

    Data, labels and split come from streams of their own.
    """

    def sample_noise(n: int, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(np.stack([noise[c.name](rng, n) for c in columns], -1)).float()

    scm = structural(columns, equations, sample_noise)
    features = scm.to_features(sample_noise(rows, seeding.rng(seed, "data")))
    frame = {c.name: features[:, i] for i, c in enumerate(columns)}
    chance = probability(frame).numpy()
    y = (seeding.rng(seed, "labels").random(rows) < chance).astype(np.int64)
    drawn = assemble(
        name,
        {key: value.numpy() for key, value in frame.items()},
        y,
        columns=columns,
        split=split,
        seed=seed,
        parents={child: equation.parents for child, equation in equations.items()},
        scm=scm,
    )
    # of what was drawn, not of its last bits, which differ between processors
    identity = hashlib.sha256(f"{name}:{rows}:{seed}:{DRAWING}".encode()).hexdigest()[:16]
    return replace(drawn, fingerprint=identity)
