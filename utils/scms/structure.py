"""Building blocks of structural causal models: mechanisms, topological order, sensitive levels, units."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from utils.types import SCM, Column, Dataset, Mechanism

SampleNoise = Callable[[int, np.random.Generator], Tensor]


class Equation(NamedTuple):
    """x = push(u, *parents) and u = pull(x, *parents), the parents by name."""

    parents: tuple[str, ...]
    push: Callable[..., Tensor]
    pull: Callable[..., Tensor]


def additive(parents: tuple[str, ...], f: Callable[..., Tensor]) -> Equation:
    """An additive-noise equation, x = f(parents) + u."""
    return Equation(parents, lambda u, *p: f(*p) + u, lambda x, *p: x - f(*p))


ROOT = Equation((), lambda u: u, lambda x: x)


def topological(parents: Mapping[str, tuple[str, ...]], names: tuple[str, ...]) -> tuple[int, ...]:
    """Column indices with every parent before its children.

    Raises:
        ValueError: the graph has a cycle or names a column that is not there.
    """
    unknown = {name for child, of in parents.items() for name in (child, *of)} - set(names)
    if unknown:
        raise ValueError(f"the graph names {sorted(unknown)}, which are no columns; there are {list(names)}")
    graph = {name: sorted(parents.get(name, ()), key=names.index) for name in names}
    try:
        return tuple(names.index(name) for name in TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ValueError(f"the graph has the cycle {' -> '.join(error.args[1])}; remove one of its arrows") from error


def levels_product(columns: tuple[Column, ...]) -> Tensor:
    """Every combination of the sensitive columns' levels, (L, number of sensitive columns), natural units."""
    levels = list(product(*(c.levels for c in columns if c.sensitive)))
    return torch.tensor(levels, dtype=torch.float32)


def nearest_level(attributes: Tensor, levels: Tensor) -> Tensor:
    """Returns the index (...) of the row of levels (L, s) nearest to each row of attributes (..., s), in L1."""
    return (attributes.unsqueeze(-2) - levels).abs().sum(-1).argmin(-1)


def structural(columns: tuple[Column, ...], equations: Mapping[str, Equation], sample_noise: SampleNoise) -> SCM:
    """An SCM whose own units are the model's; a column without an equation is a root."""
    names = tuple(c.name for c in columns)
    order = topological({child: e.parents for child, e in equations.items()}, names)
    chosen = [equations.get(name, ROOT) for name in names]
    sensitive = tuple(i for i, c in enumerate(columns) if c.sensitive)
    unit = torch.ones(len(names))
    unit[list(sensitive)] = 0.0
    return SCM(
        names=names,
        mechanisms=tuple(Mechanism(tuple(names.index(p) for p in e.parents), e.push, e.pull) for e in chosen),
        order=order,
        sensitive=sensitive,
        levels=levels_product(columns),
        loc=torch.zeros(len(names)),
        scale=torch.ones(len(names)),
        unit=unit,
        sample_noise=sample_noise,
    )


def on_device(scm: SCM, device: torch.device) -> SCM:
    """The SCM with its constants on the device; its equations go wherever their arguments are."""
    constants = {name: getattr(scm, name).to(device) for name in ("levels", "loc", "scale", "unit")}
    return replace(scm, **constants)


def in_radius_units(scm: SCM, dataset: Dataset, radius_unit: str) -> SCM:
    """The SCM with its latent unit of radius: ``noise`` as it is, ``noise_sd`` in standard deviations.

    The deviations are those of the noise abducted from the training rows.
    """
    scm = on_device(scm, dataset.train.x.device)
    if radius_unit == "noise":
        return scm
    if radius_unit != "noise_sd":
        raise ValueError(f"scm.radius_unit={radius_unit!r} is not known; choose noise or noise_sd")
    deviation = scm.to_noise(scm.own(dataset.train.x)).std(0, correction=0)
    return replace(scm, unit=scm.unit * deviation, radius_unit="noise_sd")


def resample(noise: Tensor) -> SampleNoise:
    """Sampler that draws each noise independently from its observed values, (rows, d)."""
    observed = noise.cpu().numpy()

    def sample(n: int, rng: np.random.Generator) -> Tensor:
        rows = rng.integers(len(observed), size=(n, observed.shape[1]))
        return torch.from_numpy(np.take_along_axis(observed, rows, axis=0))

    return sample
