"""Balls that may hold a flip: all but those in which bounds of equations and network prove that there is none.

What is proven within a radius holds within every smaller one, so the largest radius comes first, and the smaller ones
are left with what it leaves open. A bound costs several forward passes for each of its slopes, and spares a search:
where it spares less than it costs, the rest is left to the search.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from utils.adversary.ball_search import Search
from utils.adversary.bounds import Twins, ball, box, by_drawn_noise, cost_of, counterfactuals, has_bounds, through
from utils.adversary.causal_balls import Balls, Individuals, find_undecided, pick
from utils.adversary.norm_bounds import bounds_near, enclose
from utils.adversary.taylor import NoBoundsError, Taylor

FEWEST = 64  # balls of a model, at the most, of which points are tried, and no further bounds at a smaller radius
TRIED = 8192  # points of the balls that are bounded together, at the most, that are tried where bounds leave them open
BOUNDED = 1024  # balls that are bounded together, so that their numbers stay in the cache
SLOPES = 1 << 19  # numbers (k, p, d) that the bounds of their features are made of, at the most
PUSHED = 32768  # points that are pushed through structural equations together, likewise


class Doubts(NamedTuple):
    """Masks (L, ..., n) of balls at a radius."""

    anywhere: Tensor  # that may hold a flip
    at_points: Tensor  # that may hold one at a point of the random search, but do not surely
    surely: Tensor  # that hold one there


class _Judge(NamedTuple):
    """A model and the individuals whom it judges."""

    search: Search
    people: Individuals

    def is_bounded(self) -> bool:
        """Returns whether there are bounds of the model."""
        return has_bounds(self.search.predict, self.people.x.shape[-1])

    def has_the_balls_of(self, other: "_Judge") -> bool:
        """Returns whether the balls of both hold the same features, as those of runs of a seed do."""
        one, two = self.people, other.people
        alike = self.search.ctx.scm is other.search.ctx.scm and self.search.ctx.own_seed == other.search.ctx.own_seed
        return alike and torch.equal(one.x, two.x) and torch.equal(one.noise, two.noise)


class _Boxes(NamedTuple):
    """Boxes (b,) that hold balls (q,), under a model; the others that hold them are proven to be without a flip."""

    judge: _Judge
    balls: Balls
    ball: Tensor  # (b,) that a box is of
    level: Tensor  # (b,) of the twin
    favourable: Tensor  # (b,) the decision of the individual
    alone: Tensor  # (b,) whether a box is the only one of its ball

    @classmethod
    def of(cls, judge: _Judge, balls: Balls, ball: Tensor) -> "_Boxes":
        """Those of balls, which are the balls ``ball`` (b,) of these."""
        favourable = judge.people.favourable[balls.place][ball]
        return cls(judge, balls, ball, balls.level[ball], favourable, ball.bincount()[ball] == 1)

    def some(self, keep: Tensor) -> "_Boxes":
        """Some of them."""
        return _Boxes(self.judge, self.balls, *(of[keep] for of in self[2:]))

    def margins(self, ends: Sequence[Tensor]) -> Iterator[Tensor]:
        """Those (b,) of lower and upper bounds (b, 1) of the logit."""
        return (self.judge.search.ctx.decide.margin(end, self.level.expand(end.shape[:-1])) for end in ends)

    def all_of(self, mask: Tensor) -> Tensor:
        """Returns a mask (q,) of the balls whose boxes (b,) are all in a mask."""
        found = torch.ones_like(self.balls.asked)
        found[self.ball[~mask]] = False
        return found


def _keeps(boxes: _Boxes, ends: Sequence[Tensor] | None) -> Tensor:
    """Returns a mask (b,) of the boxes without a flip by lower and upper bounds (b, 1) of the logit; None: nobody."""
    if ends is None:
        return torch.zeros_like(boxes.favourable)
    lower, upper = boxes.margins(ends)
    return torch.where(boxes.favourable, lower >= 0, upper < 0)


def _flips(boxes: _Boxes, ends: Sequence[Tensor]) -> Tensor:
    """Returns a mask (b,) of the boxes where all between the bounds (b, 1) is a flip."""
    lower, upper = boxes.margins(ends)
    return torch.where(boxes.favourable, upper < 0, lower >= 0)


def find_doubtful(search: Search, people: Individuals, radii: Sequence[float]) -> dict[float, Doubts]:
    """Returns by radius the balls that may hold a flip, of those that twins leave undecided."""
    if not search.ctx.each:
        [found] = _find([_Judge(search, people)], radii)
        return found
    judges = [_Judge(*of) for of in zip(search.each, people.of_models(), strict=True)]
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
    """``find_doubtful`` of models of one structure that have the same balls."""
    asked = [find_undecided(of.people, of.people.flips) for of in judges]
    found = [{radius: Doubts(own.clone(), own.clone(), torch.zeros_like(own)) for radius in radii} for own in asked]
    if not all(of.search.ctx.decide.monotone for of in judges) or not judges[0].is_bounded():
        return found
    ladder = sorted(radii, reverse=True)
    try:
        for i, radius in enumerate(ladder):
            if not i or sum(int(own[radius].anywhere.sum()) for own in found) > FEWEST * len(found):
                _leave(judges, found, ladder[i:], at_points=False)
    except NoBoundsError:  # of equations
        for radius in radii:
            _leave(judges, found, [radius], at_points=True)
    return found


def _leave(
    judges: Sequence[_Judge], found: Sequence[dict[float, Doubts]], radii: Sequence[float], *, at_points: bool
) -> None:
    """Takes balls without a flip out of the doubts at radii, by bounds at the first, which is the largest of them.

    Raises:
        NoBoundsError: equations have no bounds; those ``at_points`` alone need none.
    """
    search, people = judges[0]
    slopes = int((search.ctx.scm.unit > 0).sum())
    cost, gain = cost_of(slopes), search.passes
    size = min(BOUNDED, max(1, SLOPES // (slopes * people.x.shape[-1] + 1)))
    asked = torch.stack([own[radii[0]].at_points if at_points else own[radii[0]].anywhere for own in found])
    balance = 0
    for balls in pick(asked.any(0), size):
        if balance < 0 or cost > gain:
            break
        ball_of, features = _bound(search, people, balls, radii[0], at_points=at_points)
        near = enclose(features)
        for judge, own, before in zip(judges, found, asked, strict=True):
            boxes, wanted = _Boxes.of(judge, balls, ball_of), balls.of(before)
            left = wanted[ball_of] & ~_keeps(boxes, bounds_near(judge.search.predict, near))
            boxes, logits = boxes.some(left), through(judge.search.predict, features.rows(left))
            proven = boxes.all_of(_keeps(boxes, logits.bounds()))
            balance += int((wanted & proven).sum()) * gain - len(proven) * cost
            for radius in radii:
                balls.clear(own[radius].at_points, proven)
                if not at_points:
                    balls.clear(own[radius].anywhere, proven)
                    inner = logits.within(radius / radii[0]) if radius < radii[0] else logits
                    _look_within(boxes, inner, radius, own[radius])


def _look_within(boxes: _Boxes, logits: Taylor, radius: float, doubts: Doubts) -> None:
    """Updates the doubts of balls of a radius, and of their random points, by logits (b, 1) over boxes."""
    boxes.balls.clear(doubts.anywhere, boxes.all_of(_keeps(boxes, logits.bounds())))
    search, z = boxes.judge.search, logits[..., 0]
    moved = (search.ctx.scm.unit > 0).reshape(-1, search.directions.shape[-1]).any(0)
    points = radius * search.directions.squeeze(1)[:, moved]
    towards = torch.where(boxes.favourable, -1.0, 1.0).to(points)
    ends = [end.unsqueeze(-1) for end in z.at_furthest(points, towards)]
    kept, flipped = _keeps(boxes, ends), boxes.alone & _flips(boxes, ends)
    left = (boxes.alone & ~kept & ~flipped).nonzero().squeeze(-1)
    if 0 < len(left) <= FEWEST:
        some, ends = boxes.some(left), [end.unsqueeze(-1) for end in z.rows(left).at(points)]
        open_ = ~_keeps(some, ends)
        if int(open_.sum()) <= TRIED:
            point, place = open_.nonzero().unbind(-1)
            flips = search.try_points(boxes.judge.people, boxes.balls, radius, point, place, some.ball)
            flipped[left], kept[left] = flips, ~flips
    surely = torch.zeros_like(boxes.balls.asked)
    surely[boxes.ball[flipped]] = True
    boxes.balls.clear(doubts.at_points, surely | boxes.all_of(kept))
    boxes.balls.mark(doubts.surely, surely & boxes.balls.of(doubts.anywhere))


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
    shifts = radius * search.directions * scm.unit
    ends = []
    for rows in torch.arange(len(twins.level), device=twins.level.device).split(max(1, PUSHED // len(shifts))):
        moved = scm.to_features(twins.noise[rows] + shifts, {i: v[rows] for i, v in do.items()})
        ends.append(torch.stack(scm.model(moved).aminmax(dim=0)))
    low, high = torch.cat(ends, 1)
    return box((low + high) / 2, (high - low) / 2)
