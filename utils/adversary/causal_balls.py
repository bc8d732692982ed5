"""Individuals and the balls around their twins, in which a flip of their decision is looked for.

Every individual has a ball around each of its L twins, the factual one among them: (L, n) balls of a model, (L, m, n)
of a stack. Where the noise of discrete nodes is a posterior, an individual is there once for each draw.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from utils import seeding
from utils.scms.counterfactual import abduct, chances_of_draws, draw, every_level, interventions, is_factual
from utils.types import SCM, Batch, Context, Predict

MOST = 10_000  # individuals that are judged
MOST_DRAWN = 64_000  # their twins, each draw one: 2,000 individuals of 16 draws and two levels
MOST_NUMBERS = 1 << 23  # of their twins at one draw: fewer individuals where columns times levels are above 838
FEWEST = 200  # individuals, however many twins they have


class Individuals(NamedTuple):
    """People under test: their features, decisions, and the decisions of their twins; a person once for each draw."""

    x: Tensor  # (..., n, d)
    noise: Tensor  # (L, ..., n, d) of the twins, the SCM's own units
    favourable: Tensor  # (..., n) decided as class 1
    factual: Tensor  # (L, ..., n) which twin is the individual
    flips: Tensor  # (L, ..., n) twins decided otherwise

    def of_models(self) -> "list[Individuals]":
        """The individuals of each model of a stack."""
        x, favourable = self.x.unbind(0), self.favourable.unbind(0)
        return list(map(Individuals, x, self.noise.unbind(1), favourable, self.factual.unbind(1), self.flips.unbind(1)))


class Balls(NamedTuple):
    """Some of the balls of a model (q,), or as many of each model of a stack (m, q), of which some are only padding."""

    level: Tensor  # (..., q) the twin that each is around
    place: tuple[Tensor, ...]  # the individual, in a stack the model before
    asked: Tensor  # (..., q) no padding

    def of(self, values: Tensor) -> Tensor:
        """Values of all balls (L, ..., n, *) for these."""
        return values[self.level, *self.place]

    def mark(self, mask: Tensor, found: Tensor) -> None:
        """Sets a mask of all balls (L, ..., n) where these were found (..., q)."""
        mask[self.level, *self.place] |= found & self.asked

    def clear(self, mask: Tensor, found: Tensor) -> None:
        """Takes these, where they were found (..., q), out of a mask of all balls."""
        mask[self.level, *self.place] &= ~(found & self.asked)

    def intervene(self, scm: SCM) -> dict[int, Tensor]:
        """do() of the level of each ball."""
        return {column: scm.levels[self.level, j] for j, column in enumerate(scm.sensitive)}


def pick(asked: Tensor, size: int) -> Iterator[Balls]:
    """Yields the balls of a mask (L, ..., n), ``size`` of a model at a time, in the order of level and individual."""
    flat = asked.movedim(0, -2).flatten(-2)
    most = int(flat.sum(-1).max()) if flat.numel() else 0
    models = [torch.arange(len(flat), device=flat.device).unsqueeze(-1)] if flat.ndim > 1 else []
    order = flat.byte().argsort(dim=-1, descending=True, stable=True)
    for some in order[..., :most].split(size, -1) if most else ():
        level, row = some // asked.shape[-1], some % asked.shape[-1]
        yield Balls(level, (*models, row), flat.gather(-1, some))


def find_undecided(people: Individuals, flips: Tensor) -> Tensor:
    """Returns a mask (L, ..., n) of the balls whose answer matters, by the flips that are known.

    The individual's own until it flips, a twin's until any does.
    """
    return ~flips & (people.factual | ~flips.any(0))


def choose_individuals(
    batch: Batch, ctx: Context, individuals: Literal["rows", "scm"], n: int, rows: int | None
) -> tuple[Tensor, Tensor, int]:
    """The individuals (n, d) that are judged, of a stack (m, n, d), their numbers and the draws of their noise.

    Args:
        batch: the rows that are judged with ``individuals="rows"``.
        ctx: gives SCM and seed.
        individuals: "rows" of the batch, or "scm": n fresh draws of the SCM.
        n: number of fresh draws.
        rows: the most that are judged, the first of them; None: MOST, or as have MOST_DRAWN twins of MOST_NUMBERS.
    """
    x, index = (batch.x, batch.index) if individuals == "rows" else _draw_fresh(ctx, n)
    draws = ctx.scm.draws if ctx.scm.posterior else 1
    levels = len(ctx.scm.levels)
    many = MOST if draws == 1 else min(MOST, MOST_DRAWN // (draws * levels))
    most = rows or max(FEWEST, min(many, MOST_NUMBERS // (levels * x.shape[-1])))
    return x[..., :most, :], index[..., :most], draws


def _draw_fresh(ctx: Context, n: int) -> tuple[Tensor, Tensor]:
    """n individuals (n, d) drawn from the SCM and their numbers (n,); of a stack (m, n, d) and (m, n)."""
    if ctx.each:
        rows, numbers = zip(*(_draw_fresh(own, n) for own in ctx.each), strict=True)
        return torch.stack(rows), torch.stack(numbers)
    x = draw(ctx.scm, n, seeding.rng(ctx.own_seed, "individuals"))
    return x, torch.arange(n, device=x.device)


def judge_twins(predict: Predict, ctx: Context, x: Tensor, index: Tensor, draws: int) -> Individuals:
    """The individuals x (..., n, d), every one ``draws`` times: the first draw of all, then the second, ...

    Twins are judged as they are and with their whole numbers rounded, where the SCM says which columns hold such.
    """
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
