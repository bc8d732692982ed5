"""Rows with scores, and what every pair of thresholds does to them, by brute force."""

import itertools

import numpy as np
import torch
from hypothesis import strategies as st

from utils.decides.exact_thresholds import Curve, exact
from utils.decides.fitted import units
from utils.types import Batch

SCORES = st.one_of(st.integers(-3, 3).map(float), st.floats(-3, 3, width=32))  # with many ties, and without


def rows_of(groups: int, size: int = 8):
    """Lists of (score, class, group) in which every group has both classes."""
    both = [(score, y, s) for s in range(groups) for score, y in ((0.5, 1), (-0.5, 0))]
    drawn = st.lists(st.tuples(SCORES, st.integers(0, 1), st.integers(0, groups - 1)), max_size=size * groups)
    return drawn.map(lambda more: [*both, *more])


def made(rows) -> tuple[torch.Tensor, Batch]:
    """Logits (n, 1), float32, and their rows."""
    z, y, s = (torch.tensor(column) for column in zip(*rows, strict=True))
    n = len(rows)
    return z.float()[:, None], Batch(torch.zeros(n, 1), y.long(), s.long(), torch.ones(n), torch.arange(n))


def rates(labels, y, s, groups) -> dict[str, list[float]]:
    """Of each group, straight from the definitions; labels may be chances."""
    labels, y, s = (np.asarray(of, dtype=float) for of in (labels, y, s))
    return {
        "fnr": [1 - labels[(s == g) & (y == 1)].mean() for g in range(groups)],
        "fpr": [labels[(s == g) & (y == 0)].mean() for g in range(groups)],
        "acceptance_rate": [labels[s == g].mean() for g in range(groups)],
    }


def gap(labels, y, s, groups, of) -> float:
    found = rates(labels, y, s, groups)
    return max(max(found[rate]) - min(found[rate]) for rate in of)


def every_policy(z, batch, groups, of) -> list[tuple[int, float]]:
    """Errors and gap of every combination of thresholds: the scores of a group, and inf."""
    z, y, s = z[:, 0].numpy(), batch.y.numpy(), batch.s.numpy()
    found = []
    for thresholds in itertools.product(*([*np.unique(z[s == g]), np.inf] for g in range(groups))):
        labels = z >= np.array(thresholds)[s]
        found.append((int((labels != y).sum()), gap(labels, y, s, groups, of)))
    return found


def scored(n: int, seed: int = 0, step: float | None = None) -> tuple[torch.Tensor, Batch]:
    """Rows with logistic labels: group 1 scores higher, and its scores tell less."""
    rng = np.random.default_rng(seed)
    s = (rng.random(n) < 0.4).astype(int)
    u = rng.normal(size=n) + s - 0.5
    y = (rng.random(n) < 1 / (1 + np.exp(-1.5 * u * (2 - s)))).astype(int)
    z = 1.5 * u + rng.normal(size=n) * (0.3 + s)
    z = np.round(z / step) * step if step else z
    return made(list(zip(z.tolist(), y.tolist(), s.tolist(), strict=True)))


def curves_of(z, batch, groups, rates, classes=()) -> list[Curve]:
    """The curves of groups whose rates are defined."""
    return units(z, batch, groups, rates, 0, classes=classes).of


def exact_of(z, batch, groups, *, rates, permitted) -> list[tuple[float, ...]]:
    """The thresholds of ``exact``, by each permitted gap."""
    return exact(curves_of(z, batch, groups, rates), rates, permitted)
