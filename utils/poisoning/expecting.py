"""Points of a search by Gaussian processes of what points change: those of which they expect most improvement.

The lengths of a process are fitted to the first 10, 12, 14, 16, 19, ... outcomes alone, each size a fifth larger: from
one fit to the next they change little, and a fit costs more than all else. So what is chosen is a function of what is
told, whatever was asked before; what is remembered only spares the same fit.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from utils.poisoning.features import Parameter
from utils.poisoning.gaussian_process import Process, Shape, condition, fit_shape
from utils.poisoning.improvement import Score, best_place, both, log_improvement, log_permitted, log_volume
from utils.poisoning.places import coordinates, owners, places
from utils.poisoning.points import Known, Outcome, Point, at_random

FIRST = 10  # outcomes before there is a process
GROWTH = 5  # a fit is made anew once a fifth more is known
NEAR = 4  # best points so far beside which is searched
EVEN = 1e-10  # standard deviation below which all outcomes are taken for the same

Unit = Callable[[Tensor], Tensor]  # values (..., c) in standard units, (..., c)


class Expecting:
    """A function that chooses points; see the module.

    Args:
        parameters: of a point.
        objectives: number of losses, 1 or 2.
    """

    def __init__(self, parameters: Sequence[Parameter], objectives: int) -> None:
        self.parameters, self.objectives = tuple(parameters), objectives
        self._fitted_to, self._shapes = torch.empty(0), dict[int, Shape]()

    def __call__(self, known: Known, pending: Sequence[Point], count: int, seed: int) -> list[dict[str, float]]:
        """Chooses ``count`` points, each knowing those before it."""
        told = [outcome for outcome in known.outcomes if outcome.values is not None]
        if len(told) < FIRST:
            return at_random(self.parameters, known, pending, count, seed)
        with _one_thread():
            chosen = self._expected(known._replace(outcomes=told), places(self.parameters, pending), count, seed)
        return [{p.name: p.at(u) for p, u in zip(self.parameters, place, strict=True)} for place in chosen.tolist()]

    def _expected(self, known: Known, pending: Tensor, count: int, seed: int) -> Tensor:
        """Places (count, d), each knowing those under way (p, d) and those before it."""
        cube = places(self.parameters, [outcome.point for outcome in known.outcomes])
        x, y = coordinates(self.parameters, cube), _changes(known.outcomes)
        allowed = y[:, -1] <= known.permitted
        near = cube[torch.where(allowed, y[:, 0], torch.inf).argsort(stable=True)[:NEAR]]
        shapes = self._fit(x, y, self.objectives + int(not allowed.all()))
        unit = standard(y)
        aim = unit(torch.tensor([[*[0.0] * self.objectives, known.permitted]], dtype=y.dtype))
        source = torch.Generator().manual_seed(seed % 2**63)
        chosen = pending
        for _ in range(count):
            waiting = coordinates(self.parameters, chosen)
            processes = [condition(shape, x, own, waiting) for shape, own in zip(shapes, unit(y).T, strict=False)]
            score = self._score(processes, unit(y[allowed]), aim, waiting)
            chosen = torch.cat([chosen, best_place(self.parameters, score, near, source)[None]])
        return chosen[len(pending) :]

    def _score(self, processes: Sequence[Process], allowed: Tensor, aim: Tensor, waiting: Tensor) -> Score:
        """The improvement expected of a point, and, once anything was not permitted, the chance that it is.

        Beaten are to be the outcomes that were ``allowed`` (a, o + 1), ``aim`` (1, o + 1), whose losses change nothing
        and whose violation is the limit, and what is expected of points under way (p, e) where it keeps that.
        """
        expected = torch.stack([process.predict(waiting)[0] for process in processes], 1)
        losses, limits, limit = processes[: self.objectives], processes[self.objectives :], aim[0, -1]
        if limits:
            expected = expected[expected[:, -1] <= limit]
        beaten = torch.cat([aim[:, : self.objectives], allowed[:, :-1], expected[:, : self.objectives]])
        score = log_improvement(losses[0], beaten.min()) if self.objectives == 1 else log_volume(losses, beaten)
        return both(score, log_permitted(limits[0], limit)) if limits else score

    def _fit(self, x: Tensor, y: Tensor, outputs: int) -> list[Shape]:
        """Returns the shapes of so many of the columns of y (n, o + 1), fitted to the first rows; see the module."""
        size = fitted_size(len(x))
        x, y = x[:size], y[:size]
        if not torch.equal(self._fitted_to, torch.cat([x, y], 1)):
            self._fitted_to, self._shapes = torch.cat([x, y], 1), {}
        y = standard(y)(y)
        for i in range(outputs):
            if i not in self._shapes:
                self._shapes[i] = fit_shape(x, y[:, i], owners(self.parameters))
        return [self._shapes[i] for i in range(outputs)]


def fitted_size(known: int) -> int:
    """Returns the number of outcomes that shapes are fitted to: of 10, 12, 14, 16, 19, ... the last up to ``known``."""
    size = FIRST
    while size + max(2, size // GROWTH) <= known:
        size += max(2, size // GROWTH)
    return size


def standard(y: Tensor) -> Unit:
    """Returns the function that takes off the means of columns (n, c) and divides by their standard deviations."""
    mean, sd = y.mean(0), y.std(0, correction=0).clamp_min(EVEN)
    return lambda values: (values - mean) / sd


def _changes(told: Sequence[Outcome]) -> Tensor:
    """Returns losses and violation, (n, o + 1), float64."""
    return torch.tensor([[*(outcome.values or ()), outcome.violation] for outcome in told], dtype=torch.float64)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Computes with one thread, since matrices are small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
