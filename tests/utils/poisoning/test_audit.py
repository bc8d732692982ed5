"""The audit of a delivery: counts by hand, p-values of clean deliveries uniform, chosen rows told.

Rows of two normal columns and one of levels, so that distances of different rows differ and some rows are the same.
"""

import numpy as np
import pytest
from scipy.stats import fisher_exact, hypergeom, kstest

from utils.poisoning.audit import FEWEST, KINDS, Labelled, Pool, audit, compare_cells, holm

GROUPS, CLASSES = ("f", "m"), ("no", "yes")


def people(n, rng, digits=1):
    """Labelled rows; rounding to few digits makes identical ones."""
    s = rng.integers(0, 2, n)
    x = np.column_stack([s, rng.normal(size=(n, 2)).round(digits)])
    return Labelled(x, (x[:, 1] + 0.5 * s + rng.normal(size=n) > 0).astype(np.int64), s)


def joined(*tables):
    return Labelled(*(np.concatenate(of) for of in zip(*tables, strict=True)))


def by_hand(trusted, delivered, nearest, radius):
    """The same counts by a loop over pairs of rows; of equal distances the rows of all are asked."""
    found = dict.fromkeys(KINDS, 0)
    named = [(*x, y) for x, y in zip(delivered.x.tolist(), delivered.y.tolist(), strict=True)]
    for x, y, s in zip(*delivered, strict=True):
        apart = np.sqrt(((trusted.x - x) ** 2).sum(1))
        same = apart == 0
        own = apart[trusted.s == s]
        within = trusted.y[(trusted.s == s) & (apart <= np.sort(own)[min(nearest, len(own)) - 1] + 1e-9)]
        found["contradicted"] += (trusted.y[same] != y).sum() > (trusted.y[same] == y).sum()
        found["disagreeing"] += (within != y).sum() > (within == y).sum()
        found["copies"] += (same & (trusted.y == y)).any()
        found["near"] += (own <= radius + 1e-6).any() and not same.any()
    found["repeats"] = len(named) - len(set(named))
    found["most"] = max(map(named.count, named))
    return {key: int(of) for key, of in found.items()}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_figures_are_those_of_a_loop_over_pairs_of_rows(rng):
    trusted, delivered = people(90, rng, 5), people(40, rng, 5)
    delivered = joined(delivered, delivered.rows(np.arange(9)), trusted.rows(np.arange(8)))
    delivered.y[-4:] = 1 - delivered.y[-4:]
    pool = Pool.of(trusted, delivered, 2, 3)
    found = {key: int(of[0]) for key, of in pool.observed().items()}
    assert found == by_hand(trusted, delivered, 3, pool.radius)
    assert min(found.values()) > 0


def test_a_split_counts_as_if_its_rows_had_been_delivered(rng):
    """By a pool of the rows so chosen, whose radius is the same, since all rows are."""
    trusted, delivered = people(90, rng, 5), people(40, rng, 5)
    delivered = joined(delivered, trusted.rows(np.arange(12)))
    pool, every = Pool.of(trusted, delivered, 2, 3), joined(trusted, delivered)
    chosen = np.stack([rng.permutation(len(every.y))[:52] for _ in range(4)])
    found = pool._count(chosen, pool.around)
    for i, rows in enumerate(chosen):
        rest = np.setdiff1d(np.arange(len(every.y)), rows)
        expected = by_hand(every.rows(rest), every.rows(rows), 3, pool.radius)
        assert {key: int(of[i]) for key, of in found.items()} == expected


def test_p_values_of_clean_deliveries_are_uniform(rng):
    """200 deliveries from the source of the reference; ties, of which counts have many, are broken at random."""
    found = []
    for _ in range(200):
        pool = Pool.of(people(150, rng), people(30, rng), 2, 3)
        observed, chance = pool.observed(), pool.split(99, rng)
        more = np.array([(chance[key] > observed[key]).sum() for key in KINDS])
        tied = np.array([(chance[key] == observed[key]).sum() for key in KINDS])
        found.append([(more + rng.random(len(KINDS)) * (1 + tied)) / 100, (1 + more + tied) / 100])
    uniform, told = np.swapaxes(np.array(found), 0, 1)  # (200, kinds)
    assert all(kstest(of, "uniform").pvalue > 0.001 for of in uniform.T)
    assert (told <= 0.05).mean(0).max() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def chosen_rows(kind, trusted, rng):
    """25 rows of a kind that an attacker would choose."""
    of = trusted.rows(rng.choice(np.flatnonzero((trusted.s == 1) & (trusted.y == 1)), 25))
    if kind in ("relabelled", "close, relabelled"):
        of = of._replace(y=1 - of.y)
    if kind.startswith("close"):
        of = of._replace(x=of.x + np.array([0, 1, 1]) * rng.normal(size=of.x.shape) * 1e-3)
    return of.rows(np.zeros(25, dtype=np.int64)) if kind == "one row" else of


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("copies", ["copies", "cells"]),
        ("relabelled", ["contradicted"]),
        ("close, relabelled", ["near", "disagreeing"]),
        ("close", ["near", "cells"]),
        ("one row", ["most", "repeats", "copies"]),
    ],
)
def test_25_chosen_rows_among_75_clean_ones_are_told(rng, kind, keys):
    trusted = people(400, rng, 5)
    delivered = joined(people(75, rng, 5), chosen_rows(kind, trusted, rng))
    found = audited(trusted, delivered, rng)
    assert {*keys} <= {*found.findings}
    assert {of.key for of in found.figures if of.rows >= of.told} == {*found.findings} - {"cells"}


def audited(trusted, delivered, rng, **settings):
    settings = {"splits": 399, "nearest": 5, "most": 10_000, **settings}
    return audit(trusted, delivered, GROUPS, CLASSES, rng=rng, **settings)


def test_a_clean_delivery_has_no_finding_and_its_rows_are_all_counted(rng):
    found = audited(people(400, rng, 5), people(100, rng, 5), rng)
    assert found.findings == []
    assert sum(cell.delivered for cell in found.cells) == 100
    assert found.frequent == ()


def test_the_row_that_comes_most_often_is_named(rng):
    trusted = people(50, rng, 5)
    delivered = joined(people(20, rng, 5), trusted.rows(np.full(4, 7)))
    assert audited(trusted, delivered, rng).frequent == ((20, 4, 1),)


def test_of_very_many_rows_a_sample_is_compared(rng):
    found = audited(people(300, rng), people(500, rng), rng, most=200)
    assert (found.sampled, found.trusted, found.delivered) == ((100, 100), 300, 500)


def test_one_row_and_the_fewest_splits_are_enough(rng):
    found = audited(people(1, rng), people(1, rng), rng, splits=FEWEST)
    assert found.findings == []
    assert all(of.rows <= 1 for of in found.figures)


def test_shares_are_told_by_fisher_s_exact_test():
    """Of one group, whose two labels are one test told twice: p of scipy's, both sides, times two cells."""
    rows = [
        Labelled(np.zeros((n, 1)), np.repeat([0, 1], [n - k, k]), np.zeros(n, np.int64)) for n, k in ((60, 20), (9, 8))
    ]
    one_side = fisher_exact([[40, 20], [1, 8]], alternative="greater").pvalue
    cells = list(compare_cells(*rows, ["all"], CLASSES))
    assert [(cell.trusted, cell.delivered) for cell in cells] == [(40, 1), (20, 8)]
    assert [cell.p for cell in cells] == pytest.approx([4 * one_side] * 2)


def test_all_shares_together_are_told_by_the_exact_law_of_two_cells(rng):
    """Of one group the chi-square is larger exactly where the count is farther from its mean, 4.3 of 9 rows."""
    trusted, delivered = (
        Labelled(np.zeros((n, 1)), np.repeat([0, 1], [n - k, k]), np.zeros(n, np.int64)) for n, k in ((60, 26), (9, 7))
    )
    law, mean = hypergeom(69, 33, 9), 9 * 33 / 69
    expected = sum(law.pmf(k) for k in range(10) if abs(k - mean) >= 7 - mean)
    found = audited(trusted, delivered, rng, splits=20_000)
    assert found.shares == pytest.approx(expected, abs=4 * np.sqrt(expected / 20_000))


def test_shares_of_clean_deliveries_are_told_in_5_of_100(rng):
    """By the splits of two files of one source, 100 times."""
    p = [audited(people(40, rng), people(15, rng), rng, splits=FEWEST).shares for _ in range(100)]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)
    assert 0.3 < np.mean(p) < 0.7


def test_holm_multiplies_the_least_by_all_and_never_falls():
    assert holm(np.array([0.04, 0.01, 0.03])).tolist() == pytest.approx([0.06, 0.03, 0.06])
