"""No causal structure: every column is its own noise, so twins differ in the sensitive attribute alone."""

from typing import Literal

from utils.scms.from_data import build_scm
from utils.types import SCM, Dataset


def independent(
    dataset: Dataset,
    *,
    seed: int,
    sampling: Literal["residuals", "published"],
    radius_unit: Literal["noise", "noise_sd"],
) -> SCM:
    """An SCM without edges over the standardised columns: a ball around the row and its flipped attribute.

    ``sampling`` and ``radius_unit`` as for a fitted SCM; ``seed`` is not used.
    """
    return build_scm(dataset, {}, binary="anm", sampling=sampling, radius_unit=radius_unit)
