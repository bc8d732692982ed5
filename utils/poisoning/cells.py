"""Training rows by cell, the rows of one group with one label, and what a search may do to each: add, remove, relabel,
reweigh.

A few numbers say it all: how many rows of a cell, or by what factor they count. A ``Move`` is one such number. The
methods of Kamiran and Calders (2012, Knowledge and Information Systems 33:1) are points of this space: reweighing
(section 5.3), massaging (5.2) and one half each of sampling (5.4); ``Action.independent`` gives the numbers at which
group and label are independent.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from utils.datasets.tabular import Scaling, natural
from utils.poisoning.features import Parameter, Rows, exact, to_batch
from utils.poisoning.rows_csv import with_rows
from utils.types import Batch, Column, Victim
from utils.words.near import near

Numbers = Mapping[str, float]  # move -> rows, or a factor


class Cell(NamedTuple):
    """The training rows of one group with one label."""

    group: int
    label: int
    rows: Tensor  # (c,) places in the training rows, in the order in which they are taken
    words: str  # African-American with label 0


class Move(NamedTuple):
    """One number: of the rows of a cell that are taken, or their factor; ``label`` is what these rows then have."""

    name: str
    cell: Cell
    label: int
    most: float  # rows, or the largest factor


class Edited(NamedTuple):
    """Changed training rows."""

    train: Batch  # the added ones last, with index -1, -2, ...
    natural: Tensor  # (m, d) float64, those that are added in natural units
    reasons: Mapping[int, str]  # index of a row that is gone or changed -> why


class Table(NamedTuple):
    """The training rows of a table and what they are scaled by."""

    columns: Sequence[Column]
    train: Batch
    loc: Tensor  # (d,) float64: natural units = loc + scale * x
    scale: Tensor  # (d,) float64


class Action(NamedTuple):
    """A change of rows; ``unchanged`` is the number of a move that does nothing."""

    parameter: Callable[[Move], Parameter]
    edit: Callable[[Table, Sequence[Move], Numbers], Edited]
    way: Callable[[Tensor, float], Tensor]  # rows of each cell (G, C), share -> numbers (G, C) so far to independence
    unchanged: float
    relabels: bool = False  # whether a move's label is another than its cell's


def cells_of(train: Batch, groups: Sequence[str], orders: Callable[[Tensor, int], Tensor]) -> list[Cell]:
    """The cells that have rows, by group, then label.

    Args:
        train: the training rows.
        groups: names of the groups.
        orders: places (c,) of a cell and its label -> the same in the order in which they are taken.
    """
    found = []
    for group, name in enumerate(groups):
        for label in train.y.unique().tolist():
            rows = ((train.s == group) & (train.y == label)).nonzero().squeeze(1)
            if len(rows):
                found.append(Cell(group, label, orders(rows, label), f"{name} with label {label}"))
    return found


def counts_of(train: Batch, groups: int) -> Tensor:
    """The number of rows of each group and label, (G, C) in double precision."""
    classes = int(train.y.max()) + 1
    return torch.bincount(train.s * classes + train.y, minlength=groups * classes).reshape(groups, classes).double()


def chosen_cells(cells: Sequence[Cell], wanted: Sequence[Sequence[object]] | None, groups: Sequence[str]) -> list[Cell]:
    """The cells of ``wanted``, pairs of a group, by name or number, and a label; null for all.

    Raises:
        ValueError: what is no pair, no group, or a pair without rows.
    """
    if wanted is None:
        return list(cells)
    if not wanted:
        raise ValueError(f"attack.poison.cells=[]: expected null for all, or pairs such as [[{groups[0]},0]]")
    found: list[Cell] = []
    for pair in wanted:
        if isinstance(pair, str) or len(pair) != 2:
            raise ValueError(f"attack.poison.cells: {pair} is no pair of a group and a label, such as [{groups[0]},0]")
        group, label = pair
        place = next((i for i, name in enumerate(groups) if group in (name, i)), None)
        own = [cell for cell in cells if (cell.group, cell.label) == (place, label)]
        if place is None:
            listed = ", ".join(f"{i} ({name})" for i, name in enumerate(groups))
            raise ValueError(
                f"attack.poison.cells: there is no group {group}{near(str(group), groups)} The groups are {listed}"
            )
        if not own:
            raise ValueError(f"attack.poison.cells: no training row of group {groups[place]} has label {label}")
        if own[0] in found:
            raise ValueError(f"attack.poison.cells names group {group} with label {label} twice")
        found += own
    return found


# --- the actions -----------------------------------------------------------------------------------------------


def _count(move: Move) -> Parameter:
    return Parameter(move.name, "int", 0, int(move.most))


def _factor(move: Move) -> Parameter:
    return Parameter(move.name, "float", 1 / move.most, move.most, log=True)


def _taken(move: Move, numbers: Numbers) -> Tensor:
    """Returns the first rows of a cell, as many as its number says, from the first one again where it has fewer."""
    rows = move.cell.rows
    return rows[torch.arange(round(numbers.get(move.name, 0)), device=rows.device) % len(rows)]


def _add(table: Table, moves: Sequence[Move], numbers: Numbers) -> Edited:
    """Copies of rows, with their own label or another one, behind the rows as they are."""
    train, each = table.train, [_taken(move, numbers) for move in moves]
    places = torch.cat(each)  # (m,)
    labels = torch.cat([torch.full_like(own, move.label) for own, move in zip(each, moves, strict=True)])
    values = exact(table.columns, natural(Scaling(table.loc, table.scale), train.x[places]))
    added = to_batch(table.columns, table.loc, table.scale, Rows(values, labels), train.x)
    return Edited(with_rows(train, added), values, {})


def _remove(table: Table, moves: Sequence[Move], numbers: Numbers) -> Edited:
    """The rows but for the taken ones."""
    train, keep = table.train, torch.ones_like(table.train.y, dtype=torch.bool)
    reasons: dict[int, str] = {}
    for move in moves:
        taken = _taken(move, numbers)
        keep[taken] = False
        reasons |= _reasons(train, move, taken)
    return Edited(Batch(*(column[keep] for column in train)), _none(train), reasons)


def _relabel(table: Table, moves: Sequence[Move], numbers: Numbers) -> Edited:
    """The rows, the taken ones with another label."""
    train, y = table.train, table.train.y.clone()
    reasons: dict[int, str] = {}
    for move in moves:
        taken = _taken(move, numbers)
        y[taken] = move.label
        reasons |= _reasons(train, move, taken)
    return Edited(train._replace(y=y), _none(train), reasons)


def _reweigh(table: Table, moves: Sequence[Move], numbers: Numbers) -> Edited:
    """The rows with other weights."""
    train, w = table.train, table.train.w.clone()
    reasons: dict[int, str] = {}
    for move in moves:
        factor = numbers.get(move.name, 1.0)
        w[move.cell.rows] *= factor
        if factor != 1:
            why = f"all {len(move.cell.rows)} rows of {move.cell.words} count {factor:.3g} times"
            reasons |= dict.fromkeys(train.index[move.cell.rows].tolist(), why)
    return Edited(train._replace(w=w), _none(train), reasons)


def _none(train: Batch) -> Tensor:
    return torch.empty(0, train.x.shape[1], dtype=torch.float64)


def _reasons(train: Batch, move: Move, taken: Tensor) -> dict[int, str]:
    """Returns for each row its place among those of its cell."""
    of = f"of {len(move.cell.rows)} rows of {move.cell.words}, in the order of attack.poison.order"
    return {row: f"number {i} {of}" for i, row in enumerate(train.index[taken].tolist(), 1)}


# --- independence ----------------------------------------------------------------------------------------------


def _lacking(counts: Tensor, share: float) -> Tensor:
    """The fewest rows to add so that every group has the labels in the shares of all rows."""
    base = counts.sum(0) / counts.sum()
    whole = torch.where(base > 0, counts / base, 0.0).amax(1, keepdim=True)  # rows of each group then
    return share * (whole * base - counts)


def _beyond(counts: Tensor, share: float) -> Tensor:
    """The fewest rows to remove, likewise."""
    base = counts.sum(0) / counts.sum()
    whole = torch.where(base > 0, counts / base, torch.inf).amin(1, keepdim=True)
    return share * (counts - whole * base)


def _wrong(counts: Tensor, share: float) -> Tensor:
    """The fewest labels to change, likewise, of two classes: those of massaging."""
    missing = counts[:, 1].sum() / counts.sum() * counts.sum(1) - counts[:, 1]
    return (share * torch.stack([missing, -missing], 1)).round().clamp_min(0)


def _ratio(counts: Tensor, share: float) -> Tensor:
    """The factors of reweighing."""
    ratio = counts.sum(1, keepdim=True) * counts.sum(0) / (counts.sum() * counts)
    return torch.where(counts > 0, ratio, 1.0) ** share


ACTIONS: Mapping[str, Action] = {
    "add": Action(_count, _add, _lacking, 0.0),
    "remove": Action(_count, _remove, _beyond, 0.0),
    "relabel": Action(_count, _relabel, _wrong, 0.0, relabels=True),
    "reweigh": Action(_factor, _reweigh, _ratio, 1.0),
}


def table_of(victim: Victim) -> Table:
    """Returns the victim's training rows."""
    return Table(victim.columns, victim.train, victim.loc, victim.scale)
