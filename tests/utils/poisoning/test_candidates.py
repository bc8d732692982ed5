"""Candidates: valid, with neighbours as they should be, and at the minimum of an influence that is known."""

import numpy as np
import pytest
import torch

from utils.poisoning.candidates import descended, drawn, neighbours, ranked
from utils.poisoning.features import Rows, Space, valid
from utils.types import Batch, Column

COLUMNS = (
    Column("age", "continuous", integer=True, bounds=(18.0, 80.0)),
    Column("old", "binary", levels=(0.0, 1.0), cut=("age", 45.0, np.inf)),
    Column("income", "continuous", bounds=(0.0, 10.0)),
    Column("red", "binary", levels=(0.0, 1.0), attribute="colour"),
    Column("blue", "binary", levels=(0.0, 1.0), attribute="colour"),
    Column("sex", "binary", sensitive=True, levels=(0.0, 1.0)),
)
LOC, SCALE = torch.tensor([40.0, 0, 5, 0, 0, 0]), torch.tensor([10.0, 1, 2, 1, 1, 1])
KNOWN = torch.tensor([[30.0, 0, 3, 1, 0, 1], [60.0, 1, 4, 0, 1, 0], [90.0, 1, 5, 0, 1, 0]], dtype=torch.float64)


@pytest.fixture
def space():
    n = len(KNOWN)
    x = ((KNOWN - LOC) / SCALE).float()
    train = Batch(x, torch.tensor([0, 1, 1]), x[:, 5].long(), torch.ones(n), torch.arange(n))
    narrowing = {"label": None, "classes": 2, "copies": 1, "spread": False, "bounds": {}, "fixed": {}}
    return Space.of(COLUMNS, train, LOC, SCALE, **narrowing)


def source():
    return np.random.default_rng(0)


def bowl(batch: Batch):
    """(age - 60)^2 + (income - 2.5)^2 in natural units, lower by 1 where red, 10 more for class 1; and its slope."""
    natural = batch.x.double() * SCALE + LOC
    away = natural[:, [0, 2]] - torch.tensor([60.0, 2.5])
    slope = torch.zeros_like(natural)
    slope[:, [0, 2]] = 2 * away
    return slope * SCALE, away.square().sum(1) - natural[:, 3] + 10.0 * batch.y


def test_drawn_rows_are_valid(space):
    assert valid(space.columns, drawn(space, 200, source())) == []


def test_a_neighbour_is_valid_and_differs_in_one_dimension(space):
    found = neighbours(space, KNOWN, 200, source())
    held = space.snap(KNOWN)
    differs = torch.stack(
        [(found[:, None, list(d.places)] != held[:, list(d.places)]).any(-1) for d in space.dimensions],
        -1,
    )
    assert valid(space.columns, found) == []
    assert differs.sum(-1).amin(1).max() <= 1


def test_descent_ends_at_the_minimum_of_a_bowl_with_implied_columns_in_step(space):
    start = Rows(torch.tensor([[20.0, 0, 9, 1, 0, 1]], dtype=torch.float64), torch.tensor([0]))
    found, value = descended(space, start, bowl, steps=60)
    assert found.natural[0, 0].item() == pytest.approx(60, abs=2)
    assert found.natural[0, 1] == 1
    assert found.natural[0, 2].item() == pytest.approx(2.5, abs=0.2)
    assert found.natural[0, 3:].tolist() == [1, 0, 1]
    assert value.item() == bowl(space.batch(found))[1].item()


def test_descent_without_steps_stays(space):
    start = Rows(space.snap(KNOWN), torch.tensor([0, 1, 0]))
    assert torch.equal(descended(space, start, bowl, steps=0)[0].natural, start.natural)


def test_ranked_rows_are_distinct_and_the_best_is_first(space):
    there = Rows(space.snap(KNOWN[:1]), torch.tensor([1]))
    found = ranked(space, KNOWN, there, lambda b: bowl(b)[1], bowl, near=50, anywhere=100, steps=10, source=source())
    keys = torch.cat([found.rows.natural, found.rows.labels.unsqueeze(1)], 1)
    assert len(keys.unique(dim=0)) == len(keys)
    assert torch.equal(found.influence, found.influence.sort().values)
    assert found.rows.labels[0] == 0
    assert found.rows.natural[0, 3] == 1
    assert (keys == torch.cat([there.natural[0], torch.tensor([1.0])])).all(1).any()
