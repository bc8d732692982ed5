"""Actions of a person on its own columns, and what follows from them by the structural equations.

A number is moved by a soft intervention, x_i = f_i(u_i, parents) + shift_i, a level is set, x_i = value_i; columns that
descend from them follow (recourse through interventions: Karimi, Schölkopf and Valera 2021, arXiv 2002.06278).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from utils.scms.structure import attributes
from utils.types import MISSING_LEVEL, SCM, Column, Mechanism


class Action(NamedTuple):
    """Changes of columns, model space; several of them where they broadcast."""

    shift: Tensor  # (..., d) added to what the equation of a column gives; 0 for none
    chosen: Tensor  # (..., d) bool, columns that are set
    value: Tensor  # (..., d) what those are set to

    def of(self, place: object) -> "Action":
        """Some of several actions, by an index of their first dimensions."""
        return Action(*(tensor[place] for tensor in self))  # type: ignore[index]


class Reached(NamedTuple):
    """Persons after an action, model space."""

    x: Tensor  # (..., d)
    alone: Tensor  # (..., d) each column as it would be without its own shift


class Permitted(NamedTuple):
    """The changes that a person may make."""

    numbers: tuple[int, ...]  # columns that may be moved
    levels: tuple[tuple[int, ...], ...]  # columns of each attribute of which another level may be chosen
    options: tuple[Tensor, ...]  # of each attribute its levels (q, columns), model space
    low: Tensor  # (d,) least value of a number that is moved, model space
    high: Tensor  # (d,) largest
    step: Tensor  # (d,) of whole numbers from one to the next, model space; else 0


def permitted(columns: Sequence[Column], loc: Tensor, scale: Tensor, scm: SCM) -> Permitted:
    """The changes of the columns that are ``actionable`` and not sensitive, within their bounds.

    What another column implies, what implies another (``Column.cut``), flags of missing numbers and the level of
    missing cells cannot be chosen: who hides a value has not changed it.

    Args:
        columns: the schema.
        loc: (d,) natural units = loc + scale * x.
        scale: (d,).
        scm: gives type and device.
    """
    implying = {c.cut[0] for c in columns if c.cut}
    free = [c.actionable and not (c.sensitive or c.cut or c.tells or c.name in implying) for c in columns]
    numbers = tuple(i for i, c in enumerate(columns) if free[i] and c.kind == "continuous")
    blocks = {name: places for name, places in attributes(columns).items() if all(free[i] for i in places)}
    single = [i for i, c in enumerate(columns) if free[i] and c.kind != "continuous" and not c.attribute]
    ends = [c.bounds or (-torch.inf, torch.inf) for c in columns]
    low, high = ((scm.loc.new_tensor(end) - loc.to(scm.loc)) / scale.to(scm.loc) for end in zip(*ends, strict=True))
    whole = [1 / float(scale[i]) if c.integer else 0.0 for i, c in enumerate(columns)]
    return Permitted(
        numbers,
        (*blocks.values(), *((i,) for i in single)),
        (
            *(
                torch.eye(len(places)).to(scm.loc)[[columns[i].texts[1:] != (MISSING_LEVEL,) for i in places]]
                for places in blocks.values()
            ),
            *(scm.loc.new_tensor(_levels(columns[i])).unsqueeze(1) for i in single),
        ),
        low,
        high,
        scm.loc.new_tensor(whole),
    )


def _levels(column: Column) -> list[float]:
    """The levels of a column but for that of missing cells."""
    named = dict(zip(column.levels, column.texts, strict=False))
    return [level for level in column.levels if named.get(level) != MISSING_LEVEL]


def perform(scm: SCM, noise: Tensor, do: Mapping[int, Tensor], action: Action, low: Tensor, high: Tensor) -> Reached:
    """Persons of a noise (..., d), own units, under an action and an intervention ``do``, both broadcasting with it.

    A number that is moved stays within ``low`` and ``high``, which broadcast with it, model space.
    """
    size = torch.broadcast_shapes(noise.shape, action.shift.shape)
    shift, value = (scm.scale * action.shift).expand(size), scm.own(action.value).expand(size)
    chosen, least, most = action.chosen.expand(size), scm.own(low).expand(size), scm.own(high).expand(size)
    alone: list[tuple[list[int], Tensor]] = []

    def changed(places: list[int], before: Tensor) -> Tensor:
        """Columns (..., c) as they are after the action."""
        alone.append((places, before))
        moved, own = before + shift[..., places], chosen[..., places]
        cut = torch.minimum(torch.maximum(moved, least[..., places]), most[..., places])
        return torch.where(own, value[..., places], torch.where(shift[..., places] == 0, moved, cut))

    def acted(m: Mechanism) -> Mechanism:
        def push(u: Tensor, *parents: Tensor) -> Tensor:
            node = m.push(u, *parents)
            if len(m.columns) > 1:
                return changed(list(m.columns), node)
            return changed(list(m.columns), node.unsqueeze(-1)).squeeze(-1)

        return m._replace(push=push) if m.parents else m

    roots = sorted(i for m in scm.mechanisms if not m.parents for i in m.columns)
    place = torch.tensor(roots, device=noise.device)
    before = noise.expand(size)
    moved = before.index_copy(-1, place, changed(roots, before[..., roots]))
    after = replace(scm, mechanisms=tuple(map(acted, scm.mechanisms))).to_features(moved, do)
    by_itself = after
    for places, node in alone:
        by_itself = by_itself.index_copy(-1, torch.tensor(places, device=noise.device), node.expand(*size[:-1], -1))
    return Reached(scm.model(after), scm.model(by_itself))
