"""Gradient boosting against scikit-learn's with its default settings."""

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from utils.models.gradient_boosting import GradientBoosting


def test_the_option_is_scikit_learn_with_its_defaults(dataset, option):
    rows = dataset("lin").train
    settings = {k: v for k, v in option("model", "gradient_boosting").items() if k not in ("defaults", "_target_")}
    model = GradientBoosting(3, 1, **settings)
    assert model.estimator.get_params() == GradientBoostingClassifier().get_params()
    model.fit(rows, 5)
    plain = GradientBoostingClassifier(random_state=5).fit(rows.x.numpy(), rows.y.numpy())
    np.testing.assert_allclose(model(rows.x)[:, 0], plain.decision_function(rows.x.numpy()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "value"), [("trees", 0), ("max_depth", 0), ("learning_rate", 0.0), ("subsample", 1.5)]
)
def test_a_setting_out_of_range_is_named(option, setting, value):
    settings = {k: v for k, v in option("model", "gradient_boosting").items() if k not in ("defaults", "_target_")}
    with pytest.raises(ValueError, match=f"model.{setting}={value}"):
        GradientBoosting(3, 1, **settings | {setting: value})
