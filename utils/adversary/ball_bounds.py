"""Balls that may hold a flip: all but those in which bounds of equations and network prove that there is none.

What is proven within a radius holds within every smaller one, so the largest radius comes first, and the smaller ones
are left with what it leaves open. A bound costs several forward passes for each of its slopes, and spares a search:
where it spares less than it costs, the rest is left to the search.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from utils.adversary.ball_search import Search, draw_points
from utils.adversary.bounds import Twins, ball, bounds_over, box, by_drawn_noise, cost_of, counterfactuals, has_bounds
from utils.adversary.causal_balls import Balls, Individuals, find_undecided, pick
from utils.adversary.taylor import NoBoundsError, Taylor

BOUNDED = 1024  # balls that are bounded together, so that their numbers stay in the cache
SLOPES = 1 << 19  # numbers (k, p, d) that the bounds of their features are made of, at the most
PUSHED = 32768  # points that are pushed through structural equations together, likewise


class Doubts(NamedTuple):
    """Masks (L, ..., n) of the balls that may hold a flip at a radius."""

    anywhere: Tensor
    at_points: Tensor  # of the random search


class _Judge(NamedTuple):
    """A model and the individuals whom it judges."""

    search: Search
    people: Individuals

    def is_bounded(self) -> bool:
        """Returns whether bounds of the model tell something of its decisions."""
        return self.search.ctx.decide.monotone and has_bounds(self.search.predict, self.people.x.shape[-1])

    def has_the_balls_of(self, other: "_Judge") -> bool:
        """Returns whether the balls of both hold the same features, as those of runs of a seed do."""
        one, two = self.people, other.people
        alike = self.search.ctx.scm is other.search.ctx.scm and self.search.ctx.own_seed == other.search.ctx.own_seed
        return alike and torch.equal(one.x, two.x) and torch.equal(one.noise, two.noise)


def find_doubtful(search: Search, people: Individuals, radii: Sequence[float]) -> dict[float, Doubts]:
    """Returns by radius the balls that may hold a flip, of those that twins leave undecided."""
    if not search.ctx.each:
        [found] = _find([_Judge(search, people)], radii)
        return found
    judges = [_Judge(*of) for of in zip(search.each(), people.of_models(), strict=True)]
    groups: list[list[int]] = []
    for i, judge in enumerate(judges):
        group = next((group for group in groups if judge.has_the_balls_of(judges[group[0]])), None)
        groups.append([i]) if group is None else group.append(i)
    each = {i: of for group in groups for i, of in zip(group, _find([judges[i] for i in group], radii), strict=True)}
    return {
        radius: Doubts(*(torch.stack(of, 1) for of in zip(*(each[i][radius] for i in range(len(judges))), strict=True)))
        for radius in radii
    }


def _find(judges: Sequence[_Judge], radii: Sequence[float]) -> list[dict[float, Doubts]]:
    """``find_doubtful`` of models that have the same balls."""
    asked = [find_undecided(of.people, of.people.flips) for of in judges]
    found = [{radius: Doubts(own, own) for radius in radii} for own in asked]
    if not all(of.is_bounded() for of in judges):
        return found
    left, are_bounded = asked, True
    for radius in sorted(radii, reverse=True):
        try:
            left = _leave(judges, left, radius, at_points=False) if are_bounded else asked
        except NoBoundsError:  # of equations
            are_bounded = False
        at_points = left if are_bounded else _leave(judges, asked, radius, at_points=True)
        for of, *doubts in zip(found, left, at_points, strict=True):
            of[radius] = Doubts(*doubts)
    return found


def _leave(judges: Sequence[_Judge], asked: Sequence[Tensor], radius: float, *, at_points: bool) -> list[Tensor]:
    """Returns a mask (L, n) for each model of the balls asked for that no bound proves to be without a flip.

    Raises:
        NoBoundsError: equations have no bounds; those ``at_points`` alone need none.
    """
    search, people = judges[0]
    slopes = int((search.ctx.scm.unit > 0).sum())
    cost, gain = cost_of(slopes), search.passes
    size = min(BOUNDED, max(1, SLOPES // (slopes * people.x.shape[-1] + 1)))
    left, balance = [own.clone() for own in asked], 0
    for balls in pick(torch.stack(list(asked)).any(0), size):
        if balance < 0 or cost > gain:
            break
        ball_of, features = _bound(search, people, balls, radius, at_points=at_points)
        for judge, open_ in zip(judges, left, strict=True):
            proven = _prove(judge, balls, ball_of, features)
            balance += int((balls.of(open_) & proven).sum()) * gain - len(proven) * cost
            balls.clear(open_, proven)
    return left


def _prove(judge: _Judge, balls: Balls, ball_of: Tensor, features: Taylor) -> Tensor:
    """Returns a mask (q,) of the balls with no flip in any of their boxes (b,), which are of the balls ``ball_of``."""
    level, favourable = balls.level[ball_of], judge.people.favourable[balls.place][ball_of]
    lower, upper = (judge.search.ctx.decide.margin(end, level) for end in bounds_over(judge.search.predict, features))
    proven = torch.ones_like(balls.asked)
    proven[ball_of[~torch.where(favourable, lower >= 0, upper < 0)]] = False
    return proven


def _bound(
    search: Search, people: Individuals, balls: Balls, radius: float, *, at_points: bool
) -> tuple[Tensor, Taylor]:
    """Features (b, d) of boxes that hold all of the balls, or their random points, and the ball of each (b,)."""
    scm = search.ctx.scm
    twins = Twins(scm.own(people.x[balls.place]), balls.of(people.noise), balls.level)
    if at_points:
        return torch.arange(len(balls.level), device=balls.level.device), _box_of_points(search, twins, radius)
    found = counterfactuals(
        scm, twins, ball(scm, twins.noise.new_full(balls.level.shape, radius), "l2"), by_drawn_noise(twins)
    )
    return found.row, found.features


def _box_of_points(search: Search, twins: Twins, radius: float) -> Taylor:
    """The box (q, d) of the features of the shifted twins."""
    scm, do = search.ctx.scm, twins.do(search.ctx.scm)
    shifts = radius * draw_points(search.ctx, search.samples, "directions") * scm.unit
    ends = []
    for rows in torch.arange(len(twins.level), device=twins.level.device).split(max(1, PUSHED // len(shifts))):
        moved = scm.to_features(twins.noise[rows] + shifts, {i: v[rows] for i, v in do.items()})
        ends.append(torch.stack(scm.model(moved).aminmax(dim=0)))
    low, high = torch.cat(ends, 1)
    return box((low + high) / 2, (high - low) / 2)
