"""The targeted Fast Adaptive Boundary attack (Croce & Hein 2020, arXiv 1907.02044; as FAB-T in arXiv 2003.01690).

It looks for the nearest misclassified point: again and again it goes to where the linearised model has its decision
boundary, and from beyond the boundary back towards the row.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from utils.attacks.square import require_single, scores, value_range
from utils.threats import TINY, MakeThreat, Threat, slope
from utils.types import Batch, Context, Predict

PASS = 2**16  # numbers of input up to which the searches towards several classes share a forward pass


class Searches(NamedTuple):
    """Rows on their way to one class each; a row has one for each of several classes."""

    row: Tensor  # (j,) position among the rows
    rank: Tensor  # (j,) place of the class among those of the row
    y: Tensor  # (j,)
    s: Tensor  # (j,)
    target: Tensor  # (j,) class
    radius: Tensor  # (j,)
    x: Tensor  # (j, *)
    point: Tensor  # (j, *) where the search is
    nearest: Tensor  # (j, *) misclassified point, the nearest so far
    length: Tensor  # (j,) its distance from x; infinite where there is none yet

    def rows(self, keep: Tensor) -> "Searches":
        """Returns the searches of a mask."""
        return Searches(*(column[keep] for column in self))


def fab_t(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    threat: MakeThreat,
    steps: int,
    restarts: int,
    targets: int,
    alpha_max: float,
    eta: float,
    beta: float,
) -> Tensor:
    """Returns a misclassified x' (n, *) within the radius for every row, or x itself where there is none.

    A search ends at the first such point. Of several classes that are reached it is that of the likeliest. A nearest
    point beyond the radius is drawn back to it in the end, where it may be misclassified still.

    Args:
        ctx: gives radius per row, random numbers and what counts as right.
        threat: pixels or features; its docstring states the unit of the radius.
        steps: gradient evaluations of each search.
        restarts: searches towards each class, the first from x, the others from at most half the radius; >= 1.
        targets: classes tried, those of largest logit at x first; of fewer classes all others than the label.
        alpha_max: largest weight of the step from x, in [0, 1], against that from where the search is.
        eta: how far to go, in distances to the boundary, >= 1.
        beta: share of the way from x that is left of a step back from a misclassified point, in (0, 1).

    Raises:
        ValueError: a setting out of its range, or a threat that moves neither pixels nor columns.
        UnstackableError: a stack of models.
    """
    _check(restarts=restarts, targets=targets, alpha_max=alpha_max, eta=eta, beta=beta)
    require_single(batch, "fab_t")
    reachable, random, view = threat(ctx), ctx.on(batch), ctx.steady(predict)
    ball, moved = reachable.ball, batch.x.clone()
    task = _Task(view, ctx, reachable, *value_range(reachable, "fab_t"), steps, alpha_max, eta, beta)
    with torch.no_grad():
        logits, radius = view(batch.x), ctx.epsilon(batch, ctx).to(batch.x)
        left = ((ctx.decide(logits, batch.s) == batch.y) & (radius > 0)).nonzero().squeeze(1)
        classes = _likeliest(scores(logits, batch.s, ctx), batch.y, targets)
        start = batch.x.expand(len(classes), *batch.x.shape)
        for restart in range(restarts):
            if restart:
                away = random.normal(start) * reachable.mask
                away = ball.steepest(away) * ball.spread(radius) / 2
                start = (batch.x + away).clamp(task.low, task.high)
            first = 0
            while first < len(classes) and len(left):
                rows = batch.rows(left)
                some = slice(first, first + max(1, PASS // rows.x.numel()))
                searches = _begin(rows, radius[left], classes[some][:, left], start[some][:, left])
                moved[left], broken = _search(task, searches, rows.x)
                left, first = left[~broken], some.stop
    return moved


def _check(*, restarts: int, targets: int, alpha_max: float, eta: float, beta: float) -> None:
    where = "attack.evasion"
    for name, count in (("restarts", restarts), ("targets", targets)):
        if count < 1:
            raise ValueError(f"{where}.{name}={count}: expected at least 1")
    if not 0 <= alpha_max <= 1:
        raise ValueError(f"{where}.alpha_max={alpha_max}: expected a weight from 0 to 1")
    if not eta >= 1:
        raise ValueError(f"{where}.eta={eta}: expected at least 1, the distance to the boundary")
    if not 0 < beta < 1:
        raise ValueError(f"{where}.beta={beta}: expected a share above 0 and below 1")


def _likeliest(scores: Tensor, y: Tensor, targets: int) -> Tensor:
    """The wrong classes (t, n) of largest scores (n, k), in falling order; t <= targets."""
    wrong = scores.scatter(1, y.unsqueeze(1), -torch.inf)
    return wrong.topk(min(targets, scores.shape[1] - 1)).indices.T


def _begin(batch: Batch, radius: Tensor, classes: Tensor, start: Tensor) -> Searches:
    """Searches of all rows towards the classes (t, n) from start (t, n, *)."""
    t, n = classes.shape
    row, rank = torch.arange(n, device=radius.device).repeat(t), torch.arange(t, device=radius.device)
    point, x = start.flatten(0, 1), batch.x.repeat(t, *(1,) * (batch.x.ndim - 1))
    none = torch.full((t * n,), torch.inf).to(radius)
    of_rows = batch.y.repeat(t), batch.s.repeat(t), classes.flatten(), radius.repeat(t)
    return Searches(row, rank.repeat_interleave(n), *of_rows, x, point, x, none)


@dataclass(frozen=True)
class _Task:
    """The model, rows and constants of a search."""

    predict: Predict
    ctx: Context
    threat: Threat
    low: float
    high: float
    steps: int
    alpha_max: float
    eta: float
    beta: float


def _search(task: _Task, searches: Searches, x: Tensor) -> tuple[Tensor, Tensor]:
    """x' (n, *) of the rows x (n, *), and which of them (n,) are broken."""
    found, none = x.clone(), int(searches.rank.max()) + 1
    best = searches.row.new_full((len(x),), none)
    for _ in range(task.steps):
        searches = _drop_finished(_step(task, searches), found, best)
        if not len(searches.row):
            return found, best < none
    _drop_finished(_draw_back(task, searches), found, best)
    return found, best < none


def _drop_finished(searches: Searches, found: Tensor, best: Tensor) -> Searches:
    """Drops the searches of rows that have reached this class or a likelier one.

    Args:
        searches: after a step.
        found: x' of the rows (n, *), which is set.
        best: the place (n,) of the likeliest class that each row has reached, which is lowered.
    """
    reached = searches.length <= searches.radius
    best.scatter_reduce_(0, searches.row[reached], searches.rank[reached], "amin")
    over = searches.rank >= best[searches.row]
    if not over.any():
        return searches
    first = searches.rows(reached & (searches.rank == best[searches.row]))
    found[first.row] = first.nearest
    return searches.rows(~over)


def _step(task: _Task, searches: Searches) -> Searches:
    """One step of the paper's algorithm 1, towards the class given."""
    ball, x = task.threat.ball, searches.x
    pair = torch.stack([searches.target, searches.y], 1)

    def lead(points: Tensor) -> Tensor:
        own = scores(task.predict(points), searches.s, task.ctx).gather(1, pair)
        return own[:, 0] - own[:, 1]

    gradient, value = slope(lead, searches.point)
    normal = (gradient * task.threat.mask).flatten(1)
    both = torch.stack([searches.point, x])
    here = both.flatten(2)
    lacking = -value - ((here - here[0]) * normal).sum(-1)  # (2, j), of the linearised lead, at the point and at x
    move = to_plane(ball.norm, normal, lacking, here - task.low, task.high - here).reshape(both.shape)
    far, ends = ball.size(move), both + task.eta * move
    alpha = (far[0] / far.sum(0).clamp_min(TINY)).clamp_max(task.alpha_max)
    point = ends[0].lerp(ends[1], alpha).clamp(task.low, task.high)

    fooled, length = _find_fooled(task, searches, point), ball.size(point - x).flatten()
    nearer = fooled & (length < searches.length)
    return searches._replace(
        point=x.lerp(point, ball.spread(torch.where(fooled, task.beta, 1.0).to(x))),
        nearest=torch.where(ball.spread(nearer), point, searches.nearest),
        length=torch.where(nearer, length, searches.length),
    )


def _draw_back(task: _Task, searches: Searches) -> Searches:
    """The nearest points that were found, in the ball: some of them are misclassified there too."""
    ball, x = task.threat.ball, searches.x
    point = (x + ball.project(searches.nearest - x, searches.radius)).clamp(task.low, task.high)
    fooled = _find_fooled(task, searches, point)
    return searches._replace(nearest=point, length=torch.where(fooled, searches.radius, torch.inf))


def _find_fooled(task: _Task, searches: Searches, points: Tensor) -> Tensor:
    return task.ctx.decide(task.predict(points), searches.s) != searches.y


# The nearest point of a plane in a box


def to_plane(norm: str, normal: Tensor, lacking: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """The shortest moves (c, n, d) by which normal . move = lacking; as near to it as the room allows.

    Args:
        norm: that measures them.
        normal: of the planes, (n, d).
        lacking: (c, n).
        below: how far coordinates may fall, (c, n, d), >= 0.
        above: how far they may rise.
    """
    way = normal * lacking.sign().unsqueeze(-1)
    room = torch.where(way > 0, above, below)
    nearest = {"linf": _evenly, "l2": _along, "l1": _steepest_first}[norm]
    return nearest(room, normal.abs(), lacking.abs().unsqueeze(-1)) * way.sign()


def _evenly(room: Tensor, slopes: Tensor, lacking: Tensor) -> Tensor:
    """Linf: every coordinate by the same, or as far as it can."""
    return torch.minimum(_level(room, slopes, lacking), room)


def _along(room: Tensor, slopes: Tensor, lacking: Tensor) -> Tensor:
    """L2: in proportion to the slopes, or as far as it can."""
    knots = room / slopes.clamp_min(TINY)
    return torch.minimum(_level(knots, slopes.square(), lacking), knots) * slopes


def _steepest_first(room: Tensor, slopes: Tensor, lacking: Tensor) -> Tensor:
    """L1: the coordinates of largest slope, one after another, each as far as it can."""
    order = slopes.argsort(-1, descending=True).expand_as(room)
    room, slopes = room.gather(-1, order), slopes.expand_as(room).gather(-1, order)
    gains = torch.where(slopes > 0, slopes * room, 0)
    before = F.pad(gains.cumsum(-1)[..., :-1], (1, 0))
    moves = torch.minimum(((lacking - before) / slopes.clamp_min(TINY)).clamp_min(0), room)
    return torch.zeros_like(room).scatter(-1, order, moves)


def _level(knots: Tensor, rates: Tensor, wanted: Tensor) -> Tensor:
    """The level (c, n, 1) where the sum of rates * min(level, knots) is what is wanted, or past all knots (c, n, d).

    By Newton's method from 0: the sum is concave and in straight pieces, so the level rises to the solution in
    finitely many steps, in practice about five. Sorting the knots costs two to six times as much.
    """
    level = torch.zeros_like(wanted)
    for _ in range(knots.shape[-1] + 1):
        free = knots > level
        rate = (rates * free).sum(-1, keepdim=True)
        lacking = wanted - (rates * torch.minimum(knots, level)).sum(-1, keepdim=True)
        higher = level + torch.where(rate > 0, lacking / rate, 0)
        if not (higher > level * (1 + 1e-6)).any():
            break
        level = higher
    return level
