"""The parts of an explanation of one person, in the owner's words beside the numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from utils.adversary.recourse import Norm
from utils.explaining.proven import Verdict

Words = Mapping[str, str]  # by attribute


@dataclass(frozen=True)
class Settings:
    """The parts of the search that a user sets."""

    radius: float
    norm: Norm
    most: float
    level_cost: float
    steps: int
    rel_step: float
    restarts: int
    samples: int
    most_radius: float
    boxes: int


@dataclass(frozen=True)
class Side:
    """A person at one sensitive level, over draws."""

    level: str
    words: Words  # of each attribute, with shares of draws where they differ
    values: Tensor  # (k, d) natural units
    log_odds: float  # mean over draws
    threshold: float  # log-odds
    otherwise: float  # share of draws decided otherwise than the person


@dataclass(frozen=True)
class Moved:
    """The part of a change of log-odds that an arrow or a path carries, mean over draws."""

    nodes: tuple[str, ...]
    change: float


@dataclass(frozen=True)
class Carried:
    """The parts of the change of log-odds from a person to a twin."""

    level: str
    change: float
    arrows: tuple[Moved, ...]
    paths: tuple[Moved, ...]
    exact: bool


@dataclass(frozen=True)
class WorstPoint:
    """The worst point within the radius of the person and its twins."""

    radius: float
    level: str  # whose ball it is in
    turned: float  # share of draws with a point that is decided otherwise
    words: Words
    centre: Words  # of the twin, or the person, in whose ball it lies
    log_odds: float
    threshold: float


@dataclass(frozen=True)
class Proven:
    """The outcome of a proof within the radius, in words."""

    verdict: Verdict
    margin: float | None  # log-odds that every point of a fair person is away from the threshold
    level: str  # of the counterexample of an unfair person
    words: Words  # and it
    largest: float | None  # radius up to which fairness is proven; None where it is not even of the twins
    most: float  # the largest that was tried
    reason: str  # why nothing can be proven


@dataclass(frozen=True)
class Change:
    """A change of one attribute, by the person or as it follows."""

    attribute: str
    before: str
    after: str
    deviations: float | None  # shift in standard deviations; None of a level, and of what follows


@dataclass(frozen=True)
class OtherLevel:
    """The same change and the cheapest one under another level."""

    level: str
    accepted: float  # share of draws that are of class 1 after the same change
    cost: float  # of the cheapest change found there; 0 where none is needed, infinite where none was found


@dataclass(frozen=True)
class WayOut:
    """The cheapest change found that turns a decision."""

    cost: float  # infinite where none was found
    changes: tuple[Change, ...]
    follows: tuple[Change, ...]
    others: tuple[OtherLevel, ...]
    all_tried: bool  # every permitted change was
    columns: tuple[str, ...]  # attributes that may be changed
    most: float  # the largest cost


@dataclass(frozen=True)
class Explanation:
    """A person explained."""

    name: str
    label: int
    own: Side
    twins: tuple[Side, ...]
    set_by_do: frozenset[str]  # attributes that an intervention sets as a whole
    draws: int
    worst: WorstPoint
    proven: Proven
    carried: tuple[Carried, ...] = ()
    way_out: WayOut | None = None  # None of class 1
