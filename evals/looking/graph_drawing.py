"""A causal graph as an SVG picture: causes above effects, in layers, arrows through free places of the layers between.

After Sugiyama, Tagawa and Toda 1981: the layer of a node is the longest way to it, an order by the mean place of its
neighbours keeps crossings few.
"""

import html
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from utils.system.console import harmless

HEIGHT, GAP, BETWEEN, PAD = 34, 22, 56, 8  # of a node, beside and between nodes, around the picture, in pixels
LETTER = 7.6  # mean width of a letter
LONGEST = 28  # letters of a name that are shown
SWEEPS = 8

Node = str | tuple[str, str, int]  # a column, or where the arrow between two passes a layer


@dataclass
class _Layout:
    """Nodes in their layers, and the arrows between neighbouring layers."""

    layers: list[list[Node]]
    above: dict[Node, list[Node]] = field(default_factory=dict)
    below: dict[Node, list[Node]] = field(default_factory=dict)


def draw_graph(graph: Mapping[str, Sequence[str]], marked: Mapping[str, str]) -> str:
    """The graph, child -> parents, without a cycle; ``marked`` gives columns a class of the page's style."""
    layout = _lay_out(graph)
    centres = _places(layout)
    width = max(x + _width(node) / 2 for node, (x, _) in centres.items()) + PAD
    height = len(layout.layers) * (HEIGHT + BETWEEN) - BETWEEN + 2 * PAD
    arrows = "".join(_arrow(parent, child, layout, centres) for child, parents in graph.items() for parent in parents)
    nodes = "".join(
        _node(node, centres[node], marked.get(node, ""))
        for row in layout.layers
        for node in row
        if isinstance(node, str)
    )
    return (
        f'<svg class="graph" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" role="img" '
        f'aria-label="{_safe(describe(graph))}"><defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>'
        f"{arrows}{nodes}</svg>"
    )


def describe(graph: Mapping[str, Sequence[str]]) -> str:
    """The arrows in words, for who does not see the picture."""
    return "; ".join(f"{', '.join(parents)} to {child}" for child, parents in graph.items() if parents)


def _safe(text: str) -> str:
    return html.escape(harmless(text))


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


def _lay_out(graph: Mapping[str, Sequence[str]]) -> _Layout:
    """Layers with a free place for each arrow that passes one, ordered for few crossings."""
    layer = layers_of(graph)
    layout = _Layout([[n for n in layer if layer[n] == i] for i in range(max(layer.values(), default=0) + 1)])
    for child, parents in graph.items():
        for parent in parents:
            way = _way(parent, child, layer)
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


def _way(parent: str, child: str, layer: Mapping[str, int]) -> list[Node]:
    between: list[Node] = [(parent, child, i) for i in range(layer[parent] + 1, layer[child])]
    return [parent, *between, child]


def _mean(places: Sequence[float], otherwise: float) -> float:
    return sum(places) / len(places) if places else otherwise


def _width(node: Node) -> float:
    return 26 + LETTER * len(_short(node)) if isinstance(node, str) else 12


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _places(layout: _Layout) -> dict[Node, tuple[float, float]]:
    """The centre of each node: each layer in the middle of the picture."""
    widths = [sum(_width(n) for n in row) + GAP * (len(row) - 1) for row in layout.layers]
    centres: dict[Node, tuple[float, float]] = {}
    for i, (row, width) in enumerate(zip(layout.layers, widths, strict=True)):
        x = PAD + (max(widths) - width) / 2
        for node in row:
            centres[node] = (x + _width(node) / 2, PAD + i * (HEIGHT + BETWEEN) + HEIGHT / 2)
            x += _width(node) + GAP
    return centres


def _arrow(parent: str, child: str, layout: _Layout, centres: Mapping[Node, tuple[float, float]]) -> str:
    """A smooth line from below the cause to above the effect."""
    of_node = {node: i for i, row in enumerate(layout.layers) for node in row if isinstance(node, str)}
    points = [centres[node] for node in _way(parent, child, of_node)]
    (x, y), (end, bottom) = points[0], points[-1]
    stops = [(x, y + HEIGHT / 2), *points[1:-1], (end, bottom - HEIGHT / 2 - 1)]
    path = f"M{stops[0][0]:.1f} {stops[0][1]:.1f}"
    for (a, b), (c, d) in itertools.pairwise(stops):
        middle = (b + d) / 2
        path += f"C{a:.1f} {middle:.1f} {c:.1f} {middle:.1f} {c:.1f} {d:.1f}"
    return f'<path class="arrow" d="{path}" marker-end="url(#tip)"/>'


def _node(name: str, centre: tuple[float, float], style: str) -> str:
    (x, y), width = centre, _width(name)
    return (
        f'<g class="node {style}"><rect x="{x - width / 2:.1f}" y="{y - HEIGHT / 2:.1f}" width="{width:.1f}" '
        f'height="{HEIGHT}" rx="8"/><text x="{x:.1f}" y="{y + 5:.1f}">{_safe(_short(name))}</text></g>'
    )
