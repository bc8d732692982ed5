"""Unfair areas: the share of individuals whose decision changes inside their causal perturbation ball.

Ehyaei et al. 2024 (arXiv 2308.08938), section 5. Both estimators are lower bounds of the true area: random
search as published, and a gradient attack in the semi-latent coordinates. Radii are in the SCM's radius unit.

Where the noise of discrete nodes is a posterior, a row has as many sets of twins as the SCM says, its draws. A figure
is then the mean over rows and draws, ``uai_any_...`` the share of rows with any draw of that kind.
"""

import re
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal

import torch
from torch import Tensor

from utils.adversary.ball_bounds import find_doubtful
from utils.adversary.ball_search import Search
from utils.adversary.causal_balls import Individuals, choose_individuals, judge_twins
from utils.metrics.bootstrap import of_means
from utils.metrics.directions import Key
from utils.types import Batch, Context, Figures, Predict, Radii

KEYS = {
    "uai": Key(-1, "unfair area", "share of individuals", headline=4, causal=True),
    "uai_cf": Key(-1, "counterfactually unfair area", "share of individuals", headline=4, causal=True),
    "uai_any": Key(-1, "unfair area in any draw of the twins", "share of individuals", causal=True),
    "uai_cf_any": Key(-1, "counterfactually unfair area in any draw", "share of individuals", causal=True),
    "uai_least": Key(-1, "least unfair area of several causal models", "share of individuals", causal=True),
    "uai_most": Key(-1, "largest unfair area of several causal models", "share of individuals", causal=True),
    "uai_cf_least": Key(
        -1, "least counterfactually unfair area of several causal models", "share of individuals", causal=True
    ),
    "uai_cf_most": Key(
        -1, "largest counterfactually unfair area of several causal models", "share of individuals", causal=True
    ),
    "uai_refits": Key(-1, "mean unfair area over refits of the causal model", "share of individuals", causal=True),
    "uai_cf_refits": Key(
        -1, "mean counterfactually unfair area over refits of the causal model", "share of individuals", causal=True
    ),
    "uai_mcse": Key(0, "Monte Carlo standard error of the unfair area", causal=True),
    "uai_cf_mcse": Key(0, "Monte Carlo standard error of the counterfactually unfair area", causal=True),
    "uai_ar": Key(-1, "non-robust area", "share of individuals", headline=5, causal=True),
    "uai_random": Key(-1, "unfair area found by random search", "share of individuals", causal=True),
    "uai_gradient": Key(-1, "unfair area found by the gradient attack", "share of individuals", causal=True),
    "uai_ar_random": Key(-1, "non-robust area found by random search", "share of individuals", causal=True),
    "uai_ar_gradient": Key(-1, "non-robust area found by the gradient attack", "share of individuals", causal=True),
    "counterfactual_flip_rate": Key(-1, "labels that change with the group", "share of counterfactuals", causal=True),
}
KEPT = 1 << 27  # numbers of twins that are made at a time
BALLS = 8192  # that are in memory together where there are several draws


def unfair_area(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    radii: Radii,
    individuals: Literal["rows", "scm"],
    n: int,
    rows: int | None,
    samples: int,
    steps: int,
    rel_step: float,
    restarts: int,
    estimators: Literal["separate", "union", "random"],
    intervals: int,
    level: float,
) -> Figures | Sequence[Figures]:
    """Unfair areas at every radius, and at radius 0 (counterfactual fairness).

    ``uai_cf``: some twin is decided otherwise; ``counterfactual_flip_rate``: mean share of the other twins that
    are. ``uai_<radius>``: some point within the radius of some twin is decided otherwise, found by either
    estimator; ``uai_ar_<radius>``: the same around the individual alone (causal robustness). The raw figures are
    ``uai_random_<radius>``, ``uai_gradient_<radius>`` and ``uai_ar_random_…``, ``uai_ar_gradient_…``. The sets
    are nested in the radius, so an individual found unfair at one counts at every larger one. ``<key>_low`` and
    ``<key>_high`` are the interval over individuals.

    With several draws of the noise ``uai_any_<radius>`` and ``uai_cf_any`` count the individuals that are unfair in
    any of them, and ``uai_mcse_<radius>`` and ``uai_cf_mcse`` are the standard errors that are due to the draws. Twins
    are judged as they are and with their whole numbers rounded, where the SCM says which columns hold such.

    Args:
        predict: a two-class model.
        batch: the rows to judge with ``individuals="rows"``.
        ctx: gives SCM, decision and seed.
        radii: in the SCM's radius unit.
        individuals: "rows" of the batch, or "scm": n fresh draws of the SCM, as published.
        n: number of fresh draws.
        rows: the most individuals that are judged, the first of them; None: MOST, or as have MOST_DRAWN twins of
            MOST_NUMBERS.
        samples: random points per twin, one sample of directions shared by all.
        steps: gradient evaluations per radius.
        rel_step: length of a gradient step, as a share of the radius.
        restarts: starts of the gradient attack, >= 1: the twins, then points drawn in the ball, from which it starts
            anew around those whom it left undecided.
        estimators: "separate" runs each in full; "union" searches at random only around those whom the gradient
            left undecided, and leaves out the raw random figures; "random" searches at random alone, for models
            without a gradient, and leaves out the raw gradient figures.
        intervals: bootstrap draws.
        level: of the intervals, in (0, 1).

    Raises:
        ValueError: another word for individuals or estimators, no sample, or no start.
    """
    if samples < 1:
        raise ValueError(f"evaluation samples={samples}: expected at least 1 random point per twin")
    if restarts < 1:
        raise ValueError(f"evaluation restarts={restarts}: expected at least 1 start, the twins")
    if individuals not in ("rows", "scm"):
        raise ValueError(f"evaluation individuals={individuals!r} is not known; choose rows or scm")
    if estimators not in ("separate", "union", "random"):
        raise ValueError(f"evaluation estimators={estimators!r} is not known; choose separate, union or random")
    search = Search(predict, ctx, samples, steps, rel_step, restarts)
    with torch.no_grad():
        x, index, draws = choose_individuals(batch, ctx, individuals, n, rows)
        size = max(1, KEPT // (len(ctx.scm.levels) * x[..., :1, :].numel()))  # of the twins of a part of the rows
        if draws > 1:
            size = max(1, BALLS // (draws * len(ctx.scm.levels) * max(1, len(ctx.each))))
        parts = [
            _flips_by_radius(search, judge_twins(predict, ctx, own, of, draws), radii, estimators)
            for own, of in zip(x.split(size, -2), index.split(size, -1), strict=True)
        ]
        found = {key: torch.cat([_by_draw(part[key], draws) for part in parts], -1) for key in parts[0]}
    if draws == 1:
        return of_means({key: of.squeeze(-2) for key, of in found.items()}, intervals, level, ctx)
    return ctx.of_each(
        lambda own, *values: _of_draws(dict(zip(found, values, strict=True)), intervals, level, own), *found.values()
    )


def _flips_by_radius(
    search: Search, people: Individuals, radii: Radii, estimators: Literal["separate", "union", "random"]
) -> dict[str, Tensor]:
    """Returns by metric a value for each individual and draw (..., n)."""
    gradient = random = people.flips
    found, doubtful = _counterfactual_figures(people), find_doubtful(search, people, list(radii.values()))
    for spelling, r in sorted(radii.items(), key=itemgetter(1)):
        if estimators != "random":
            gradient = search.by_gradient(people, r, gradient, doubtful[r].anywhere)
        if estimators == "union":
            random = gradient | random
        random = search.at_random(people, r, random | doubtful[r].surely, doubtful[r].at_points)
        found |= _figures("", spelling, gradient | random, people)
        if estimators != "random":
            found |= _figures("gradient_", spelling, gradient, people)
        if estimators != "union":
            found |= _figures("random_", spelling, random, people)
    return found


def _by_draw(values: Tensor, draws: int) -> Tensor:
    """Values of individuals and draws (..., draws * n) as (..., draws, n)."""
    return values.unflatten(-1, (draws, -1))


def _of_draws(values: Mapping[str, Tensor], intervals: int, level: float, ctx: Context) -> Figures:
    """The figures of one model from the values of all individuals in several draws (draws, n)."""
    draws = len(next(iter(values.values())))
    shares = {key: of.double().mean(0) for key, of in values.items() if not of.is_floating_point()}
    means = shares | {key: of.double().mean(0) for key, of in values.items() if of.is_floating_point()}
    headlines = {key: re.fullmatch(r"uai(_cf|)(_\d.*|)", key) for key in shares}
    found: Any = of_means(
        means | {f"uai{of[1]}_any{of[2]}": values[key].any(0) for key, of in headlines.items() if of},
        intervals,
        level,
        ctx,
        averages=shares.keys(),
    )
    for key, of in headlines.items():
        if of:
            found[f"uai{of[1]}_mcse{of[2]}"] = _monte_carlo_error(shares[key], draws)
    return found


def _monte_carlo_error(shares: Tensor, draws: int) -> float:
    """The standard error of the mean of shares (n,), each of so many draws of its own."""
    return float((shares * (1 - shares) / (draws - 1)).sum().sqrt()) / len(shares)


def _counterfactual_figures(people: Individuals) -> dict[str, Tensor]:
    """Returns by metric a value for each individual (..., n), whose mean is the figure."""
    others = (~people.factual).sum(0).clamp_min(1)
    return {"uai_cf": people.flips.any(0), "counterfactual_flip_rate": people.flips.sum(0) / others}


def _figures(estimator: str, radius: str, flips: Tensor, people: Individuals) -> dict[str, Tensor]:
    return {
        f"uai_{estimator}{radius}": flips.any(0),
        f"uai_ar_{estimator}{radius}": (flips & people.factual).any(0),
    }
