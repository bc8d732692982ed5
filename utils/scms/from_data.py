"""SCMs fitted to data: the graph they need, the equations they judge, the noise they sample."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from utils.scms.identity import REAL_VALUED, THRESHOLDED, Reading, choose_reading
from utils.scms.published_noise import published_noise
from utils.scms.structure import (
    Equation,
    SampleNoise,
    in_radius_units,
    on_device,
    resample,
    sensitive_attributes,
    structural,
)
from utils.types import SCM, Column, Dataset
from utils.words.quoting import write_word

Regression = Callable[[Tensor], Tensor]  # parents (..., p) -> expected child (...)
LEAST_CHANCE = 1e-3  # of a threshold equation, so that a noise agrees with every row


def require_graph(dataset: Dataset, option: str) -> Mapping[str, tuple[str, ...]]:
    """The causal graph as child -> parents, roots left out.

    Raises:
        ValueError: none is known for the data set.
    """
    if dataset.parents is None:
        names = [(column.attribute or column.name, column.sensitive) for column in dataset.columns]
        child = next(name for name, sensitive in names if not sensitive)
        graph = {child: list(dict.fromkeys(name for name, sensitive in names if sensitive))}
        raise ValueError(
            f"scm={option} needs a causal graph and data set {dataset.name!r} has none; "
            f"use scm=independent, or give that of a table of your own, such as {write_word('dataset.graph', graph)}"
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
    return Equation(parents, partial(threshold_noise, f), partial(_middle, f))


def as_chance(expected: Tensor) -> Tensor:
    """The probability (...) that an expected value (...) of a binary child stands for; monotone."""
    return expected.clamp(LEAST_CHANCE, 1 - LEAST_CHANCE)


def threshold_noise(f: Regression, u: Tensor, *p: Tensor) -> Tensor:
    """The child (...) of noise u (...) and parents p, (...) each: 1 where u < f(p), else 0; its gradient is 0."""
    return (u < as_chance(f(torch.stack(p, -1)))).to(u.dtype)


def _middle(f: Regression, x: Tensor, *p: Tensor) -> Tensor:
    chance = as_chance(f(torch.stack(p, -1)))
    return torch.where(x > 0.5, chance / 2, (1 + chance) / 2)


def uniform_at(columns: Sequence[int], sample: SampleNoise) -> SampleNoise:
    """The sampler with U(0, 1) at some columns: a threshold equation then gives 1 with its own probability."""

    def with_uniform(n: int, rng: np.random.Generator) -> Tensor:
        noise = sample(n, rng)
        for column in columns:
            noise[:, column] = torch.from_numpy(rng.random(n)).to(noise)
        return noise

    return with_uniform


def build_scm(
    dataset: Dataset,
    regressions: Mapping[str, Regression],
    *,
    binary: Reading | None,
    sampling: Literal["residuals", "published"],
    radius_unit: Literal["noise", "noise_sd"],
) -> SCM:
    """The SCM of fitted regressions, with held-out R^2 per equation among its facts.

    Args:
        dataset: its graph gives the parents of each regression's child.
        regressions: child -> expected child given the stacked parents, on standardised columns.
        binary: ``anm`` reads a binary child as additive noise, as published (counterfactuals may leave
            {0, 1}); ``threshold`` keeps it in {0, 1}; None as ``choose_reading`` says. Indicators of a sensitive
            attribute, which interventions set together, are additive in either.
        sampling: noise for fresh individuals: ``residuals`` of the training rows, or ``published``.
        radius_unit: ``noise`` or ``noise_sd``.
    """
    if sampling not in ("published", "residuals"):
        raise ValueError(f"scm.sampling={sampling!r} is not known; choose residuals or published")
    of_several = [a.places for a in sensitive_attributes(dataset.columns) if len(a.places) > 1]
    set_together = {dataset.columns[i].name for places in of_several for i in places}
    discrete = [c.name for c in dataset.columns if c.kind == "binary" and regressions.keys() - set_together >= {c.name}]
    cutting = discrete if choose_reading(binary, sampling) == "threshold" else []
    parents = dataset.parents or {}
    equations = {
        child: (threshold_equation if child in cutting else regression_equation)(parents[child], f)
        for child, f in regressions.items()
    }
    columns, x = dataset.columns, dataset.train.x
    scm = on_device(structural(columns, equations, resample(x, columns)), x.device)
    sample = published_noise(dataset.name, scm.names) if sampling == "published" else _later(scm, x, columns)
    said = {f"{THRESHOLDED if cutting else REAL_VALUED}{child}": 1.0 for child in discrete}
    facts = held_out_r2(dataset, regressions) | said
    scm = replace(scm, sample_noise=uniform_at(list(map(scm.names.index, cutting)), sample), facts=facts)
    return in_radius_units(scm, dataset, radius_unit)


def _later(scm: SCM, x: Tensor, columns: Sequence[Column]) -> SampleNoise:
    """The sampler of the noise of rows x (n, d), which is a table as large as theirs and made once it is asked for."""
    made = cache(lambda: resample(scm.to_noise(x), columns))
    return lambda n, rng: made()(n, rng)


def hash_of_equations(scm: SCM) -> str | None:
    """16 hex digits of the SHA-256 of all that the equations of an SCM were fitted to; None where nothing was."""
    digest, names = hashlib.sha256(), []
    for name, mechanism in zip(scm.names, scm.mechanisms, strict=True):
        push = mechanism.push
        if isinstance(push, partial) and isinstance(push.args[0], nn.Module):
            names.append(name)
            for key, value in push.args[0].state_dict().items():
                digest.update(f"{name}.{key}".encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()[:16] if names else None


def held_out_r2(dataset: Dataset, regressions: Mapping[str, Regression]) -> dict[str, float]:
    """1 - residual / total variance of each equation on the validation rows (the test rows where there are none).

    Nothing where no rows are held out.
    """
    rows = dataset.valid if len(dataset.valid.y) else dataset.test
    if not len(rows.y):
        return {}
    names = [c.name for c in dataset.columns]
    parents = dataset.parents or {}

    def r2(child: str) -> float:
        x = rows.x[:, names.index(child)]
        expected = regressions[child](rows.x[:, [names.index(p) for p in parents[child]]])
        return float(1 - (x - expected).square().mean() / x.var(correction=0))

    return {f"scm_r2_{child}": r2(child) for child in regressions}
