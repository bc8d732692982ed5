"""Counterfactuals in model space: abduction, action, prediction (Pearl 2009, section 7.1)."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from utils.types import SCM


def counterfactual(scm: SCM, x: Tensor, do: Mapping[int, Tensor]) -> Tensor:
    """What x (..., d) would have been under do(column = value), the values in the SCM's own units."""
    return scm.model(scm.to_features(scm.to_noise(scm.own(x)), do))


def soft_counterfactual(scm: SCM, x: Tensor, shift: Tensor) -> Tensor:
    """What x (..., d) would have been had its exogenous noise been larger by ``shift`` (..., d)."""
    return scm.model(scm.to_features(scm.to_noise(scm.own(x)) + shift))


def interventions(scm: SCM, like: Tensor) -> dict[int, Tensor]:
    """do() of every sensitive level at once: values (L, 1, ...) that broadcast over rows shaped (..., d)."""
    shape = (-1, *(1,) * (like.ndim - 1))
    return {column: scm.levels[:, j].reshape(shape) for j, column in enumerate(scm.sensitive)}


def twins(scm: SCM, x: Tensor) -> Tensor:
    """Counterfactuals of x (..., d) under every level of the sensitive attributes, (L, ..., d), model space.

    The factual level is among them (Ehyaei et al. 2024, arXiv 2308.08938, section 3).
    """
    noise = scm.to_noise(scm.own(x)).expand(len(scm.levels), *x.shape)
    return scm.model(scm.to_features(noise, interventions(scm, x)))


def factual_level(scm: SCM, x: Tensor) -> Tensor:
    """Index (...) of the sensitive level that x (..., d) has: the nearest in the SCM's own units."""
    attributes = scm.own(x)[..., list(scm.sensitive)]
    return torch.cdist(attributes.reshape(-1, len(scm.sensitive)), scm.levels).argmin(-1).reshape(x.shape[:-1])


def semi_latent(scm: SCM, x: Tensor) -> Tensor:
    """Semi-latent coordinates q (..., d): the sensitive columns as they are, the noise of the others."""
    own = scm.own(x)
    sensitive = torch.zeros(len(scm.names), dtype=torch.bool, device=x.device)
    sensitive[list(scm.sensitive)] = True
    return torch.where(sensitive, own, scm.to_noise(own))


def draw(scm: SCM, n: int, rng: np.random.Generator) -> Tensor:
    """n fresh individuals of the SCM, (n, d), model space."""
    return scm.model(scm.to_features(scm.sample_noise(n, rng).to(scm.loc)))
