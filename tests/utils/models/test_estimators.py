"""The answers of scikit-learn's classifiers, against scikit-learn's own ``predict`` and ``predict_proba``."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.special import expit
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from tests.commands import environment
from utils.models.estimators import LEAST, fit_copy, log_odds, probabilities

EVERY = [
    RandomForestClassifier(n_estimators=10),
    GradientBoostingClassifier(n_estimators=10, subsample=0.5),
    HistGradientBoostingClassifier(max_iter=10),
    LogisticRegression(),
    GaussianNB(),  # which no option names
]
each = pytest.mark.parametrize("estimator", EVERY, ids=lambda e: type(e).__name__)


@pytest.fixture(scope="module")
def table():
    """Rows (300, 3), weights of 1, two classes and three."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)).astype(np.float32)
    score = x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=300)
    return x, np.ones(300), (score > 0).astype(int), np.digitize(score, [-0.5, 0.5])


@each
def test_the_sign_of_the_log_odds_is_the_label(table, estimator):
    x, w, y, _ = table
    found = fit_copy(estimator, x, y, w, 0)
    chance = found.predict_proba(x)[:, 1]
    clear = abs(chance - 0.5) > 1e-6
    assert clear.sum() > 250
    np.testing.assert_array_equal((log_odds(found, x, 1)[:, 0] > 0)[clear], found.predict(x)[clear] == 1)


@each
def test_the_probabilities_come_back_from_the_log_odds(table, estimator):
    x, w, y, _ = table
    found = fit_copy(estimator, x, y, w, 0)
    np.testing.assert_allclose(expit(log_odds(found, x, 1)[:, 0]), found.predict_proba(x)[:, 1], atol=2e-6)


@each
def test_of_three_classes_the_answers_are_log_probabilities(table, estimator):
    x, w, _, y = table
    found = fit_copy(estimator, x, y, w, 0)
    np.testing.assert_allclose(np.exp(log_odds(found, x, 3)), found.predict_proba(x), atol=2e-6)


@each
def test_a_class_without_rows_has_the_least_probability(table, estimator):
    x, w, y, _ = table
    found = log_odds(fit_copy(estimator, x, 2 * y, w, 0), x, 3)
    np.testing.assert_allclose(np.exp(found[:, 1]), LEAST, rtol=1e-5)
    assert set(found.argmax(1)) == {0, 2}


@each
def test_one_class_alone_is_refused(table, estimator):
    x, w, y, _ = table
    with pytest.raises(ValueError, match="all of class 1"):
        fit_copy(estimator, x, np.ones_like(y), w, 0)
    with pytest.raises(ValueError, match="all of class 0"):
        fit_copy(estimator, x, y, 1.0 - y, 0)


@each
def test_fitting_leaves_the_estimator_as_it_was(table, estimator):
    x, w, y, _ = table
    fit_copy(estimator, x, y, w, 0)
    assert not hasattr(estimator, "classes_")


@each
def test_ratios_of_weights_count_alone(table, estimator):
    x, w, y, _ = table
    uneven = w + (np.arange(300) % 3)
    one, five = (log_odds(fit_copy(estimator, x, y, k * uneven, 0), x, 1) for k in (1, 5))
    np.testing.assert_allclose(five, one, atol=1e-5)
    plain, four = (log_odds(fit_copy(estimator, x, y, k * w, 0), x, 1) for k in (1, 4))
    np.testing.assert_array_equal(four, plain)


@pytest.mark.parametrize("estimator", [GradientBoostingClassifier(n_estimators=5), GaussianNB()], ids=str)
def test_weights_count_as_repeated_rows(table, estimator):
    """Of those that draw nothing and have no penalty: a row of weight 2 is one that comes twice."""
    x, w, y, _ = table
    twice = fit_copy(estimator, np.concatenate([x, x[:100]]), np.concatenate([y, y[:100]]), np.ones(400), 0)
    weighed = fit_copy(estimator, x, y, w + (np.arange(300) < 100), 0)
    np.testing.assert_allclose(log_odds(weighed, x, 1), log_odds(twice, x, 1), atol=2e-3)


def test_the_seed_decides_what_a_forest_draws(table):
    x, w, y, _ = table
    one, same, other = (log_odds(fit_copy(EVERY[0], x, y, w, seed), x, 1) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_a_forest_is_a_plain_scikit_learn_forest(table):
    """Weights of 1 are no weights."""
    x, w, y, _ = table
    plain = RandomForestClassifier(n_estimators=10, random_state=3).fit(x, y)
    np.testing.assert_array_equal(probabilities(fit_copy(EVERY[0], x, y, w, 3), x), plain.predict_proba(x))


def test_log_odds_are_finite_where_all_trees_agree(table):
    x, w, y, _ = table
    found = fit_copy(RandomForestClassifier(n_estimators=1, bootstrap=False), x, y, w, 0)
    assert abs(log_odds(found, x, 1)).max() == pytest.approx(np.log(1 / LEAST), rel=1e-5)


def test_it_is_imported_without_torch():
    code = "import sys; import utils.models.estimators; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0
