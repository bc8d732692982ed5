"""Mechanism of a continuous node whose noise is not additive: a causal normalising flow of one dimension.

x = T(u; parents) with T increasing in u and u from N(0, 1), so that spread and shape of the noise may depend on the
parents (Khemakhem et al. 2021, arXiv 2011.02268; Javaloy et al. 2023, arXiv 2306.05415). T is a rational-quadratic
spline (Durkan et al. 2019, arXiv 1906.04032), of zuko, then a line, both with parameters from a regression on the
parents. A twin keeps u: it is at the same quantile of what is usual for its parents. One unit of u is a standard
deviation of the noise, whatever the parents.
"""

import math
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from utils.scms.structure import Equation

if TYPE_CHECKING:
    from zuko.transforms import MonotonicRQSTransform

BINS = 8  # of the spline
BOUND = 4.0  # standard deviations, beyond which the spline is the identity
SLOPE = 0.02  # of the spline, at least; its inverse at most, so that it is inverted precisely
SCALE = (-6.0, 3.0)  # logarithm of the line's slope
SCORES = 2 + 3 * BINS - 1  # what the regression gives: a line, widths, heights and slopes of the spline
QUANTILES = 64  # by which a mean is taken


def require_zuko() -> None:
    """Refuses flows where the library of splines is not installed. Raises ValueError."""
    if find_spec("zuko") is None:
        raise ValueError("flow equations need zuko, which is not installed: pip install -r requirements/causal.txt")


def by_flow(parents: tuple[str, ...], f: Callable[[Tensor], Tensor]) -> Equation:
    """The equation of a node whose noise is standard normal; f: stacked parents (..., p) -> (..., SCORES)."""
    return Equation(parents, partial(push_flow, f), partial(pull_flow, f))


def push_flow(f: Callable[[Tensor], Tensor], u: Tensor, *p: Tensor) -> Tensor:
    """The child (...) of noise u (...) and parents p, (...) each."""
    loc, log_scale, spline = _transform(f(torch.stack(p, -1)))
    found: Tensor = spline.inv(u)
    return loc + log_scale.exp() * found


def pull_flow(f: Callable[[Tensor], Tensor], x: Tensor, *p: Tensor) -> Tensor:
    """The noise (...) of a child x (...) and its parents p."""
    loc, log_scale, spline = _transform(f(torch.stack(p, -1)))
    found: Tensor = spline((x - loc) / log_scale.exp())
    return found


def log_density(scores: Tensor, x: Tensor) -> Tensor:
    """log p(x) (...) of a child x (...) given what the regression says of its parents, (..., SCORES)."""
    loc, log_scale, spline = _transform(scores)
    u, log_slope = spline.call_and_ladj((x - loc) / log_scale.exp())
    found: Tensor = log_slope - log_scale - u.square() / 2 - math.log(2 * math.pi) / 2
    return found


def expected(f: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
    """The mean (n,) of the child given parents (n, p), over QUANTILES values of the noise."""
    loc, log_scale, spline = _transform(f(given))
    share = (torch.arange(QUANTILES, device=given.device, dtype=given.dtype) + 0.5) / QUANTILES
    middle: Tensor = spline.inv(torch.special.ndtri(share).unsqueeze(1).expand(-1, len(given))).mean(0)
    return loc + log_scale.exp() * middle


def _transform(scores: Tensor) -> "tuple[Tensor, Tensor, MonotonicRQSTransform]":
    """Place and logarithm of the slope of the line (...), and the spline, from a regression's (..., SCORES)."""
    from zuko.transforms import MonotonicRQSTransform

    loc, log_scale, widths, heights, slopes = scores.split((1, 1, BINS, BINS, BINS - 1), -1)
    spline = MonotonicRQSTransform(widths, heights, slopes, bound=BOUND, slope=SLOPE)
    return loc.squeeze(-1), log_scale.squeeze(-1).clamp(*SCALE), spline
