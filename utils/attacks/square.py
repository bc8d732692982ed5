"""Square Attack (Andriushchenko et al. 2020, arXiv 1912.00049): random search with windows, without any gradient.

Linf and l2 as published there, l1 as in Croce & Hein 2021 (arXiv 2103.01208). A query changes a window of the image
and is kept where the margin falls. Every row has windows and signs of its own, drawn by its number in the data.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from utils.adversary.margins import margin
from utils.attacks.apgd import nearest
from utils.seeding import Rows, derive
from utils.threats import TINY, Ball, FeatureThreat, MakeThreat, PixelThreat, Threat
from utils.types import Batch, Context, Predict
from utils.views.stack import UnstackableError

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # queries after which the share of a window halves
TILES = 5  # windows a side of the first point of an l1 or l2 search
LAG, LONGEST = 16, 64  # rows that are done leave within a 16th of the queries gone by, and within 64
ORDER = {"l1": 1, "l2": 2}
STEEP = {"l1": 4, "l2": 2}  # how fast a window of new mass falls off from its centres

Move = Callable[[Tensor], Tensor]  # best points (n, c, h, w) -> new ones
Drawn = tuple[int, int]  # numbers that a row's first point takes, and each of its queries


class Found(NamedTuple):
    """Rows and the best point of each; c channels of h x w, vectors being 1 x 1 x d."""

    row: Tensor  # (n,) position in the batch
    number: Tensor  # (n,) in the original data
    y: Tensor  # (n,)
    s: Tensor  # (n,)
    radius: Tensor  # (n,)
    x: Tensor  # (n, c, h, w)
    point: Tensor  # (n, c, h, w)
    logits: Tensor  # (n, k) at the point
    value: Tensor  # (n,) margin at the point

    def rows(self, keep: Tensor) -> "Found":
        """Returns the rows of a mask."""
        return Found(*(column[keep] for column in self))

    def better(self, point: Tensor, logits: Tensor, value: Tensor) -> "Found":
        """The same rows, each with the point of the lower margin."""
        lower = value < self.value
        return self._replace(
            point=torch.where(lower[:, None, None, None], point, self.point),
            logits=torch.where(lower[:, None], logits, self.logits),
            value=torch.where(lower, value, self.value),
        )


def square(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    threat: MakeThreat,
    queries: int,
    p_init: float,
    restarts: int,
) -> Tensor:
    """The x' (n, *) of the lowest margin that was seen, x among them; a row that is wrong already keeps x.

    Rows are done when they are misclassified. They leave a little later, as fewer looks at them cost less, and until
    then go on to lower their margin.

    Args:
        predict: the model; only its answers are used.
        batch: images (n, c, h, w), or vectors (n, d), whose windows are runs of columns.
        ctx: gives radius per row, random numbers and what counts as right.
        threat: pixels or features; its docstring states the unit of the radius.
        queries: of each restart, after its first point.
        p_init: share of the image that the first windows cover, in (0, 1]. It halves after 10, 50, 200, ... queries,
            as published for 10,000 of them, whatever their number here: so does AutoAttack's standard version.
        restarts: searches of the rows that are still right, >= 1.

    Raises:
        ValueError: a setting out of its range, or a threat that moves neither pixels nor columns.
        UnstackableError: a stack of models.
    """
    if restarts < 1:
        raise ValueError(f"attack.evasion.restarts={restarts}: expected at least 1 start")
    if not 0 < p_init <= 1:
        raise ValueError(f"attack.evasion.p_init={p_init}: expected a share of the image, above 0 and at most 1")
    require_single(batch, "square")
    search, source = _search_of(threat(ctx)), ctx.on(batch).generator
    # the attacks of a table draw from one stream; here a row's numbers come from the seed and the row all the same
    key = source.key if isinstance(source, Rows) else derive(ctx.own_seed, "square")
    schedule = [(block, p_init / 2 ** bisect_left(HALVINGS, block.start)) for block in _blocks(queries)]
    view, moved = ctx.steady(predict), batch.x.clone()

    def answers(points: Tensor) -> Tensor:
        return view(points.reshape(-1, *moved.shape[1:]))

    with torch.no_grad():
        logits, radius = view(batch.x), ctx.epsilon(batch, ctx).to(batch.x)
        lowest = margin(scores(logits, batch.s, ctx), batch.y)
        left = ((ctx.decide(logits, batch.s) == batch.y) & (radius > 0)).nonzero().squeeze(1)
        for restart in range(restarts):
            if not len(left):
                break
            rows = batch.rows(left)
            x = rows.x if rows.x.ndim == 4 else rows.x[:, None, None]
            found = Found(left, rows.index, rows.y, rows.s, radius[left], x, x, logits[left], lowest[left])
            found = _search(answers, found, ctx, search, schedule, derive(key, f"restart {restart}"))
            left = found.row[ctx.decide(found.logits, found.s) == found.y]
            found = found.rows(found.value < lowest[found.row])
            moved[found.row], lowest[found.row] = found.point.reshape(-1, *moved.shape[1:]), found.value
    return moved


def require_single(batch: Batch, method: str) -> None:
    """Refuses the rows (m, n, *) of a stack. Raises UnstackableError."""
    if batch.y.ndim != 1:
        raise UnstackableError(f"{method} attacks one model at a time")


def value_range(threat: Threat, method: str) -> tuple[float, float]:
    """The least and the largest legal value of what the threat moves.

    Raises:
        ValueError: it moves something else than pixels or columns.
    """
    if isinstance(threat, PixelThreat):
        return 0.0, 1.0
    if isinstance(threat, FeatureThreat):
        return -torch.inf, torch.inf
    raise ValueError(f"attack={method} moves pixels or columns; choose attack=causal_pgd for the causal threat")


def scores(logits: Tensor, s: Tensor, ctx: Context) -> Tensor:
    """A score of each class, (..., k), the largest being the label; of two classes 0 and the decision's margin."""
    if logits.shape[-1] > 1:
        return logits
    z = ctx.decide.margin(logits, s).unsqueeze(-1)
    return torch.cat([torch.zeros_like(z), z], -1)


def _blocks(queries: int) -> Iterator[range]:
    """Runs of queries between which rows may leave, in each of which windows have one size."""
    start = 0
    while start < queries:
        halved = next((h + 1 for h in HALVINGS if h >= start), queries)
        end = min(queries, halved, start + min(LONGEST, 1 + start // LAG))
        yield range(start, end)
        start = end


def _search(
    predict: Predict,
    found: Found,
    ctx: Context,
    search: "_Corners | _Masses",
    schedule: list[tuple[range, float]],
    key: int,
) -> Found:
    """The rows, in another order, with the best point of one search."""

    def numbers(purpose: str, queries: int, each: int) -> Tensor:
        like = found.x.new_zeros(()).expand(queries, len(found.y), each)
        return Rows(derive(key, purpose), found.number).uniform(like)

    def answered(point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = predict(point)
        return point, logits, margin(scores(logits, found.s, ctx), found.y)

    of_start, of_query = search.draws(found.x)
    point, logits, value = answered(search.start(found.x, found.radius, numbers("start", 1, of_start)[0]))
    found, done = found._replace(point=point, logits=logits, value=value), []
    for block, share in schedule:
        right = ctx.decide(found.logits, found.s) == found.y
        if not right.all():
            done.append(found.rows(~right))
            found = found.rows(right)
        if not len(found.y):
            break
        drawn = numbers(f"query {block.start}", len(block), of_query)
        for move in search.moves(found.x, found.radius, share, drawn):
            found = found.better(*answered(move(found.point)))
    return Found(*(torch.cat(columns) for columns in zip(*done, found, strict=True)))


def _search_of(threat: Threat) -> "_Corners | _Masses":
    low, high = value_range(threat, "square")
    mask = threat.mask if threat.mask.ndim == 3 else threat.mask[None, None]
    ball = Ball(threat.ball.norm, events=3)
    return _Corners(mask, low, high) if ball.norm == "linf" else _Masses(ball, mask, low, high)


@dataclass(frozen=True)
class _Corners:
    """Linf: every coordinate at one of its two bounds; a query sets each channel of a window to one of them."""

    mask: Tensor  # (1, 1, 1), or (1, 1, d) of vectors
    low: float
    high: float

    def draws(self, x: Tensor) -> Drawn:
        _, channels, _, wide = x.shape
        return channels * wide, 2 + channels

    def start(self, x: Tensor, radius: Tensor, numbers: Tensor) -> Tensor:
        """Vertical stripes (n, c, h, w)."""
        least, most = self._bounds(x, radius)
        return torch.where(numbers.reshape(len(x), x.shape[1], 1, -1) < 0.5, least, most)

    def moves(self, x: Tensor, radius: Tensor, share: float, numbers: Tensor) -> Iterator[Move]:
        """Yields the move of each query, from numbers (b, n, 2 + c)."""
        least, most = self._bounds(x, radius)
        (tall, wide), (height, width) = _sides(share, x, odd=False), x.shape[2:]
        within = _cover(numbers[..., 0], tall, height)[:, :, None, :, None]
        beside = _cover(numbers[..., 1], wide, width)[:, :, None, None, :]
        up = numbers[..., 2:, None, None] < 0.5

        def move(i: int, point: Tensor) -> Tensor:
            return torch.where(within[i] & beside[i], torch.where(up[i], most, least), point)

        return (partial(move, i) for i in range(len(numbers)))

    def _bounds(self, x: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        reach = radius[:, None, None, None] * self.mask
        return (x - reach).clamp_min(self.low), (x + reach).clamp_max(self.high)


@dataclass(frozen=True)
class _Masses:
    """L1 and l2: a query takes the mass of two windows, and what the radius leaves, and heaps it up in one of them.

    Mass is the sum of abs(delta)^p. What is heaped up, in each channel, is the pattern of ``_split`` with a random
    sign plus what was there, scaled.
    """

    ball: Ball
    mask: Tensor
    low: float
    high: float

    def draws(self, x: Tensor) -> Drawn:
        _, (rows, columns) = _tiles(x)
        return rows * columns * (1 + x.shape[1]), 5 + x.shape[1]

    def start(self, x: Tensor, radius: Tensor, numbers: Tensor) -> Tensor:
        """A pattern in every tile, as long as the radius allows."""
        (n, channels, height, width), ((tall, wide), (rows, columns)) = x.shape, _tiles(x)
        turned, signs = (numbers < 0.5).reshape(n, 1 + channels, rows, columns).split([1, channels], 1)
        tiles = self._patterns(x, tall, wide)[turned.long()] * _signed(signs, x)[..., None, None]
        whole = tiles.permute(0, 1, 2, 4, 3, 5).reshape(n, channels, rows * tall, columns * wide)
        above, before = (height - rows * tall) // 2, (width - columns * wide) // 2
        around = (before, width - columns * wide - before, above, height - rows * tall - above)
        delta = F.pad(whole, around) * self.mask
        longer = (self.ball.spread(radius) / self.ball.size(delta).clamp_min(TINY)).clamp_min(1)
        return self._legal(x, self.ball.project(delta * longer, radius))

    def moves(self, x: Tensor, radius: Tensor, share: float, numbers: Tensor) -> Iterator[Move]:
        """Yields the move of each query, from numbers (b, n, 5 + c)."""
        p, (channels, height, width) = ORDER[self.ball.norm], x.shape[1:]
        tall, wide = _sides(share, x, odd=True)
        top = (numbers[..., 0:2] * (height - tall + 1)).long()  # (b, n, 2), of the two windows
        left = (numbers[..., 2:4] * (width - wide + 1)).long()
        signs, turned = _signed(numbers[..., 4:-1, None] < 0.5, x), (numbers[..., -1] < 0.5).long()
        down, along = (torch.arange(side, device=x.device) for side in (tall, wide))
        window = (down[:, None] * width + along).flatten()
        patterns, mask = self._patterns(x, tall, wide).flatten(1), self.mask.expand(1, height, width).flatten()
        limit = radius[:, None, None].pow(p)

        def move(i: int, point: Tensor) -> Tensor:
            delta = (point - x).flatten(2)
            here, there = ((top[i] * width + left[i])[..., None] + window).unbind(1)
            apart = _outside(top[i], down)[:, :, None] | _outside(left[i], along)[:, None, :]
            old = delta.gather(2, _each(here, channels))
            other = delta.gather(2, _each(there, channels)) * apart.flatten(1)[:, None]
            length = _length(old, p)
            freed = length.pow(p) + _length(other, p).pow(p)
            spare = limit - torch.linalg.vector_norm(delta, p, (1, 2), keepdim=True).pow(p)
            new = patterns[turned[i]][:, None] * signs[i] * mask[here][:, None] + old / length.clamp_min(TINY)
            new *= (freed + spare / channels).clamp_min(0).pow(1 / p) / _length(new, p).clamp_min(TINY)
            if p == 1:
                new *= channels
            delta.scatter_(2, _each(there, channels), 0.0).scatter_(2, _each(here, channels), new)
            return self._legal(x, self._cut(x, delta.reshape(x.shape), radius))

        return (partial(move, i) for i in range(len(numbers)))

    def _cut(self, x: Tensor, delta: Tensor, radius: Tensor) -> Tensor:
        """The delta in the ball. It is longer only under l1, as published, by a factor for more channels than one.

        The nearest point of ball and box keeps the tallest of it, and so sparse perturbations are found.
        """
        if self.ball.norm != "l1" or x.shape[1] == 1:
            return delta
        room = torch.where(delta > 0, self.high - x, x - self.low)
        return nearest(delta, self.ball.spread(radius), room, events=3)

    def _patterns(self, like: Tensor, tall: int, wide: int) -> Tensor:
        """A window (2, tall, wide) split in its width, and in its height; of length 1."""
        p, steep = ORDER[self.ball.norm], STEEP[self.ball.norm]
        both = torch.stack([_split(tall, wide, p, steep), _split(wide, tall, p, steep).T])
        return both.to(like)

    def _legal(self, x: Tensor, delta: Tensor) -> Tensor:
        return (x + delta).clamp_(self.low, self.high)


def _sides(share: float, x: Tensor, *, odd: bool) -> tuple[int, int]:
    """Height and width of a window that covers a share of the rows x (n, c, h, w); odd ones are of 3 at least."""
    height, width = x.shape[2:]
    side = round(share * width if height == 1 else (share * height * width) ** 0.5)
    side = max(3, side + 1 - side % 2) if odd else max(1, side)
    return (1, min(side, width)) if height == 1 else (min(side, height, width),) * 2


def _tiles(x: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
    """Height and width of a tile of the rows x (n, c, h, w), and how many there are below and beside each other."""
    height, width = x.shape[2:]
    side = max(1, (width if height == 1 else min(height, width)) // TILES)
    tall = min(side, height)
    return (tall, side), (height // tall, width // side)


def _cover(numbers: Tensor, side: int, size: int) -> Tensor:
    """Returns a mask (*, size) of the places that a window of a side covers, its first one chosen by numbers (*)."""
    first = (numbers * (size - side + 1)).long().unsqueeze(-1)
    place = torch.arange(size, device=numbers.device)
    return (place >= first) & (place < first + side)


def _outside(first: Tensor, along: Tensor) -> Tensor:
    """Returns a mask (n, side) of the places of the second of two windows, from first (n, 2), outside the first one."""
    place = (first[:, 1] - first[:, 0]).unsqueeze(-1) + along
    return (place < 0) | (place >= len(along))


def _each(at: Tensor, channels: int) -> Tensor:
    return at.unsqueeze(1).expand(-1, channels, -1)


def _length(window: Tensor, p: int) -> Tensor:
    return torch.linalg.vector_norm(window, p, -1, keepdim=True)


def _signed(negative: Tensor, like: Tensor) -> Tensor:
    return 1 - 2 * negative.to(like.dtype)


def _split(tall: int, wide: int, p: int, steep: int) -> Tensor:
    """A hill beside a valley, each half of a window (tall, wide), of length 1 together."""
    halves = [_hill(tall, wide // 2, steep), -_hill(tall, wide - wide // 2, steep)]
    whole = torch.cat([half / torch.linalg.vector_norm(half, p).clamp_min(TINY) for half in halves], 1)
    return whole / torch.linalg.vector_norm(whole, p)


def _hill(tall: int, wide: int, steep: int) -> Tensor:
    """Sum of (1 + k)^-steep over k from the distance to the middle, in squares, up to the edge (section 3.4.2)."""
    down, along = ((torch.arange(side) - side // 2).abs() for side in (tall, wide))
    steps = torch.arange(1.0, max(tall // 2, wide // 2) + 2).pow(-steep)
    return steps.flip(0).cumsum(0).flip(0)[torch.maximum(down[:, None], along)]
