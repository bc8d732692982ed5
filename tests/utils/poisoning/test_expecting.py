import pytest

from utils.poisoning import expecting
from utils.poisoning.expecting import Expecting, fitted_size
from utils.poisoning.features import Parameter
from utils.poisoning.points import Known, Outcome, at_random

PARAMETERS = (*(Parameter(name, "int", 0, 60) for name in "abc"), Parameter("label", "choice", 0, 1, (0.0, 1.0)))


def lost(point):
    """A bowl whose bottom of -1 is at a = 40, b = 10, label 1; c does nothing."""
    return ((point["a"] - 40) ** 2 + (point["b"] - 10) ** 2) / 900 + (1 - point["label"]) - 1


def told(points, broken=lambda point: -0.1, objectives=1):
    values = [(lost(point), point["a"] / 60)[:objectives] for point in points]
    outcomes = [Outcome(point, value, broken(point)) for point, value in zip(points, values, strict=True)]
    return Known(outcomes, 0.0)


def some(count):
    return at_random(PARAMETERS, told([]), [], count, 0)


def searched(budget, broken=lambda point: -0.1):
    ask, points = Expecting(PARAMETERS, 1), []
    while len(points) < budget:
        points += ask(told(points, broken), [], 2, len(points))
    return points


def test_it_finds_the_bottom_of_a_bowl():
    assert min(map(lost, searched(40))) < -0.99
    assert min(map(lost, some(40))) > -0.99


def test_it_finds_the_lowest_point_that_is_permitted():
    """Beyond a = 25 nothing is: the best is -1 + 15^2 / 900 = -.75."""
    points = searched(60, broken=lambda point: (point["a"] - 25) / 60)
    allowed = [lost(point) for point in points if point["a"] <= 25]
    assert min(allowed) == pytest.approx(-0.75, abs=0.01)
    assert len(allowed) > 30


def test_points_are_a_function_of_what_is_told_whatever_was_asked_before():
    points, used = some(34), Expecting(PARAMETERS, 1)
    for size in (12, 24, 30, 33):
        used(told(points[:size]), [], 1, 5)
    ways = [ask(told(points), points[:2], 3, 7) for ask in (used, used, Expecting(PARAMETERS, 1))]
    assert ways[0] == ways[1] == ways[2]


def test_what_is_under_way_is_not_asked_again():
    points = some(30)
    first = Expecting(PARAMETERS, 1)(told(points), [], 4, 3)
    assert len({tuple(point.values()) for point in first}) == 4
    assert Expecting(PARAMETERS, 1)(told(points), first[:1], 1, 3) != first[:1]


def test_failures_teach_nothing():
    points = some(20)
    failed = told(points)._replace(outcomes=[*told(points).outcomes, Outcome(points[0], None, 0.0)])
    assert Expecting(PARAMETERS, 1)(failed, [], 2, 1) == Expecting(PARAMETERS, 1)(told(points), [], 2, 1)


def test_fits_are_made_ever_more_rarely(monkeypatch):
    made = []
    fit = expecting.fit_shape
    monkeypatch.setattr(expecting, "fit_shape", lambda x, *more: made.append(len(x)) or fit(x, *more))
    points, ask = some(60), Expecting(PARAMETERS, 1)
    for size in range(10, 61, 2):
        ask(told(points[:size]), [], 1, size)
    assert made == [10, 12, 14, 16, 19, 22, 26, 31, 37, 44, 52]
    assert fitted_size(495) == 448


def test_of_two_losses_points_lie_between_the_best_of_each():
    """The second is a: between its least and the first's bottom at 40 lie all that nothing betters in both."""
    found = Expecting(PARAMETERS, 2)(told(some(60), objectives=2), [], 8, 0)
    assert all(point["a"] <= 42 and point["label"] == 1 for point in found)
    assert len({point["a"] for point in found}) > 3
