"""The search for flips in causal perturbation balls: by gradient and at random, where bounds leave room for one.

Ehyaei et al. 2024 (arXiv 2308.08938), section 5. Radii are in the SCM's radius unit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from utils import seeding
from utils.adversary.causal_balls import Balls, Individuals, find_undecided, pick
from utils.threats import GRADIENT, Ball, CausalThreat, ascend
from utils.types import Context, Predict

ROWS = 8192  # a forward pass: its activations stay in the cache
BLOCK = 250  # random points between two looks at who is decided


@dataclass(frozen=True)
class Search:
    """A search of balls for a point that is decided otherwise.

    Both searches take a mask of the flips that are known and one of the balls that may hold one, (L, ..., n) each, and
    return the first with what they find added.
    """

    predict: Predict
    ctx: Context
    samples: int  # random points of a ball, one sample of directions shared by all
    steps: int  # gradient evaluations from each start
    rel_step: float  # length of a step, as a share of the radius
    restarts: int  # starts of the gradient: the twin, then points shared by all balls that are left undecided

    @property
    def passes(self) -> int:
        """Forward passes of a point that the search of a ball takes where it finds nothing."""
        return self.samples + self.restarts * (GRADIENT * self.steps + 1)

    @cached_property
    def each(self) -> "list[Search]":
        """That of each model of a stack."""
        models: Iterable[Predict] = self.predict.each  # type: ignore[attr-defined]
        settings = self.samples, self.steps, self.rel_step, self.restarts
        return [Search(model, own, *settings) for model, own in zip(models, self.ctx.each, strict=True)]

    @cached_property
    def directions(self) -> Tensor:
        """The random points (samples, ..., 1, d) of the unit ball, those of a model the same at every radius."""
        if self.ctx.each:
            return torch.stack([own.directions for own in self.each], 1)
        return draw_points(self.ctx, self.samples, "directions")

    @cached_property
    def starts(self) -> Tensor:
        """The further starts (restarts - 1, ..., 1, d) of the gradient in the unit ball, likewise."""
        if self.ctx.each:
            return torch.stack([own.starts for own in self.each], 1)
        return draw_points(self.ctx, self.restarts - 1, "starts")

    def by_gradient(self, people: Individuals, radius: float, flips: Tensor, doubtful: Tensor) -> Tensor:
        """By projected ascent of the margin, from one start after the other around those who are left undecided."""
        if self._is_ragged(doubtful & find_undecided(people, flips), self.restarts):
            parts = zip(self.each, people.of_models(), flips.unbind(1), doubtful.unbind(1), strict=True)
            return torch.stack([own.by_gradient(who, radius, *masks) for own, who, *masks in parts], 1)
        flips = flips.clone()
        for starts in (self.starts.new_zeros(1, *self.starts.shape[1:]), self.starts):
            if not len(starts):
                break
            size = max(1, ROWS // starts[..., 0].numel())
            for balls in pick(doubtful & find_undecided(people, flips), size):
                balls.mark(flips, self._climb(people, balls, radius, starts))
        return flips

    def at_random(self, people: Individuals, radius: float, flips: Tensor, doubtful: Tensor) -> Tensor:
        """At points that are drawn uniformly from the ball, some of them at a time."""
        if self._is_ragged(doubtful & find_undecided(people, flips), BLOCK / len(self.ctx.each or (1,))):
            parts = zip(self.each, people.of_models(), flips.unbind(1), doubtful.unbind(1), strict=True)
            return torch.stack([own.at_random(who, radius, *masks) for own, who, *masks in parts], 1)
        flips, scm = flips.clone(), self.ctx.scm
        if not (doubtful & find_undecided(people, flips)).any():
            return flips
        for block in self.directions.split(BLOCK):
            shifts = radius * block * scm.unit
            for balls in pick(doubtful & find_undecided(people, flips), max(1, ROWS // shifts[..., 0].numel())):
                moved = scm.model(scm.to_features(balls.of(people.noise) + shifts, balls.intervene(scm)))
                accepted = self.ctx.decide.margin(self.predict(moved), balls.level) >= 0
                balls.mark(flips, (accepted != people.favourable[balls.place]).any(0))
        return flips

    def try_points(
        self, people: Individuals, balls: Balls, radius: float, point: Tensor, place: Tensor, ball: Tensor
    ) -> Tensor:
        """Returns a mask of balls, ``ball`` (b,) of these, of which one of the points tried is decided otherwise.

        Tried are the random points ``point`` (t,) of the balls at ``place`` (t,) among the b.
        """
        scm, of = self.ctx.scm, ball[place]
        noise = balls.of(people.noise)[of] + radius * self.directions[point, 0] * scm.unit
        moved = scm.model(scm.to_features(noise, {i: v[of] for i, v in balls.intervene(scm).items()}))
        accepted = self.ctx.decide.margin(self.predict(moved), balls.level[of]) >= 0
        found = torch.zeros_like(ball, dtype=torch.bool)
        found[place[accepted != people.favourable[balls.place][of]]] = True
        return found

    def _is_ragged(self, asked: Tensor, points: float) -> bool:
        """Returns whether more balls of a stack (L, m, n) would be padding than are asked for, and too many points."""
        if not self.ctx.each:
            return False
        of_models = asked.sum((0, 2))
        padded = int(len(of_models) * of_models.max())
        return padded > 2 * int(of_models.sum()) and padded * points > ROWS

    def _climb(self, people: Individuals, balls: Balls, radius: float, starts: Tensor) -> Tensor:
        """Returns a mask (..., q) of the balls with a flip that ascent finds from any of the starts (c, ..., 1, d)."""
        scm, do, noise = self.ctx.scm, balls.intervene(self.ctx.scm), balls.of(people.noise)
        favourable = people.favourable[balls.place]
        towards_flip = torch.where(favourable, -1.0, 1.0).to(noise)

        def margin(delta: Tensor) -> Tensor:
            moved = scm.model(scm.to_features(noise + delta * scm.unit, do))
            return self.ctx.decide.margin(self.predict(moved), balls.level)

        delta, _ = ascend(
            lambda d: margin(d) * towards_flip,
            torch.zeros_like(noise) + radius * starts,
            noise.new_full(favourable.shape, radius),
            ball_of(self.ctx),
            noise,
            steps=self.steps,
            rel_step=self.rel_step,
        )
        return ((margin(delta) >= 0) != favourable).any(0)


def draw_points(ctx: Context, count: int, purpose: str) -> Tensor:
    """Points (count, 1, d) of the unit ball of the non-sensitive coordinates."""
    threat = ball_of(ctx)
    like = threat.mask.expand(count, -1)
    return threat.ball.uniform(like, threat.mask, seeding.generator(ctx.own_seed, purpose)).unsqueeze(-2)


def ball_of(ctx: Context) -> CausalThreat:
    """The causal perturbation ball of the individuals."""
    return CausalThreat(ctx.scm, Ball("l2"), twins=True, source=ctx.generator)
