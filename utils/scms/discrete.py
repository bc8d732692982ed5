"""Mechanisms of discrete nodes: binary, categorical, ordered, counts. Their noise, given a row, is a posterior.

A node has k levels with chances (..., k) given its parents. Data tell these chances and no more: how the level of a
person would change with the parents is an assumption, the coupling.

- ``by_quantile``: one noise u, logistic; the level is the first whose distribution function is above sigmoid(u), a
  number from U(0, 1). Levels move as little as they can, in their order. Of two levels Gumbel noise gives the same.
- ``by_gumbel``: a Gumbel noise for each level; the level is that of the largest log chance plus noise (Oberst and
  Sontag 2019, arXiv 1905.05824). No order of the levels is assumed. Its posterior is sampled from the top down
  (Maddison et al. 2014, arXiv 1411.0030): the largest sum first, the others cut there.

A value that was seen is reached by every noise of its posterior: push(pull(x)) is x.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, pad

from utils.scms.structure import Equation
from utils.system.elementwise import sigmoid

LEAST_CHANCE = 1e-6  # of a level, so that a noise agrees with every row
ROUNDING = 4  # how far noise stays from where another level begins, units in the last place
EDGE = 1e-4  # likewise of Gumbel noise, as a share of the largest sum
MOST_LEVELS = 1000  # of a count, whose distribution is a table
NEVER = 60.0  # below all others, Gumbel noise that no chance above LEAST_CHANCE makes up for
MEAN, SIZE = (-12.0, 12.0), (-6.0, 12.0)  # logarithms of a count's mean and of its dispersion

Range = tuple[Tensor, Tensor]  # lower and upper bounds
Head = Callable[..., Tensor]  # what a regression gives (..., q) -> chances (..., k)


def of_binary(score: Tensor) -> Tensor:
    """Chances (..., 2) from the log-odds (...) of the second level."""
    chance = sigmoid(score)
    return torch.stack([1 - chance, chance], -1)


def of_categories(scores: Tensor) -> Tensor:
    """Chances (..., k) from a score (..., k) of each level."""
    return scores.softmax(-1)


def of_ordered(cuts: Tensor) -> Tensor:
    """Chances (..., k) from the log-odds (..., k - 1) of not being above each level but the last."""
    below = sigmoid(cuts).cummax(-1).values
    return pad(below, (0, 1), value=1.0) - pad(below, (1, 0), value=0.0)


def of_count(scores: Tensor, *, levels: int) -> Tensor:
    """Negative binomial chances (..., levels) of 0, 1, ..., from log mean and log dispersion (..., 2).

    The variance is mean + mean^2 / dispersion; a large dispersion gives Poisson chances. Of what could be drawn above
    the last level nothing is left: the chances add up to 1.
    """
    mean, size = _mean_and_size(scores)
    return _negative_binomial(mean, size, size, levels)


def _mean_and_size(scores: Tensor) -> tuple[Tensor, Tensor]:
    return scores[..., :1].clamp(*MEAN).exp(), scores[..., 1:].clamp(*SIZE).exp()


def _negative_binomial(mean: Tensor, size: Tensor, other: Tensor, levels: int) -> Tensor:
    """The chances of numbers with weights Gamma(number + size) / number! (mean / (mean + other))^number.

    They grow stochastically with the size where it stands first, and with the ratio: the likelihood ratio is monotone.
    """
    return _log_weights(mean, size, other, levels).softmax(-1)


def _log_weights(mean: Tensor, size: Tensor, other: Tensor, levels: int) -> Tensor:
    """Logarithms of these weights, less that of 0: sums of logarithms of ratios of neighbours.

    Differences of logarithms of Gamma would leave few digits of a large size: a chance off by .02 in single precision.
    """
    before = torch.arange(levels - 1, device=mean.device, dtype=mean.dtype)
    ratio = (size + before) * (mean / (mean + other)) / (before + 1)
    return pad(ratio.log().cumsum(-1), (1, 0))


def chances(head: Head, f: Callable[[Tensor], Tensor], *p: Tensor) -> Tensor:
    """The chances (..., k) of a node's levels given its parents p, (...) each; none is below LEAST_CHANCE."""
    found = head(f(torch.stack(p, -1)))
    return found * (1 - found.shape[-1] * LEAST_CHANCE) + LEAST_CHANCE


# --- one noise for all levels ----------------------------------------------------------------------------------


def by_quantile(parents: tuple[str, ...], f: Callable[[Tensor], Tensor], head: Head, **where: Any) -> Equation:
    """The equation of a node whose levels are those of one logistic noise.

    Args:
        parents: names of columns.
        f: stacked parents (..., p) -> what the head takes.
        head: -> chances of the levels.
        where: ``low`` and ``step``, the numbers of the levels in their column, low + i * step; without them the node
            is a block of indicators.
    """
    push, pull = partial(push_quantile, f, head=head, **where), partial(pull_quantile, f, head=head, **where)
    return Equation(parents, push, pull, posterior=True)


def push_quantile(f: Callable[[Tensor], Tensor], u: Tensor, *p: Tensor, head: Head, **where: Any) -> Tensor:
    """The column (...), or indicators (..., k), of noise u of that shape and parents p, (...) each."""
    u = u if where else u[..., 0]
    found = chances(head, f, *p)
    return _write((u.unsqueeze(-1) >= _edges(*_sides(found))).sum(-1), found.shape[-1], **where).to(u.dtype)


def pull_quantile(
    f: Callable[[Tensor], Tensor], x: Tensor, chance: Tensor, *p: Tensor, head: Head, **where: Any
) -> Tensor:
    """The noise by which x is what it is, drawn by ``chance`` of its shape."""
    found = chances(head, f, *p)
    below, above = _sides(found)
    level = read_level(x, found.shape[-1], **where).unsqueeze(-1)

    def at(values: Tensor, padding: tuple[int, int] = (0, 0), outside: float = 0.0) -> Tensor:
        return pad(values, padding, value=outside).take_along_dim(level, -1).squeeze(-1)

    share = _inside(chance if where else chance[..., 0])
    own, edges = at(found), _edges(below, above)
    u = (at(below, (1, 0)) + share * own).log() - (at(above, (0, 1)) + (1 - share) * own).log()
    low, high = at(edges, (1, 0), -torch.inf), at(edges, (0, 1), torch.inf)
    rounding = ROUNDING * torch.finfo(u.dtype).eps * (1 + u.abs())
    u = torch.minimum(torch.maximum(u, low + rounding), high - rounding)
    return u if where else u.unsqueeze(-1).expand(*u.shape, found.shape[-1])


def _sides(found: Tensor) -> tuple[Tensor, Tensor]:
    """The chances (..., k - 1) of each level but the last or one below it, and of the levels above; exact in tails."""
    return found.cumsum(-1)[..., :-1], found.flip(-1).cumsum(-1).flip(-1)[..., 1:]


def _edges(below: Tensor, above: Tensor) -> Tensor:
    """The noise (..., k - 1) from which on the level is above each one."""
    return below.log() - above.log()


def _inside(chance: Tensor) -> Tensor:
    """Numbers from [0, 1] inside (0, 1)."""
    return chance.clamp(2.0**-24, 1 - 2.0**-24)


def draw_anew(chance: Tensor) -> Tensor:
    """The noise of ``by_quantile`` that numbers from U(0, 1) stand for, whatever a row holds."""
    return torch.logit(_inside(chance))


# --- a noise for each level ------------------------------------------------------------------------------------


def by_gumbel(parents: tuple[str, ...], f: Callable[[Tensor], Tensor], head: Head) -> Equation:
    """The equation of a block of indicators with a Gumbel noise for each; the arguments as those of ``by_quantile``."""
    return Equation(parents, partial(push_gumbel, f, head=head), partial(pull_gumbel, f, head=head), posterior=True)


def push_gumbel(f: Callable[[Tensor], Tensor], u: Tensor, *p: Tensor, head: Head) -> Tensor:
    """The indicators (..., k) of noise u (..., k) and parents p, (...) each."""
    scores = chances(head, f, *p).log() + u
    return one_hot(scores.argmax(-1), scores.shape[-1]).to(u.dtype)


def pull_gumbel(f: Callable[[Tensor], Tensor], x: Tensor, chance: Tensor, *p: Tensor, head: Head) -> Tensor:
    """The noise (..., k) by which x (..., k) is what it is, drawn by ``chance`` (..., k)."""
    found = chances(head, f, *p)
    waits = -torch.log(_inside(chance))  # Exp(1)
    seen = x > 0.5
    first = torch.where(seen, waits, 0).sum(-1, keepdim=True)  # the largest sum is -log(first), of Gumbel(0)
    others = torch.maximum(waits / found, EDGE * first)
    return -torch.log(torch.where(seen, first, first + others)) - found.log()


# --- levels and the numbers of their columns -------------------------------------------------------------------


def _write(level: Tensor, k: int, *, low: Any = None, step: Any = None) -> Tensor:
    """The column (...) of levels (...), or their indicators (..., k)."""
    return one_hot(level, k).to(torch.get_default_dtype()) if step is None else low + step * level


def read_level(x: Tensor, k: int, *, low: Any = None, step: Any = None) -> Tensor:
    """The levels (...) of a column (...), or of indicators (..., k); the nearest ones."""
    if step is None:
        return x.argmax(-1)
    return ((x - low) / step).round().long().clamp(0, k - 1)


class CutPoints(nn.Module):
    """Log-odds (..., k - 1) of not being above each level but the last: a cut point less one score of all of them."""

    def __init__(self, score: nn.Module, levels: int) -> None:
        super().__init__()
        self.score = score
        self.cuts = nn.Linear(1, levels - 1)
        self.cuts.weight.data.fill_(-1.0)
        self.cuts.weight.requires_grad_(False)

    def forward(self, parents: Tensor) -> Tensor:
        """Parents (..., p) -> (..., k - 1)."""
        return self.cuts(self.score(parents).unsqueeze(-1))


def with_cuts(kind: str, score: nn.Module, level: Tensor, levels: int) -> nn.Module:
    """The regression of a node as its head takes it, with what maximises the likelihood without parents to begin with.

    An ordered one gets cut points, a count the logarithms of mean and dispersion; far from those the chance of what was
    seen is 0 in floating point, which has no slope.

    Args:
        kind: of the node.
        score: stacked parents -> scores.
        level: of the training rows, (n,).
        levels: how many there are.
    """
    if kind == "count":
        mean, variance = level.double().mean().clamp_min(0.1), level.double().var(correction=0)
        size = mean.square() / (variance - mean).clamp_min(1e-6)
        assert isinstance(score.last, nn.Linear)
        score.last.bias.data += torch.stack([mean.log(), size.log().clamp(-1.0, 6.0)])
    if kind != "ordered":
        return score
    f = CutPoints(score, levels)
    share = (torch.bincount(level, minlength=levels) + 1.0).cumsum(0)[:-1] / (len(level) + levels)
    f.cuts.bias.data = torch.logit(share)
    return f


# --- bounds ----------------------------------------------------------------------------------------------------


def possible_levels(push: Callable[..., Tensor], scores: Range, noise: Range) -> Tensor:
    """A mask (p, k) of the levels of a node over scores (p, q) and noise (p, c) in ranges: all that these leave open.

    Args:
        push: of the equation.
        scores: lower and upper bounds of what its regression gives.
        noise: likewise of the noise of its columns.
    """
    assert isinstance(push, partial)
    if push.func is push_gumbel:
        return _possible_by_gumbel(scores, noise)
    least, most = _enclose_distribution(push.keywords["head"], scores)
    k = least.shape[-1] + 1
    floor = LEAST_CHANCE * torch.arange(1, k, device=least.device)
    margin = k * torch.finfo(least.dtype).eps
    least, most = (below * (1 - k * LEAST_CHANCE) + floor for below in (least - margin, most + margin))
    least, most = torch.logit(least.clamp(0, 1)), torch.logit(most.clamp(0, 1))
    lowest, highest = (noise[0][..., :1] >= most).sum(-1), (~(noise[1][..., :1] < least)).sum(-1)  # nan: open
    level = torch.arange(k, device=least.device)
    return (level >= lowest.unsqueeze(-1)) & (level <= highest.unsqueeze(-1))


def agreeing_levels(push: Callable[..., Tensor], scores: Range, x: Tensor, *p: Tensor) -> Tensor:
    """A mask (q, k) of the levels of a node over scores (q, s) in ranges, by any noise that agrees with a row.

    By one noise, that from which on a level is seen to that from which on the next one is. By Gumbel noise, the level
    that is seen, and every other whose chance grows at least as much as that of the one that is seen (Oberst and
    Sontag 2019, arXiv 1905.05824, theorem 2).

    Args:
        push: of the equation.
        scores: lower and upper bounds of what its regression gives.
        x: what is seen, its columns (q, c).
        p: and its parents, (q,) each.
    """
    assert isinstance(push, partial)
    found = chances(push.keywords["head"], push.args[0], *p)
    level = read_columns(push, x, found.shape[-1])
    if push.func is not push_gumbel:
        low, high = _edges_around(found, level)
        return possible_levels(push, scores, (low.unsqueeze(-1), high.unsqueeze(-1)))
    least, most = _enclose_log_chances(scores)
    slack = 4 * ROUNDING * torch.finfo(found.dtype).eps * (1 + found.log().abs() + least.abs())
    grown, fewest = most - found.log() + slack, least - found.log() - slack
    seen = torch.arange(found.shape[-1], device=x.device) == level.unsqueeze(-1)
    return seen | ~(grown < fewest.take_along_dim(level.unsqueeze(-1), -1))


def noise_between(
    push: Callable[..., Tensor], seen: Tensor | None, target: Tensor, p: Sequence[Tensor], q: Sequence[Tensor]
) -> Tensor:
    """A noise (n, c) by which a node has the levels ``target`` (n,) at parents q, (n,) each, where there is any.

    Args:
        push: of the equation.
        seen: the node's columns (n, c), which it also has to give at parents p; None: it need not.
        target: levels.
        p: parents (n,) as they were.
        q: parents (n,) as they are now.
    """
    assert isinstance(push, partial)
    now = chances(push.keywords["head"], push.args[0], *q)
    if seen is None:
        was, level = now, target
    else:
        was = chances(push.keywords["head"], push.args[0], *p)
        level = read_columns(push, seen, was.shape[-1])
    if push.func is push_gumbel:
        return _gumbel_between(was, now, level, target)
    low, high = map(torch.stack, zip(_edges_around(was, level), _edges_around(now, target), strict=True))
    return (
        _middle_of(low.amax(0), high.amin(0))
        .unsqueeze(-1)
        .expand(*target.shape, 1 if "step" in push.keywords else now.shape[-1])
    )


def _gumbel_between(was: Tensor, now: Tensor, level: Tensor, target: Tensor) -> Tensor:
    """The noise of all other levels is so low that they are never the largest; 0 of the level that is seen."""
    was, now = was.log(), now.log()
    number = torch.arange(was.shape[-1], device=was.device)
    own, other = (of.unsqueeze(-1) == number for of in (level, target))

    def lead(of: Tensor) -> Tensor:
        return of.take_along_dim(level.unsqueeze(-1), -1) - of.take_along_dim(target.unsqueeze(-1), -1)

    middle = _middle_of(lead(now), lead(was))
    return torch.where(own, 0.0, torch.where(other, middle, -NEVER)).to(was)


def _edges_around(found: Tensor, level: Tensor) -> Range:
    """The noises (n,) from which on a level (n,) is seen, and from which on the next one is."""
    edges = _edges(*_sides(found))
    ends = ((1, 0), -torch.inf), ((0, 1), torch.inf)
    low, high = (
        pad(edges, side, value=outside).take_along_dim(level.unsqueeze(-1), -1).squeeze(-1) for side, outside in ends
    )
    return low, high


def _middle_of(low: Tensor, high: Tensor) -> Tensor:
    """A number between two, one of which or both may be infinite."""
    low, high = (
        torch.where(low.isinf(), torch.where(high.isinf(), -1.0, high - 2.0), low),
        torch.where(high.isinf(), torch.where(low.isinf(), 1.0, low + 2.0), high),
    )
    return (low + high) / 2


def count_levels(push: Callable[..., Tensor], *p: Tensor) -> int:
    """The number of levels of a node whose parents p are (...) each."""
    assert isinstance(push, partial)
    return chances(push.keywords["head"], push.args[0], *p).shape[-1]


def most_of_count(push: Callable[..., Tensor]) -> int:
    """The largest number that a count has a chance of."""
    assert isinstance(push, partial)
    return int(push.keywords["head"].keywords["levels"]) - 1


def read_columns(push: Callable[..., Tensor], x: Tensor, k: int) -> Tensor:
    """The levels (n,) that the columns x (n, c) of a node of k levels hold."""
    assert isinstance(push, partial)
    where = {key: push.keywords[key] for key in ("low", "step") if key in push.keywords}
    return read_level(x[..., 0] if where else x, k, **where)


def columns_at(push: Callable[..., Tensor], level: Tensor, k: int) -> Tensor:
    """The columns (p, c) of a node of k levels at levels (p,)."""
    assert isinstance(push, partial)
    where = {key: push.keywords[key] for key in ("low", "step") if key in push.keywords}
    column = _write(level, k, **where)
    return column.unsqueeze(-1) if where else column


def enclose(push: Callable[..., Tensor], possible: Tensor) -> Range:
    """The least and the largest value (p, c) of the columns of a node at its possible levels (p, k), some in each."""
    k = possible.shape[-1]
    first, last = possible.byte().argmax(-1), k - 1 - possible.flip(-1).byte().argmax(-1)
    ends = torch.stack([columns_at(push, level, k) for level in (first, last)])
    if ends.shape[-1] == 1:
        low, high = ends.sort(0).values
        return low, high
    return ends.amin(0), possible.to(ends)


def _enclose_log_chances(scores: Range) -> Range:
    """Bounds (p, k) of the logarithms of softmax chances."""
    low, high = _from_the_largest(scores)
    k = low.shape[-1]
    own = torch.eye(k, dtype=torch.bool, device=low.device)
    most_others, fewest_others = (torch.where(own, -torch.inf, of.unsqueeze(-2)).logsumexp(-1) for of in (high, low))
    least, most = (low - most_others).sigmoid(), (high - fewest_others).sigmoid()
    least, most = ((of * (1 - k * LEAST_CHANCE) + LEAST_CHANCE).log() for of in (least, most))
    return least, most


def _from_the_largest(scores: Range) -> Range:
    """Scores (p, k) less the largest, which changes no softmax chance: what they share would take digits of sums."""
    low, high = scores
    shared = high.amax(-1, keepdim=True)
    return low - shared, high - shared


def _possible_by_gumbel(scores: Range, noise: Range) -> Tensor:
    least, most = _enclose_log_chances(scores)
    margin = 4 * ROUNDING * torch.finfo(least.dtype).eps
    lower, upper = least + noise[0], most + noise[1]
    spread = margin * (1 + lower.abs().amax(-1, keepdim=True) + upper.abs().amax(-1, keepdim=True))
    return ~(upper + spread < lower.amax(-1, keepdim=True) - spread)


def _enclose_distribution(head: Head, scores: Range) -> Range:
    """Bounds (p, k - 1) of the chance of each level but the last, or one below it."""
    low, high = scores
    if head is of_binary:
        return 1 - high.sigmoid(), 1 - low.sigmoid()
    if head is of_ordered:
        return low.sigmoid().cummax(-1).values, high.sigmoid().cummax(-1).values
    if head is of_categories:
        low, high = _from_the_largest(scores)
        return tuple(_below(own, other) for own, other in ((low, high), (high, low)))  # type: ignore[return-value]
    assert isinstance(head, partial)
    (fewest, smallest), (most, largest) = map(_mean_and_size, scores)
    levels = head.keywords["levels"]
    ends = [_log_weights(*of, levels) for of in ((fewest, smallest, largest), (most, largest, smallest))]
    upper, lower = (of.softmax(-1).cumsum(-1)[..., :-1] for of in ends)
    # of sums of as many logarithms as there are levels, in chances and in their bounds
    size = levels * (ROUNDING + torch.maximum(*(of.abs().amax(-1, keepdim=True) for of in ends)))
    rounding = ROUNDING * torch.finfo(low.dtype).eps * size
    return (torch.logit(lower.clamp(0, 1)) - rounding).sigmoid(), (torch.logit(upper.clamp(0, 1)) + rounding).sigmoid()


def _below(own: Tensor, others: Tensor) -> Tensor:
    """Softmax chances (p, k - 1) of each level or one before it: their scores ``own``, those behind ``others``."""
    upto, behind = own.logcumsumexp(-1)[..., :-1], others.flip(-1).logcumsumexp(-1).flip(-1)[..., 1:]
    return (upto - behind).sigmoid()
