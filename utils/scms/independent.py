"""No causal structure: every column is its own noise, so twins differ in the sensitive attribute alone."""

from utils.scms.structure import in_radius_units, resampled, structural
from utils.types import SCM, Dataset


def independent(dataset: Dataset, *, seed: int, radius_unit: str) -> SCM:
    """An SCM without edges over the standardised columns; noise is resampled from the training rows."""
    scm = structural(dataset.columns, {}, resampled(dataset.train.x))
    return in_radius_units(scm, dataset, radius_unit)
