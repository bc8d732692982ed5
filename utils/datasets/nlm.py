"""nlm: a non-linear SCM of three variables (Ehyaei et al. 2024, arXiv 2308.08938)."""

from collections.abc import Sequence

import torch

from utils.datasets.lin import COLUMNS, NOISE
from utils.datasets.synthetic import generate
from utils.datasets.tabular import mark
from utils.scms.structure import additive
from utils.types import Dataset

EQUATIONS = {
    "x2": additive(("x1",), lambda x1: 2 * x1.square()),
    "x3": additive(("x1", "x2"), lambda x1, x2: x1 - x2.square()),
}


def nlm(
    *, name: str, rows: int, split: Sequence[float], sensitive: Sequence[str], actionable: Sequence[str], seed: int
) -> Dataset:
    """x1 ~ Bern(.5), x2 = 2 x1^2 + N(0, 1), x3 = x1 - x2^2 + N(0, 1); label Bern(sigmoid((x2 + x3)^2))."""
    return generate(
        name,
        mark(COLUMNS, sensitive, actionable),
        NOISE,
        EQUATIONS,
        lambda v: torch.sigmoid((v["x2"] + v["x3"]).square()),
        rows=rows,
        split=split,
        seed=seed,
    )
