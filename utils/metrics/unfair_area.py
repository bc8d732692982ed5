"""Unfair areas: the share of individuals whose decision changes inside their causal perturbation ball.

Ehyaei et al. 2024 (arXiv 2308.08938), section 5. Both estimators are lower bounds of the true area: random
search as published, and a gradient attack in the semi-latent coordinates. Radii are in the SCM's radius unit.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from utils import seeding
from utils.adversary.bounds import Neurons, bounds_over, counterfactuals, has_bounds
from utils.metrics.bootstrap import of_means
from utils.metrics.directions import Key
from utils.scms.counterfactual import draw, factual_level, twins
from utils.threats import Ball, CausalThreat, ascend
from utils.types import SCM, Batch, Context, Figures, Predict, Radii

KEYS = {
    "uai": Key(-1, "unfair area", "share of individuals", headline=4, causal=True),
    "uai_cf": Key(-1, "counterfactually unfair area", "share of individuals", headline=4, causal=True),
    "uai_ar": Key(-1, "non-robust area", "share of individuals", headline=5, causal=True),
    "uai_random": Key(-1, "unfair area found by random search", "share of individuals", causal=True),
    "uai_gradient": Key(-1, "unfair area found by the gradient attack", "share of individuals", causal=True),
    "uai_ar_random": Key(-1, "non-robust area found by random search", "share of individuals", causal=True),
    "uai_ar_gradient": Key(-1, "non-robust area found by the gradient attack", "share of individuals", causal=True),
    "counterfactual_flip_rate": Key(-1, "labels that change with the group", "share of counterfactuals", causal=True),
    "fair_certified": Key(1, "certified fair", "share of individuals", causal=True),  # by tools whose records are read
    "unfair_certified": Key(-1, "certified unfair", "share of individuals", causal=True),
}
ROWS = 8192  # a forward pass: its activations stay in the cache
BOUNDED = 512  # balls that are bounded together, for the same reason
SLOPES = 1 << 22  # numbers (d, p, d) that their bounds are made of, at the most
WIDEST = 256  # columns; with more of them the bounds of a ball cost more than the points that they spare
KEPT = 1 << 27  # numbers of twins that are made at a time, and of bounds that are kept for the next model of a stack
BLOCK = 250  # random points between two looks at who is decided

Margin = Callable[[Tensor, Tensor], Tensor]  # x (c, n, d) and levels that broadcast to (c, n) -> margin (c, n)
LogitMargin = Callable[[Tensor, Tensor], Tensor]  # logits (..., 1), levels (...) -> margin (...), growing in the logit


class Individuals(NamedTuple):
    """People under test: their features, decisions, and the decisions of their twins."""

    x: Tensor  # (n, d)
    noise: Tensor  # (n, d) abducted, the SCM's own units
    favourable: Tensor  # (n,) decided as class 1
    factual: Tensor  # (L, n) which twin is the individual
    flips: Tensor  # (L, n) twins decided otherwise


def unfair_area(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    radii: Radii,
    individuals: Literal["rows", "scm"],
    n: int,
    samples: int,
    steps: int,
    rel_step: float,
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
            left undecided, and leaves out the raw random figures; "random" searches at random alone, for models
            without a gradient, and leaves out the raw gradient figures.
        intervals: bootstrap draws.
        level: of the intervals, in (0, 1).

    Raises:
        ValueError: another word for individuals or estimators, or no sample.
    """
    if samples < 1:
        raise ValueError(f"evaluation samples={samples}: expected at least 1 random point per twin")
    if individuals not in ("rows", "scm"):
        raise ValueError(f"evaluation individuals={individuals!r} is not known; choose rows or scm")
    if estimators not in ("separate", "union", "random"):
        raise ValueError(f"evaluation estimators={estimators!r} is not known; choose separate, union or random")
    threat = CausalThreat(ctx.scm, Ball("l2"), twins=True)

    def margin(moved: Tensor, level: Tensor) -> Tensor:
        return ctx.decide.margin(predict(moved), level)

    with torch.no_grad():
        x = batch.x if individuals == "rows" else _fresh(ctx, n)
        people = _individuals(ctx.scm, x, margin)
        gradient = random = people.flips
        found = _counterfactual_figures(people)
        for spelling, r in sorted(radii.items(), key=itemgetter(1)):
            if estimators != "random":
                gradient = gradient | _by_gradient(people, margin, threat, r, steps=steps, rel_step=rel_step)
            if estimators == "union":
                random = gradient | random
            random = _by_random_each(people, predict, ctx, r, random, samples=samples)
            found |= _figures("", spelling, gradient | random, people)
            if estimators != "random":
                found |= _figures("gradient_", spelling, gradient, people)
            if estimators != "union":
                found |= _figures("random_", spelling, random, people)
    names = list(found)
    return ctx.of_each(
        lambda own, *rows: of_means(dict(zip(names, rows, strict=True)), intervals, level, own), *found.values()
    )


def _fresh(ctx: Context, n: int) -> Tensor:
    """n individuals (n, d) drawn from the SCM, of a stack (m, n, d)."""
    if ctx.each:
        return torch.stack([_fresh(own, n) for own in ctx.each])
    return draw(ctx.scm, n, seeding.rng(ctx.own_seed, "individuals"))


def _every_level(scm: SCM, x: Tensor) -> Tensor:
    """Indices (L, 1, ...) of the sensitive levels in order, which broadcast over individuals x (..., n, d)."""
    return torch.arange(len(scm.levels), device=scm.levels.device).reshape(-1, *(1,) * (x.ndim - 1))


def _individuals(scm: SCM, x: Tensor, margin: Margin) -> Individuals:
    """The individuals x (..., n, d), of many rows a part at a time: the twins of all would not fit in memory."""
    size = max(1, KEPT // (len(scm.levels) * x[..., :1, :].numel()))
    _, noise, *masks = zip(*(_some(scm, part, margin) for part in x.split(size, -2)), strict=True)
    return Individuals(x, torch.cat(noise, -2), *(torch.cat(mask, -1) for mask in masks))


def _some(scm: SCM, x: Tensor, margin: Margin) -> Individuals:
    level = _every_level(scm, x)
    factual = level == factual_level(scm, x)
    # the individual itself is in its ball, to the bit
    others = torch.where(factual.unsqueeze(-1), x, twins(scm, x))
    favourable = margin(others, level) >= 0
    own = (favourable & factual).any(0)
    return Individuals(x, scm.to_noise(scm.own(x)), own, factual, favourable != own)


def _directions(threat: CausalThreat, samples: int, seed: int) -> Tensor:
    """One sample (samples, d) from the unit ball of the non-sensitive coordinates."""
    like = threat.mask.expand(samples, -1)
    return threat.ball.uniform(like, threat.mask, seeding.generator(seed, "directions"))


def _by_gradient(
    people: Individuals, margin: Margin, threat: CausalThreat, radius: float, *, steps: int, rel_step: float
) -> Tensor:
    """Returns a mask (L, n) of the balls around the twins with a flip that projected gradient ascent finds."""

    level = _every_level(threat.scm, people.x)

    def flips(x: Tensor, favourable: Tensor) -> Tensor:
        reach, zero = threat.at(x), threat.zero(x)
        towards_flip = torch.where(favourable, -1.0, 1.0).to(x)
        delta = ascend(
            lambda d: margin(reach(d), level) * towards_flip,
            zero,
            x.new_full(x.shape[:-1], radius),
            threat,
            x,
            steps=steps,
            rel_step=rel_step,
        )
        return (margin(reach(delta), level) >= 0) != favourable

    size = max(1, ROWS // people.factual[..., 0].numel())
    pairs = zip(people.x.split(size, -2), people.favourable.split(size, -1), strict=True)
    return torch.cat([flips(x, favourable) for x, favourable in pairs], -1)


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
    x, noise, favourable = people.x.unbind(0), people.noise.unbind(0), people.favourable.unbind(0)
    return list(map(Individuals, x, noise, favourable, people.factual.unbind(1), people.flips.unbind(1)))


class Search:
    """The random points of a search, and what the balls (L, n) around the individuals x can hold."""

    def __init__(self, x: Tensor, noise: Tensor, scm: SCM, shifts: Tensor):
        self.x, self.shifts = x, shifts
        self._noise, self._scm = noise, scm
        self._kept: list[tuple[Tensor, Neurons]] | None = None

    @classmethod
    def around(cls, people: Individuals, ctx: Context, radius: float, samples: int) -> "Search":
        """One sample of directions at a radius, shared by all balls of a model."""
        directions = _directions(CausalThreat(ctx.scm, Ball("l2"), twins=True), samples, ctx.own_seed)
        return cls(people.x, people.noise, ctx.scm, radius * directions * ctx.scm.unit)

    def is_that_of(self, other: "Search") -> bool:
        """Returns whether the balls of both hold the same features."""
        return self._scm is other._scm and torch.equal(self.x, other.x) and torch.equal(self.shifts, other.shifts)

    def balls(self) -> Iterable[tuple[Tensor, Neurons]]:
        """Balls (p, 2) as level and row, a part of them at a time, with the features that they can hold."""
        if self._kept is not None:
            return self._kept
        every = torch.ones(len(self._scm.levels), len(self.x), device=self.x.device).nonzero()
        columns = self.x.shape[-1]
        size = min(BOUNDED, max(1, SLOPES // columns**2))
        parts = ((part, self._features(*part.unbind(1))) for part in every.split(size))
        if len(every) * columns**2 > KEPT:
            return parts
        self._kept = list(parts)
        return self._kept

    def _features(self, level: Tensor, row: Tensor) -> Neurons:
        return counterfactuals(self._scm, self._noise[row], self.shifts, _do(self._scm, level))


def _by_random(people: Individuals, predict: Predict, ctx: Context, search: Search, flips: Tensor) -> Tensor:
    """Returns a mask (L, n) of the balls with a flip among the points of a search, given the flips known already.

    A ball is searched while its answer matters: the individual's own until it flips, a twin's until any does; and
    only where bounds of the network leave room for a flip.
    """
    flips, scm, margin = flips.clone(), ctx.scm, ctx.decide.margin
    proofs = has_bounds(predict) and ctx.decide.monotone and people.x.shape[-1] <= WIDEST
    doubtful = _doubtful(people, predict, margin, search) if proofs else torch.ones_like(flips)
    for block in search.shifts.split(BLOCK):
        for pair in (doubtful & _find_undecided(people, flips)).nonzero().split(max(1, ROWS // len(block))):
            level, row = pair.unbind(1)
            moved = scm.model(scm.to_features(people.noise[row] + block.unsqueeze(1), _do(scm, level)))
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
    doubtful = torch.empty_like(people.flips)
    for pair, features in search.balls():
        level, row = pair.unbind(1)
        lower, upper = (margin(bound, level) for bound in bounds_over(predict, features))
        doubtful[level, row] = ~torch.where(people.favourable[row], lower >= 0, upper < 0)
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
