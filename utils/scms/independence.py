"""Tests of independence that a causal model rests on: residuals and parents, and what the graph implies.

- ``dependences``: residuals are independent of the parents, by HSIC.
- ``independences``: those that the graph implies between attributes, by the generalised covariance measure.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter

import numpy as np
import torch
from torch import Tensor

from utils import seeding
from utils.scms.facts import DEPENDENCE, LEVEL
from utils.scms.scoring import Fitted, held_out
from utils.types import Column, Dataset, Independence

GRAPH_ROWS, FEATURES = 10_000, 100
NUMBERS = 2**22  # of the rows that a graph is tested on, at the most: fewer rows of more than 400 columns
RESIDUAL_ROWS, PERMUTATIONS, KERNEL, WIDTH_ROWS = 500, 499, 30, 500

# --- residuals -------------------------------------------------------------------------------------------------


def dependences(equations: Sequence[Fitted], dataset: Dataset) -> dict[str, float]:
    """``scm_dependence_p_<node>``: the p-value of residuals that are independent of the parents, on held-out rows.

    The Hilbert-Schmidt independence criterion (Gretton et al. 2008) of at most RESIDUAL_ROWS rows, Gaussian kernels of
    median width by random features (Zhang et al. 2018, arXiv 1606.07892). The residual of a discrete or cut node is the
    randomised quantile residual of Dunn and Smyth (1996), uniform where the equation is right.
    """
    x = held_out(dataset).x[:RESIDUAL_ROWS]
    generator = seeding.generator(0, "residuals")
    found = {}
    for own in equations if len(x) > 2 else ():
        residual = own.noise(x) if own.head is None and not own.cut else _quantile_residual(own, x, generator)
        found[f"{DEPENDENCE}{own.name}"] = hsic(residual.unsqueeze(1), own.given(x), generator)
    return found


def _quantile_residual(own: Fitted, x: Tensor, generator: torch.Generator) -> Tensor:
    chance = own.chances(x)
    seen = own.level(x, chance.shape[-1]).unsqueeze(1)
    below, size = chance.cumsum(-1).gather(1, seen).squeeze(1), chance.gather(1, seen).squeeze(1)
    return below - size * torch.rand(len(x), generator=generator).to(x)


def hsic(one: Tensor, other: Tensor, generator: torch.Generator) -> float:
    """The p-value of the independence of rows (n, p) and rows (n, q); 1 where one of them is constant.

    The share of permutations with as large a criterion, the seen one among them; where none is as large, that of a
    gamma distribution of their mean and variance, if it is smaller.
    """
    from utils.system.special import special  # imports scipy, which other runs need not wait for

    if not all(bool((of != of[0]).any()) for of in (one, other)):
        return 1.0
    first, second = (_kernel_features(of.double().cpu(), KERNEL, generator).float() for of in (one, other))
    order = torch.rand(PERMUTATIONS, len(one), generator=generator).argsort(1)
    seen = float((first.T @ second).square().sum())
    null = (first.T @ second[order]).square().sum((1, 2)).double()  # of (permutations, p, q)
    mean, variance = float(null.mean()), float(null.var())
    share = (1 + int((null >= seen).sum())) / (1 + PERMUTATIONS)
    tail = float(special().gammaincc(mean**2 / variance, seen / (variance / mean)))
    return min(share, tail) if share * (1 + PERMUTATIONS) == 1 else share


def _kernel_features(x: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """Centred random features (n, q) of Gaussian kernels (Rahimi and Recht 2007).

    Half of at least ``number`` are of one kernel on all columns (n, p), of median width; the others of kernels on
    single columns, a standard deviation wide, which see what depends on one of many columns alone.
    """
    x = (x - x.mean(0)) / x.std(0).clamp_min(1e-9)
    width = torch.pdist(x[:WIDTH_ROWS]).median()
    half, each = number // 2, -(-number // (2 * x.shape[1]))
    joint = torch.randn(x.shape[1], half, generator=generator, dtype=x.dtype) / torch.where(width > 0, width, 1.0)
    single = torch.randn(x.shape[1], each, generator=generator, dtype=x.dtype)
    angle = torch.cat([x @ joint, (x.unsqueeze(-1) * single).flatten(1)], 1)
    features = (angle + 2 * math.pi * torch.rand(angle.shape[1], generator=generator, dtype=x.dtype)).cos()
    return features - features.mean(0)


# --- graph -----------------------------------------------------------------------------------------------------


def independences(dataset: Dataset) -> list[Independence]:
    """The independences that the graph implies, each with its p-value after Holm; none of a complete graph.

    Of two attributes without an arrow between them, the later one given its parents is independent of the earlier one
    (the ordered Markov property, which implies all others). By the generalised covariance measure (Shah and Peters
    2020, arXiv 1804.07203): the covariance of the residuals of both on these parents, by kernel ridge regression;
    whatever the types. It sees dependence that is a covariance given the parents, not any other.
    """
    units, parents = _units(dataset), dataset.parents or {}
    keep = np.sort(
        seeding.rng(0, "graph").permutation(len(dataset.train.x))[: min(GRAPH_ROWS, NUMBERS // len(dataset.columns))]
    )
    x = dataset.train.x[torch.from_numpy(keep)].double().cpu()
    place = {c.name: i for i, c in enumerate(dataset.columns)}
    above = _ancestors(units, parents, dataset.columns)
    found: list[Independence] = []
    for name in units:
        given = sorted(
            {place[p] for i in units[name] for p in parents.get(dataset.columns[i].name, ())} - {*units[name]}
        )
        others = list(_untied(name, units, above, dataset))
        if others and len(x) > 2:
            targets = [i for other in (name, *others) for i in units[other]]
            left = left_over(x[:, given], x[:, targets])
            of = tuple(dict.fromkeys(dataset.columns[i].attribute or dataset.columns[i].name for i in given))
            found += _covariances(name, others, of, left, units)
    return _holm(found)


def _units(dataset: Dataset) -> dict[str, tuple[int, ...]]:
    """The places of the columns of every attribute, causes first."""
    order = TopologicalSorter({c.name: (dataset.parents or {}).get(c.name, ()) for c in dataset.columns}).static_order()
    of = {c.name: c.attribute or c.name for c in dataset.columns}
    last = {of[name]: i for i, name in enumerate(order)}
    names = sorted(last, key=lambda name: last[name])
    return {name: tuple(i for i, c in enumerate(dataset.columns) if of[c.name] == name) for name in names}


def _ancestors(
    units: Mapping[str, Sequence[int]], parents: Mapping[str, Sequence[str]], columns: Sequence[Column]
) -> dict[str, set[str]]:
    """The causes of each attribute, near and far."""
    of = {c.name: c.attribute or c.name for c in columns}
    direct = {name: {of[p] for i in units[name] for p in parents.get(columns[i].name, ())} - {name} for name in units}
    found: dict[str, set[str]] = {}
    for name in units:
        found[name] = direct[name].union(*(found.get(p, set()) for p in direct[name]))
    return found


def _untied(
    name: str, units: Mapping[str, Sequence[int]], above: Mapping[str, set[str]], dataset: Dataset
) -> Iterator[str]:
    """Yields the attributes before this one, of which it is no cause, that no arrow or rule ties to it."""
    parents, columns = dataset.parents or {}, dataset.columns
    of = {c.name: c.attribute or c.name for c in columns}

    def ties(one: str, other: str) -> bool:
        by_arrow = {of[p] for i in units[one] for p in parents.get(columns[i].name, ())}
        by_rule = {of.get(c.cut[0], "") for c in (columns[i] for i in units[one]) if c.cut}
        return other in by_arrow | by_rule

    for other in units:
        if other == name:
            return
        if name not in above[other] and not ties(name, other) and not ties(other, name):
            yield other


def left_over(given: Tensor, y: Tensor) -> Tensor:
    """The residuals (n, t) of columns y (n, t) on others (n, p), by ridge regression on these and kernel features.

    The penalty of each column is that of the least generalised cross-validation (Golub, Heath and Wahba 1979).
    """
    y = y - y.mean(0)
    if not given.shape[1]:
        return y
    number = max(1, min(FEATURES, len(y) // 10))
    own = (given - given.mean(0)) / given.std(0).clamp_min(1e-9)
    basis = torch.cat([own, _kernel_features(given, number, seeding.generator(0, "graph features"))], 1)
    size, vectors = torch.linalg.eigh(basis.T @ basis)
    size, rotated = size.clamp_min(0), basis @ vectors
    along = rotated.T @ y  # (q, t)
    penalty = len(y) * torch.logspace(-7, 0, 15, dtype=y.dtype).unsqueeze(1)  # (15, 1)
    kept = size / (size + penalty)  # (15, q)
    explained = (along.square() / size.clamp_min(1e-12).unsqueeze(1)).unsqueeze(0) * (size > 1e-9).unsqueeze(1)
    rest = y.square().sum(0) - ((2 * kept - kept.square()).unsqueeze(-1) * explained).sum(1)  # (15, t)
    best = (rest / (len(y) - kept.sum(1, keepdim=True)).square()).argmin(0)
    return y - rotated @ (along / (size.unsqueeze(1) + penalty[best].T))


def _covariances(
    name: str, others: Sequence[str], given: tuple[str, ...], left: Tensor, units: Mapping[str, Sequence[int]]
) -> Iterator[Independence]:
    """Yields an independence for each of the others, p after Bonferroni over the columns of both."""
    own = left[:, : len(units[name])]
    total, squares = own.T @ left, own.square().T @ left.square()
    alike = own.square().sum(0).unsqueeze(1) * left.square().sum(0)  # n times ``squares``, were the sizes independent
    # of two rare levels that never meet, which few rows may do by chance, what is seen has hardly any spread
    scale = torch.maximum(squares - total.square() / len(left), alike / len(left)).sqrt()
    every, correlations = torch.where(scale > 0, total / scale, 0.0), total / alike.sqrt().clamp_min(1e-30)
    start = len(units[name])
    for other in others:
        place = slice(start, start := start + len(units[other]))
        z = every[:, place]
        p = min(1.0, z.numel() * math.erfc(float(z.abs().max()) / math.sqrt(2)))
        yield Independence(name, other, given, float(correlations[:, place].flatten()[int(z.abs().argmax())]), p)


def _holm(tests: Sequence[Independence]) -> list[Independence]:
    """The tests, the least p first, with the p-values of Holm (1979) for their family."""
    ordered, largest, found = sorted(tests, key=lambda test: test.p), 0.0, []
    for i, test in enumerate(ordered):
        largest = max(largest, min(1.0, test.p * (len(ordered) - i)))
        found.append(test._replace(p=largest))
    return found


def refuted(tests: Sequence[Independence]) -> list[Independence]:
    """The independences that do not hold."""
    return [test for test in tests if test.p <= LEVEL]


def describe(test: Independence) -> str:
    """``kids and sex, given age and member (correlation 0.12, p = 3e-20)``."""
    given = f", given {', '.join(test.given)}" if test.given else ""
    p = f"p = {test.p:.1g}" if test.p >= 1e-300 else "p < 1e-300"
    return f"{test.one} and {test.other}{given} (correlation {test.correlation:.2f}, {p})"
