"""Shares of rows by class and group: masks over the rows are the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.metrics import breakdown
from utils.metrics.intervals import at_level

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=40)


def columns(rows):
    right, y, s = (np.array(column) for column in zip(*rows, strict=True))
    return right, y, s


def judge(rows, *, groups=2, classes=3, end="_0.1", headline=False, level=0.95):
    table = breakdown.tables(*columns(rows), groups=groups, classes=classes)
    [found] = breakdown.break_down("kept", end, table[None], level=level, headline=headline)
    return found


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_every_figure_is_the_share_of_the_rows_it_names(rows):
    right, y, s = columns(rows)
    found = judge(rows)
    of_classes = [right[y == i].mean() if (y == i).any() else None for i in range(3)]
    of_groups = [right[s == i].mean() if (s == i).any() else None for i in range(2)]
    expected = {
        "kept_0.1": right.mean(),
        "kept_worst_class_0.1": min(v for v in of_classes if v is not None),
        "kept_worst_group_0.1": min(v for v in of_groups if v is not None),
        **{f"kept_group{i}_0.1": v for i, v in enumerate(of_groups)},
        **{f"kept_class_{i}_0.1": v for i, v in enumerate(of_classes)},
    }
    assert {k: v for k, v in found.items() if not k.endswith(("_low", "_high"))} == pytest.approx(expected)


def test_of_one_group_nothing_is_said_of_groups():
    assert not [key for key in judge([(True, 0, 0)], groups=1) if "group" in key]


def test_the_headline_is_the_mean_and_the_worst_class():
    found = judge([(True, 0, 0), (False, 1, 1)], end="", headline=True)
    assert (found["kept"], found["kept_worst_class"]) == (0.5, 0)
    assert len(found) == 6
    assert found.shares.keys() == {"kept", "kept_class_0", "kept_class_1"}


def test_a_declared_group_without_rows_is_undefined_and_not_the_worst():
    found = judge([(True, 0, 0), (False, 1, 0)])
    assert (found["kept_group1_0.1"], found["kept_worst_group_0.1"]) == (None, 0.5)


def test_a_group_out_of_range_is_refused():
    with pytest.raises(ValueError, match="invalid entry"):
        judge([(True, 0, 2)])


def test_intervals_are_those_of_the_shares():
    """Of the worst simultaneous ones of the others; see ``tests/utils/metrics/test_intervals.py``."""
    found = judge([(True, 0, 0)] * 30 + [(False, 0, 1)] * 4 + [(True, 2, 1)] * 9, level=0.9)
    shares = {"kept_0.1": (39, 43), "kept_group0_0.1": (30, 30), "kept_group1_0.1": (9, 13)}
    assert found.shares == shares | {"kept_class_0_0.1": (30, 34), "kept_class_2_0.1": (9, 9)}
    for key in ("kept_0.1", "kept_group1_0.1", "kept_worst_group_0.1", "kept_worst_class_0.1"):
        low, high = at_level(key, found, found.shares, {}, 0.9)
        assert (found[f"{key}_low"], found[f"{key}_high"]) == pytest.approx((low, high), abs=1e-6)
    assert found["kept_worst_class_0.1_low"] < found["kept_class_0_0.1_low"]
