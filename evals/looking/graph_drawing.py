"""A causal graph as an SVG picture: causes above effects, in layers, arrows through free places of those between."""

import html
import itertools
from collections.abc import Mapping, Sequence

from evals.plots.graph_layout import Layout, Node, find_way, lay_out
from utils.system.console import harmless

HEIGHT, GAP, BETWEEN, PAD = 34, 22, 56, 8  # of a node, beside and between nodes, around the picture, in pixels
LETTER = 7.6  # mean width of a letter
LONGEST = 28  # letters of a name that are shown


def draw_graph(graph: Mapping[str, Sequence[str]], marked: Mapping[str, str]) -> str:
    """The graph, child -> parents, without a cycle; ``marked`` gives columns a class of the page's style."""
    layout = lay_out(graph)
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


def _width(node: Node) -> float:
    return 26 + LETTER * len(_short(node)) if isinstance(node, str) else 12


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _places(layout: Layout) -> dict[Node, tuple[float, float]]:
    """The centre of each node: each layer in the middle of the picture."""
    widths = [sum(_width(n) for n in row) + GAP * (len(row) - 1) for row in layout.layers]
    centres: dict[Node, tuple[float, float]] = {}
    for i, (row, width) in enumerate(zip(layout.layers, widths, strict=True)):
        x = PAD + (max(widths) - width) / 2
        for node in row:
            centres[node] = (x + _width(node) / 2, PAD + i * (HEIGHT + BETWEEN) + HEIGHT / 2)
            x += _width(node) + GAP
    return centres


def _arrow(parent: str, child: str, layout: Layout, centres: Mapping[Node, tuple[float, float]]) -> str:
    """A smooth line from below the cause to above the effect."""
    of_node = {node: i for i, row in enumerate(layout.layers) for node in row if isinstance(node, str)}
    points = [centres[node] for node in find_way(parent, child, of_node)]
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
