"""A person and a twin on the causal graph: what each attribute is in both worlds, and which arrows carry the change."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evals.plots.frame import figure, head, short
from evals.plots.graph_layout import Layout, find_way, lay_out
from evals.plots.style import COLOURS, GREY, INK
from utils.explaining.parts import Carried, Explanation, Moved, Side
from utils.scms.paths import ANEW
from utils.types import SCM, Dataset
from utils.words.levels import name_class

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECISION = "decision"
LEAST = 5e-3  # a change of log-odds that an arrow is coloured for
UP, DOWN, PALE = COLOURS[0], COLOURS[1], "#c4c4c4"
LETTER, PAD, GAP, HIGH, STEP = 0.082, 0.28, 0.3, 0.56, 1.25  # inches: of a letter, around and beside boxes, of layers
HEAD = 1.7  # inches of title and subtitle
LONGEST = 30  # letters of a line in a box
SMALL = 8.5  # points

Graph = dict[str, list[str]]  # attribute -> what it depends on
Flows = Mapping[tuple[str, str], float]  # cause, effect -> change of log-odds


def draw_worlds(one: Explanation, scm: SCM, data: Dataset, *, dpi: int = 200) -> "Figure":
    """The graph with a person and the twin whose decision differs, or whose log-odds differ most."""
    twin = max(one.twins, key=lambda side: (side.otherwise, abs(side.log_odds - one.own.log_odds)))
    carried = next(of for of in one.carried if of.level == twin.level)
    attribute = {c.name: c.attribute or c.name for c in data.columns}
    flows = find_flows(carried, attribute)
    graph, left = shown_graph(arrows_between(scm, attribute), flows)
    texts = _texts(one, twin, graph, data)
    drawn = _draw(graph, texts, flows, one.own.words.keys() - _changed(one, twin))
    drawn.set_dpi(dpi)
    about = f"Blue arrows move the decision towards {name_class(1, data.class_names)}, orange ones away from it"
    rest = f"; {len(left)} other attributes are the same in both worlds" if left else ""
    draws = f", mean over {one.draws} draws" if one.draws > 1 else ""
    head(
        drawn,
        f"{data.name}: {one.name} and the twin as {twin.level}",
        f"{about}, by the change of log-odds that they carry ({carried.change:+.2f} in all{draws}){rest}",
    )
    return drawn


def _changed(one: Explanation, twin: Side) -> set[str]:
    return {name for name, text in twin.words.items() if text != one.own.words[name]} | {DECISION}


def arrows_between(scm: SCM, attribute: Mapping[str, str]) -> Graph:
    """The arrows of a causal model between attributes, effect -> causes."""
    found: Graph = {}
    for m in scm.mechanisms:
        child = attribute[scm.names[m.columns[0]]]
        if m.columns[0] not in scm.sensitive:
            causes = [attribute[scm.names[p]] for p in m.parents]
            found[child] = list(dict.fromkeys([*found.get(child, []), *(of for of in causes if of != child)]))
    return found


def find_flows(carried: Carried, attribute: Mapping[str, str]) -> dict[tuple[str, str], float]:
    """The change of log-odds that goes through each arrow: the sum over the paths that it is on."""
    split = {path.nodes[:2] for path in carried.paths}
    parts: list[tuple[Moved, bool]] = [(path, True) for path in carried.paths]
    parts += [(arrow, len(arrow.nodes) == 1) for arrow in carried.arrows if arrow.nodes[:2] not in split]
    found: dict[tuple[str, str], float] = {}
    for part, whole in parts:
        if part.nodes == (ANEW,):
            continue
        nodes = [attribute.get(name, name) for name in part.nodes] + [DECISION] * whole
        for pair in itertools.pairwise(name for name, _ in itertools.groupby(nodes)):
            found[pair] = found.get(pair, 0.0) + part.change
    return found


def shown_graph(arrows: Graph, flows: Flows) -> tuple[Graph, list[str]]:
    """The part of the graph that carries anything, with direct causes, and the attributes that are left out."""
    carriers = {name for pair in flows for name in pair if name != DECISION}
    shown = carriers | {cause for name in carriers for cause in arrows.get(name, ())}
    graph = {name: [of for of in causes if of in shown] for name, causes in arrows.items() if name in carriers}
    graph[DECISION] = [cause for cause, effect in flows if effect == DECISION]
    every = {*arrows, *(cause for causes in arrows.values() for cause in causes)}
    return {name: causes for name, causes in graph.items() if causes}, sorted(every - shown)


def _texts(one: Explanation, twin: Side, graph: Graph, data: Dataset) -> dict[str, list[str]]:
    """The lines in the box of each node."""
    found = {}
    for name in {*graph, *(cause for causes in graph.values() for cause in causes)} - {DECISION}:
        now, then = one.own.words[name], _most_often(twin.words[name])
        lines = [now] if now == then else [f"{now} → {then}"]
        if len(lines[0]) > LONGEST:
            lines = [now, f"→ {then}"]
        found[name] = [short(line, LONGEST) for line in (name, *lines)]
    own, other = (name_class(label, data.class_names) for label in (one.label, 1 - one.label))
    share = (
        "" if one.draws == 1 or twin.otherwise in (0, 1) else f" ({round(twin.otherwise * one.draws)} of {one.draws})"
    )
    verdict = f"{own} → {other}{share}" if twin.otherwise else own
    found[DECISION] = [DECISION, f"log-odds {one.own.log_odds:.2f} → {twin.log_odds:.2f}", verdict]
    return found


def _most_often(text: str) -> str:
    """The first of levels with their shares, the most frequent."""
    first, more, _ = text.partition("), ")
    return f"{first}), …" if more else text


# --- drawing ---------------------------------------------------------------------------------------------------


def _draw(graph: Graph, texts: Mapping[str, Sequence[str]], flows: Flows, still: set[str]) -> "Figure":
    layout = lay_out(graph)
    centres = _place(layout, texts)
    wide = max(x + _width(node, texts) / 2 for node, (x, _) in centres.items())
    high = -min(y for _, y in centres.values()) + HIGH
    drawn = figure(max(wide + 0.4, 6.0), high + HEAD)
    axes = drawn.add_subplot()
    middle = max(6.0 - wide - 0.4, 0) / 2
    axes.set(xlim=(-0.2 - middle, wide + 0.2 + middle), ylim=(-high, HIGH), aspect="equal")
    axes.axis("off")
    arrows = _route(graph, layout, centres, texts)
    largest = max([abs(change) for change in flows.values()], default=1.0) or 1.0
    for pair, stops in arrows.items():
        _arrow(axes, stops, flows.get(pair, 0.0), largest)
    for node, centre in centres.items():
        if isinstance(node, str):
            _box(axes, centre, texts[node], _width(node, texts), faint=node in still)
    boxes = [(x, y, _width(n, texts) / 2, _height(texts[n]) / 2) for n, (x, y) in centres.items() if isinstance(n, str)]
    for pair, stops in sorted(arrows.items(), key=lambda of: len(of[1])):
        if abs(change := flows.get(pair, 0.0)) >= LEAST:
            boxes.append(_label(axes, stops, change, boxes))
    return drawn


def _route(
    graph: Graph, layout: Layout, centres: Mapping[Any, tuple[float, float]], texts: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """The stops of every arrow (cause, effect), side by side where several leave or enter a box."""
    layer = {node: i for i, row in enumerate(layout.layers) for node in row if isinstance(node, str)}
    ways = {(cause, child): find_way(cause, child, layer) for child, causes in graph.items() for cause in causes}
    leave = _ports({pair: (pair[0], centres[way[1]][0]) for pair, way in ways.items()}, centres, texts)
    enter = _ports({pair: (pair[1], centres[way[-2]][0]) for pair, way in ways.items()}, centres, texts)
    found = {}
    for (cause, child), way in ways.items():
        first = (leave[cause, child], centres[cause][1] - _height(texts[cause]) / 2)
        last = (enter[cause, child], centres[child][1] + _height(texts[child]) / 2 + 0.03)
        found[cause, child] = [first, *(centres[node] for node in way[1:-1]), last]
    return found


def _ports(
    ends: Mapping[tuple[str, str], tuple[str, float]],
    centres: Mapping[Any, tuple[float, float]],
    texts: Mapping[str, Sequence[str]],
) -> dict[tuple[str, str], float]:
    """The place of each arrow on the edge of its box, in the order of where they come from or go to."""
    found = {}
    for box in {box for box, _ in ends.values()}:
        own = sorted((pair for pair, (at, _) in ends.items() if at == box), key=lambda pair: ends[pair][1])
        room = min(0.6 * _width(box, texts), 0.3 * (len(own) - 1))
        for i, pair in enumerate(own):
            found[pair] = centres[box][0] + room * (i / max(len(own) - 1, 1) - 0.5)
    return found


def _width(node: Any, texts: Mapping[str, Sequence[str]]) -> float:
    return PAD + LETTER * max(map(len, texts[node])) if isinstance(node, str) else 0.25


def _place(layout: Layout, texts: Mapping[str, Sequence[str]]) -> dict[Any, tuple[float, float]]:
    """The centre of each node in inches, each layer in the middle, the first at 0, the others below."""
    widths = [sum(_width(n, texts) for n in row) + GAP * (len(row) - 1) for row in layout.layers]
    found: dict[Any, tuple[float, float]] = {}
    for i, (row, wide) in enumerate(zip(layout.layers, widths, strict=True)):
        x = (max(widths) - wide) / 2
        for node in row:
            found[node] = (x + _width(node, texts) / 2, -i * STEP)
            x += _width(node, texts) + GAP
    return found


def _height(lines: Sequence[str]) -> float:
    return 0.22 + 0.17 * len(lines)


def _box(axes: "Axes", centre: tuple[float, float], lines: Sequence[str], wide: float, *, faint: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    high = _height(lines)
    corner = (centre[0] - wide / 2, centre[1] - high / 2)
    colour = GREY if faint else INK
    axes.add_patch(
        FancyBboxPatch(
            corner, wide, high, "round,pad=0,rounding_size=0.08", facecolor="white", edgecolor=colour, zorder=3
        )
    )
    for i, line in enumerate(lines):
        y = centre[1] + 0.17 * ((len(lines) - 1) / 2 - i)
        weight = "bold" if i == 0 else "normal"
        axes.text(centre[0], y, line, ha="center", va="center", size=SMALL, color=colour, weight=weight, zorder=4)


def _arrow(axes: "Axes", stops: Sequence[tuple[float, float]], change: float, largest: float) -> None:
    """A smooth arrow from below a cause to above its effect, as wide as what it carries."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    corners = [stops[0], *(corner for part in _curves(stops) for corner in part[1:])]
    curve = Path(corners, [Path.MOVETO, *[Path.CURVE4] * (len(corners) - 1)])
    carries = abs(change) >= LEAST
    width = 0.8 + 3.2 * abs(change) / largest if carries else 0.8
    look: dict[str, Any] = {"color": _colour(change) if carries else PALE, "linewidth": width, "zorder": 1 + carries}
    axes.add_patch(FancyArrowPatch(path=curve, arrowstyle="-|>", mutation_scale=10 + 2 * width, **look))


def _colour(change: float) -> str:
    return UP if change > 0 else DOWN


def _curves(stops: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """The corners of a cubic Bezier curve between every two stops, upright at both."""
    pairs = itertools.pairwise(stops)
    return [[(a, b), (a, (b + d) / 2), (c, (b + d) / 2), (c, d)] for (a, b), (c, d) in pairs]


def _label(
    axes: "Axes",
    stops: Sequence[tuple[float, float]],
    change: float,
    taken: Sequence[tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
    """Writes what an arrow carries where there is room on it; returns the place as centre and half sizes."""
    from matplotlib.patheffects import withStroke

    text = f"{change:+.2f}"
    half = (LETTER * len(text) / 2, 0.08)
    shares = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8)
    every = [_point(corners, t) for corners in _curves(stops) for t in shares]
    free = (
        p for p in every if not any(abs(p[0] - x) < w + half[0] and abs(p[1] - y) < h + half[1] for x, y, w, h in taken)
    )
    at = next(free, every[0])
    halo = [withStroke(linewidth=2.5, foreground="white")]
    axes.text(*at, text, size=SMALL, color=_colour(change), ha="center", va="center", path_effects=halo, zorder=5)
    return *at, *half


def _point(corners: Sequence[tuple[float, float]], t: float) -> tuple[float, float]:
    """A point of a cubic Bezier curve."""
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    x, y = (sum(w * corner[i] for w, corner in zip(weights, corners, strict=True)) for i in (0, 1))
    return x, y
