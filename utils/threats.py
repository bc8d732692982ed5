"""Threat models, what an adversary can reach, and the one ascent loop that every gradient method shares.

A perturbation ``delta`` is (c, n, *): c candidates for each of n rows, one for each twin of a causal threat or
each restart of a plain one. Candidates come first, so that radii, labels and weights of the rows broadcast; of a
stack of m models everything has (m, n) in place of n.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from utils import seeding
from utils.scms.counterfactual import abduct, chances, interventions, latent_slopes, least_shift, noise_of
from utils.seeding import Source
from utils.types import SCM, Column, Context, Epsilon, Predict, Scalar
from utils.views.written_out import of_inputs_alone

Reach = Callable[[Tensor], Tensor]  # delta (c, n, *) -> x' (c, n, *)
Damage = Callable[[Tensor], Tensor]  # delta (c, n, *) -> (c, n), larger is worse for the model
TINY = 1e-12
GRADIENT = 3  # forward passes that a gradient evaluation costs
NUMBERS_MOVE = "movable_columns=non_sensitive", "relax=true"  # settings of a threat by which levels move as numbers
ROUNDING = 64  # tolerated rounding of a perturbation, in units of the last place


class NothingToMoveError(ValueError):
    """The data have no column that a method may move, as where all are categories."""


@dataclass(frozen=True)
class Ball:
    """A norm ball around zero; ``events`` trailing dimensions make one perturbation."""

    norm: str
    events: int = 1

    def __post_init__(self) -> None:
        if self.norm not in ("l1", "l2", "linf"):
            raise ValueError(f"norm={self.norm!r} is not known; choose l1, l2 or linf")

    @property
    def _dims(self) -> tuple[int, ...]:
        return tuple(range(-self.events, 0))

    def size(self, delta: Tensor) -> Tensor:
        """Norm of each perturbation, trailing dimensions kept as 1."""
        if self.norm == "linf":
            return delta.abs().amax(self._dims, keepdim=True)
        if self.norm == "l1":
            return delta.abs().sum(self._dims, keepdim=True)
        return delta.square().sum(self._dims, keepdim=True).clamp_min(TINY**2).sqrt()

    def project(self, delta: Tensor, radius: Tensor) -> Tensor:
        """The nearest perturbation of at most ``radius`` (..., n)."""
        r = self.spread(radius)
        if self.norm == "linf":
            return torch.minimum(torch.maximum(delta, -r), r)
        if self.norm == "l1":
            return delta.sign() * (delta.abs() - self._threshold(delta, r)).clamp_min(0)
        return delta * (r / self.size(delta)).clamp_max(1.0)

    def _threshold(self, delta: Tensor, r: Tensor) -> Tensor:
        """Returns what to take from every coordinate so that at most r is left (soft threshold, Duchi et al. 2008)."""
        lengths = delta.abs().flatten(-self.events).sort(-1, descending=True).values
        excess = lengths.cumsum(-1) - r.flatten(-self.events)
        kept = (lengths * torch.arange(1, lengths.shape[-1] + 1, device=delta.device) > excess).sum(-1, keepdim=True)
        threshold = excess.gather(-1, (kept - 1).clamp_min(0)) / kept.clamp_min(1)
        return self.spread(threshold.squeeze(-1).clamp_min(0))

    def steepest(self, gradient: Tensor) -> Tensor:
        """The unit perturbation of largest inner product with the gradient."""
        if self.norm == "l1":
            flat = gradient.flatten(-self.events)
            largest = flat.abs().argmax(-1, keepdim=True)
            unit = torch.zeros_like(flat).scatter(-1, largest, flat.gather(-1, largest).sign())
            return unit.reshape(gradient.shape)
        return gradient.sign() if self.norm == "linf" else gradient / self.size(gradient)

    def uniform(self, delta: Tensor, mask: Tensor, source: Source) -> Tensor:
        """Points drawn uniformly from the unit ball of the masked coordinates, shaped like ``delta`` (c, ..., n, *)."""
        if self.norm == "linf":
            return (2 * seeding.uniform(delta, source) - 1) * mask
        if self.norm == "l1":  # exponential lengths over their sum and one more (Barthe et al. 2005)
            sign = (seeding.uniform(delta, source) >= 0.5).to(delta) * 2 - 1
            length = -torch.log1p(-seeding.uniform(delta, source)) * mask
            rest = -torch.log1p(-seeding.uniform(self.size(delta), source))
            return sign * length / (length.sum(self._dims, keepdim=True) + rest).clamp_min(TINY)
        normal = seeding.normal(delta, source) * mask
        length = seeding.uniform(self.size(delta), source)
        return normal / self.size(normal) * length.pow(1.0 / self._free(delta, mask))

    def _free(self, delta: Tensor, mask: Tensor) -> Tensor:
        """Returns how many coordinates of a row may move, (*,) ones, or (m, 1, *) in a stack."""
        whole = np.broadcast_shapes(mask.shape, delta.shape[-self.events :])  # torch imports sympy for its own
        return mask.expand(whole).sum(self._dims, keepdim=True)

    def spread(self, radius: Tensor) -> Tensor:
        """Radii (..., n) shaped to broadcast over perturbations."""
        return radius.reshape(*radius.shape, *(1,) * self.events)


class Threat(Protocol):
    """A perturbation set around every row."""

    @property
    def ball(self) -> Ball:
        """The norm that the radius bounds."""
        ...

    @property
    def mask(self) -> Tensor:
        """1 where a coordinate of delta may move, (*)."""
        ...

    def zero(self, x: Tensor) -> Tensor:
        """The perturbations (c, n, *) that change nothing but the candidate."""
        ...

    def at(self, x: Tensor) -> Reach:
        """Returns how perturbations move the rows x (n, *)."""
        ...

    def legal(self, x: Tensor, delta: Tensor) -> Tensor:
        """The perturbations (c, n, *) cut to what the data allow; none gets longer."""
        ...


MakeThreat = Callable[[Context], Threat]


@dataclass(frozen=True)
class FeatureThreat:
    """Moves the features themselves: x' = x + mask * delta. Radius in standard deviations of the training split."""

    ball: Ball
    mask: Tensor

    def zero(self, x: Tensor) -> Tensor:
        """(1, n, d) zeros."""
        return x.new_zeros(1, *x.shape)

    def at(self, x: Tensor) -> Reach:
        """Plain addition; frozen columns keep every bit."""
        return lambda delta: torch.where(self.mask > 0, x + delta, x)

    def legal(self, x: Tensor, delta: Tensor) -> Tensor:  # noqa: ARG002
        """Every number is a legal value of a standardised column."""
        return delta


@dataclass(frozen=True)
class PixelThreat:
    """Moves the pixels of images and keeps them in [0, 1]: x' = x + delta. Radius in units of the pixels' range."""

    ball: Ball
    mask: Tensor  # (1, 1, 1), all ones

    def zero(self, x: Tensor) -> Tensor:
        """(1, n, c, h, w) zeros."""
        return x.new_zeros(1, *x.shape)

    def at(self, x: Tensor) -> Reach:
        """Plain addition of a legal perturbation."""
        return lambda delta: x + delta

    def legal(self, x: Tensor, delta: Tensor) -> Tensor:
        """Cuts at black and white. Since x is between them, no coordinate of delta grows."""
        return (x + delta).clamp(0, 1) - x


@dataclass(frozen=True)
class CausalThreat:
    """Moves the exogenous noise of the non-sensitive columns and pushes it through the structural equations.

    With ``twins`` the candidates are the twins of a row, so the set is the causal adversarial perturbation ball
    (Ehyaei et al. 2024, arXiv 2308.08938, section 3); without, the row keeps its own sensitive level. A twin
    shares the noise of its row, so a candidate differs by its intervention alone; where that noise is a posterior, one
    is drawn from ``source`` for all candidates of a row. Radius in the SCM's radius unit.
    """

    scm: SCM
    ball: Ball
    twins: bool
    source: Source

    @property
    def mask(self) -> Tensor:
        """1 at the non-sensitive coordinates, (d,)."""
        return (self.scm.unit > 0).to(self.scm.unit)

    def zero(self, x: Tensor) -> Tensor:
        """(L, n, d) zeros, or (1, n, d) without twins."""
        return x.new_zeros(len(self.scm.levels) if self.twins else 1, *x.shape)

    def at(self, x: Tensor) -> Reach:
        """Abducts once, then pushes every perturbed noise under every level."""
        chance = chances(self.scm, x, partial(seeding.uniform, source=self.source))
        if self.twins:
            return self.around(abduct(self.scm, x, chance))
        own = self.scm.own(x)
        do = {i: own[..., i] for i in self.scm.sensitive}
        noise = noise_of(self.scm, x) if chance is None else self.scm.to_noise(own, chance[0])
        return self._moved(noise, do)

    def around(self, noise: Tensor) -> Reach:
        """Returns how perturbations move twins whose noise (L, n, d) is known."""
        return self._moved(noise, interventions(self.scm, noise[0]))

    def _moved(self, noise: Tensor, do: Mapping[int, Tensor]) -> Reach:
        moved = self.scm.around(noise, do)
        return lambda delta: moved(delta * self.scm.unit)

    def legal(self, x: Tensor, delta: Tensor) -> Tensor:  # noqa: ARG002
        """Every noise is legal."""
        return delta


def movable(columns: Sequence[Column], which: str, like: Tensor) -> Tensor:
    """Mask (d,) of columns: ``continuous`` (and not sensitive), ``non_sensitive``, ``actionable`` or ``all``.

    Raises:
        ValueError: another word, or images, which have no columns.
        NothingToMoveError: no column is left.
    """
    tests: dict[str, Callable[[Column], bool]] = {
        "continuous": lambda c: c.kind == "continuous" and not c.sensitive,
        "non_sensitive": lambda c: not c.sensitive,
        "actionable": lambda c: c.actionable,
        "all": lambda _: True,
    }
    if not columns:
        raise ValueError(
            "this method moves columns, and images have none; choose one for images, such as attack=pgd_pixels"
        )
    if which not in tests:
        raise ValueError(f"{which!r} names no set of columns; choose one of {sorted(tests)}")
    mask = like.new_tensor([float(tests[which](c)) for c in columns])
    return _some(mask, which)


def _some(mask: Tensor, which: str) -> Tensor:
    """The mask. Raises NothingToMoveError where it is empty."""
    if not mask.any():
        raise NothingToMoveError(
            f"the data set has no {which} column to move; choose another set of columns (movable_columns, mask), with "
            "relax=true where those of 0 and 1 may move as numbers"
        )
    return mask


def find_freed(node: Any, key: str) -> list[str]:
    """The words that let a method, configured under a key, move columns of 0 and 1 as numbers; none where none does."""
    if not isinstance(node, Mapping):
        return []
    own = [f"{key}.{word}" for word in NUMBERS_MOVE] if "movable_columns" in node else []
    own += [f"{key}.mask=non_sensitive"] if "mask" in node else []
    return [*own, *(word for name, value in node.items() for word in find_freed(value, f"{key}.{name}"))]


def features(ctx: Context, *, norm: str, movable_columns: str, relax: bool) -> FeatureThreat:
    """The norm ball on the features; what may move is ``movable_columns`` (see ``movable``).

    Only continuous columns of them move, so that every x' is in the schema of the data; with ``relax`` binary and
    categorical ones move as if they were continuous, as published analyses of a model's linearity let them.
    """
    mask = movable(ctx.columns, movable_columns, ctx.scm.loc)
    if not relax:
        mask = _some(mask * movable(ctx.columns, "continuous", mask), f"{movable_columns} continuous")
    return FeatureThreat(Ball(norm), mask)


def pixels(ctx: Context, *, norm: str) -> PixelThreat:
    """The norm ball around images with pixels in [0, 1].

    Raises:
        ValueError: the data are no images.
    """
    if ctx.columns:
        raise ValueError(
            "this method moves pixels, and the data set is a table; choose one for tables, such as attack=pgd"
        )
    return PixelThreat(Ball(norm, events=3), ctx.scm.loc.new_ones(1, 1, 1))


def causal(ctx: Context, *, norm: str, twins: bool) -> CausalThreat:
    """The causal adversarial perturbation ball of the context's SCM.

    Raises:
        ValueError: there is no causal model.
    """
    if not ctx.scm.names:
        raise ValueError("this method needs a structural causal model, and images have none (scm=none)")
    return CausalThreat(ctx.scm, Ball(norm), twins, ctx.generator)


def everywhere(radius: Scalar) -> Epsilon:
    """Returns the same radius for every row, as an epsilon."""
    return lambda batch, _: radius * torch.ones_like(batch.w)


def ascend(
    damage: Damage,
    start: Tensor,
    radius: Tensor,
    threat: Threat,
    x: Tensor,
    *,
    steps: int,
    rel_step: Scalar,
    keep: Literal["best", "last"] = "best",
) -> tuple[Tensor, Tensor]:
    """Projected steepest ascent of the damage; the best perturbation that was visited, or the last, (c, n, *).

    delta <- project(delta + rel_step * radius * steepest(gradient)), from the projected start, on the
    coordinates of the threat's mask. Nothing here is part of the outer gradient. A step of 100 radii ends nearly where
    the ball is farthest along the gradient, whatever delta was: the generalized power method (Journee et al. 2010,
    arXiv 0811.4724), which never descends where the damage is convex.

    Args:
        damage: delta (c, n, *) -> (c, n).
        start: (c, n, *).
        radius: (n,), >= 0.
        threat: gives norm, mask and what the data allow.
        x: the rows (n, *) around which perturbations have to be legal.
        steps: gradient evaluations.
        rel_step: length of a step, as a share of the radius.
        keep: the best perturbation needs the damage of the last once more; the last, as in adversarial training, not.

    Returns:
        The perturbations, and of the best the damage (c, n): nan where none that was visited is a number, and of the
        last, whose damage is not computed.
    """
    ball, mask = threat.ball, threat.mask
    step = ball.spread(rel_step * radius)

    def inside(delta: Tensor) -> Tensor:
        return threat.legal(x, ball.project(delta, radius))

    with torch.no_grad():
        delta = inside(start * mask)
        best, best_value = delta, torch.full(delta.shape[: delta.ndim - ball.events], -torch.inf).to(delta)
        for _ in range(steps):
            gradient, value = slope(damage, delta)
            if keep == "best":
                best, best_value = _better(delta, value, best, best_value, ball)
            delta = inside(delta + step * ball.steepest(gradient * mask))
        if keep == "best":
            delta, best_value = _better(delta, damage(delta), best, best_value, ball)
        return delta, best_value.masked_fill(best_value == -torch.inf, torch.nan)


def slope(damage: Damage, delta: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient (c, n, *) of the damage at delta and the damage (c, n), both detached.

    Differentiates with respect to delta alone, so that no work goes into gradients of weights.
    """
    with torch.enable_grad():
        point = delta.detach().requires_grad_()
        with of_inputs_alone():
            value = damage(point)
        if not value.requires_grad:  # the damage does not depend on delta
            return torch.zeros_like(point), value
        (gradient,) = torch.autograd.grad(value.sum(), point, allow_unused=True, materialize_grads=True)
    return gradient, value.detach()


def _better(delta: Tensor, value: Tensor, best: Tensor, best_value: Tensor, ball: Ball) -> tuple[Tensor, Tensor]:
    improved = value > best_value
    return torch.where(ball.spread(improved), delta, best), torch.where(improved, value, best_value)


def of_candidates(predict: Predict, ball: Ball) -> Predict:
    """The model on candidates (c, n, *) -> (c, n, k), also where it takes one batch (n, *) alone, as of images."""
    if ball.events == 1:
        return predict

    def answer(x: Tensor) -> Tensor:
        return predict(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    return answer


def pull_back(gradient: Tensor, threat: Threat, reach: Reach, x: Tensor) -> Tensor:
    """The gradient (n, *) by delta at 0 of what has that gradient (n, *) by x' = reach(delta), for one candidate.

    Others may differentiate it again by what ``gradient`` depends on.
    """
    if isinstance(threat, CausalThreat) and threat.scm.known is not None:
        slopes = threat.scm.known.find(latent_slopes, threat.scm, x)
        if slopes is not None:
            return (slopes.unflatten(-1, (x.shape[-1], -1)) * gradient.unsqueeze(-1)).sum(-2)
    with torch.enable_grad():
        start = threat.zero(x).requires_grad_()
        along = (reach(start) * gradient).sum()  # torch imports sympy for gradients of more than one number
        (found,) = torch.autograd.grad(along, start, create_graph=True, materialize_grads=True)
    return found.squeeze(0)


def worst(x: Tensor, value: Tensor) -> Tensor:
    """Returns the candidate of largest value for each row: x (c, n, *), value (c, n) -> (n, *)."""
    chosen = value.argmax(0)
    return x.take_along_dim(chosen.reshape(1, *chosen.shape, *(1,) * (x.ndim - value.ndim)), 0).squeeze(0)


def check_budget(threat: Threat, x: Tensor, moved: Tensor, radius: Tensor) -> None:
    """An attack cannot cheat: x' (n, *) must lie in the threat's set around x (n, *).

    Raises:
        AssertionError: a frozen column moved, a sensitive level does not exist (without twins: changed), a value is
            not finite, or the perturbation is longer than the radius (closed ball, float tolerance).
    """
    origin = x
    if isinstance(threat, FeatureThreat):
        delta = moved - x
        if not torch.equal(delta * (1 - threat.mask), torch.zeros_like(delta)):
            raise AssertionError("an attack moved a column that its threat freezes")
    elif isinstance(threat, CausalThreat):
        scm, origin = threat.scm, threat.scm.own(x)
        attributes = scm.own(moved)[..., list(scm.sensitive)]
        levels = scm.levels.reshape(-1, *(1,) * (x.ndim - 1), len(scm.sensitive))
        allowed = levels if threat.twins else origin[..., list(scm.sensitive)].unsqueeze(0)
        if not torch.isclose(attributes, allowed, atol=1e-5).all(-1).any(0).all():
            raise AssertionError("an attack gave a sensitive attribute a level that its threat does not reach")
        shift = least_shift(scm, x, moved)
        delta = torch.where(scm.unit > 0, shift / scm.unit, 0)
    else:
        delta = moved - x
        if not ((moved >= 0) & (moved <= 1)).all():
            raise AssertionError("an attack left the pixels' range [0, 1]")
    excess = threat.ball.size(delta).reshape(radius.shape) - radius
    magnitude = origin.reshape(*radius.shape, -1).abs().amax(-1)
    rounding = ROUNDING * torch.finfo(x.dtype).eps * (1 + magnitude + radius)
    if threat.ball.norm == "l1":  # a rounding for every coordinate
        rounding = rounding * math.sqrt(delta.numel() / max(1, radius.numel()))
    if not (excess <= rounding).all():
        raise AssertionError(f"an attack left its ball by {float(excess.max()):.2g}")
