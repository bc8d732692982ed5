import pytest
import torch

from utils.poisoning.features import Parameter
from utils.poisoning.places import coordinates, owners, places, valid

PARAMETERS = (
    Parameter("a", "float", -2, 3),
    Parameter("b", "int", 18, 80),
    Parameter("copies", "int", 1, 100, log=True),
    Parameter("c", "choice", 4, 9, (4.0, 9.0, 5.0)),
)
POINTS = [
    {"a": -2.0, "b": 18, "copies": 1, "c": 4.0},
    {"a": 0.5, "b": 19, "copies": 2, "c": 9.0},
    {"a": 3.0, "b": 80, "copies": 100, "c": 5.0},
]


def at(place):
    return {p.name: p.at(float(u)) for p, u in zip(PARAMETERS, place, strict=True)}


def test_a_place_gives_its_point_again():
    assert [at(place) for place in places(PARAMETERS, POINTS)] == POINTS


def test_any_place_and_its_valid_one_are_of_the_same_point():
    cube = torch.rand(2000, 4, dtype=torch.float64)
    found = valid(PARAMETERS, cube)
    assert [at(place) for place in found] == [
        {**at(place), "a": pytest.approx(at(place)["a"], abs=1e-12)} for place in cube
    ]
    assert torch.allclose(valid(PARAMETERS, found), found)


def test_two_choices_are_as_far_apart_as_the_ends_of_a_line():
    cube = torch.tensor([[0.0, 0.5, 0.5, 0.1], [1.0, 0.5, 0.5, 0.1], [0.0, 0.5, 0.5, 0.9]], dtype=torch.float64)
    found = coordinates(PARAMETERS, cube)
    assert torch.cdist(found[:1], found[1:]).tolist() == [[pytest.approx(1), pytest.approx(1)]]
    assert owners(PARAMETERS).tolist() == [0, 1, 2, 3, 3, 3]
    assert found.shape == (3, 6)


def test_of_no_points_there_are_no_places():
    assert places(PARAMETERS, []).shape == (0, 4)
