"""Unfair areas: the share of individuals whose decision changes inside their causal perturbation ball.

Ehyaei et al. 2024 (arXiv 2308.08938), section 5. Both estimators are lower bounds of the true area: random
search as published, and a gradient attack in the semi-latent coordinates. Radii are in the SCM's radius unit.

Where the noise of discrete nodes is a posterior, a row has as many sets of twins as the SCM says, its draws. A figure
is then the mean over rows and draws, ``uai_any_...`` the share of rows with any draw of that kind.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from utils import seeding
from utils.adversary.bounds import Twins, ball, bounds_over, box, by_drawn_noise, counterfactuals, has_bounds
from utils.adversary.taylor import NoBoundsError, Taylor
from utils.metrics.bootstrap import of_means
from utils.metrics.directions import Key
from utils.metrics.intervals import Measured
from utils.scms.counterfactual import abduct, chances_of_draws, draw, every_level, interventions, is_factual
from utils.threats import Ball, CausalThreat, ascend
from utils.types import SCM, Batch, Context, Figures, Predict, Radii

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
    "uai_mcse": Key(0, "Monte Carlo standard error of the unfair area", causal=True),
    "uai_cf_mcse": Key(0, "Monte Carlo standard error of the counterfactually unfair area", causal=True),
    "uai_ar": Key(-1, "non-robust area", "share of individuals", headline=5, causal=True),
    "uai_random": Key(-1, "unfair area found by random search", "share of individuals", causal=True),
    "uai_gradient": Key(-1, "unfair area found by the gradient attack", "share of individuals", causal=True),
    "uai_ar_random": Key(-1, "non-robust area found by random search", "share of individuals", causal=True),
    "uai_ar_gradient": Key(-1, "non-robust area found by the gradient attack", "share of individuals", causal=True),
    "counterfactual_flip_rate": Key(-1, "labels that change with the group", "share of counterfactuals", causal=True),
}
ROWS = 8192  # a forward pass: its activations stay in the cache
BOUNDED = 512  # balls that are bounded together, for the same reason
SLOPES = 1 << 22  # numbers (d, p, d) that their bounds are made of, at the most
WIDEST = 256  # columns; with more of them the bounds of a ball cost more than the points that they spare
PUSHED = 32768  # points that are pushed through structural equations together: they stay in the cache
KEPT = 1 << 27  # numbers of twins that are made at a time, and of bounds that are kept for the next model of a stack
MOST = 10_000  # individuals that are judged
MOST_DRAWN = 64_000  # their twins, each draw one: 2,000 individuals of 16 draws and two levels
MOST_NUMBERS = 1 << 23  # of their twins at one draw: fewer individuals where columns times levels are above 838
FEWEST = 200  # individuals, however many twins they have
BALLS = 8192  # that are in memory together where there are several draws
BLOCK = 250  # random points between two looks at who is decided

LogitMargin = Callable[[Tensor, Tensor], Tensor]  # logits (..., 1), levels (...) -> margin (...), growing in the logit


class Individuals(NamedTuple):
    """People under test: their features, decisions, and the decisions of their twins; a person once for each draw."""

    x: Tensor  # (n, d)
    noise: Tensor  # (L, n, d) of the twins, the SCM's own units
    favourable: Tensor  # (n,) decided as class 1
    factual: Tensor  # (L, n) which twin is the individual
    flips: Tensor  # (L, n) twins decided otherwise

    def rows(self, keep: Tensor) -> "Individuals":
        """Some of them, by their numbers."""
        x, noise = self.x[..., keep, :], self.noise[..., keep, :]
        return Individuals(x, noise, self.favourable[..., keep], self.factual[..., keep], self.flips[..., keep])


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
    gradient = partial(_by_gradient, predict=predict, ctx=ctx, steps=steps, rel_step=rel_step, restarts=restarts)
    search = partial(_flips_by_radius, predict, ctx, radii, gradient, samples=samples, estimators=estimators)
    with torch.no_grad():
        x, index, draws = choose_individuals(batch, ctx, individuals, n, rows)
        size = max(1, KEPT // (len(ctx.scm.levels) * x[..., :1, :].numel()))  # of the twins of a part of the rows
        if draws > 1:
            size = max(1, BALLS // (draws * len(ctx.scm.levels) * max(1, len(ctx.each))))
        parts = [
            search(_individuals(predict, ctx, own, of, draws))
            for own, of in zip(x.split(size, -2), index.split(size, -1), strict=True)
        ]
        found = {key: torch.cat([_by_draw(part[key], draws) for part in parts], -1) for key in parts[0]}
    return ctx.of_each(
        lambda own, *values: _measure(dict(zip(found, values, strict=True)), intervals, level, own), *found.values()
    )


def choose_individuals(
    batch: Batch, ctx: Context, individuals: Literal["rows", "scm"], n: int, rows: int | None
) -> tuple[Tensor, Tensor, int]:
    """The individuals (n, d) that are judged, of a stack (m, n, d), their numbers and the draws of their noise.

    The arguments are those of ``unfair_area``.
    """
    x, index = (batch.x, batch.index) if individuals == "rows" else _fresh(ctx, n)
    draws = ctx.scm.draws if ctx.scm.posterior else 1
    levels = len(ctx.scm.levels)
    many = MOST if draws == 1 else min(MOST, MOST_DRAWN // (draws * levels))
    most = rows or max(FEWEST, min(many, MOST_NUMBERS // (levels * x.shape[-1])))
    return x[..., :most, :], index[..., :most], draws


def _flips_by_radius(
    predict: Predict,
    ctx: Context,
    radii: Radii,
    climb: Callable[[Individuals, float, Tensor], Tensor],
    people: Individuals,
    *,
    samples: int,
    estimators: Literal["separate", "union", "random"],
) -> dict[str, Tensor]:
    """Returns by metric a value for each individual and draw (..., n)."""
    gradient = random = people.flips
    found = _counterfactual_figures(people)
    for spelling, r in sorted(radii.items(), key=itemgetter(1)):
        if estimators != "random":
            gradient = climb(people, r, gradient)
        if estimators == "union":
            random = gradient | random
        random = _by_random_each(people, predict, ctx, r, random, samples=samples)
        found |= _figures("", spelling, gradient | random, people)
        if estimators != "random":
            found |= _figures("gradient_", spelling, gradient, people)
        if estimators != "union":
            found |= _figures("random_", spelling, random, people)
    return found


def _by_draw(values: Tensor, draws: int) -> Tensor:
    """Values of individuals and draws (..., draws * n) as (..., draws, n)."""
    return values.unflatten(-1, (draws, -1))


def _measure(values: Mapping[str, Tensor], intervals: int, level: float, ctx: Context) -> Measured:
    """The figures of one model from the values of all draws and individuals (draws, n)."""
    draws = len(next(iter(values.values())))
    if draws == 1:
        return of_means({key: of.squeeze(0) for key, of in values.items()}, intervals, level, ctx)
    shares = {key: of.double().mean(0) for key, of in values.items() if not of.is_floating_point()}
    means = shares | {key: of.double().mean(0) for key, of in values.items() if of.is_floating_point()}
    headlines = {key: re.fullmatch(r"uai(_cf|)(_\d.*|)", key) for key in shares}
    found = of_means(
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


def _fresh(ctx: Context, n: int) -> tuple[Tensor, Tensor]:
    """n individuals (n, d) drawn from the SCM and their numbers (n,); of a stack (m, n, d) and (m, n)."""
    if ctx.each:
        rows, numbers = zip(*(_fresh(own, n) for own in ctx.each), strict=True)
        return torch.stack(rows), torch.stack(numbers)
    x = draw(ctx.scm, n, seeding.rng(ctx.own_seed, "individuals"))
    return x, torch.arange(n, device=x.device)


def _individuals(predict: Predict, ctx: Context, x: Tensor, index: Tensor, draws: int) -> Individuals:
    """The individuals x (..., n, d), every one ``draws`` times: the first draw of all, then the second, ..."""
    scm, chance = ctx.scm, _chances(ctx, x, index, draws)
    if draws > 1:
        x = x.unsqueeze(-3).expand(*x.shape[:-2], draws, *x.shape[-2:]).flatten(-3, -2)
    level, factual, noise = every_level(scm, x), is_factual(scm, x), abduct(scm, x, chance)
    moved = scm.to_features(noise, interventions(scm, x))

    def is_favourable(others: Tensor) -> Tensor:
        # the individual itself is in its ball, to the bit
        return ctx.decide.margin(predict(torch.where(factual.unsqueeze(-1), x, scm.model(others))), level) >= 0

    favourable = is_favourable(moved)
    own = (favourable & factual).any(0)
    flips = favourable != own
    if scm.whole is not None:
        flips = flips | (is_favourable(scm.rounded(moved)) != own)
    return Individuals(x, noise, own, factual, flips)


def _chances(ctx: Context, x: Tensor, index: Tensor, draws: int) -> Tensor | None:
    """The numbers (c, ..., draws * n, d) by which noise is drawn; those of a row do not depend on the others."""
    if not ctx.scm.posterior:
        return None
    if ctx.each:
        each = [_chances(own, rows, of, draws) for own, rows, of in zip(ctx.each, x, index, strict=True)]
        return torch.stack([of for of in each if of is not None], 1)
    return chances_of_draws(ctx.scm, x, seeding.Rows(seeding.derive(ctx.own_seed, "posterior"), index), draws)


def _directions(threat: CausalThreat, samples: int, seed: int, purpose: str = "directions") -> Tensor:
    """One sample (samples, d) from the unit ball of the non-sensitive coordinates."""
    like = threat.mask.expand(samples, -1)
    return threat.ball.uniform(like, threat.mask, seeding.generator(seed, purpose))


def _by_gradient(
    people: Individuals,
    radius: float,
    flips: Tensor,
    *,
    predict: Predict,
    ctx: Context,
    steps: int,
    rel_step: float,
    restarts: int,
) -> Tensor:
    """Returns a mask (L, n) of the balls with a flip that projected gradient ascent finds, or that is known already.

    The first start is the twin. Further ones are shared by all balls that are left undecided, as the points of random
    search are.
    """
    climb = partial(_climb, predict=predict, ctx=ctx, steps=steps, rel_step=rel_step)
    flips = flips | climb(people, radius, None)
    for start in _starts(ctx, restarts - 1):
        rows = _find_undecided(people, flips).flatten(0, -2).any(0).nonzero().squeeze(-1)
        if len(rows):
            found = climb(people.rows(rows), radius, start)
            flips = flips.index_copy(-1, rows, flips[..., rows] | found)
    return flips


def _starts(ctx: Context, count: int) -> Iterable[Tensor]:
    """Points of the unit ball, (d,) or of a stack (m, 1, d) with those that each model has alone."""
    if not ctx.each:
        return _directions(_ball(ctx), count, ctx.own_seed, "starts").unbind(0)
    each = [torch.stack(of) for own in ctx.each if (of := tuple(_starts(own, count)))]
    return torch.stack(each, 1).unsqueeze(-2).unbind(0) if each else ()


def _climb(
    people: Individuals,
    radius: float,
    start: Tensor | None,
    *,
    predict: Predict,
    ctx: Context,
    steps: int,
    rel_step: float,
) -> Tensor:
    """Returns a mask (L, n) of the balls with a flip that ascent finds from one start, None that of the twins."""
    threat, level = _ball(ctx), every_level(ctx.scm, people.x)

    def margin(moved: Tensor, level: Tensor) -> Tensor:
        return ctx.decide.margin(predict(moved), level)

    def flips(x: Tensor, noise: Tensor, favourable: Tensor) -> Tensor:
        reach, zero = threat.around(noise), threat.zero(x)
        towards_flip = torch.where(favourable, -1.0, 1.0).to(x)
        delta = ascend(
            lambda d: margin(reach(d), level) * towards_flip,
            zero if start is None else zero + radius * start,
            x.new_full(x.shape[:-1], radius),
            threat,
            x,
            steps=steps,
            rel_step=rel_step,
        )
        return (margin(reach(delta), level) >= 0) != favourable

    size = max(1, ROWS // people.factual[..., 0].numel())
    parts = zip(people.x.split(size, -2), people.noise.split(size, -2), people.favourable.split(size, -1), strict=True)
    return torch.cat([flips(*part) for part in parts], -1)


def _ball(ctx: Context) -> CausalThreat:
    """The causal perturbation ball of the individuals."""
    return CausalThreat(ctx.scm, Ball("l2"), twins=True, source=ctx.generator)


def _by_random_each(
    people: Individuals, predict: Predict, ctx: Context, radius: float, flips: Tensor, *, samples: int
) -> Tensor:
    """Returns a mask of the balls with a flip among random points, model by model in a stack to search few of each."""
    if ctx.each:
        models: Sequence[Predict] = predict.each  # type: ignore[attr-defined]
        searches: list[Search] = []
        found = []
        for own, who, model, known in zip(ctx.each, _of_each(people), models, flips.unbind(1), strict=True):
            search = Search.around(who, own, radius, samples)
            search = next((s for s in searches if s.is_that_of(search)), search)  # runs of a seed share data and SCM
            searches.append(search)
            found.append(_by_random(who, model, own, search, known))
        return torch.stack(found, 1)
    return _by_random(people, predict, ctx, Search.around(people, ctx, radius, samples), flips)


def _of_each(people: Individuals) -> list[Individuals]:
    """The individuals of each model of a stack."""
    x, favourable = people.x.unbind(0), people.favourable.unbind(0)
    return list(
        map(Individuals, x, people.noise.unbind(1), favourable, people.factual.unbind(1), people.flips.unbind(1))
    )


class Search:
    """The random points of a search, and what the balls (L, n) around the individuals x can hold."""

    def __init__(self, x: Tensor, noise: Tensor, scm: SCM, directions: Tensor, radius: float):
        self.x, self.shifts = x, radius * directions * scm.unit
        self._noise, self._scm, self._radius = noise, scm, radius
        self._kept: list[tuple[Tensor, Taylor]] | None = None

    @classmethod
    def around(cls, people: Individuals, ctx: Context, radius: float, samples: int) -> "Search":
        """One sample of directions at a radius, shared by all balls of a model."""
        return cls(people.x, people.noise, ctx.scm, _directions(_ball(ctx), samples, ctx.own_seed), radius)

    def is_that_of(self, other: "Search") -> bool:
        """Returns whether the balls of both hold the same features."""
        alike = self._scm is other._scm and torch.equal(self.shifts, other.shifts)
        return alike and torch.equal(self.x, other.x) and torch.equal(self._noise, other._noise)

    def balls(self) -> Iterable[tuple[Tensor, Taylor]]:
        """Features (q, d) of balls, some of them at a time, with the ball (q, 2) of each, as level and row.

        Those of a ball hold the features that it can hold; where equations have no bounds, those of its points.
        """
        if self._kept is not None:
            return self._kept
        every = torch.ones(len(self._scm.levels), len(self.x), device=self.x.device).nonzero()
        columns = self.x.shape[-1]
        size = min(BOUNDED, max(1, SLOPES // columns**2))
        parts = (self._boxes(part) for part in every.split(size))
        if len(every) * columns**2 > KEPT:
            return parts
        self._kept = list(parts)
        return self._kept

    def _boxes(self, pair: Tensor) -> tuple[Tensor, Taylor]:
        level, row = pair.unbind(1)
        twins = Twins(self._scm.own(self.x[row]), self._noise[level, row], level)
        domain = ball(self._scm, self.x.new_full(level.shape, self._radius), "l2")
        try:
            found = counterfactuals(self._scm, twins, domain, by_drawn_noise(twins))
        except NoBoundsError:
            return pair, self._box_of_points(twins)
        return pair[found.row], found.features

    def _box_of_points(self, twins: Twins) -> Taylor:
        """The box (p, d) of the features of the shifted twins."""
        scm, do = self._scm, twins.do(self._scm)
        ends = []
        for rows in torch.arange(len(twins.level), device=self.x.device).split(max(1, PUSHED // len(self.shifts))):
            noise = twins.noise[rows] + self.shifts.unsqueeze(1)
            ends.append(
                torch.stack(scm.model(scm.to_features(noise, {i: v[rows] for i, v in do.items()})).aminmax(dim=0))
            )
        low, high = torch.cat(ends, 1)
        return box((low + high) / 2, (high - low) / 2)


def _by_random(people: Individuals, predict: Predict, ctx: Context, search: Search, flips: Tensor) -> Tensor:
    """Returns a mask (L, n) of the balls with a flip among the points of a search, given the flips known already.

    A ball is searched while its answer matters: the individual's own until it flips, a twin's until any does; and
    only where bounds of the network leave room for a flip.
    """
    flips, scm, margin = flips.clone(), ctx.scm, ctx.decide.margin
    columns = people.x.shape[-1]
    proofs = columns <= WIDEST and ctx.decide.monotone and has_bounds(predict, columns)
    doubtful = _doubtful(people, predict, margin, search) if proofs else torch.ones_like(flips)
    for block in search.shifts.split(BLOCK):
        for pair in (doubtful & _find_undecided(people, flips)).nonzero().split(max(1, ROWS // len(block))):
            level, row = pair.unbind(1)
            moved = scm.model(scm.to_features(people.noise[level, row] + block.unsqueeze(1), _do(scm, level)))
            decided = margin(predict(moved), level) >= 0
            flips[level, row] = (decided != people.favourable[row]).any(0)
    return flips


def _find_undecided(people: Individuals, flips: Tensor) -> Tensor:
    return ~flips & (people.factual | ~flips.any(0))


def _do(scm: SCM, level: Tensor) -> dict[int, Tensor]:
    """The intervention of each ball, by the index (p,) of its level."""
    return {column: scm.levels[level, j] for j, column in enumerate(scm.sensitive)}


def _doubtful(people: Individuals, predict: Predict, margin: LogitMargin, search: Search) -> Tensor:
    """Returns a mask of the balls (L, n) that no bound of the network proves to be without a flip."""
    doubtful = torch.zeros_like(people.flips)
    for pair, features in search.balls():
        level, row = pair.unbind(1)
        lower, upper = (margin(bound, level) for bound in bounds_over(predict, features))
        proven = torch.where(people.favourable[row], lower >= 0, upper < 0)
        doubtful[level[~proven], row[~proven]] = True
    return doubtful


def _counterfactual_figures(people: Individuals) -> dict[str, Tensor]:
    """Returns by metric a value for each individual (..., n), whose mean is the figure."""
    others = (~people.factual).sum(0).clamp_min(1)
    return {"uai_cf": people.flips.any(0), "counterfactual_flip_rate": people.flips.sum(0) / others}


def _figures(estimator: str, radius: str, flips: Tensor, people: Individuals) -> dict[str, Tensor]:
    return {
        f"uai_{estimator}{radius}": flips.any(0),
        f"uai_ar_{estimator}{radius}": (flips & people.factual).any(0),
    }
