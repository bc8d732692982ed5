"""The change of an answer from a person to a twin, split by the arrows and the paths of the causal graph that carry it.

An arrow out of a sensitive attribute is *switched* where what it points to sees the twin's level, the rest of the world
the person's own, under the same noise (edge interventions: Shpitser and Tchetgen Tchetgen 2016, arXiv 1411.2127; path-
specific effects: Avin, Shpitser and Pearl 2005). With no arrow switched the person is as it is, with all the twin is
there. The part of an arrow is its Shapley value in this game: the mean of what switching it changes, over all orders
in which arrows are switched. So the parts add up to the whole change, and where everything is linear each is the sum
of the products of the coefficients along its paths. The paths that begin with one arrow share its part in the same way,
their orders kept together (Owen 1977).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from utils import seeding
from utils.scms.structure import sensitive_attributes
from utils.types import SCM, Column, Mechanism

MOST_ARROWS = 10  # whose orders are all gone through; of more ORDERS are drawn
ORDERS = 128  # and their reverses
MOST_PATHS = 128  # of all arrows
MOST_WORLDS = 2048  # that the paths of one arrow are told apart by
ANEW = "noise drawn anew"  # what a twin's noise carries under the coupling ``independent``

Answer = Callable[[Tensor], Tensor]  # features (..., d), model space -> (...)
Key = tuple[int, ...]  # the nodes of a path behind its attribute; empty: the answer itself


@dataclass(frozen=True)
class Part:
    """The part of a change that an arrow or a path carries.

    ``nodes`` are the names from the sensitive attribute on: alone, the model reads the attribute itself.
    """

    nodes: tuple[str, ...]
    change: Tensor  # (n,)


@dataclass(frozen=True)
class Split:
    """A change (n,) and its parts."""

    change: Tensor
    arrows: tuple[Part, ...]  # each named by its attribute and what it points to; they add up to the change
    paths: tuple[Part, ...]  # those of an arrow add up to its part; of an arrow with too many paths there are none
    exact: bool  # all orders of the arrows were gone through


@dataclass(frozen=True)
class Twin:
    """Persons (n,) and a twin of each.

    Args:
        noise: (n, d), of the persons, the SCM's own units.
        now: (n, s) the sensitive columns of the persons, own units, in the order of ``scm.sensitive``.
        then: (n, s) those of the twins.
        anew: (n, d) noise of the twins where it is not that of the persons.
    """

    noise: Tensor
    now: Tensor
    then: Tensor
    anew: Tensor | None = None


def split_change(answer: Answer, scm: SCM, columns: Sequence[Column], twin: Twin) -> Split:
    """The change of ``answer`` from persons to their twins, split by arrows and paths."""
    game = _Game(scm, columns, twin)
    arrows = [(a, node) for a in game.changed for node in [(), *game.read_by(a)]]
    drawn = [] if twin.anew is None else [(-1, ())]
    players = {key: i for i, key in enumerate([*arrows, *drawn])}
    of_arrow, exact = _shapley(lambda on: answer(scm.model(game.features(on, players, whole=False))), len(players))
    named = [game.named(a, key) for a, key in arrows] + [(ANEW,)] * len(drawn)
    parts = tuple(Part(name, part) for name, part in zip(named, of_arrow, strict=True))
    paths = _split_paths(answer, scm, game, arrows, drawn) if exact else ()
    return Split(of_arrow.sum(0), parts, paths, exact)


def _split_paths(
    answer: Answer, scm: SCM, game: "_Game", arrows: Sequence[tuple[int, Key]], drawn: Sequence[tuple[int, Key]]
) -> tuple[Part, ...]:
    """The parts of the paths of each arrow that has few enough."""
    if sum(game.count(key) for _, key in arrows) > MOST_PATHS:
        return ()
    of_each = [[(a, path) for path in game.paths(key)] for a, key in arrows] + [[key] for key in drawn]
    players = {key: i for i, key in enumerate(key for keys in of_each for key in keys)}
    found = []
    for i, keys in enumerate(of_each[: len(arrows)]):
        others = [[players[key] for key in of] for j, of in enumerate(of_each) if j != i]
        own = [players[key] for key in keys]
        if 2 ** (len(others) + len(own)) <= MOST_WORLDS:
            on = _pairs(others, own, len(players))
            values = answer(scm.model(game.features(on.flatten(0, 1), players, whole=True))).unflatten(0, on.shape[:2])
            weights = _weights(len(others) + 1).to(values)[_sizes(len(others))]  # of the other arrows that are switched
            own_parts = _values((values * weights[:, None, None]).sum(0))
            found += [Part(game.named(a, path), part) for (a, path), part in zip(keys, own_parts, strict=True)]
    return tuple(found)


# --- worlds ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Game:
    """The worlds between persons and their twins."""

    scm: SCM
    columns: Sequence[Column]
    twin: Twin

    @cached_property
    def now(self) -> Tensor:
        """The features (n, d) of the persons, own units."""
        do = {i: self.twin.now[:, j] for j, i in enumerate(self.scm.sensitive)}
        return self.scm.to_features(self.twin.noise, do)

    @cached_property
    def source(self) -> Mapping[int, int]:
        """The number of the sensitive attribute of each sensitive column."""
        found = sensitive_attributes(self.columns)
        return {i: a for a, attribute in enumerate(found) for i in attribute.places}

    @cached_property
    def changed(self) -> list[int]:
        """The attributes in which a twin differs from its person."""
        differ = (self.twin.now != self.twin.then).any(0).tolist()
        return sorted({self.source[i] for i, other in zip(self.scm.sensitive, differ, strict=True) if other})

    @cached_property
    def node_of(self) -> Mapping[int, int]:
        """The place of the mechanism of each column that is not sensitive."""
        return {i: k for k, m in enumerate(self.scm.mechanisms) for i in m.columns if i not in self.source}

    def parents(self, m: Mechanism) -> list[int]:
        """The columns that a node depends on: its parents, and the flags that tell that a number is missing."""
        return [*m.parents, *(self.scm.missing[i][0] for i in m.columns if i in self.scm.missing)]

    def read_by(self, a: int) -> list[Key]:
        """The nodes that an attribute points to."""
        nodes = enumerate(self.scm.mechanisms)
        return [(k,) for k, m in nodes if self._reads(k, m) and any(self.source.get(p) == a for p in self.parents(m))]

    def _reads(self, k: int, m: Mechanism) -> bool:
        return self.node_of.get(m.columns[0]) == k  # interventions set the others

    @cached_property
    def effects(self) -> list[list[int]]:
        """The nodes that each node points to."""
        found: list[list[int]] = [[] for _ in self.scm.mechanisms]
        for k, m in enumerate(self.scm.mechanisms):
            if self._reads(k, m):
                for cause in dict.fromkeys(self.node_of[p] for p in self.parents(m) if p in self.node_of):
                    found[cause].append(k)
        return found

    @cached_property
    def moved(self) -> frozenset[int]:
        """The nodes that may differ between a person and its twin."""
        first = {key[0] for a in self.changed for key in self.read_by(a)}
        if self.twin.anew is not None:
            first |= {k for k, m in enumerate(self.scm.mechanisms) if m.posterior}
        for k in range(len(self.scm.mechanisms)):  # causes stand before effects
            first |= set(self.effects[k]) if k in first else set()
        return frozenset(first)

    def count(self, key: Key) -> int:
        """The number of paths to the answer that begin with an arrow."""
        found = [1] * len(self.effects)
        for k in reversed(range(len(self.effects))):
            found[k] += sum(found[effect] for effect in self.effects[k])
        return found[key[0]] if key else 1

    def paths(self, key: Key) -> list[Key]:
        """The paths to the answer that begin with an arrow."""
        further = [path for effect in self.effects[key[-1]] for path in self.paths((*key, effect))] if key else []
        return [key, *further]

    def named(self, a: int, key: Key) -> tuple[str, ...]:
        """The names of the nodes of a path."""
        first = self.columns[sensitive_attributes(self.columns)[a].places[0]]
        return (first.attribute or first.name, *(self._name(self.scm.mechanisms[k]) for k in key))

    def _name(self, m: Mechanism) -> str:
        own = self.columns[m.columns[0]]
        return own.attribute if len(m.columns) > 1 else own.name

    def features(self, on: Tensor, players: Mapping[tuple[int, Key], int], *, whole: bool) -> Tensor:
        """The features (c, n, d), own units, of worlds with some arrows, or ``whole`` paths, switched.

        Args:
            on: (c, players) which are switched.
            players: number of each, named by attribute and nodes; of an arrow the one that it points to.
            whole: players are paths.
        """
        seen: dict[Key, dict[int, Tensor]] = {}

        def column(p: int, path: Key) -> Tensor:
            """Column p (c, n), or (n,), as the first node of a path sees it."""
            if p in self.source:
                j, switched = self.scm.sensitive.index(p), players.get((self.source[p], path))
                if switched is None:  # no twin differs in it
                    return self.now[:, p]
                return torch.where(on[:, switched, None], self.twin.then[:, j], self.twin.now[:, j])
            k = self.node_of[p]
            return node(k, (k, *path) if whole else (k,))[p] if k in self.moved else self.now[:, p]

        def node(k: int, path: Key) -> dict[int, Tensor]:
            if path not in seen:
                seen[path] = self._pushed(self.scm.mechanisms[k], self._noise(on, players), lambda p: column(p, path))
            return seen[path]

        found = [column(i, ()) for i in range(len(self.scm.names))]
        return torch.stack([of.expand(len(on), -1) for of in found], -1)

    def _noise(self, on: Tensor, players: Mapping[tuple[int, Key], int]) -> Tensor:
        """The noise (n, d), or (c, n, d) where that of twins is drawn anew."""
        if self.twin.anew is None:
            return self.twin.noise
        return torch.where(on[:, players[-1, ()], None, None], self.twin.anew, self.twin.noise)

    def _pushed(self, m: Mechanism, noise: Tensor, column: Callable[[int], Tensor]) -> dict[int, Tensor]:
        """The columns of a node by its equation."""
        *parents, like = torch.broadcast_tensors(*map(column, m.parents), noise[..., 0])
        if len(m.columns) > 1:
            values = m.push(noise[..., list(m.columns)].expand(*like.shape, -1), *parents).unbind(-1)
        else:
            u = noise[..., m.columns[0]].expand(like.shape)
            values = (m.push(u, *parents) if m.parents else u,)
        found = dict(zip(m.columns, values, strict=True))
        for i in (i for i in m.columns if i in self.scm.missing):
            flag, held = self.scm.missing[i]
            found[i] = torch.where(column(flag) > 0.5, held, found[i])
        return found


# --- Shapley values --------------------------------------------------------------------------------------------


def _shapley(value: Callable[[Tensor], Tensor], players: int) -> tuple[Tensor, bool]:
    """The Shapley values (players, n), and whether all orders were gone through.

    Args:
        value: which are switched (c, players) -> (c, n).
        players: how many there are.
    """
    if players <= MOST_ARROWS:
        return _values(value(_subsets(players))), True
    rng = seeding.rng(0, "orders")
    drawn = np.stack([rng.permutation(players) for _ in range(ORDERS)])
    order = torch.from_numpy(np.concatenate([drawn, drawn[:, ::-1]]))  # (orders, players)
    before = torch.arange(players + 1).unsqueeze(1) > order.argsort(-1).unsqueeze(1)  # (orders, players + 1, players)
    steps = value(before.flatten(0, 1)).unflatten(0, before.shape[:2]).diff(dim=1)  # (orders, players, n)
    return torch.zeros_like(steps).scatter_(1, order.unsqueeze(-1).expand_as(steps), steps).mean(0), False


def _values(values: Tensor) -> Tensor:
    """The Shapley values (p, n) of p players from the values (2^p, n) of all sets of them, in ``_subsets``' order."""
    p = int(math.log2(len(values)))
    without = ~_subsets(p).T  # (p, 2^p)
    weights = _weights(p).to(values)[_sizes(p).clamp_max(max(p - 1, 0))] if p else values.new_zeros(1)
    place, bit = torch.arange(2**p), 2 ** torch.arange(p)
    gains = [(values[place[out] + bit[i]] - values[place[out]]) * weights[out, None] for i, out in enumerate(without)]
    return torch.stack([gain.sum(0) for gain in gains]) if gains else values[:0]


def _subsets(p: int) -> Tensor:
    """All sets of p players, (2^p, p) bool: the i-th player is in a set where bit i of its place is 1."""
    places, bits = torch.arange(2**p), torch.arange(p)
    return (places.unsqueeze(1) >> bits & 1).bool()


def _sizes(p: int) -> Tensor:
    return _subsets(p).sum(-1)


def _weights(p: int) -> Tensor:
    """The share of orders of p players in which exactly the s others of a set stand before a player, (p,) by s."""
    return torch.tensor([1 / (p * math.comb(p - 1, s)) for s in range(p)], dtype=torch.float64)


def _pairs(others: Sequence[Sequence[int]], own: Sequence[int], players: int) -> Tensor:
    """The worlds (2^others, 2^own, players) of every set of other arrows and of every set of an arrow's own paths."""
    on = torch.zeros(2 ** len(others), 2 ** len(own), players, dtype=torch.bool)
    for switched, members in zip(_subsets(len(others)).T, others, strict=True):
        on[:, :, list(members)] |= switched[:, None, None]
    for switched, member in zip(_subsets(len(own)).T, own, strict=True):
        on[:, :, member] |= switched[None, :]
    return on
