"""Causal graphs that differ from an assumed one in a single arrow between attributes: left out, or turned around.

An arrow may be turned around where that closes no circle and leads into no sensitive attribute, whose levels are set
from outside.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from utils.scms.structure import topological
from utils.types import Column
from utils.words.levels import write_arrow

Graph = Mapping[str, tuple[str, ...]]  # child -> parents, columns


class Arrow(NamedTuple):
    """An arrow between two attributes."""

    cause: str
    effect: str

    def __str__(self) -> str:
        return write_arrow([self.cause], self.effect)


class Change(NamedTuple):
    """A graph with one arrow less, or one turned around, and what that is in words."""

    name: str
    parents: Graph


def changes(columns: Sequence[Column], parents: Graph) -> list[Change]:
    """The graphs that differ from one by an arrow, those first whose arrow is near to the sensitive attributes."""
    return [change for arrow in arrows(columns, parents) for change in _of_arrow(columns, parents, arrow)]


def _of_arrow(columns: Sequence[Column], parents: Graph, arrow: Arrow) -> Iterator[Change]:
    """Yields the graphs without an arrow and, where that can be, with the arrow turned around."""
    yield Change(f"without {arrow}", without(columns, parents, arrow))
    turned = reverse(columns, parents, arrow)
    if turned is not None:
        yield Change(f"{Arrow(arrow.effect, arrow.cause)} reversed", turned)


def attribute_of(column: Column) -> str:
    """The attribute that a column is of: that of its indicator, that whose missing numbers it tells, or itself."""
    return column.tells or column.attribute or column.name


def arrows(columns: Sequence[Column], parents: Graph) -> list[Arrow]:
    """Every arrow between attributes: first those out of sensitive ones, then out of their effects, and so on."""
    of = {c.name: attribute_of(c) for c in columns}
    found = dict.fromkeys(
        Arrow(of[cause], of[effect]) for effect in of for cause in parents.get(effect, ()) if of[cause] != of[effect]
    )
    near = dict.fromkeys((of[c.name] for c in columns if c.sensitive), 0)
    reached = list(near)
    for name in reached:  # which grows
        new = dict.fromkeys(arrow.effect for arrow in found if arrow.cause == name and arrow.effect not in near)
        near |= dict.fromkeys(new, near[name] + 1)
        reached += new
    return sorted(found, key=lambda arrow: near.get(arrow.cause, len(of)))


def without(columns: Sequence[Column], parents: Graph, arrow: Arrow) -> Graph:
    """The graph without an arrow."""
    of = {c.name: attribute_of(c) for c in columns}
    kept = {
        child: tuple(p for p in listed if (of[p], of[child]) != arrow) if of[child] == arrow.effect else listed
        for child, listed in parents.items()
    }
    return {child: listed for child, listed in kept.items() if listed}


def reverse(columns: Sequence[Column], parents: Graph, arrow: Arrow) -> Graph | None:
    """The graph with an arrow turned around; None where that closes a circle or leads into a sensitive attribute."""
    of = {c.name: attribute_of(c) for c in columns}
    if any(c.sensitive for c in columns if of[c.name] == arrow.cause):
        return None
    rest = without(columns, parents, arrow)
    effect = tuple(c.name for c in columns if of[c.name] == arrow.effect)
    turned = {c.name: (*rest.get(c.name, ()), *(effect if of[c.name] == arrow.cause else ())) for c in columns}
    found = {child: tuple(listed) for child, listed in turned.items() if listed}
    flags = {c.tells: (*found.get(c.tells, ()), c.name) for c in columns if c.tells}  # known before what they tell of
    try:
        topological({**found, **flags}, tuple(of))
    except ValueError:
        return None
    return found
