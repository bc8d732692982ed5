"""The picture of a causal graph: layers by the longest way, no box on another, no crossing without need."""

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest

from evals.looking.graph_drawing import describe, draw_graph
from evals.plots.graph_layout import layers_of

DIAMOND = {"b": ("a",), "c": ("a",), "d": ("b", "c", "a")}


def boxes(svg):
    """Name -> left, top, right, bottom."""
    root = ElementTree.fromstring(svg)
    found = {}
    for group in root.findall("g"):
        rect, text = group.find("rect"), group.find("text")
        x, y, width, height = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
        found[text.text] = (x, y, x + width, y + height)
    return found


def test_the_layer_is_the_length_of_the_longest_way():
    assert layers_of(DIAMOND) == {"a": 0, "b": 1, "c": 1, "d": 2}


def test_a_cycle_is_refused_by_its_columns():
    with pytest.raises(ValueError, match="cycle among c, b"):
        layers_of({"b": ("a", "c"), "c": ("b",)})


@pytest.mark.parametrize(
    "graph",
    [DIAMOND, {f"n{j}": tuple(f"n{i}" for i in range(max(0, j - 5), j)) for j in range(1, 20)}],
    ids=["diamond", "dense"],
)
def test_every_arrow_is_drawn_downwards_and_no_box_covers_another(graph):
    svg = draw_graph(graph, {})
    held = boxes(svg)
    assert svg.count('class="arrow"') == sum(map(len, graph.values()))
    assert all(held[parent][3] < held[child][1] for child, parents in graph.items() for parent in parents)
    for (ax, ay, bx, by), (cx, cy, dx, dy) in combinations(held.values(), 2):
        assert bx < cx or dx < ax or by < cy or dy < ay
    _, _, width, height = map(float, re.search(r'viewBox="([^"]+)"', svg)[1].split())
    assert all(box[0] >= 0 and box[2] <= width and box[1] >= 0 and box[3] <= height for box in held.values())


def test_two_pairs_that_stand_crosswise_are_uncrossed():
    held = boxes(draw_graph({"d": ("a",), "c": ("b",)}, {}))
    assert (held["a"][0] < held["b"][0]) == (held["d"][0] < held["c"][0])


def test_names_are_texts_and_long_ones_are_cut():
    held = boxes(draw_graph({"<b>": ("x" * 60,)}, {"<b>": "label"}))
    assert "<b>" in held
    assert max(map(len, held)) == 28


def test_the_arrows_are_said_in_words():
    assert describe(DIAMOND) == "a to b; a to c; b, c, a to d"
