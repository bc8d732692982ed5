"""The places of a causal graph's nodes: causes above effects, in layers, arrows through free places of those between.

After Sugiyama, Tagawa and Toda 1981: the layer of a node is the longest way to it, an order by the mean place of its
neighbours keeps crossings few.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SWEEPS = 8

Node = str | tuple[str, str, int]  # a column, or where the arrow between two passes a layer


@dataclass
class Layout:
    """Nodes in their layers, and the arrows between neighbouring layers."""

    layers: list[list[Node]]
    above: dict[Node, list[Node]] = field(default_factory=dict)
    below: dict[Node, list[Node]] = field(default_factory=dict)


def layers_of(graph: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The layer of each column: the length of the longest way that leads to it. Raises ValueError for a cycle."""
    found: dict[str, int] = {}
    names = list(dict.fromkeys(name for child, parents in graph.items() for name in (*parents, child)))
    while len(found) < len(names):
        ready = [n for n in names if n not in found and all(p in found for p in graph.get(n, ()))]
        if not ready:
            raise ValueError(f"the graph has a cycle among {', '.join(n for n in names if n not in found)}")
        found |= {n: max((found[p] + 1 for p in graph.get(n, ())), default=0) for n in ready}
    return found


def lay_out(graph: Mapping[str, Sequence[str]]) -> Layout:
    """Layers with a free place for each arrow that passes one, ordered for few crossings."""
    layer = layers_of(graph)
    layout = Layout([[n for n in layer if layer[n] == i] for i in range(max(layer.values(), default=0) + 1)])
    for child, parents in graph.items():
        for parent in parents:
            way = find_way(parent, child, layer)
            for level, node in enumerate(way[1:-1], layer[parent] + 1):
                layout.layers[level].append(node)
            for a, b in itertools.pairwise(way):
                layout.below.setdefault(a, []).append(b)
                layout.above.setdefault(b, []).append(a)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        beside = layout.above if down else layout.below
        for i in range(1, len(layout.layers)) if down else range(len(layout.layers) - 2, -1, -1):
            other = {node: place for place, node in enumerate(layout.layers[i - 1 if down else i + 1])}
            own = {node: place for place, node in enumerate(layout.layers[i])}
            layout.layers[i].sort(key=lambda node: _mean([other[n] for n in beside.get(node, ())], own[node]))
    return layout


def find_way(parent: str, child: str, layer: Mapping[str, int]) -> list[Node]:
    """The places that an arrow passes, both ends among them."""
    between: list[Node] = [(parent, child, i) for i in range(layer[parent] + 1, layer[child])]
    return [parent, *between, child]


def _mean(places: Sequence[float], otherwise: float) -> float:
    return sum(places) / len(places) if places else otherwise
