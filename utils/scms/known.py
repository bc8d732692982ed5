"""The true SCM of a generated data set."""

from utils.scms.structure import in_radius_units
from utils.types import SCM, Dataset


def known(dataset: Dataset, *, seed: int, radius_unit: str) -> SCM:
    """The SCM that generated the data, in its natural units.

    Raises:
        ValueError: the data set has no true SCM.
    """
    if dataset.scm is None:
        others = "scm=independent" if dataset.parents is None else "scm=learned, scm=linear or scm=independent"
        raise ValueError(f"scm=known: no true SCM is known for data set {dataset.name!r}; use {others}")
    return in_radius_units(dataset.scm, dataset, radius_unit)
