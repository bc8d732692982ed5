"""The true SCM of a generated data set."""

from dataclasses import replace
from typing import Literal

from utils.scms.identity import POSTERIOR
from utils.scms.structure import in_radius_units, resample
from utils.types import SCM, Dataset


def known(
    dataset: Dataset,
    *,
    seed: int,
    draws: int,
    sampling: Literal["noise", "residuals", "published"],
    radius_unit: Literal["noise", "noise_sd"],
) -> SCM:
    """The SCM that generated the data, in its natural units.

    Args:
        dataset: a generated one.
        seed: not used; fitted SCMs need it.
        draws: of noise that is a posterior, in an evaluation.
        sampling: noise of fresh individuals: ``noise`` of the SCM itself, which is also what the publication
            drew from (``published``), or ``residuals`` of the training rows.
        radius_unit: ``noise`` or ``noise_sd``.

    Raises:
        ValueError: the data set has no true SCM, or another sampling.
    """
    if sampling not in ("noise", "published", "residuals"):
        raise ValueError(f"scm.sampling={sampling!r} is not known; choose noise, residuals or published")
    if dataset.scm is None:
        others = "scm=independent" if dataset.parents is None else "scm=learned, scm=linear or scm=independent"
        raise ValueError(f"scm=known: no true SCM is known for data set {dataset.name!r}; use {others}")
    scm = in_radius_units(dataset.scm, dataset, radius_unit)
    if scm.posterior:
        drawn = dict.fromkeys((f"{POSTERIOR}{scm.names[i]}" for i in scm.posterior), 1.0)
        scm = replace(scm, draws=draws, facts=drawn | dict(scm.facts))
    if sampling == "residuals":
        scm = replace(scm, sample_noise=resample(scm.to_noise(scm.own(dataset.train.x)), dataset.columns))
    return scm
