"""The search for the row that a model treats most differently at a price: the inner problem of SenSeI and SenSR."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from utils.losses.fair_metrics import FairMetric, FreeMoves
from utils.system.optimizers import without_compiler
from utils.system.processes import sum_over_processes
from utils.threats import Damage, ascend, slope, worst
from utils.types import Batch, Context

LARGEST = 1e6  # multiplier; beyond, its products leave single precision

Gain = Callable[[Tensor], Tensor]  # x' (c, n, d) -> (c, n)
Search = Callable[[Gain, Batch, Context, FairMetric, "Multiplier"], Tensor]  # -> x' (n, d)


class Multiplier(nn.Module):
    """The price of a unit of squared fair distance, which follows the mean distance of the rows found: dual ascent.

    After every batch of a training it rises by rate * (mean distance - budget). Its buffer is its state, which
    checkpoints keep; one for each model of a stack.

    Args:
        start: before the first batch, >= 0.
        least: below which it does not fall, >= 0.
        rate: of the ascent; None: the larger of mean distance and budget over the smaller, as in SenSeI.

    Raises:
        ValueError: a setting out of range.
    """

    value: Tensor  # (1,), of a stack (m, 1)

    def __init__(self, *, start: float, least: float, rate: float | None) -> None:
        super().__init__()
        for name, number in (("start", start), ("least", least), ("rate", 0.0 if rate is None else rate)):
            if not number >= 0:
                raise ValueError(f"multiplier.{name}={number}: expected a number, 0 or more")
        self.least, self.rate = least, rate
        self.register_buffer("value", torch.tensor([start]))

    def follow(self, distance: Tensor, budget: Tensor) -> None:
        """Hears a mean distance and its budget, (1,), or (m, 1) of a stack; a budget of 0 tells nothing."""
        rate = torch.maximum(distance, budget) / torch.minimum(distance, budget) if self.rate is None else self.rate
        risen = (self.value + rate * (distance - budget)).clamp(self.least, LARGEST)
        self.value = torch.where(budget > 0, risen, self.value).to(self.value)


@torch.no_grad()
def find_worst(
    gain: Gain,
    batch: Batch,
    ctx: Context,
    metric: FairMetric,
    multiplier: Multiplier,
    *,
    start: float,
    steps: int,
    lr: float,
    free_steps: int,
    free_step: float,
) -> Tensor:
    """x' (n, d) of largest gain(x') - multiplier * squared fair distance (Yurochkin and Sun 2021, arXiv 2006.14168).

    The multiplier holds the mean squared distance of a batch to the mean squared radius of its rows: the radius r is
    a root mean square, in model space or, of the causal metric, in the SCM's radius unit, and r^2 is what inFairness
    calls eps. At radius 0 only free moves are left.

    Two phases: projected steps along the free directions, from every end of them, which inFairness does not have and
    the authors' code of SenSR has (there Adam steps of .1 without a bound); then Adam from there.

    Args:
        gain: what is maximised, x' (c, n, d) -> (c, n).
        batch: the rows.
        ctx: gives radius, random start and the SCM.
        metric: the fair distance.
        multiplier: the price of it; follows what is found in a training.
        start: half width of the uniform random start, >= 0.
        steps: of Adam.
        lr: of Adam, and about the length of a step of each coordinate.
        free_steps: of the first phase; 0 leaves it out.
        free_step: length of such a step, as a share of the training rows' range.
    """
    threat, priced = metric.threat(ctx), metric.priced
    reach, zero = threat.at(batch.x), threat.zero(batch.x)
    budget = _mean(ctx.epsilon(batch, ctx).square(), batch.w)
    still = (budget == 0).unsqueeze(-1)
    any_still = bool(still.any())  # asked once, not at every step

    def kept(delta: Tensor) -> Tensor:
        return torch.where(still, delta - priced(delta), delta) if any_still else delta

    def damage(delta: Tensor) -> Tensor:
        return gain(reach(kept(delta)))

    def objective(delta: Tensor) -> Tensor:
        return damage(delta) - multiplier.value.to(delta) * priced(kept(delta)).square().sum(-1)

    delta = start * (2 * ctx.uniform(zero) - 1) * threat.mask
    if free_steps and metric.free_moves is not None:
        delta = delta + _wander(damage, delta, metric.free_moves, batch, free_steps, free_step)
    delta = _adam(objective, delta, steps, lr)
    moved, distance = reach(kept(delta)), priced(kept(delta)).square().sum(-1, keepdim=True)
    if len(delta) > 1:
        found = objective(delta)
        moved, distance = worst(moved, found), worst(distance, found).unsqueeze(0)
    if ctx.epoch is not None:  # only a training changes it
        multiplier.follow(_mean(distance.squeeze((0, -1)), batch.w), budget)
    return moved.reshape(batch.x.shape)


def _mean(value: Tensor, w: Tensor) -> Tensor:
    """The weighted mean over the rows (..., n) of the batch, of all processes, (..., 1)."""
    total, rows = sum_over_processes(torch.stack([(value * w).sum(-1, keepdim=True), w.sum(-1, keepdim=True)]))
    return total / rows


def _wander(damage: Damage, delta: Tensor, moves: FreeMoves, batch: Batch, steps: int, rel_step: float) -> Tensor:
    """The free move (1, n, d), added to delta (1, n, d), of most damage: ascents from every end of the directions."""

    def moved(u: Tensor) -> Tensor:
        return damage(delta + moves.lift(u))

    radius = torch.ones_like(batch.w)
    found, value = ascend(moved, moves.ends(batch.x), radius, moves, batch.x, steps=steps, rel_step=rel_step)
    return moves.lift(worst(found, value).unsqueeze(0))


def _adam(objective: Damage, start: Tensor, steps: int, lr: float) -> Tensor:
    """The last of some steps of Adam that raise the objective, (c, n, d)."""
    delta = start.clone()
    optimizer = without_compiler(torch.optim.Adam)([delta], lr=lr, maximize=True)
    for _ in range(steps):
        delta.grad, _ = slope(objective, delta)
        optimizer.step()
    return delta.detach()
