"""Improvements that Gaussian processes expect of points, and the place where they expect most."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from utils.poisoning.features import Parameter
from utils.poisoning.gaussian_process import Process
from utils.poisoning.places import coordinates, valid

SPREAD = 1024  # places all over the cube that are looked at, ...
PARENTS, CHILDREN = 8, 16  # then so many near each of the best, ...
STEPS = (0.2, 0.1, 0.05, 0.02) * 2  # again and again, so far away along the lines of parameters ...
MOVED = 0.3  # that move, and half of them anywhere
TINY = 1e-300
MARGIN = 0.1  # of the worst two losses, where volumes end

Score = Callable[[Tensor], Tensor]  # coordinates (m, e) -> (m,), the larger the better


def best_place(parameters: Sequence[Parameter], score: Score, near: Tensor, source: torch.Generator) -> Tensor:
    """Returns the place (d,) of the largest score among ``near`` (k, d), random ones, and others around the best."""
    pool = torch.rand(SPREAD, len(parameters), generator=source, dtype=near.dtype)
    pool = torch.cat([near, valid(parameters, pool)])
    scores = score(coordinates(parameters, pool))
    for step in STEPS:
        parents = pool[scores.topk(PARENTS).indices].repeat(CHILDREN, 1)
        moved = valid(parameters, _moved(parameters, parents, step, source))
        pool, scores = torch.cat([pool, moved]), torch.cat([scores, score(coordinates(parameters, moved))])
    return pool[scores.argmax()]


def _moved(parameters: Sequence[Parameter], cube: Tensor, step: float, source: torch.Generator) -> Tensor:
    """Places (m, d) of which some numbers are moved, near or anywhere, often to an end; choices are made anew."""
    lot, anywhere, moves = torch.rand(3, *cube.shape, generator=source, dtype=cube.dtype)
    near = cube + torch.randn(cube.shape, generator=source, dtype=cube.dtype) * step
    choice = torch.tensor([p.kind == "choice" for p in parameters])
    new = torch.where(choice | (lot < 0.5), 1.2 * anywhere - 0.1, near).clamp(0, 1 - 1e-9)
    return torch.where(moves < MOVED, new, cube)


def log_improvement(process: Process, best: Tensor) -> Score:
    """log E max(best - y, 0), the logarithm of expected improvement (Ament et al. 2023, arXiv 2310.20708, eq. 9)."""

    def score(x: Tensor) -> Tensor:
        mean, sd = process.predict(x)
        z = (best - mean) / sd
        scaled = torch.special.erfcx(-z.clamp_max(0) * math.sqrt(0.5)) * math.sqrt(math.pi / 2)
        below = (1 + z * scaled).clamp_min(TINY).log() - z.square() / 2 - math.log(2 * math.pi) / 2
        above = _improvement(z.clamp_min(0)).log()
        return torch.where(z < 0, below, above) + sd.log()

    return score


def log_volume(processes: Sequence[Process], known: Tensor) -> Score:
    """log of the volume that two losses are expected to add to what losses (n, 2) dominate (Emmerich et al. 2011).

    Volumes end a tenth beyond the worst. With the front f sorted by its first loss, and E_i(a) = E max(a - y_i, 0):
    sum_j (E_1(f_1,j+1) - E_1(f_1,j)) E_2(f_2,j), where strips end at -infinity and the worst losses.
    """
    worst = known.amax(0) + MARGIN * known.amax(0).abs()
    front = undominated(known)
    front = front[front[:, 0].argsort()]
    ends = torch.cat([front[:, 0], worst[:1]]), torch.cat([worst[1:], front[:, 1]])

    def score(x: Tensor) -> Tensor:
        expected = []
        for process, end in zip(processes, ends, strict=True):
            mean, sd = (of[:, None] for of in process.predict(x))
            expected.append(_improvement((end - mean) / sd) * sd)
        strips = expected[0].diff(dim=1, prepend=mean.new_zeros(len(x), 1))
        return (strips * expected[1]).sum(1).clamp_min(TINY).log()

    return score


def log_permitted(process: Process, limit: Tensor) -> Score:
    """log P(y <= limit), the logarithm of the chance that a limit is kept (Gardner et al. 2014)."""

    def score(x: Tensor) -> Tensor:
        mean, sd = process.predict(x)
        return torch.special.log_ndtr((limit - mean) / sd)

    return score


def both(one: Score, other: Score) -> Score:
    """The sum of two scores."""
    return lambda x: one(x) + other(x)


def undominated(values: Tensor) -> Tensor:
    """The rows of (n, 2) that no other row is at most as large as, and smaller somewhere."""
    no_larger = (values[:, None] <= values).all(-1)  # (n, n), by row: is it at most as large as those of the columns?
    return values[~(no_larger & ~no_larger.T).any(0)]


def _improvement(z: Tensor) -> Tensor:
    """E max(z + x, 0), x normal."""
    return (-z.square() / 2).exp() / math.sqrt(2 * math.pi) + z * torch.special.ndtr(z)
