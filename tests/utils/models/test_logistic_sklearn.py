"""Logistic regression against the optimum that it states, and scikit-learn's default settings."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from utils.losses.objective import cross_entropy
from utils.models.logistic_sklearn import LogisticSklearn


def test_the_option_has_scikit_learns_default_strength(option):
    settings = {k: v for k, v in option("model", "logistic_sklearn").items() if k not in ("defaults", "_target_")}
    found = LogisticSklearn(3, 1, **settings).estimator.get_params()
    assert found == LogisticRegression(max_iter=1000).get_params()


def test_the_gradient_of_its_objective_vanishes(dataset):
    """C * sum of losses + norm(weights)^2 / 2, the intercept free, at the weights that were found."""
    rows = dataset("lin").train
    model = LogisticSklearn(3, 1, C=0.5, max_iter=1000)
    model.fit(rows, 0)
    weights, free = (torch.tensor(v, requires_grad=True) for v in (model.trained.coef_, model.trained.intercept_))
    loss = 0.5 * cross_entropy(rows.x.double() @ weights.T + free, rows.y).sum() + weights.square().sum() / 2
    for slope in torch.autograd.grad(loss, (weights, free)):
        assert slope.abs().max() < 0.05  # of 320 rows


@pytest.mark.parametrize(("setting", "value"), [("C", 0.0), ("max_iter", 0)])
def test_a_setting_out_of_range_is_named(setting, value):
    with pytest.raises(ValueError, match=f"model.{setting}={value}"):
        LogisticSklearn(3, 1, **{"C": 1.0, "max_iter": 9} | {setting: value})
