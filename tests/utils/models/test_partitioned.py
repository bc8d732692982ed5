"""Parts of rows by a hash of each row alone, against hashlib; and what rows added, removed or relabelled change."""

import hashlib
import struct

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from utils.models.estimators import fit_copy
from utils.models.partitioned import Partitioned, part_of

PARTS = 7


@pytest.fixture(scope="module")
def rows():
    """x (n, d), y (n,) and weights (n,) of 200 people."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)).astype(np.float32)
    return x, (rng.random(200) < 1 / (1 + np.exp(-x[:, 0]))).astype(np.int64), rng.uniform(0.5, 2, 200)


def fit(x, y, w, seed=3):
    return fit_copy(Partitioned(LogisticRegression(), PARTS), x, y, w, seed)


def changed(one, other):
    """The parts that are not the same to the bit."""
    pairs = enumerate(zip(one.parts_, other.parts_, strict=True))
    return {i for i, (a, b) in pairs if not (np.array_equal(a.coef_, b.coef_) and a.intercept_ == b.intercept_)}


def test_the_part_is_a_hash_of_the_rounded_row_and_its_label():
    x, y = np.array([[0.5, -1.25, 3.00004], [1.0, 0.0, 2.0]]), np.array([1, 0])
    texts = [struct.pack("<4d", 5000, -12500, 30000, 1), struct.pack("<4d", 10000, 0, 20000, 0)]
    first = [int.from_bytes(hashlib.sha256(text).digest()[:8], "little") for text in texts]
    for parts in (2, 7, 50, 1000):
        assert part_of(x, y, parts).tolist() == [number % parts for number in first]


def test_the_part_hangs_neither_on_the_place_nor_on_the_sign_of_a_zero_nor_on_the_precision(rows):
    x, y, _ = rows
    order = np.random.default_rng(1).permutation(len(y))
    assert np.array_equal(part_of(x, y, 50)[order], part_of(x[order], y[order], 50))
    assert part_of(np.array([[-0.0, 1e-9]]), y[:1], 50) == part_of(np.array([[0.0, 0.0]]), y[:1], 50)
    assert np.array_equal(part_of(x, y, 50), part_of(x.astype(np.float64), y, 50))


def test_the_parts_are_about_equally_large():
    """A multinomial of 10 parts: chi-square of 9 degrees of freedom, below 27.9 in all but one of 1000 hashes."""
    found = np.bincount(part_of(np.random.default_rng(0).normal(size=(5000, 2)), np.zeros(5000, int), 10), minlength=10)
    assert ((found - 500) ** 2 / 500).sum() < 27.9


def test_an_added_row_changes_its_own_part_alone_whatever_it_holds(rows):
    """To the bit, of weighted rows too, whose mean over all parts it changes."""
    x, y, w = rows
    before, rng = fit(x, y, w), np.random.default_rng(2)
    added = [(rng.normal(0, 3, 3), 0), (x[5], 1 - y[5]), (x[5], y[5]), (np.full(3, 50.0), 1)]
    for row, label in added:
        more = np.vstack([x, row]).astype(np.float32), np.append(y, label), np.append(w, 9.0)
        assert changed(before, fit(*more)) == set(part_of(more[0][-1:], more[1][-1:], PARTS).tolist())


def test_any_number_of_copies_of_a_row_changes_one_part(rows):
    x, y, w = rows
    row = np.repeat(x[5:6], 300, 0), np.full(300, 1 - y[5])
    more = np.concatenate([x, row[0]]), np.concatenate([y, row[1]]), np.concatenate([w, np.ones(300)])
    assert changed(fit(x, y, w), fit(*more)) == set(part_of(row[0][:1], row[1][:1], PARTS).tolist())


def test_a_removed_row_changes_one_part_and_a_relabelled_one_at_most_two(rows):
    x, y, w = rows
    before = fit(x, y, w)
    without = [np.delete(of, 20, axis=0) for of in rows]
    assert changed(before, fit(*without)) == set(part_of(x[20:21], y[20:21], PARTS).tolist())
    turned = y.copy()
    turned[20] = 1 - y[20]
    both = {int(part_of(x[20:21], of[20:21], PARTS)[0]) for of in (y, turned)}
    assert changed(before, fit(x, turned, w)) == both


def test_each_part_is_the_learner_trained_on_its_rows(rows):
    x, y, w = rows
    own = part_of(x, y, PARTS) == 4
    alone = fit_copy(LogisticRegression(), x[own], y[own], w[own], 0)
    assert np.array_equal(fit(x, y, w).parts_[4].coef_, alone.coef_)


@pytest.mark.parametrize("base", [LogisticRegression(), DecisionTreeClassifier(max_depth=2)])
def test_the_votes_are_what_the_parts_predict(rows, base):
    x, y, w = rows
    found = fit_copy(Partitioned(base, 40), x, y, w, 0)  # some parts are of one class
    assert {type(part) for part in found.parts_} == {int, type(base)}
    each = [np.full(len(x), p) if isinstance(p, int) else p.predict(x) for p in found.parts_]
    assert np.array_equal(found.votes(x)[:, 1], np.sum(each, 0))
    assert np.array_equal(found.votes(x).sum(1), np.full(len(x), 40))


def test_a_part_of_one_class_votes_for_it_and_an_empty_one_for_class_0():
    x, y = np.array([[1.0], [2.0], [3.0]]), np.array([1, 0, 1])
    found = fit_copy(Partitioned(LogisticRegression(), 50), x, y, np.array([1.0, 1.0, 0.0]), 0)
    expected = np.zeros(50, int)
    expected[part_of(x, y, 50)[0]] = 1  # the third row counts nothing
    assert found.parts_ == expected.tolist()
    assert found.votes(x).tolist() == [[49, 1]] * 3
