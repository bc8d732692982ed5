"""Numbers and radii as people write them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.words.numbers import (
    ANY,
    count_decimals,
    is_written,
    read_number,
    read_radii,
    read_radius,
    write_estimate,
    write_spread,
)


@pytest.mark.parametrize(
    ("written", "value"),
    [("8/255", 8 / 255), (0.05, 0.05), (".1", 0.1), ("1e-2", 0.01), (1, 1.0), (" 0.3 ", 0.3), (0, 0)],
)
def test_numbers_and_fractions_mean_their_value(written, value):
    assert read_radius(written) == value


@given(st.floats(0, 1e300))
def test_a_float_means_itself_to_the_bit(value):
    assert read_radius(value) == value


@pytest.mark.parametrize(
    "written", ["big", "", "inf", float("inf"), "nan", float("nan"), "1/0", True, None, "1e400", [0.1]]
)
def test_what_is_no_number_is_refused_with_an_example(written):
    with pytest.raises(ValueError, match="is not a number; write for example 0.1 or 8/255"):
        read_radius(written)


@pytest.mark.parametrize("written", [-0.1, "-8/255"])
def test_a_negative_radius_is_refused(written):
    with pytest.raises(ValueError, match="is negative; a radius is 0 or more"):
        read_radius(written)


def test_radii_are_numbers_by_their_spelling():
    assert read_radii(["8/255", 0.05, 0, "1e-3"]) == {"8/255": 8 / 255, "0.05": 0.05, "0": 0.0, "1e-3": 0.001}


@pytest.mark.parametrize(
    ("written", "value"),
    [("8/255", 8 / 255), ("-8/255", -8 / 255), ("1.5/3", 0.5), ("1e-3", 0.001), (" .5 ", 0.5), ("-2", -2.0), (7, 7.0)],
)
def test_a_number_is_read_as_it_is_spelt(written, value):
    assert read_number(written) == value
    assert is_written(written)


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_fraction_is_rounded_once(above, below):
    """Python divides whole numbers to the nearest float."""
    assert read_number(f"{above}/{below}") == above / below


@pytest.mark.parametrize(
    "value",
    [
        "inf",
        "nan",
        "1e999",
        "1/0",
        "1e999999999/3",
        "1/1e999999999",
        "1e-999999999/3",
        "pgd",
        "",
        "/",
        "1/2/3",
        None,
        True,
        [1],
    ],
)
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(ValueError, match=r"is no (finite )?number"):
        read_number(value)


@pytest.mark.parametrize("value", ["pgd", "", "none", True, None, [0.1], "1.2.3", "e5"])
def test_names_and_flags_are_not_written_as_numbers(value):
    assert not is_written(value)


def test_a_division_by_0_is_written_as_a_number_and_refused_where_it_is_read():
    assert is_written("8/0")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_spelt_as_the_pattern_says(value):
    assert ANY.fullmatch(repr(value))


@pytest.mark.parametrize(
    ("half", "decimals"),
    [(0.827, 2), (0.119, 2), (0.1, 2), (0.022, 3), (0.0355, 3), (0.0097, 4), (12.0, 0), (120.0, 0), (1e-9, 6)],
)
def test_an_uncertainty_has_two_digits(half, decimals):
    assert count_decimals(half) == decimals


@given(st.floats(0, 1), st.floats(1e-5, 1), st.floats(1e-5, 1))
def test_an_estimate_keeps_its_order_and_is_off_by_less_than_a_twentieth_of_its_interval(value, below, above):
    """Half a unit of the last digit, which is at most a tenth of the half-width."""
    low, high = value - below, value + above
    shown = [float(part) for part in re.findall(r"-?[\d.]+", write_estimate(value, low, high))]
    assert sorted(shown) == [shown[1], shown[0], shown[2]]
    limit = (high - low) / 2 / 10 / 2 + 0.5e-6
    assert all(abs(a - b) <= limit * 1.001 for a, b in zip(shown, (value, low, high), strict=True))


def test_what_is_not_known_is_not_written():
    assert write_estimate(0.74583, None, None) == "0.7458"
    assert write_estimate(None, 0.1, 0.2) == write_estimate(float("nan"), 0.1, 0.2) == "undefined"
    assert write_estimate(0.012, -0.001, 0.025, "+") == "+0.012 [-0.001, +0.025]"
    assert write_estimate(-0.0001, -0.02, 0.02) == "0.000 [-0.020, 0.020]"
    assert write_spread(0.71583, 0.02241) == "0.716 ± 0.022"
    assert write_spread(0.71583, float("nan")) == "0.7158"
