"""No causal structure: every column is its own noise, so twins differ in the sensitive attribute alone."""

from typing import Literal

from utils.scms.from_data import build_scm
from utils.scms.identity import Reading, choose_reading
from utils.types import SCM, Dataset


def independent(
    dataset: Dataset,
    *,
    seed: int,
    discrete: Reading | None,
    sampling: Literal["residuals", "published"],
    radius_unit: Literal["noise", "noise_sd"],
) -> SCM:
    """An SCM without edges over the standardised columns: a ball around the row and its flipped attribute.

    ``sampling`` and ``radius_unit`` as for a fitted SCM; ``seed`` is not used. With ``discrete`` "posterior" no radius
    moves discrete columns; with "anm" they move as numbers do.
    """
    reading = choose_reading(discrete, sampling)
    return build_scm(
        dataset, (), (), reading=reading, coupling="gumbel", draws=1, sampling=sampling, radius_unit=radius_unit
    )
