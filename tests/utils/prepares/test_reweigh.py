"""Reweighing: the publication's example, and the independence it is for."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.prepares.cells import cells
from utils.prepares.reweigh import reweigh
from utils.types import Batch


def rows(s, y, w=None):
    n = len(s)
    weights = torch.ones(n, dtype=torch.float64) if w is None else torch.tensor(w, dtype=torch.float64)
    return Batch(torch.zeros(n, 1), torch.tensor(y), torch.tensor(s), weights, torch.arange(n))


def test_the_weights_are_those_of_the_publication():
    """Kamiran and Calders 2012, their table of ten job applicants: of 5 women 2 and of 5 men 4 are hired.

    Their weights: women + 1.5, women - .67, men + .75, men - 2.
    """
    women, men = [0] * 5, [1] * 5
    w = reweigh(rows(women + men, [1, 1, 0, 0, 0, 1, 1, 1, 1, 0]), ("women", "men"), None).w
    assert w.tolist() == pytest.approx([1.5, 1.5, 2 / 3, 2 / 3, 2 / 3, 0.75, 0.75, 0.75, 0.75, 2.0])


LISTS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.floats(0.1, 5)), max_size=30)


@given(LISTS)
def test_in_the_weighted_rows_group_and_class_are_independent_and_the_weights_of_both_stay(drawn):
    """Whatever weights the rows had; each of the 12 cells has a row."""
    every = [(s, y, 1.0) for s in range(3) for y in range(4)] + drawn
    before = rows(*zip(*every, strict=True))
    after = reweigh(before, ("a", "b", "c"), None)
    old, new = cells(before, ("a", "b", "c"), ""), cells(after, ("a", "b", "c"), "")
    assert torch.allclose(new / new.sum(), new.sum(1, keepdim=True) * new.sum(0) / new.sum() ** 2)
    assert torch.allclose(new.sum(1), old.sum(1))
    assert torch.allclose(new.sum(0), old.sum(0))


def test_only_the_weights_change():
    before = rows([0, 0, 1, 1], [0, 1, 0, 1])
    after = reweigh(before, ("a", "b"), None)
    assert all(torch.equal(a, b) for a, b in zip(before._replace(w=after.w), after, strict=True))


def test_an_empty_cell_is_named():
    with pytest.raises(ValueError, match="no training row of group men is of class 1"):
        reweigh(rows([0, 0, 1], [0, 1, 0]), ("women", "men"), None)


def test_a_class_that_no_group_has_does_not_matter():
    w = reweigh(rows([0, 0, 1, 1], [0, 2, 0, 2]), ("a", "b"), None).w
    assert w.tolist() == [1, 1, 1, 1]
