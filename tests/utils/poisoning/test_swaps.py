"""Changing a set of rows by what copies are predicted to do: by hand, and within the limits for any numbers."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.poisoning.added_sets import Added
from utils.poisoning.candidates import Ranked
from utils.poisoning.features import Rows
from utils.poisoning.swaps import changed


def ranking(*influence):
    """Rows 0, 1, ... of class 1 with their influences, in any order."""
    worth = torch.tensor(influence, dtype=torch.float64)
    order = worth.argsort(stable=True)
    return Ranked(Rows(order.unsqueeze(1).double(), torch.ones(len(order), dtype=torch.int64)), worth[order])


def added(*copies):
    return [Added((float(i),), 1, times) for i, times in enumerate(copies) if times]


def copies(found, n):
    held = {each.row[0]: each.copies for each in found}
    return [held.get(float(i), 0) for i in range(n)]


def after(there, worth, size, **limits):
    found = changed(added(*there), ranking(*worth), size, **{"most": 9, "copies": 10, "skip": 0} | limits)
    return copies(found, len(worth))


def test_the_best_row_gets_all_copies_that_it_may_have_and_the_next_one_the_rest():
    assert after([], [-1.0, -3.0, -2.0], 14) == [0, 10, 4]


def test_copies_that_harm_are_taken_back_first():
    assert after([5, 2], [0.5, -1.0], 6) == [0, 3]


def test_no_row_is_added_that_raises_the_loss():
    assert after([], [0.1, -1.0], 50) == [0, 10]


def test_without_room_the_row_that_brings_least_is_replaced():
    assert after([3, 10], [-0.1, -1.0, -2.0], 5, most=2) == [0, 10, 5]


def test_a_row_that_brings_more_than_the_new_one_could_is_kept():
    assert after([10, 10], [-1.0, -1.0, -1.5], 5, most=2) == [10, 10, 0]


def test_skipping_leaves_out_the_first_rows_that_are_not_there():
    assert after([1], [-3.0, -2.0, -1.0], 12, skip=1) == [10, 0, 3]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(-1, 1)), min_size=1, max_size=8),
    st.integers(1, 40),
    st.integers(1, 8),
)
def test_a_set_keeps_within_its_limits_and_is_predicted_to_be_no_worse(rows, size, most):
    there, worth = zip(*rows, strict=True)
    if sum(times > 0 for times in there) > most:
        there = there[:most] + (0,) * len(there[most:])
    found = after(there, worth, size, most=most, copies=4)
    assert max(found) <= 4
    assert sum(times > 0 for times in found) <= most
    total = [sum(t * w for t, w in zip(of, worth, strict=True)) for of in (there, found)]
    assert total[1] <= total[0] + 1e-12
