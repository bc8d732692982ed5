"""Radii as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.words.radii import everywhere, radius_value


@pytest.mark.parametrize(
    ("written", "value"),
    [("8/255", 8 / 255), (0.05, 0.05), (".1", 0.1), ("1e-2", 0.01), (1, 1.0), (" 0.3 ", 0.3), (0, 0)],
)
def test_numbers_and_fractions_mean_their_value(written, value):
    assert radius_value(written) == value


@given(st.floats(0, 1e300))
def test_a_float_means_itself_to_the_bit(value):
    assert radius_value(value) == value


@pytest.mark.parametrize(
    "written", ["big", "", "inf", float("inf"), "nan", float("nan"), "1/0", True, None, "1e400", [0.1]]
)
def test_what_is_no_number_is_refused_with_an_example(written):
    with pytest.raises(ValueError, match="is not a number; write for example 0.1 or 8/255"):
        radius_value(written)


@pytest.mark.parametrize("written", [-0.1, "-8/255"])
def test_a_negative_radius_is_refused(written):
    with pytest.raises(ValueError, match="is negative; a radius is 0 or more"):
        radius_value(written)


def test_everywhere_gives_each_row_the_same(dataset):
    rows = dataset("lin").test
    assert everywhere("1/4")(rows, None).tolist() == [0.25] * len(rows.y)
