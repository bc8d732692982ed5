"""What every SCM fitted to data shares: the graph it needs, the equations it judges, the noise it samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from utils.scms.published_noise import published_noise
from utils.scms.structure import Equation, SampleNoise, in_radius_units, on_device, resampled, structural
from utils.types import SCM, Dataset

Regression = Callable[[Tensor], Tensor]  # parents (..., p) -> expected child (...)


def require_graph(dataset: Dataset, option: str) -> Mapping[str, tuple[str, ...]]:
    """The causal graph as child -> parents, roots left out.

    Raises:
        ValueError: none is known for the data set.
    """
    if dataset.parents is None:
        raise ValueError(
            f"scm={option} needs a causal graph and data set {dataset.name!r} has none; "
            "use scm=independent, or give one with dataset=csv and dataset.graph={child: [parents]}"
        )
    return {child: parents for child, parents in dataset.parents.items() if parents}


# equations bind their regression as an argument, so that those of several SCMs can be told to be of one structure


def regression_equation(parents: tuple[str, ...], f: Regression) -> Equation:
    """An additive-noise equation whose mean is one function of the stacked parents."""
    return Equation(parents, partial(add_noise, f), partial(take_noise, f))


def add_noise(f: Regression, u: Tensor, *p: Tensor) -> Tensor:
    """The child of noise u (...) and parents p, (...) each: f(p) + u."""
    return f(torch.stack(p, -1)) + u


def take_noise(f: Regression, x: Tensor, *p: Tensor) -> Tensor:
    """The noise of a child x (...) and its parents p: x - f(p)."""
    return x - f(torch.stack(p, -1))


def threshold_equation(parents: tuple[str, ...], f: Regression) -> Equation:
    """A binary child x = 1[u < f(parents)], f read as a probability, u in (0, 1).

    Abduction takes the middle of the interval that agrees with what was seen, so counterfactuals stay in
    {0, 1} and are monotone in the probability (the latent-threshold reading of a binary node; Pearl 2009,
    section 7.1, with one representative noise in place of its posterior).
    """
    return Equation(parents, partial(_cut, f), partial(_middle, f))


def _probability(f: Regression, p: tuple[Tensor, ...]) -> Tensor:
    return f(torch.stack(p, -1)).clamp(1e-3, 1 - 1e-3)


def _cut(f: Regression, u: Tensor, *p: Tensor) -> Tensor:
    return (u < _probability(f, p)).to(u.dtype)


def _middle(f: Regression, x: Tensor, *p: Tensor) -> Tensor:
    chance = _probability(f, p)
    return torch.where(x > 0.5, chance / 2, (1 + chance) / 2)


def uniform_at(columns: Sequence[int], sample: SampleNoise) -> SampleNoise:
    """The sampler with U(0, 1) at some columns: a threshold equation then gives 1 with its own probability."""

    def with_uniform(n: int, rng: np.random.Generator) -> Tensor:
        noise = sample(n, rng)
        for column in columns:
            noise[:, column] = torch.from_numpy(rng.random(n)).to(noise)
        return noise

    return with_uniform


def fitted(
    dataset: Dataset,
    regressions: Mapping[str, Regression],
    *,
    binary: Literal["anm", "threshold"],
    sampling: Literal["residuals", "published"],
    radius_unit: Literal["noise", "noise_sd"],
) -> SCM:
    """The SCM of fitted regressions, with held-out R^2 per equation among its facts.

    Args:
        dataset: its graph gives the parents of each regression's child.
        regressions: child -> expected child given the stacked parents, on standardised columns.
        binary: ``anm`` reads a binary child as additive noise, as published (counterfactuals may leave
            {0, 1}); ``threshold`` keeps it in {0, 1}.
        sampling: noise for fresh individuals: ``residuals`` of the training rows, or ``published``.
        radius_unit: ``noise`` or ``noise_sd``.
    """
    if binary not in ("anm", "threshold"):
        raise ValueError(f"scm.binary={binary!r} is not known; choose anm or threshold")
    parents = dataset.parents or {}
    kinds = {c.name: c.kind for c in dataset.columns}
    equations = {
        child: (threshold_equation if kinds[child] == "binary" and binary == "threshold" else regression_equation)(
            parents[child], f
        )
        for child, f in regressions.items()
    }
    scm = on_device(structural(dataset.columns, equations, resampled(dataset.train.x)), dataset.train.x.device)
    cut = [scm.names.index(child) for child in regressions if kinds[child] == "binary" and binary == "threshold"]
    if sampling not in ("published", "residuals"):
        raise ValueError(f"scm.sampling={sampling!r} is not known; choose residuals or published")
    if sampling == "published" and cut:
        raise ValueError("scm.sampling=published is noise of additive equations; use scm.binary=anm with it")
    # says that counterfactuals of these binary columns may leave {0, 1}
    real_valued = {f"scm_real_valued_{c}": 1.0 for c in regressions if kinds[c] == "binary" and binary == "anm"}
    sample = (
        published_noise(dataset.name, scm.names)
        if sampling == "published"
        else resampled(scm.to_noise(dataset.train.x))
    )
    scm = replace(scm, sample_noise=uniform_at(cut, sample), facts=held_out_r2(dataset, regressions) | real_valued)
    return in_radius_units(scm, dataset, radius_unit)


def held_out_r2(dataset: Dataset, regressions: Mapping[str, Regression]) -> dict[str, float]:
    """1 - residual / total variance of each equation on the validation rows (the test rows where there are none)."""
    rows = dataset.valid if len(dataset.valid.y) else dataset.test
    names = [c.name for c in dataset.columns]
    parents = dataset.parents or {}

    def r2(child: str) -> float:
        x = rows.x[:, names.index(child)]
        expected = regressions[child](rows.x[:, [names.index(p) for p in parents[child]]])
        return float(1 - (x - expected).square().mean() / x.var(correction=0))

    return {f"scm_r2_{child}": r2(child) for child in regressions}
