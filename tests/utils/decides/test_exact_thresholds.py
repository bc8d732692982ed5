"""Against brute force over all thresholds of all groups, ties included, and against the published grid."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.utils.decides.rows import curves_of, every_policy, exact_of, gap, made, rows_of, scored
from utils.decides.exact_thresholds import SAME, TOGETHER, cuts_of, most_accurate, policies, sides
from utils.decides.group_thresholds import GroupThresholds

NAMES = ("women", "men", "others")
RATES = [*TOGETHER.values()]
OF = st.sampled_from(RATES)
SINGLE = st.sampled_from([rates for rates in RATES if len(rates) == 1])
PERMITTED = st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.5, None])
CASES = st.one_of(st.tuples(rows_of(2), OF), st.tuples(rows_of(3, size=3), SINGLE))


def groups_of(rows) -> int:
    return 1 + max(s for *_, s in rows)


def ready(z, batch, groups, rates):
    return sides(curves_of(z, batch, NAMES[:groups], rates), rates)


def labels_of(thresholds, z, batch):
    return GroupThresholds(thresholds)(z, batch.s).numpy()


@settings(max_examples=60, deadline=None)
@given(CASES, PERMITTED)
def test_no_permitted_policy_has_fewer_errors_or_as_few_and_a_smaller_gap(case, permitted):
    rows, rates = case
    (z, batch), groups = made(rows), groups_of(rows)
    found = most_accurate(ready(z, batch, groups, rates), permitted)
    allowed = [p for p in every_policy(z, batch, groups, rates) if permitted is None or p[1] <= permitted + SAME]
    errors, smallest = min((e, round(g, 10)) for e, g in allowed)
    assert found.errors == errors
    assert found.gap == pytest.approx(smallest, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(CASES)
def test_the_frontier_is_that_of_all_policies(case):
    rows, rates = case
    (z, batch), groups = made(rows), groups_of(rows)
    every = {(e, round(g, 9)) for e, g in every_policy(z, batch, groups, rates)}
    efficient = {p for p in every if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in every)}
    found = [(p.errors, round(p.gap, 9)) for p in policies(ready(z, batch, groups, rates))]
    assert found == sorted(efficient)


@pytest.mark.parametrize("rate", ["fnr", "fpr", "acceptance_rate"])
def test_the_frontier_of_groups_far_apart_is_that_of_one_search_a_gap(rate):
    """The short way for two groups apart against the search that serves every case."""
    z, batch = scored(1500)
    of = ready(z, batch, 2, (rate,))
    found = policies(of)
    assert len(found) > 10
    for policy in found[::5]:
        assert most_accurate(of, policy.gap) == policy
        assert most_accurate(of, policy.gap - 2 * SAME) in (*found, None)


@settings(max_examples=60, deadline=None)
@given(rows_of(2), OF, PERMITTED, st.sampled_from([torch.float32, torch.float64]))
def test_the_thresholds_do_what_the_policy_says(rows, rates, permitted, dtype):
    z, batch = made(rows)
    of = curves_of(z.to(dtype), batch, NAMES[:2], rates)
    policy = most_accurate(sides(of, rates), permitted)
    labels = labels_of(cuts_of(of, policy), z.to(dtype), batch)
    assert (labels != batch.y.numpy()).sum() == policy.errors
    assert gap(labels, batch.y, batch.s, 2, rates) == pytest.approx(policy.gap, abs=1e-12)


@pytest.mark.parametrize("rate", TOGETHER)
@pytest.mark.parametrize("step", [None, 0.5])
def test_the_published_grid_is_never_above_the_frontier(rate, step):
    z, batch = scored(800, step=step)
    rates, grid = TOGETHER[rate], np.linspace(-1.5, 1.5, 20)
    of = ready(z, batch, 2, rates)
    y, s = batch.y.numpy(), batch.s.numpy()
    for pair in [(a, b) for a in grid[::2] for b in grid[::2]]:
        labels = labels_of(pair, z, batch)
        assert most_accurate(of, gap(labels, y, s, 2, rates)).errors <= (labels != y).sum()


def test_equal_rates_are_always_attained():
    z, batch = scored(501)
    (thresholds,) = exact_of(z, batch, NAMES[:2], rates=("fnr", "fpr"), permitted=[0.0])
    assert gap(labels_of(thresholds, z, batch), batch.y, batch.s, 2, ("fnr", "fpr")) == 0


def test_a_gap_of_exactly_what_is_permitted_is_permitted():
    """Rates of 8/10 and 7/10, whose difference in floating point is above 0.1."""
    rows = [(float(i < 8), 1, 0) for i in range(10)] + [(float(i < 7), 1, 1) for i in range(10)]
    (thresholds,) = exact_of(*made(rows + [(0.0, 0, 0), (0.0, 0, 1)] * 20), NAMES[:2], rates=("fnr",), permitted=[0.1])
    assert thresholds == (0.5, 0.5)


def test_neighbouring_numbers_are_told_apart():
    """No number lies between: the threshold is the upper one, which is class 1."""
    low = torch.tensor(1.0)
    high = torch.nextafter(low, torch.tensor(2.0))
    z, batch = made([(low.item(), 0, 0), (high.item(), 1, 0), (0.0, 0, 1), (1.0, 1, 1)])
    (thresholds,) = exact_of(z, batch, NAMES[:2], rates=("fnr",), permitted=[0.0])
    assert thresholds == (high.item(), 0.5)
    assert labels_of(thresholds, z, batch).tolist() == [0, 1, 0, 1]


def test_infinite_scores_keep_their_order():
    z, batch = made([(-np.inf, 0, 0), (np.inf, 1, 0), (-np.inf, 0, 1), (0.0, 0, 1), (np.inf, 1, 1)])
    (thresholds,) = exact_of(z, batch, NAMES[:2], rates=("fnr",), permitted=[0.0])
    assert labels_of(thresholds, z, batch).tolist() == [0, 1, 0, 0, 1]


def test_many_rows_take_no_quadratic_time():
    """At most 50 times as long as a tenth of them, where all pairs of thresholds would take 100 times as long."""
    seconds = {}
    for n in (10_000, 100_000):
        data = ready(*scored(n), 2, ("fnr",))
        tries = []
        for _ in range(3):
            started = time.process_time()
            found = policies(data)
            tries.append(time.process_time() - started)
        seconds[n] = min(tries)
    assert len(found) > 100
    assert seconds[100_000] < 50 * seconds[10_000], seconds


# --- what is undefined -----------------------------------------------------------------------------------------


def test_a_group_without_rows_is_named():
    with pytest.raises(ValueError, match="none of the rows .* is of group men; fit on more"):
        curves_of(*made([(0.0, 1, 0), (0.0, 0, 0)]), NAMES[:2], ("acceptance_rate",))


@pytest.mark.parametrize(("rate", "present"), [("fnr", 0), ("fpr", 1)])
def test_a_group_without_rows_that_the_rate_is_of_is_named(rate, present):
    rows = [(0.0, 1, 0), (0.0, 0, 0), (0.0, present, 1), (1.0, present, 1)]
    with pytest.raises(ValueError, match=f"rate of group men is undefined, .* its 2 rows .* class {1 - present}"):
        curves_of(*made(rows), NAMES[:2], (rate,))
    named = ("no", "yes")
    with pytest.raises(ValueError, match=f"its 2 rows .* is of class {named[1 - present]};"):
        curves_of(*made(rows), NAMES[:2], (rate,), classes=named)


def test_a_group_of_one_class_has_an_acceptance_rate():
    rows = [(0.0, 1, 0), (1.0, 0, 0), (0.0, 1, 1), (1.0, 1, 1)]
    assert exact_of(*made(rows), NAMES[:2], rates=("acceptance_rate",), permitted=[0.0]) == [(-np.inf, -np.inf)]


def test_one_group_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="two groups or more.*dataset.sensitive.*decide=mcc"):
        curves_of(*made([(0.0, 1, 0)]), ("all",), ("fnr",))


def test_three_logits_are_refused():
    _, batch = made([(0.0, 1, 0), (0.0, 1, 1)])
    with pytest.raises(ValueError, match="3 logits; use decide=fixed"):
        curves_of(torch.zeros(2, 3), batch, NAMES[:2], ("fnr",))


def test_nan_is_refused():
    with pytest.raises(ValueError, match="1 of 2 logits are nan"):
        curves_of(*made([(float("nan"), 1, 0), (0.0, 1, 1)]), NAMES[:2], ("fnr",))


def test_several_rates_of_three_groups_are_refused_with_the_remedy():
    rows = [(0.0, y, s) for y in (0, 1) for s in range(3)]
    with pytest.raises(ValueError, match="here are 3; choose one rate, or decide=group_randomized"):
        exact_of(*made(rows), NAMES, rates=("fnr", "fpr"), permitted=[0.0])
