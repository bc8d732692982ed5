"""Counterfactuals in model space: abduction, action, prediction (Pearl 2009, section 7.1)."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

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


def twins(scm: SCM, x: Tensor) -> Tensor:
    """Counterfactuals of x (..., d) under every level of the sensitive attributes, (L, ..., d), model space.

    The factual level is among them (Ehyaei et al. 2024, arXiv 2308.08938, section 3).
    """
    noise = scm.to_noise(scm.own(x)).expand(len(scm.levels), *x.shape)
    return scm.model(scm.to_features(noise, interventions(scm, x)))


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
        given = zip(scm.mechanisms, u.unbind(-1), strict=True)
        return torch.stack([m.push(v, *(columns[p] for p in m.parents)) for m, v in given], -1)

    # shares of the shift; if the noise of x does already, its share is 0
    too_little = torch.zeros_like(shift)
    enough = (pushed(noise) != target).to(shift)
    for _ in range(BISECTIONS):
        middle = (enough + too_little) / 2
        reached = pushed(noise + middle * shift) == target
        enough, too_little = torch.where(reached, middle, enough), torch.where(reached, too_little, middle)
    return enough * shift


def draw(scm: SCM, n: int, rng: np.random.Generator) -> Tensor:
    """n fresh individuals of the SCM, (n, d), model space.

    A sensitive column with parents takes the level nearest to what its equation gives, by intervention, so that
    every individual has a level that exists.
    """
    noise = scm.sample_noise(n, rng).to(scm.loc)
    level = scm.levels[factual_level(scm, scm.model(scm.to_features(noise)))]
    return scm.model(scm.to_features(noise, {column: level[:, j] for j, column in enumerate(scm.sensitive)}))
