"""Points that a search of cells begins with, or that are all it tries: known ways, not a search."""

from collections.abc import Sequence

from utils.poisoning.cells import Action, Move, counts_of
from utils.poisoning.points import Ask, Known, Point
from utils.types import Batch

WAY = (1.0, 0.5, 1.5, 2.0)  # first points, as shares of the way to independence
ALONE = (0.25, 0.5, 0.125)  # then each cell by itself, by these shares of its largest number
FAR = 2.0  # share of the way that a line ends with

Points = list[dict[str, float]]


def even(budget: int) -> list[float]:
    """Returns so many shares at equal distances, of the way to independence and as far again beyond it."""
    return [FAR * (i + 1) / budget for i in range(budget)]


def on_the_way(action: Action, moves: Sequence[Move], train: Batch, groups: int, shares: Sequence[float]) -> Points:
    """Returns the numbers after shares of the way to independence of group and label."""
    counts = counts_of(train, groups)
    found = []
    for share in shares:
        numbers = action.way(counts, share)
        onto = [m for m in moves if (m.label == m.cell.label) != action.relabels]  # moves that may be on the way
        found.append({m.name: float(numbers[m.cell.group, m.cell.label]) for m in onto})
    return found


def each(action: Action, moves: Sequence[Move], budget: int) -> Points:
    """Each cell by itself, at its largest number, half of it, a quarter, ..., as often as the budget lasts."""
    shares = [2.0**-i for i in range(-(-budget // len(moves)))]
    return distinct(action, moves, alone(action, moves, shares))[:budget]


def alone(action: Action, moves: Sequence[Move], shares: Sequence[float]) -> Points:
    """Returns points that change one cell; a factor of less than its largest is that to the power of the share."""
    power = action.unchanged == 1
    return [{move.name: move.most**share if power else move.most * share} for share in shares for move in moves]


def distinct(action: Action, moves: Sequence[Move], points: Points) -> Points:
    """Returns the points as their parameters have them, each once, without those that change nothing."""
    idle = {move.name: action.unchanged for move in moves}
    found: Points = []
    for point in points:
        whole = {move.name: action.parameter(move).valid((idle | point)[move.name]) for move in moves}
        if whole not in (idle, *found):
            found.append(whole)
    return found


def led_by(points: Points, ask: Ask | None) -> Ask:
    """Returns the function that asks for these points first, then for those of ``ask``, if any."""

    def lead(known: Known, pending: Sequence[Point], count: int, seed: int) -> Points:
        start = len(known.outcomes) + len(pending)
        found = [dict(point) for point in points[start : start + count]]
        if ask is None or len(found) == count:
            return found
        return found + ask(known, [*pending, *found], count - len(found), seed)

    return lead
