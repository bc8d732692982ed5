"""A Gaussian process of what points change: Matern 5/2, a length for every parameter (Rasmussen and Williams 2006).

Its kernel, the prior of its parameters and their start are those of Optuna's GPSampler; derivatives are written out,
since those of autograd take three times as long, and distances are products of matrices.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

WEIGHTS, SCALE, NOISE = (1e-4, 1e4), (1e-4, 1e2), (1e-6, 1e1)  # between which a fit looks for them
TOLERANCE = 1e-2  # of the gradient, where a fit ends


class Shape(NamedTuple):
    """The parameters of a covariance: scale * matern(weighed squared distance), and the noise of each outcome."""

    weights: Tensor  # (e,), inverse squared length of each coordinate
    scale: float
    noise: float  # its variance


class Process(NamedTuple):
    """A Gaussian process beside what it was told; see ``condition``."""

    shape: Shape
    x: Tensor  # (n, e)
    whitener: Tensor  # (n, n), inverse of the factor of the covariance of what was told
    alpha: Tensor  # (n,), inverse of that covariance times what was told

    def predict(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and standard deviation, (m,) each, of what the points (m, e) change, without noise."""
        near = matern(squared_distances(at, self.x, self.shape.weights))[0] * self.shape.scale
        known = (near @ self.whitener.T).square_().sum(-1)
        return near @ self.alpha, (self.shape.scale - known).clamp_min(1e-12).sqrt()


def squared_distances(a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
    """Returns sum_j weights_j (a_ij - b_kj)^2, (m, n), of points (m, e) and (n, e)."""
    a, b = a * weights.sqrt(), b * weights.sqrt()
    own = a.square().sum(-1, keepdim=True) + b.square().sum(-1)
    return own.addmm_(a, b.T, alpha=-2).clamp_min_(0)


def matern(squared: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (1 + r + r^2 / 3) exp(-r), r^2 = 5 times the squared distances, and its slope by the latter."""
    r = (5 * squared).sqrt_()
    fall = torch.exp(-r)
    slope = fall * (r + 1)
    return fall.mul_(squared).mul_(5 / 3).add_(slope), slope.mul_(-5 / 6)


def condition(shape: Shape, x: Tensor, y: Tensor, pending: Tensor) -> Process:
    """Returns the process told y (n,) at x (n, e), and at the points (p, e) under way what it expects there.

    So means stay as they are, and what is near those points is known better (kriging believer: Ginsbourger, Le Riche
    and Carraro 2010).
    """
    both = torch.cat([x, pending])
    factor = torch.linalg.cholesky(_covariance(shape, both)[0])
    alpha = torch.cholesky_solve(y[:, None], factor[: len(x), : len(x)])[:, 0]
    whitener = torch.linalg.solve_triangular(factor, torch.eye(len(both), dtype=y.dtype), upper=False)
    return Process(shape, both, whitener, torch.cat([alpha, y.new_zeros(len(pending))]))


def fit_shape(x: Tensor, y: Tensor, owner: Tensor) -> Shape:
    """Returns the shape of largest posterior density beside y (n,), of mean 0 and variance 1, at x (n, e).

    ``owner`` (e,) says which parameter a coordinate is of: they share a weight. Always begun at the same shape.
    """
    from scipy.optimize import minimize

    size = int(owner.max()) + 1

    def loss(raw: Any) -> tuple[float, Any]:
        value, slopes = _loss(torch.from_numpy(raw), x, y, owner)
        return value, slopes.numpy()

    bounds = np.log([*[WEIGHTS] * size, SCALE, NOISE])
    found = minimize(loss, np.zeros(size + 2), jac=True, method="L-BFGS-B", bounds=bounds, options={"gtol": TOLERANCE})
    return _shape(torch.from_numpy(found.x), owner)


def _shape(raw: Tensor, owner: Tensor) -> Shape:
    *_, scale, noise = raw.exp().tolist()
    return Shape(raw[:-2].exp()[owner], scale, noise)


def _covariance(shape: Shape, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the covariance (n, n) of what is told at x (n, e), the kernel without its scale, and its slope."""
    kernel, slope = matern(squared_distances(x, x, shape.weights))
    covariance = shape.scale * kernel
    covariance.diagonal().add_(shape.noise)
    return covariance, kernel, slope


def _loss(raw: Tensor, x: Tensor, y: Tensor, owner: Tensor) -> tuple[float, Tensor]:
    """Returns minus the logarithm of the posterior density at the logarithms (size + 2,) of a shape, and its slopes.

    Of -log N(y; 0, K) the slope by K is A = (K^-1 - a a^T) / 2, a = K^-1 y.
    """
    shape = _shape(raw, owner)
    covariance, kernel, slope = _covariance(shape, x)
    factor = torch.linalg.cholesky(covariance)
    inverse = torch.cholesky_inverse(factor)
    alpha = inverse @ y
    by = inverse.addr_(alpha, alpha, alpha=-1).mul_(0.5)
    value = 0.5 * y @ alpha + factor.diagonal().log().sum()
    weighed = slope.mul_(by).mul_(2 * shape.scale)  # sum_ij w_ij (x_i - x_j)^2 = 2 sum_i (sum_j w_ij) x_i^2 - 2 x^T w x
    by_weight = x.new_zeros(len(raw) - 2).index_add_(
        0, owner, (weighed.sum(1, keepdim=True) * x.square() - x * (weighed @ x)).sum(0)
    )
    slopes = torch.cat([by_weight, torch.stack([(by * kernel).sum(), by.trace()])])
    prior, own = _prior(raw.exp())
    return float(value - prior), (slopes - own) * raw.exp()


def _prior(plain: Tensor) -> tuple[Tensor, Tensor]:
    """The log density of weights, scale and noise, up to a constant, and its slopes.

    Of a weight w -(w + 1 / w) / 10, of the scale that of Gamma(2, 1), of the noise that of Gamma(1.1, 30).
    """
    weights, scale, noise = plain[:-2], plain[-2], plain[-1]
    value = -0.1 * (weights + 1 / weights).sum() + scale.log() - scale + 0.1 * noise.log() - 30 * noise
    slopes = torch.cat([0.1 / weights.square() - 0.1, torch.stack([1 / scale - 1, 0.1 / noise - 30])])
    return value, slopes
