"""Tests of independence against closed forms and people whose graph is known."""

import numpy as np
import pytest
import torch
from scipy import stats

from tests.truths import MIXED, TRUTHS, VIOLATING, draw
from utils import seeding
from utils.datasets.tabular import assemble, indicators, mark
from utils.scms.facts import LEVEL
from utils.scms.independence import describe, hsic, independences, refuted
from utils.types import Column

ROWS = 20_000


def table(truth, rows=ROWS, seed=0):
    people, _ = draw(truth, rows, seed)
    y = (np.random.default_rng(1).random(rows) < 0.5).astype(np.int64)
    return assemble("truth", people, y, columns=truth.columns, parents=truth.parents, split=[0.64, 0.16, 0.2], seed=0)


def p_of(one, other):
    return hsic(one, other, seeding.generator(0, "residuals"))


def test_hsic_of_independent_rows_is_uniform():
    g = torch.Generator().manual_seed(0)
    pairs = [(torch.rand(300, 1, generator=g), torch.randn(300, 2, generator=g).round()) for _ in range(60)]
    assert stats.kstest([p_of(*pair) for pair in pairs], "uniform").pvalue > 0.01


def test_hsic_sees_dependence_without_correlation():
    g = torch.Generator().manual_seed(0)
    x, e = torch.randn(500, 1, generator=g), torch.randn(500, 1, generator=g)
    assert p_of(x**2 - 1 + e, x) < 1e-4
    assert p_of(e * (1 + (x > 0)), x) < 1e-3, "a spread"
    assert p_of(torch.ones(500, 1), x) == 1.0


def test_without_parents_it_is_the_test_of_a_correlation():
    rng = np.random.default_rng(0)
    x = (rng.random(1000) < 0.3) * 1.0
    y = 0.15 * x + rng.normal(size=1000)
    columns = (Column("x", "binary", sensitive=True, levels=(0.0, 1.0)), Column("y", "continuous"))
    split = {"split": [0.8, 0.1, 0.1], "seed": 0}
    data = assemble("pair", {"x": x, "y": y}, (y > 0) * 1, columns=columns, parents={}, **split)
    (found,) = independences(data)
    r, p = stats.pearsonr(*data.train.x.double().T.numpy())
    assert found.correlation == pytest.approx(r, abs=1e-9)
    assert found.p == pytest.approx(p, rel=0.2)


def test_rare_levels_that_never_meet_refute_nothing():
    """Of 36 and 33 levels some pairs are in no row of 10,000 by chance alone; that they are refutes no graph."""
    rng, found = np.random.default_rng(0), []
    for _ in range(6):
        texts = {f"t{k}": rng.choice(k, 10_000, p=rng.dirichlet(np.full(k, 0.6))) for k in (2, 10, 36, 33, 72)}
        columns = [
            c for name, codes in texts.items() for c in indicators(name, [str(i) for i in range(codes.max() + 1)])
        ]
        x = np.concatenate([np.eye(codes.max() + 1)[codes] for codes in texts.values()], 1)
        frame = {c.name: x[:, i] for i, c in enumerate(columns)}
        marked = mark(columns, ["t2"], None)
        y = rng.integers(0, 2, len(x))
        data = assemble("levels", frame, y, columns=marked, parents={}, split=[0.98, 0.01, 0.01], seed=0)
        found.append(bool(refuted(independences(data))))
    assert sum(found) <= stats.binom.ppf(0.999, len(found), LEVEL)


@pytest.mark.parametrize("name", TRUTHS)
def test_a_right_graph_is_not_refuted(name):
    found = independences(table(TRUTHS[name]))
    assert refuted(found) == []
    assert bool(found) is (name != "non_root"), "whose graph is complete"


def test_one_test_for_each_two_attributes_without_an_arrow():
    named = {(test.one, test.other): test.given for test in independences(table(MIXED, 2000))}
    assert {frozenset(pair) for pair in named} == {
        frozenset(pair) for pair in (("sex", "age"), ("member", "age"), ("kids", "job"), ("income", "sex"))
    }
    assert named["income", "sex"] == ("age", "job", "member", "kids")


@pytest.mark.parametrize("rows", [3000, ROWS])
def test_a_graph_that_leaves_an_effect_out_is_refuted_there_alone(rows):
    (found,) = refuted(independences(table(VIOLATING, rows)))
    assert (found.one, found.other, found.given) == ("income", "sex", ("age", "member"))
    assert describe(found).startswith("income and sex, given age, member (correlation 0.1")


def test_a_missing_arrow_between_categories_is_refuted():
    parents = {**MIXED.parents, "member": ("job=1",), "income": ("job=0", "job=1", "job=2", "age", "kids")}
    found = {(test.one, test.other) for test in refuted(independences(table(MIXED._replace(parents=parents))))}
    assert {("member", "sex"), ("income", "member")} <= found | {(b, a) for a, b in found}
