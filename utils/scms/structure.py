"""Building blocks of structural causal models: mechanisms, topological order, sensitive levels, units."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from graphlib import CycleError, TopologicalSorter
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from utils.types import SCM, Column, Dataset, Mechanism

SampleNoise = Callable[[int, np.random.Generator], Tensor]
Regression = Callable[[Tensor], Tensor]  # parents (..., p) -> expected child (...), or what a head takes (..., q)


class Equation(NamedTuple):
    """x = push(u, *parents) and u = pull(x, *parents), the parents by name; see ``utils.types.Mechanism``."""

    parents: tuple[str, ...]
    push: Callable[..., Tensor]
    pull: Callable[..., Tensor]
    posterior: bool = False


def additive(parents: tuple[str, ...], f: Callable[..., Tensor]) -> Equation:
    """An additive-noise equation, x = f(parents) + u."""
    return Equation(parents, lambda u, *p: f(*p) + u, lambda x, *p: x - f(*p))


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


def attributes(columns: Sequence[Column]) -> dict[str, tuple[int, ...]]:
    """Places of the indicators of each attribute."""
    found: dict[str, tuple[int, ...]] = {}
    for i, c in enumerate(columns):
        if c.attribute:
            found[c.attribute] = (*found.get(c.attribute, ()), i)
    return found


class Attribute(NamedTuple):
    """A sensitive attribute: its columns, and what they hold at each of its levels."""

    places: tuple[int, ...]  # of the columns
    levels: tuple[tuple[float, ...], ...]  # a number for each column, natural units


def sensitive_attributes(columns: Sequence[Column]) -> tuple[Attribute, ...]:
    """The sensitive attributes in the order of their first columns.

    A column has its own levels. Several indicators of one attribute have one level each, in their order, at which they
    are 1 and the others 0; where the attribute has indicators that are not sensitive, one more comes first, of all 0.
    """
    size = Counter(c.attribute for c in columns)
    found: dict[str, tuple[int, ...]] = {}
    for i, c in enumerate(columns):
        if c.sensitive:
            name = c.attribute or c.name
            found[name] = (*found.get(name, ()), i)

    def levels(name: str, places: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
        if len(places) == 1:
            return tuple((level,) for level in columns[places[0]].levels)
        eye = tuple(tuple(map(float, row)) for row in np.eye(len(places)))
        return eye if len(places) == size[name] else ((0.0,) * len(places), *eye)

    return tuple(Attribute(places, levels(name, places)) for name, places in found.items())


def levels_product(columns: Sequence[Column]) -> Tensor:
    """Every combination of the sensitive attributes' levels, (L, number of sensitive columns), natural units."""
    attributes = sensitive_attributes(columns)
    levels = [sum(chosen, ()) for chosen in product(*(attribute.levels for attribute in attributes))]
    order = np.argsort([i for attribute in attributes for i in attribute.places])
    return torch.tensor(levels, dtype=torch.float32).reshape(len(levels), len(order))[:, order.tolist()]


def nearest_level(attributes: Tensor, levels: Tensor) -> Tensor:
    """Returns the index (...) of the row of levels (L, s) nearest to each row of attributes (..., s), in L1."""
    flat = attributes.unsqueeze(0).flatten(0, -2)  # of no attributes too, of which there is one level
    return torch.cdist(flat, levels.to(flat), p=1).argmin(-1).reshape(attributes.shape[:-1])  # no (..., L, s) in memory


def structural(columns: tuple[Column, ...], equations: Mapping[str, Equation], sample_noise: SampleNoise) -> SCM:
    """An SCM whose own units are the model's.

    The name of an equation is that of its column, or of an attribute, of whose indicators it then is; a column without
    an equation is a root.
    """
    names = tuple(c.name for c in columns)
    node_of = {name: c.attribute if c.attribute in equations else name for name, c in zip(names, columns, strict=True)}
    arrows = {name: equations[node].parents for name, node in node_of.items() if node in equations}
    flags = {c.tells: (*arrows.get(c.tells, ()), c.name) for c in columns if c.tells}  # known before what they tell of
    found: dict[str, Mechanism] = {}
    for i in topological({**arrows, **flags}, names):
        node = node_of[names[i]]
        own = equations.get(node, ROOT)
        places = tuple(j for j, name in enumerate(names) if node_of[name] == node)
        parents = tuple(names.index(p) for p in own.parents)
        found.setdefault(node, Mechanism(places, parents, own.push, own.pull, own.posterior))
    sensitive = tuple(i for i, c in enumerate(columns) if c.sensitive)
    unit = torch.ones(len(names))
    unit[[*sensitive, *(i for m in found.values() if m.posterior for i in m.columns)]] = 0.0
    return SCM(
        names=names,
        mechanisms=tuple(found.values()),
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
    step, least, largest = scm.whole or (scm.unit,) * 3
    whole = scm.whole and (step.to(device), least.to(device), largest.to(device))
    missing = {i: (flag, held.to(device)) for i, (flag, held) in scm.missing.items()}
    return replace(scm, whole=whole, missing=missing, **constants)


def scm_in_double(scm: SCM) -> SCM:
    """The SCM in double precision, its regressions too."""

    def double(of: Any) -> Any:
        if isinstance(of, partial):
            return partial(of.func, *map(double, of.args), **{key: double(value) for key, value in of.keywords.items()})
        if isinstance(of, nn.Module):
            return copy.deepcopy(of).double()
        return of.double() if isinstance(of, Tensor) and of.is_floating_point() else of

    constants = {name: getattr(scm, name).double() for name in ("levels", "loc", "scale", "unit")}
    whole = scm.whole and (scm.whole[0].double(), scm.whole[1].double(), scm.whole[2].double())
    missing = {i: (flag, held.double()) for i, (flag, held) in scm.missing.items()}
    mechanisms = tuple(m._replace(push=double(m.push), pull=double(m.pull)) for m in scm.mechanisms)
    return replace(scm, mechanisms=mechanisms, whole=whole, missing=missing, **constants)


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


def resample(noise: Tensor, columns: Sequence[Column] = (), *, every: bool = False) -> SampleNoise:
    """Sampler that draws each noise independently from its observed values, (rows, d).

    The columns of one sensitive attribute come from one row, so that exactly one of its indicators is 1; with ``every``
    those of all attributes do, and cuts come from the row of the column that implies them.
    """
    observed, first = noise.cpu().numpy(), np.arange(noise.shape[-1])
    names = [c.name for c in columns]
    for places in attributes(columns).values() if every else ():
        cut = columns[places[0]].cut
        first[list(places)] = names.index(cut[0]) if cut else places[0]
    for attribute in sensitive_attributes(columns):
        first[list(attribute.places)] = first[attribute.places[0]]

    def sample(n: int, rng: np.random.Generator) -> Tensor:
        rows = rng.integers(len(observed), size=(n, observed.shape[1]))[:, first]
        return torch.from_numpy(np.take_along_axis(observed, rows, axis=0))

    return sample
