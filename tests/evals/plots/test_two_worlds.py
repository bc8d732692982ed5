"""A person and its twin on the graph: what flows into a node flows out of it, and all of it into the decision."""

import pytest

from evals.plots.two_worlds import DECISION, arrows_between, draw_worlds, find_flows, shown_graph
from utils.adversary.decision import Decision
from utils.decides.threshold import Threshold
from utils.explaining.asked_people import People
from utils.explaining.explanation import explain
from utils.explaining.parts import Settings
from utils.explaining.worlds import Model

QUICK = Settings(
    radius=0.05, norm="l2", most=3.0, level_cost=1.0, steps=2, rel_step=0.25, restarts=0, samples=10,
    most_radius=1.0, boxes=20,
)  # fmt: skip


@pytest.fixture
def loan(dataset, scm, trained):
    data, network = dataset("loan"), trained("loan")
    return Model(data, scm("loan"), Decision(network, network, Threshold(0.5)), network, 0)


@pytest.fixture
def person(loan):
    test = loan.data.test
    return explain(loan, People(test.x[:1], test.index[:1], ("test row",)), QUICK, in_full=True)[0]


def test_what_flows_into_a_node_flows_out_of_it(loan, person):
    """But for the sensitive attribute, where all begins, and the decision, where it ends."""
    (carried,) = person.carried
    attribute = {c.name: c.attribute or c.name for c in loan.data.columns}
    flows = find_flows(carried, attribute)
    for node in {name for pair in flows for name in pair} - {"gender", DECISION}:
        inward = sum(change for (_, effect), change in flows.items() if effect == node)
        outward = sum(change for (cause, _), change in flows.items() if cause == node)
        assert inward == pytest.approx(outward, abs=1e-5)
    for begins, ends in (("gender", None), (None, DECISION)):
        through = sum(change for (cause, effect), change in flows.items() if begins == cause or ends == effect)
        assert through == pytest.approx(carried.change, abs=1e-4)


def test_the_graph_is_that_of_the_equations_and_what_carries_nothing_is_left_out(loan, person):
    attribute = {c.name: c.name for c in loan.data.columns}
    arrows = arrows_between(loan.scm, attribute)
    assert arrows["duration"] == ["gender", "age", "loan_amount"]
    assert arrows["savings"] == ["income"]
    graph, left = shown_graph(arrows, {("gender", "income"): 0.3, ("income", DECISION): 0.3})
    assert graph == {"income": ["gender", "age", "education"], DECISION: ["income"]}
    assert left == ["duration", "loan_amount", "savings"]


def test_no_text_leaves_its_box_and_the_picture_is_drawn(loan, person):
    drawn = draw_worlds(person, loan.scm, loan.data)
    drawn.canvas.draw()
    (axes,) = drawn.axes
    boxes = [patch.get_window_extent() for patch in axes.patches if type(patch).__name__ == "FancyBboxPatch"]
    assert len(boxes) == 8
    lines = [text for text in axes.texts if not text.get_text().startswith(("+", "-"))]
    inside = [any(box.contains(*_middle(text)) and _fits(text, box) for box in boxes) for text in lines]
    assert all(inside)


def _middle(text):
    extent = text.get_window_extent()
    return (extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2


def _fits(text, box):
    extent = text.get_window_extent()
    return box.x0 <= extent.x0 and extent.x1 <= box.x1


def test_a_column_of_several_indicators_is_one_node():
    """A path through two indicators of an attribute passes the attribute once."""
    from utils.explaining.parts import Carried, Moved

    path = Moved(("race", "job=a", "job=b"), 0.5)
    carried = Carried("race=1", 0.5, (Moved(("race", "job=a"), 0.5),), (path,), exact=True)
    flows = find_flows(carried, {"race": "race", "job=a": "job", "job=b": "job"})
    assert flows == {("race", "job"): 0.5, ("job", DECISION): 0.5}
