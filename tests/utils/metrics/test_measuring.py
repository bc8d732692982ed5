"""Figures of many models at a time, against those of one, and of one against the intervals of its shares."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.metrics.intervals import Spread, at_level
from utils.metrics.measuring import measure, measure_each, of_shares

COUNTS = st.integers(0, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
KEYS = ("fnr_group0", "fnr_group1", "fnr_group2")


def values_of(counts):
    rates = [part / whole if whole else np.nan for part, whole in counts]
    return dict(zip(KEYS, rates, strict=True)) | {
        "fnr_gap": max(rates) - min(rates),
        "fnr_worst_group": np.nanmin(rates),
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(COUNTS, COUNTS, st.tuples(st.integers(0, 9), st.just(9))), min_size=1, max_size=6))
def test_many_models_are_each_to_the_bit(models):
    """Some of them without rows of a group, which has no share and leaves the gap undefined."""
    values = [values_of(counts) for counts in models]
    spreads = [Spread(0.1 * i, None, 0.2 if i else None) for i in range(len(models))]
    parts, wholes = np.array(models).transpose(2, 1, 0)
    found = measure_each(
        {key: np.array([of[key] for of in values]) for key in values[0]} | {"mcc": np.full(len(models), 0.5)},
        dict(zip(KEYS, zip(parts, wholes, strict=True), strict=True)),
        0.9,
        {"mcc": Spread(*np.array(spreads, np.float64).T)},
    )
    for own, counts, value, spread in zip(found, models, values, spreads, strict=True):
        one = measure(value | {"mcc": 0.5}, dict(zip(KEYS, counts, strict=True)), 0.9, {"mcc": spread})
        assert (own, own.shares, own.deviations) == (one, one.shares, one.deviations)
        assert own.shares == {key: count for key, count in zip(KEYS, counts, strict=True) if count[1]}


@given(COUNTS.filter(lambda count: count[1]))
def test_the_ends_hold_those_of_the_share_and_are_rounded_outwards(count):
    found = of_shares({"hits": count}, 0.95)
    low, high = at_level("hits", found, found.shares, {}, 0.95)
    assert low - 1e-6 < found["hits_low"] <= low <= high <= found["hits_high"] < high + 1e-6


def test_what_is_bare_has_no_ends_beside_it():
    one = np.array([0.5])
    [found] = measure_each({"a": one, "b": one}, dict.fromkeys("ab", (one * 2, one * 4)), 0.9, bare={"b"})
    assert list(found) == ["a", "a_low", "a_high", "b"]
    assert found.shares == {"a": (1, 2), "b": (1, 2)}


def test_nothing_measured_is_nothing():
    assert measure({}, {}, 0.9) == {}


def test_the_numerator_of_an_average_keeps_its_fraction_to_six_digits():
    assert of_shares({"a": (1 / 3, 2), "b": (1.0, 2)}, 0.9).shares == {"a": (0.333333, 2), "b": (1, 2)}
