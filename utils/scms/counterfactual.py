"""Counterfactuals in model space: abduction, action, prediction (Pearl 2009, section 7.1)."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from utils import seeding
from utils.scms.discrete import draw_anew
from utils.scms.once import once
from utils.scms.structure import nearest_level
from utils.types import SCM

BISECTIONS = 20


def counterfactual(scm: SCM, x: Tensor, do: Mapping[int, Tensor]) -> Tensor:
    """Returns the counterfactual of x (..., d) under do(column = value), the values in the SCM's own units."""
    return scm.model(scm.to_features(scm.to_noise(scm.own(x)), do))


def interventions(scm: SCM, like: Tensor) -> dict[int, Tensor]:
    """do() of every sensitive level at once: values (L, 1, ...) that broadcast over rows shaped (..., d).

    Raises:
        ValueError: no column is sensitive, so nobody has twins.
    """
    if not scm.sensitive:
        raise ValueError("twins differ in a sensitive attribute, and no column of these data is one; name one")
    shape = (-1, *(1,) * (like.ndim - 1))
    return {column: scm.levels[:, j].reshape(shape) for j, column in enumerate(scm.sensitive)}


def chances(scm: SCM, x: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor | None:
    """The numbers from U(0, 1) by which noise of the rows x (n, d) is drawn, (c, n, d); None where none is a posterior.

    Args:
        scm: with the coupling ``independent`` c is 1 + L, the posterior and a noise for every level; else 1.
        x: rows; of a stack (m, n, d).
        draw: like (c, n, d) -> numbers of that shape.
    """
    if not scm.posterior:
        return None
    return draw(x.new_zeros(1 + len(scm.levels) * scm.fresh, *x.shape))


def chances_of_draws(scm: SCM, x: Tensor, rows: seeding.Rows, draws: int) -> Tensor | None:
    """As ``chances`` of several draws of each row, (c, draws * n, d): the first of all rows, then the second, ...

    The numbers of a row come from its own stream and do not depend on the other rows.
    """

    def of_rows(like: Tensor) -> Tensor:
        every = like.unsqueeze(2).expand(-1, -1, draws, -1)
        return rows.uniform(every).transpose(1, 2).flatten(1, 2)

    return chances(scm, x, of_rows)


@once
def noise_of(scm: SCM, x: Tensor) -> Tensor:
    """The noise (..., d) of x (..., d), in the middle of a posterior."""
    return scm.to_noise(scm.own(x))


def abduct(scm: SCM, x: Tensor, chance: Tensor | None = None) -> Tensor:
    """The noise (L, ..., d) of every twin of x (..., d), drawn by ``chances``.

    Twins share the noise of their row, but for an SCM with ``fresh`` noise: there a discrete node is drawn anew at
    levels that differ from the row's in a sensitive ancestor of it, and once for all levels that agree in those.
    """
    size = len(scm.levels), *x.shape
    noise = (noise_of(scm, x) if chance is None else scm.to_noise(scm.own(x), chance[0])).expand(size)
    if chance is None or not scm.fresh:
        return noise
    first = first_alike(scm)
    at = first.reshape(len(first), *(1,) * (x.ndim - 1), -1)
    anew = draw_anew(chance[1:].take_along_dim(at.expand(size), 0))
    return torch.where(at != first[factual_level(scm, x)], anew, noise)


def first_alike(scm: SCM) -> Tensor:
    """For each level the first that agrees with it in the sensitive ancestors of each drawn column, (L, d).

    0 in all other columns.
    """
    first = torch.zeros(len(scm.levels), len(scm.names), dtype=torch.long, device=scm.levels.device)
    ancestors: dict[int, frozenset[int]] = {i: frozenset([i]) for i in scm.sensitive}
    for m in scm.mechanisms:
        above = frozenset[int]().union(*(ancestors.get(p, frozenset()) for p in m.parents))
        for i in m.columns:
            ancestors.setdefault(i, above)
        if m.posterior:
            own = scm.levels[:, [j for j, i in enumerate(scm.sensitive) if i in above]]
            first[:, list(m.columns)] = (own.unsqueeze(1) == own).all(-1).int().argmax(1).unsqueeze(1)
    return first


def latent_slopes(scm: SCM, x: Tensor) -> Tensor:
    """d x_j / d t_i of x (..., d), model space, by the noise that x has + t * unit, at t = 0: (..., d * d), j first."""
    noise, own = noise_of(scm, x), scm.own(x)
    do = {i: own[..., i] for i in scm.sensitive}
    with torch.enable_grad():
        t = torch.zeros_like(noise).requires_grad_()
        columns = scm.model(scm.to_features(noise + t * scm.unit, do)).unbind(-1)
        found = [
            torch.autograd.grad(of.sum(), t, retain_graph=True, allow_unused=True, materialize_grads=True)[0]
            for of in columns
        ]
    return torch.cat(found, -1)


def twins(scm: SCM, x: Tensor, chance: Tensor | None = None) -> Tensor:
    """Counterfactuals of x (..., d) under every level of the sensitive attributes, (L, ..., d), model space.

    The factual level is among them (Ehyaei et al. 2024, arXiv 2308.08938, section 3). Noise that is a posterior is
    drawn by ``chance`` (see ``chances``); without, it is in the middle.
    """
    return scm.model(scm.to_features(abduct(scm, x, chance), interventions(scm, x)))


def other_twins(scm: SCM, x: Tensor, chance: Tensor | None = None) -> Tensor:
    """The twins (L - 1, ..., d) of x (..., d) at all levels but that which each row has; ``chance`` as of ``twins``."""
    return _other_twins(scm, x) if chance is None else _others(scm, x, twins(scm, x, chance))


@once
def _other_twins(scm: SCM, x: Tensor) -> Tensor:
    return _others(scm, x, twins(scm, x))


def _others(scm: SCM, x: Tensor, every: Tensor) -> Tensor:
    """Those of every twin (L, ..., d) that are at other levels than x (..., d), (L - 1, ..., d)."""
    level = (factual_level(scm, x) + every_level(scm, x)[1:]) % len(every)
    return every.take_along_dim(level.unsqueeze(-1), 0)


def is_factual(scm: SCM, x: Tensor) -> Tensor:
    """Returns a mask (L, ...) of the level that each row of x (..., d) has."""
    return every_level(scm, x) == factual_level(scm, x)


def every_level(scm: SCM, x: Tensor) -> Tensor:
    """Indices (L, 1, ...) of the sensitive levels in order, which broadcast over rows x (..., d)."""
    return torch.arange(len(scm.levels), device=scm.levels.device).reshape(-1, *(1,) * (x.ndim - 1))


def factual_level(scm: SCM, x: Tensor) -> Tensor:
    """Returns the index (...) of the sensitive level of x (..., d): the nearest in the SCM's own units."""
    return nearest_level(scm.own(x)[..., list(scm.sensitive)], scm.levels)


def least_shift(scm: SCM, x: Tensor, moved: Tensor) -> Tensor:
    """The smallest change (..., d) of the noise of x that makes each column what it is in ``moved`` (..., d).

    Given the parents that the column has in ``moved``. Where several noises give the same value, as in a binary
    column that a threshold keeps in {0, 1}, the one nearest to that of x counts, found by bisection.
    """
    noise, target = scm.to_noise(scm.own(x)), scm.own(moved)
    shift = scm.to_noise(target) - noise
    columns = target.unbind(-1)

    def pushed(u: Tensor) -> Tensor:
        found, own = list(columns), u.unbind(-1)  # no radius moves a posterior
        for m in scm.mechanisms:
            if not m.posterior:
                found[m.columns[0]] = m.push(own[m.columns[0]], *(columns[p] for p in m.parents))
        return torch.stack(found, -1)

    # shares of the shift; if the noise of x does already, its share is 0
    too_little = torch.zeros_like(shift)
    enough = (pushed(noise) != target).to(shift)
    for _ in range(BISECTIONS):
        middle = (enough + too_little) / 2
        reached = pushed(noise + middle * shift) == target
        enough, too_little = torch.where(reached, middle, enough), torch.where(reached, too_little, middle)
    for i, (flag, _) in scm.missing.items():  # whatever the noise
        enough[..., i] *= target[..., flag] <= 0.5
    return enough * shift


def draw(scm: SCM, n: int, rng: np.random.Generator) -> Tensor:
    """n fresh individuals of the SCM, (n, d), model space.

    A sensitive column with parents takes the level nearest to what its equation gives, by intervention, so that
    every individual has a level that exists.
    """
    noise = scm.sample_noise(n, rng).to(scm.loc)
    level = scm.levels[factual_level(scm, scm.model(scm.to_features(noise)))]
    return scm.model(scm.to_features(noise, {column: level[:, j] for j, column in enumerate(scm.sensitive)}))
