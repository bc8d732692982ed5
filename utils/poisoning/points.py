"""Points of a search, their outcomes, and points that are chosen whatever the outcomes."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from utils.poisoning.features import Parameter

SCRAMBLE = 0  # of quasi-random points, the same in every search: only their number tells which are next

Point = Mapping[str, float]


class Outcome(NamedTuple):
    """The changes that a point made beside the rows that it was put onto."""

    point: Point
    values: tuple[float, ...] | None  # changes of what is minimised, (o,); None where it failed
    violation: float  # change of it


class Known(NamedTuple):
    """All that is known of a search, as it stands now."""

    outcomes: Sequence[Outcome]  # in their order, to which later ones are added
    permitted: float  # largest change of the violation that keeps the limits


# what is known, points under way, how many to ask for, seed -> points
Ask = Callable[[Known, Sequence[Point], int, int], list[dict[str, float]]]


def drawn(parameters: Sequence[Parameter], rng: np.random.Generator) -> dict[str, float]:
    """A point at random: uniform in every parameter, in its logarithm where it says so."""
    return {p.name: _drawn(p, rng) for p in parameters}


def _drawn(p: Parameter, rng: np.random.Generator) -> float:
    if p.kind == "choice":
        return p.choices[int(rng.integers(len(p.choices)))]
    return p.at(rng.random())


def at_random(
    parameters: Sequence[Parameter], known: Known, pending: Sequence[Point], count: int, seed: int
) -> list[dict[str, float]]:
    """Points at random, whatever is known."""
    rng = np.random.default_rng(seed)
    return [drawn(parameters, rng) for _ in range(count)]


def quasi_random(
    parameters: Sequence[Parameter], known: Known, pending: Sequence[Point], count: int, seed: int
) -> list[dict[str, float]]:
    """Points of a scrambled Sobol sequence (Owen 1998), which fill the space more evenly than random ones."""
    sequence = torch.quasirandom.SobolEngine(len(parameters), scramble=True, seed=SCRAMBLE)
    sequence.fast_forward(len(known.outcomes) + len(pending))
    points = sequence.draw(count, dtype=torch.float64).tolist()
    return [{p.name: p.at(u) for p, u in zip(parameters, point, strict=True)} for point in points]
