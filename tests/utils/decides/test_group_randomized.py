"""Hardt, Price and Srebro's derived predictor, beside fairlearn's ThresholdOptimizer."""

from functools import partial

import numpy as np
import pytest
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.base import BaseEstimator, ClassifierMixin

from tests.utils.decides.rows import gap, made, rates, scored
from utils.decides import group_exact as exact
from utils.decides import group_randomized as mixtures
from utils.decides.exact_thresholds import TOGETHER

NAMES = ("women", "men")
FAIRLEARN = {
    "fnr": "false_negative_rate_parity",
    "fpr": "false_positive_rate_parity",
    "acceptance_rate": "demographic_parity",
    "equalized_odds": "equalized_odds",
}

group_randomized = partial(mixtures.group_randomized, groups_min=1)


class Scores(ClassifierMixin, BaseEstimator):
    """A model whose score is its input."""

    def fit(self, x, y):  # noqa: ARG002
        self.fitted_ = True
        return self

    def predict(self, x):
        return x[:, 0]


def chances(z, batch, rate, permitted=0.0):
    return group_randomized(z, batch, NAMES, rate=rate, permitted=permitted).probability(z, batch.s).double().numpy()


def accuracy(chance, y):
    return float(np.where(y == 1, chance, 1 - chance).mean())


@pytest.mark.parametrize("rate", TOGETHER)
@pytest.mark.parametrize("step", [None, 0.5])
def test_expected_rates_are_equal_on_the_rows_it_is_fitted_to(rate, step):
    z, batch = scored(700, step=step)
    assert gap(chances(z, batch, rate), batch.y, batch.s, 2, TOGETHER[rate]) < 1e-6


@pytest.mark.parametrize("rate", TOGETHER)
@pytest.mark.parametrize("step", [None, 0.5])
def test_the_accuracy_is_that_of_fairlearn_within_its_grid(rate, step):
    """Theirs looks at 1000 points of the curve, ours at all: never worse, and not much better."""
    z, batch = scored(700, seed=1, step=step)
    x, y, s = z.double().numpy(), batch.y.numpy(), batch.s.numpy()
    theirs = ThresholdOptimizer(
        estimator=Scores().fit(x, y), constraints=FAIRLEARN[rate], prefit=True, predict_method="predict"
    )
    theirs.fit(x, y, sensitive_features=s)
    expected = accuracy(theirs._pmf_predict(x, sensitive_features=s)[:, 1], y)
    assert -1e-6 <= accuracy(chances(z, batch, rate), y) - expected < 1e-3


@pytest.mark.parametrize("permitted", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("rate", TOGETHER)
def test_chance_is_never_less_accurate_than_thresholds_alone(rate, permitted):
    z, batch = scored(300, seed=2)
    y = batch.y.numpy()
    of = {"rate": rate, "permitted": permitted, "confidence": None, "groups_min": 1}
    alone = exact.group_exact(z, batch, NAMES, **of)(z, batch.s).numpy()
    assert accuracy(chances(z, batch, rate, permitted), y) >= accuracy(alone, y) - 1e-6


def test_the_coins_meet_the_expected_rates():
    """Of 20,000 rows within four standard errors of independent coins."""
    z, batch = scored(20_000)
    decide = group_randomized(z, batch, NAMES, rate="equalized_odds", permitted=0.0)
    found, expected = (rates(of, batch.y, batch.s, 2) for of in (decide(z, batch.s), decide.probability(z, batch.s)))
    for rate in ("fnr", "fpr"):
        np.testing.assert_allclose(found[rate], expected[rate], atol=4 * 0.5 / np.sqrt(3000))


def test_equalised_odds_of_three_groups():
    z, batch = scored(900)
    s = batch.s + (batch.s == 1) * (batch.index % 2)
    decide = group_randomized(z, batch._replace(s=s), (*NAMES, "others"), rate="equalized_odds", permitted=0.0)
    assert gap(decide.probability(z, s), batch.y, s, 3, ("fnr", "fpr")) < 1e-6


def test_a_gap_outside_0_and_1_is_refused():
    with pytest.raises(ValueError, match=r"decide.permitted=2: expected .* in \[0, 1\]"):
        group_randomized(*scored(50), NAMES, rate="fnr", permitted=2)


def test_a_group_without_positives_is_named():
    with pytest.raises(ValueError, match="false negative rate of group men is undefined"):
        group_randomized(*made([(0.0, 1, 0), (0.0, 0, 0), (0.0, 0, 1)]), NAMES, rate="equalized_odds", permitted=0.0)
