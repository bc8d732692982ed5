"""Unfair areas: the share of individuals whose decision changes inside their causal perturbation ball.

Ehyaei et al. 2024 (arXiv 2308.08938), section 5. Both estimators are lower bounds of the true area: random
search as published, and a gradient attack in the semi-latent coordinates. Radii are in the SCM's radius unit.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from utils import seeding
from utils.radius import radius_value
from utils.scms.counterfactual import draw, factual_level, twins
from utils.threats import Ball, CausalThreat, ascend, every_candidate
from utils.types import SCM, Batch, Context, Predict

ROWS = 8192  # a forward pass: its activations stay in the cache
BLOCK = 250  # random points between two looks at who is decided

Margin = Callable[[Tensor, Tensor], Tensor]  # x (c, n, d) and levels that broadcast to (c, n) -> margin (c, n)


class Individuals(NamedTuple):
    """People under test: their features, decisions, and the decisions of their twins."""

    x: Tensor  # (n, d)
    favourable: Tensor  # (n,) decided as class 1
    factual: Tensor  # (L, n) which twin is the individual
    flips: Tensor  # (L, n) twins decided otherwise


def unfair_area(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    radii: Sequence[str | float],
    individuals: Literal["rows", "scm"],
    n: int,
    samples: int,
    steps: int,
    rel_step: float,
    estimators: Literal["separate", "union"],
) -> dict[str, float | None]:
    """Unfair areas at every radius, and at radius 0 (counterfactual fairness).

    ``uai_cf``: some twin is decided otherwise; ``counterfactual_flip_rate``: mean share of the other twins that
    are. ``uai_<radius>``: some point within the radius of some twin is decided otherwise, found by either
    estimator; ``uai_ar_<radius>``: the same around the individual alone (causal robustness). The raw figures are
    ``uai_random_<radius>``, ``uai_gradient_<radius>`` and ``uai_ar_random_…``, ``uai_ar_gradient_…``. The sets
    are nested in the radius, so an individual found unfair at one counts at every larger one.

    Args:
        predict: a two-class model.
        batch: the rows to judge with ``individuals="rows"``.
        ctx: gives SCM, decision and seed.
        radii: in the SCM's radius unit.
        individuals: "rows" of the batch, or "scm": n fresh draws of the SCM, as published.
        n: number of fresh draws.
        samples: random points per twin, one sample of directions shared by all.
        steps: gradient evaluations per radius.
        rel_step: length of a gradient step, as a share of the radius.
        estimators: "separate" runs each in full; "union" searches at random only around those whom the gradient
            left undecided, and leaves out the raw random figures.

    Raises:
        ValueError: another word for individuals or estimators, or no sample.
    """
    if samples < 1:
        raise ValueError(f"evaluation samples={samples}: expected at least 1 random point per twin")
    if individuals not in ("rows", "scm"):
        raise ValueError(f"evaluation individuals={individuals!r} is not known; choose rows or scm")
    if estimators not in ("separate", "union"):
        raise ValueError(f"evaluation estimators={estimators!r} is not known; choose separate or union")
    x = batch.x if individuals == "rows" else draw(ctx.scm, n, seeding.rng(ctx.seed, "individuals"))
    threat = CausalThreat(ctx.scm, Ball("l2"), twins=True)
    directions = _directions(threat, samples, ctx.seed)

    def margin(moved: Tensor, level: Tensor) -> Tensor:
        return ctx.decide.margin(every_candidate(predict, moved), level)

    with torch.no_grad():
        people = _individuals(ctx.scm, x, margin)
        gradient = random = people.flips
        found = _counterfactual_figures(people)
        for radius in sorted(radii, key=radius_value):
            r = radius_value(radius)
            gradient = gradient | _by_gradient(people, margin, threat, r, steps=steps, rel_step=rel_step)
            if estimators == "union":
                random = gradient | random
            random = _by_random(people, margin, ctx.scm, r * directions, random)
            found |= _figures("", radius, gradient | random, people)
            found |= _figures("gradient_", radius, gradient, people)
            if estimators == "separate":
                found |= _figures("random_", radius, random, people)
    return found


def _every_level(scm: SCM) -> Tensor:
    """Indices (L, 1) of the sensitive levels in order, which broadcast over individuals."""
    return torch.arange(len(scm.levels), device=scm.levels.device).unsqueeze(1)


def _individuals(scm: SCM, x: Tensor, margin: Margin) -> Individuals:
    level = _every_level(scm)
    factual = level == factual_level(scm, x)
    # the individual itself is in its ball, to the bit
    others = torch.where(factual.unsqueeze(-1), x, twins(scm, x))
    favourable = margin(others, level) >= 0
    own = (favourable & factual).any(0)
    return Individuals(x, own, factual, favourable != own)


def _directions(threat: CausalThreat, samples: int, seed: int) -> Tensor:
    """One sample (samples, d) from the unit ball of the non-sensitive coordinates."""
    like = threat.mask.expand(samples, -1)
    return threat.ball.uniform(like, threat.mask, seeding.generator(seed, "directions"))


def _by_gradient(
    people: Individuals, margin: Margin, threat: CausalThreat, radius: float, *, steps: int, rel_step: float
) -> Tensor:
    """Which balls (L, n) around the twins hold a flip that projected gradient ascent finds."""

    level = _every_level(threat.scm)

    def flips(x: Tensor, favourable: Tensor) -> Tensor:
        reach, zero = threat.at(x), threat.zero(x)
        towards_flip = torch.where(favourable, -1.0, 1.0).to(x)
        delta = ascend(
            lambda d: margin(reach(d), level) * towards_flip,
            zero,
            x.new_full((len(x),), radius),
            threat,
            steps=steps,
            rel_step=rel_step,
        )
        return (margin(reach(delta), level) >= 0) != favourable

    size = max(1, ROWS // len(people.factual))
    pairs = zip(people.x.split(size), people.favourable.split(size), strict=True)
    return torch.cat([flips(x, favourable) for x, favourable in pairs], 1)


def _by_random(
    people: Individuals,
    margin: Margin,
    scm: SCM,
    points: Tensor,
    flips: Tensor,
) -> Tensor:
    """Which balls (L, n) hold a flip among the points, given the flips known already.

    A ball is searched while its answer matters: the individual's own until it flips, a twin's until any does.
    """
    noise = scm.to_noise(scm.own(people.x))
    flips = flips.clone()
    for block in (points * scm.unit).split(BLOCK):
        undecided = ~flips & (people.factual | ~flips.any(0))
        for pair in undecided.nonzero().split(max(1, ROWS // len(block))):
            level, row = pair.unbind(1)
            do = {column: scm.levels[level, j] for j, column in enumerate(scm.sensitive)}
            moved = scm.model(scm.to_features(noise[row] + block.unsqueeze(1), do))
            flips[level, row] = ((margin(moved, level) >= 0) != people.favourable[row]).any(0)
    return flips


def _counterfactual_figures(people: Individuals) -> dict[str, float | None]:
    others = (~people.factual).sum(0).clamp_min(1)
    return {
        "uai_cf": _share(people.flips.any(0)),
        "counterfactual_flip_rate": float((people.flips.sum(0) / others).double().mean()),
    }


def _figures(estimator: str, radius: str | float, flips: Tensor, people: Individuals) -> dict[str, float]:
    return {
        f"uai_{estimator}{radius}": _share(flips.any(0)),
        f"uai_ar_{estimator}{radius}": _share((flips & people.factual).any(0)),
    }


def _share(unfair: Tensor) -> float:
    return float(unfair.double().mean())
