"""The worst point within the radius of persons and their twins, found by gradient ascent and at random.

The search of ``utils.adversary.ball_search`` for a few people, in full: every ball is searched by both, from several
starts, and the point itself is kept.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from utils import seeding
from utils.adversary.decision import Decision
from utils.scms.counterfactual import every_level, interventions
from utils.threats import Ball, CausalThreat, ascend
from utils.types import SCM

POINTS = 1 << 16  # that are judged together


class Worst(NamedTuple):
    """The worst point of the ball of every twin."""

    delta: Tensor  # (L, n, d) in radius units
    x: Tensor  # (L, n, d) its features, model space
    beyond: Tensor  # (L, n) how far the margin lies on the side of the other decision, negative where it does not
    turned: Tensor  # (L, n) decided otherwise than the person


def find_worst(
    decision: Decision,
    scm: SCM,
    noise: Tensor,
    favourable: Tensor,
    radius: float,
    *,
    steps: int,
    rel_step: float,
    restarts: int,
    samples: int,
    seed: int,
) -> Worst:
    """The point of each ball whose margin is farthest towards the other decision.

    Args:
        decision: the decision.
        scm: of the people.
        noise: (L, n, d) of the twins of n people, own units.
        favourable: (n,) people who are of class 1.
        radius: in radius units, L2.
        steps: gradient evaluations.
        rel_step: length of a step, as a share of the radius.
        restarts: random starts of the ascent beside the centre.
        samples: random points of each ball, one sample of directions for all.
        seed: of starts and points.
    """
    threat = CausalThreat(scm, Ball("l2"), twins=True, source=seeding.generator(seed, "attack"))
    towards = torch.where(favourable, -1.0, 1.0).to(noise)
    starts = restarts + 1
    every = noise.repeat(1, starts, 1)
    reach, level, sign = threat.around(every), every_level(scm, every[0]), towards.repeat(starts)
    first = threat.ball.uniform(every, threat.mask, seeding.generator(seed, "restarts")) * radius
    first[:, : noise.shape[1]] = 0.0
    climbed, _ = ascend(
        lambda delta: decision.slope_of(reach(delta), level) * sign,
        first,
        noise.new_full((every.shape[1],), radius),
        threat,
        every[0],
        steps=steps,
        rel_step=rel_step,
    )
    like = threat.mask.expand(samples, -1)
    points = radius * threat.ball.uniform(like, threat.mask, seeding.generator(seed, "directions"))
    centre = torch.zeros_like(noise).unsqueeze(0)
    found = torch.cat([centre, climbed.unflatten(1, (starts, -1)).transpose(0, 1)])
    return _worst_of(decision, scm, noise, towards, [found, *points[:, None, None].split(_part(noise))])


def _part(noise: Tensor) -> int:
    return max(1, POINTS // noise[..., 0].numel())


def _worst_of(decision: Decision, scm: SCM, noise: Tensor, towards: Tensor, parts: list[Tensor]) -> Worst:
    """The worst of candidates (c, L, n, d), or of such as all balls share (c, 1, 1, d), by their decisions."""
    do, level = interventions(scm, noise[0]), every_level(scm, noise[0])
    best = torch.full(noise.shape[:-1], -torch.inf, dtype=noise.dtype)
    delta = torch.zeros_like(noise)
    for part in parts:
        moved = scm.model(scm.to_features(noise + part * scm.unit, do))
        value, place = (decision.margin(moved, level) * towards).max(0)
        chosen = part.expand(-1, *noise.shape).take_along_dim(place[None, ..., None], 0).squeeze(0)
        better = value > best
        best, delta = torch.where(better, value, best), torch.where(better.unsqueeze(-1), chosen, delta)
    x = scm.model(scm.to_features(noise + delta * scm.unit, do))
    return Worst(delta, x, best, (decision.margin(x, level) >= 0) != (towards < 0))
