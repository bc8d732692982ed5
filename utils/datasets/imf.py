"""imf: three independent variables (Ehyaei et al. 2024, arXiv 2308.08938)."""

from collections.abc import Sequence

import torch

from utils.datasets.lin import COLUMNS, NOISE
from utils.datasets.synthetic import generate
from utils.datasets.tabular import mark
from utils.types import Dataset


def imf(
    *, name: str, rows: int, split: Sequence[float], sensitive: Sequence[str], actionable: Sequence[str], seed: int
) -> Dataset:
    """x1 ~ Bern(.5), x2 and x3 ~ N(0, 1), independent; label Bern(sigmoid(x2 + x3))."""
    return generate(
        name,
        mark(COLUMNS, sensitive, actionable),
        NOISE,
        {},
        lambda v: torch.sigmoid(v["x2"] + v["x3"]),
        rows=rows,
        split=split,
        seed=seed,
    )
