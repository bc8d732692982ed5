"""The random forest against scikit-learn's with its default settings."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from utils.models.random_forest import RandomForest


def test_the_option_is_scikit_learn_with_its_defaults(dataset, option):
    rows = dataset("lin").train
    settings = {k: v for k, v in option("model", "random_forest").items() if k not in ("defaults", "_target_")}
    model = RandomForest(3, 1, **settings)
    assert model.estimator.get_params() == RandomForestClassifier().get_params()
    model.fit(rows, 5)
    plain = RandomForestClassifier(random_state=5).fit(rows.x.numpy(), rows.y.numpy())
    np.testing.assert_allclose(model(rows.x).sigmoid()[:, 0], plain.predict_proba(rows.x.numpy())[:, 1], atol=2e-6)


@pytest.mark.parametrize(
    ("setting", "value"), [("trees", 0), ("max_depth", 0), ("min_samples_leaf", 0), ("max_features", 1.5)]
)
def test_a_setting_out_of_range_is_named(option, setting, value):
    settings = {k: v for k, v in option("model", "random_forest").items() if k not in ("defaults", "_target_")}
    with pytest.raises(ValueError, match=f"model.{setting}={value}"):
        RandomForest(3, 1, **settings | {setting: value})
