"""Auto-PGD, which needs no step length (Croce & Hein 2020, arXiv 2003.01690; under l1 2021, arXiv 2103.01208).

Where it serves to judge, a row that is misclassified is finished: its value counts as infinite, and it leaves the
computation. What happens to a row depends on no other row.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from types import EllipsisType
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from utils import seeding
from utils.adversary.margins import dlr, dlr_targeted
from utils.losses.objective import log_odds_against
from utils.seeding import Source
from utils.threats import TINY, MakeThreat, Threat, slope
from utils.types import Batch, Context, Decide, Predict

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # logits (..., n, k), labels and targets (..., n) -> (..., n)
LOSSES: dict[str, Loss] = {
    "ce": lambda logits, y, _: log_odds_against(logits, y),
    "dlr": lambda logits, y, _: dlr(logits, y),
    "targeted": dlr_targeted,
}
NEW = 0.75  # share of the new direction in a step; the rest goes on as before
RISING = 0.75  # share of the steps that must go up for their length to stay
LEAVING = 8  # finished rows leave once they are one in LEAVING
STAGES = ((3, 30), (2, 30), (1, 40))  # l1: radii, in those asked for, and per cent of the steps at each
SPARSE = 0.2  # l1: share of the coordinates that the first steps move
FEWER = 1.5  # l1: how many times fewer coordinates than the best point steps move; they also shorten by it


class _Climb(NamedTuple):
    """The rows still attacked and where each stands; n of them, (m, n) of a stack."""

    x: Tensor  # (n, *)
    y: Tensor  # (n,)
    s: Tensor  # (n,)
    target: Tensor  # (n,) class
    radius: Tensor  # (n,)
    low: Tensor  # (n, *) the least delta that is legal, under linf that of the ball too
    high: Tensor  # (n, *)
    delta: Tensor  # (n, *)
    before: Tensor  # (n, *) the delta one step earlier
    slope: Tensor  # (n, *) at delta
    value: Tensor  # (n,) at delta
    best: Tensor  # (n, *) the delta of largest value
    best_slope: Tensor  # (n, *)
    best_value: Tensor  # (n,)
    step: Tensor  # (n,) length
    moves: Tensor  # (n,) l1: coordinates that a step moves
    rises: Tensor  # (n,) steps up since the last checkpoint
    checked: Tensor  # (n,) best value at the last checkpoint
    shortened: Tensor  # (n,) bool, at the last checkpoint


Place = Tensor | EllipsisType  # which rows of the batch; a stack stays whole
Move = Callable[["_Task", _Climb, int], Tensor]  # before evaluation i: the next delta
Check = Callable[["_Task", _Climb, int], _Climb]  # at a checkpoint, with the number of steps since the last


@dataclass(frozen=True)
class _Task:
    """The objective and the constraints of an ascent."""

    predict: Predict
    decide: Decide
    threat: Threat
    loss: Loss
    stops: bool  # a misclassified row is finished

    def at(self, x: Tensor, delta: Tensor) -> Tensor:
        """x' (n, *)."""
        return self.threat.at(x)(delta.unsqueeze(0)).squeeze(0)

    def value(self, c: _Climb, delta: Tensor, ends: bool) -> Tensor:
        """The loss (n,) at delta; where that ends the search, infinite at a misclassified x'."""
        logits = self.predict(self.at(c.x, delta))
        loss = self.loss(logits, c.y, c.target)
        if not (ends and self.stops):
            return loss
        return loss.masked_fill(self.decide(logits, c.s) != c.y, torch.inf)

    def inside(self, c: _Climb, delta: Tensor) -> Tensor:
        """Projects back into the set: under l1 to its nearest point, else to the ball and then to what is legal."""
        ball = self.threat.ball
        if ball.norm == "l1":
            return nearest(delta, ball.spread(c.radius), torch.where(delta > 0, c.high, -c.low), events=ball.events)
        return (ball.project(delta, c.radius) if ball.norm == "l2" else delta).clamp(c.low, c.high)

    def bound(self, x: Tensor, radius: Tensor) -> Tensor:
        """Returns how far each coordinate of x (n, *) may go, (n, *), in the direction of a radius's sign (n,)."""
        far = radius if self.threat.ball.norm == "linf" else torch.full_like(radius, torch.inf).copysign(radius)
        return self.threat.legal(x, self.threat.ball.spread(far).expand_as(x).unsqueeze(0)).squeeze(0)

    def where(self, rows: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """a (n, *) in some of the rows (n,), b in the others."""
        return torch.where(self.threat.ball.spread(rows), a, b)


def apgd(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    threat: MakeThreat,
    loss: Literal["ce", "dlr", "targeted"],
    steps: int,
    restarts: int,
    targets: int,
) -> Tensor:
    """Returns a misclassified x' (n, *) for every row, or where none is found the x' of largest loss.

    What is misclassified ``ctx.decide`` alone says; rows that are so from the start stay as they are. "ce" ascends
    log((1 - p) / p), p of the label: it grows with the cross-entropy of the row, so that directions and choices of
    the step length are the same, but float32 does not round its gradient to 0 where the model is sure. "dlr" and
    "targeted" are those of ``utils.adversary.margins``, defined for any number of classes.

    Args:
        ctx: gives radius per row, decision and the stream of the random starts.
        threat: what may be reached, with one candidate for each row.
        loss: "ce", "dlr", or "targeted" for the targeted DLR loss.
        steps: gradient evaluations for each start.
        restarts: random starts, for each target.
        targets: classes tried by "targeted", the likeliest wrong ones at x first; no more than there are.

    Raises:
        ValueError: another loss, a count below 1, or a threat with several candidates.
    """
    _check(loss, tuple(LOSSES), steps=steps, restarts=restarts, targets=targets)
    task = _Task(ctx.steady(predict), ctx.decide, threat(ctx), LOSSES[loss], stops=True)
    return _search(task, batch, ctx, steps, restarts, targets if loss == "targeted" else 0)


def apgd_ascent(
    predict: Predict, batch: Batch, ctx: Context, *, threat: MakeThreat, loss: Literal["ce", "dlr"], steps: int
) -> Tensor:
    """Returns the x' (n, *) of largest loss for every row, misclassified or not, as training needs it.

    As ``apgd`` from one random start, but no row is finished before the last step. ``apgd`` would leave rows that are
    misclassified from the start as they are, and most others just across the threshold.

    Raises:
        ValueError: another loss, no step, or a threat with several candidates.
    """
    _check(loss, ("ce", "dlr"), steps=steps)
    task = _Task(ctx.steady(predict), ctx.decide, threat(ctx), LOSSES[loss], stops=False)
    return _search(task, batch, ctx, steps, restarts=1, targets=0)


def _search(task: _Task, batch: Batch, ctx: Context, steps: int, restarts: int, targets: int) -> Tensor:
    """Returns the best x' (n, *) of all starts, each for ``targets`` targets; 0: for none."""
    zero, source = task.threat.zero(batch.x), ctx.on(batch).generator
    if len(zero) != 1:
        raise ValueError("attack=apgd starts from the row alone; set attack.evasion.threat.twins=false")
    climb = _sparse if task.threat.ball.norm == "l1" else _momentum
    with torch.no_grad():
        radius = ctx.epsilon(batch, ctx).to(batch.x)
        finished, wrong = radius <= 0, batch.y.unsqueeze(0)
        if task.stops:
            logits = task.predict(batch.x)
            finished = finished | (ctx.decide(logits, batch.s) != batch.y)
            wrong = _likeliest(logits, batch.y, targets) if targets else wrong
        found, value = batch.x.clone(), torch.full_like(radius, -torch.inf).masked_fill(finished, torch.inf)
        for target, _ in product(wrong, range(restarts)):
            if value.isposinf().all():
                break
            start = _start(task, zero, source)  # of all rows, for its numbers must not depend on those left
            place = (value < torch.inf).nonzero().squeeze(-1) if value.ndim == 1 else ...
            rows = [column[place] for column in (batch.x, batch.y, batch.s, target, radius)]
            for at, c in climb(task, place, rows, start[place], steps):
                found[at] = task.where(c.best_value > value[at], task.at(c.x, c.best), found[at])
                value[at] = torch.maximum(c.best_value, value[at])
    return found


def _check(loss: str, losses: Sequence[str], **counts: int) -> None:
    if loss not in losses:
        raise ValueError(f"attack.evasion.loss={loss!r} is not known; choose {', '.join(losses)}")
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"attack.evasion.{name}={count}: expected at least 1")


def _likeliest(logits: Tensor, y: Tensor, targets: int) -> Tensor:
    """The wrong classes (t, n) of largest logits (n, k), in falling order; t <= targets."""
    if logits.shape[-1] == 1:
        return (1 - y).unsqueeze(0)
    wrong = logits.scatter(-1, y.unsqueeze(-1), -torch.inf)
    return wrong.topk(min(targets, logits.shape[-1] - 1)).indices.movedim(-1, 0)


def _start(task: _Task, zero: Tensor, source: Source) -> Tensor:
    """Random deltas (n, *): uniform in the unit ball of linf, on the unit sphere of l2, normal for l1."""
    ball, mask = task.threat.ball, task.threat.mask
    if ball.norm == "linf":
        return ball.uniform(zero, mask, source).squeeze(0)
    noise = seeding.normal(zero, source).squeeze(0) * mask
    return noise / ball.size(noise) if ball.norm == "l2" else noise


# What both methods do


def _begin(task: _Task, rows: list[Tensor], delta: Tensor, moves: Tensor, *, rel_step: float, ends: bool) -> _Climb:
    """The climb at its start, brought inside the set and evaluated."""
    x, *_, radius = rows
    least, never = torch.full_like(radius, -torch.inf), torch.zeros_like(radius, dtype=torch.bool)
    state = [delta, delta, delta, least, delta, delta, least, rel_step * radius, moves, least, least, never]
    c = _Climb(*[*rows, task.bound(x, -radius), task.bound(x, radius), *state])
    c = c._replace(delta=task.inside(c, delta))
    c = _note(task, c, c.delta, ends=ends, last=False)
    return c._replace(rises=torch.zeros_like(radius), checked=c.best_value)


def _note(task: _Task, c: _Climb, delta: Tensor, *, ends: bool, last: bool) -> _Climb:
    """The climb moved on to delta; after the last step no slope is needed."""
    if last:
        gradient, value = c.slope, task.value(c, delta, ends)
    else:
        gradient, value = slope(lambda d: task.value(c, d, ends), delta)
    better = value > c.best_value
    return c._replace(
        delta=delta,
        before=c.delta,
        slope=gradient,
        value=value,
        best=task.where(better, delta, c.best),
        best_slope=task.where(better, gradient, c.best_slope),
        best_value=torch.where(better, value, c.best_value),
        rises=c.rises + (value > c.value),
    )


def _back(task: _Task, c: _Climb, rows: Tensor) -> _Climb:
    """Returns some of the rows (n,) to their best point."""
    return c._replace(
        delta=task.where(rows, c.best, c.delta),
        slope=task.where(rows, c.best_slope, c.slope),
        value=torch.where(rows, c.best_value, c.value),
    )


def _climb(
    task: _Task, place: Place, c: _Climb, steps: int, move: Move, check: Check, marks: Container[int], ends: bool
) -> Iterator[tuple[Place, _Climb]]:
    """Yields all rows after ``steps`` steps, those that are finished earlier before the others."""
    checked = 0
    for i in range(1, steps + 1):
        done = c.best_value.isposinf()
        finished = int(done.sum()) if ends else 0
        if finished == done.numel():
            break
        if finished * LEAVING >= done.numel() and isinstance(place, Tensor):
            yield place[done], _Climb(*(column[done] for column in c))
            place, c = place[~done], _Climb(*(column[~done] for column in c))
        c = _note(task, c, move(task, c, i), ends=ends, last=i == steps)
        if i in marks:
            c, checked = check(task, c, i - checked), i
    yield place, c


# l2 and linf: momentum, and steps that shorten


def _momentum(
    task: _Task, place: Place, rows: list[Tensor], start: Tensor, steps: int
) -> Iterator[tuple[Place, _Climb]]:
    """Algorithm 1 of Croce & Hein 2020, from start (n, *) in the unit ball."""
    radius = rows[-1]
    c = _begin(task, rows, start * task.threat.ball.spread(radius), radius, rel_step=2.0, ends=True)
    return _climb(task, place, c, steps, _along, _halve, checkpoints(steps), ends=True)


def checkpoints(steps: int) -> set[int]:
    """Returns the steps after which step lengths are reconsidered: 22 %, then ever sooner, down to 6 % (published)."""
    marks, at, gap = set(), 22, 19
    while at < 100:
        marks.add(-(-at * steps // 100))  # rounded up
        at, gap = at + gap, max(gap - 3, 6)
    return marks


def _along(task: _Task, c: _Climb, i: int) -> Tensor:
    """A step of steepest ascent, from the second on with a share of the step before."""
    ball = task.threat.ball
    ahead = task.inside(c, c.delta + ball.spread(c.step) * ball.steepest(c.slope * task.threat.mask))
    if i == 1:
        return ahead
    return task.inside(c, c.delta.lerp(ahead, NEW).add_(c.delta - c.before, alpha=1 - NEW))


def _halve(task: _Task, c: _Climb, since: int) -> _Climb:
    """Rows that rose too seldom, or with this step length never above their best, go on from it in half the steps."""
    stuck = (c.rises < RISING * since) | (~c.shortened & (c.best_value == c.checked))
    step = torch.where(stuck, c.step / 2, c.step)
    return _back(task, c, stuck)._replace(
        step=step, shortened=stuck, checked=c.best_value, rises=torch.zeros_like(c.rises)
    )


# l1: sparse steps, in balls that shrink to the one asked for


def _sparse(task: _Task, place: Place, rows: list[Tensor], start: Tensor, steps: int) -> Iterator[tuple[Place, _Climb]]:
    """Algorithm 1 of Croce & Hein 2021, from start (n, *) and then from the best point of the larger ball."""
    x, *others, radius = rows
    best, left, events = start, steps, task.threat.ball.events
    dense = SPARSE * task.threat.mask.expand(x.shape[-events:]).sum().expand_as(radius)
    for radii, percent in STAGES:
        last = radii == 1
        own = left if last else steps * percent // 100
        if own == 0:
            continue
        c = _begin(task, [x, *others, radii * radius], best, dense, rel_step=1.0, ends=last)
        if best is not start:
            c = c._replace(moves=_count_moved(c.delta, events) / FEWER)
        marks = range(0, own, -(-own // 25))  # every 4 %, rounded up
        climbs = _climb(task, place, c, own, _sparsely, _sparser, marks, ends=last)
        if last:
            yield from climbs
        else:
            [(_, c)] = climbs  # from a larger ball no row leaves
            best, left = c.best, left - own


def _count_moved(delta: Tensor, events: int) -> Tensor:
    """Counts the coordinates of each perturbation that are not 0, (n,)."""
    return delta.flatten(-events).count_nonzero(-1).to(delta)


def _sparsely(task: _Task, c: _Climb, i: int) -> Tensor:
    """Returns a step that moves the coordinates of steepest slope, all equally, their number as the climb says.

    Coordinates at their bound are left out and the number is rounded down, both other than published: steps that push
    against bounds, or that two coordinates always share, stop short of the optimum even on linear models.
    """
    ball = task.threat.ball
    free = torch.where(c.slope > 0, c.delta < c.high * (1 - 1e-5), c.delta > c.low * (1 - 1e-5))
    gradient = (c.slope * task.threat.mask * free).flatten(-ball.events)
    size = gradient.abs()
    rank = c.moves.long().clamp(1, size.shape[-1]) - 1
    least = size.sort(-1, descending=True).values.gather(-1, rank.unsqueeze(-1))
    unit = gradient.sign() * (size >= least)
    unit = (unit / unit.abs().sum(-1, keepdim=True).clamp_min(1)).reshape(c.delta.shape)
    return task.inside(c, c.delta + ball.spread(c.step) * unit)


def _sparser(task: _Task, c: _Climb, since: int) -> _Climb:
    """Steps as sparse as the best point allows: where that got sparser long ones from it, elsewhere shorter ones."""
    moves = _count_moved(c.best, task.threat.ball.events) / FEWER
    fewer = moves < 0.95 * c.moves
    step = torch.where(fewer, c.radius, torch.maximum(c.step / FEWER, c.radius / 10))
    return _back(task, c, fewer)._replace(step=step, moves=moves)


def nearest(delta: Tensor, radius: Tensor, room: Tensor, *, events: int) -> Tensor:
    """The nearest point (n, *) of the l1 ball of a radius (n, 1, ...) whose coordinates keep to their room (n, *).

    Every coordinate is shrunk by the same t >= 0 and then cut (Croce & Hein 2021). What is left falls with t in
    straight pieces, so t is found between two of their ends.
    """
    size, cap, radius = delta.abs().flatten(-events), room.flatten(-events), radius.flatten(-events)
    ends, order = torch.cat([(size - cap).clamp_min(0), size], -1).sort(-1)  # where a coordinate starts to fall, stops
    falling = torch.where(order < size.shape[-1], 1.0, -1.0).to(size).cumsum(-1)  # coordinates that fall after each
    fallen = F.pad((falling[..., :-1] * ends.diff(dim=-1)).cumsum(-1), (1, 0))
    excess = torch.minimum(size, cap).sum(-1, keepdim=True) - fallen - radius
    last = (excess > 0).sum(-1, keepdim=True) - 1
    end, over, rate = (column.gather(-1, last.clamp_min(0)) for column in (ends, excess, falling))
    shrunk = torch.where(last < 0, 0, end + over / rate.clamp_min(1))
    rest = torch.minimum((size - shrunk).clamp_min(0), cap)
    rest = rest * (radius / rest.sum(-1, keepdim=True).clamp_min(TINY)).clamp_max(1)  # long sums round
    return delta.sign() * rest.reshape(delta.shape)
