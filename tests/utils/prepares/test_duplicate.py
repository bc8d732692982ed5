"""Copies of rows of one cell, and what a learner makes of them."""

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

from utils.prepares.duplicate import duplicate
from utils.types import Batch

NAMES = ("sex=female", "sex=male")


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    s, x = torch.randint(0, 2, (400,), generator=generator), torch.randint(0, 4, (400, 1), generator=generator).float()
    y = (torch.rand(400, generator=generator) < 0.3 + 0.1 * x[:, 0]).long()
    return Batch(x, y, s, torch.ones(400), torch.arange(400))


@pytest.mark.parametrize("group", [1, "sex=male"])
def test_copies_are_rows_of_the_cell(rows, group):
    made = duplicate(rows, NAMES, np.random.default_rng(0), group=group, label=0, count=50)
    assert all(torch.equal(a, b[:400]) for a, b in zip(rows, made, strict=True))
    assert len(made.y) == 450
    assert set(made.s[400:].tolist()) == {1}
    assert set(made.y[400:].tolist()) == {0}
    assert torch.equal(made.x[400:], rows.x[made.index[400:]])


def test_a_learner_decides_by_the_majority_that_the_copies_made(rows):
    """A leaf of its own for each group and level: with enough copies of class 0 it has no false positives there."""
    made = duplicate(rows, NAMES, np.random.default_rng(0), group=1, label=0, count=2000)
    features = [torch.cat([of.x, of.s.unsqueeze(1)], 1).numpy() for of in (rows, made)]
    labels = DecisionTreeClassifier().fit(features[1], made.y.numpy()).predict(features[0])
    assert not labels[rows.s.numpy() == 1].any()
    before = DecisionTreeClassifier().fit(features[0], rows.y.numpy()).predict(features[0])
    assert (labels == before)[rows.s.numpy() == 0].all()


@pytest.mark.parametrize("group", [2, -1, None, "sex=mal", 1.0])
def test_an_unknown_group_is_refused_with_those_there_are(rows, group):
    with pytest.raises(ValueError, match=r"prepare\.group=.*0 \(sex=female\), 1 \(sex=male\)"):
        duplicate(rows, NAMES, np.random.default_rng(0), group=group, label=0, count=5)


def test_a_cell_without_rows_is_refused(rows):
    with pytest.raises(ValueError, match="no training row of group sex=male is of class 2"):
        duplicate(rows, NAMES, np.random.default_rng(0), group=1, label=2, count=5)
