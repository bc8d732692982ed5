"""Stored trees that would lead compiled code astray; those that scikit-learn grows do not."""

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from utils.models.trees import require_sound

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(300, 3)), rng.integers(0, 3, 300)
GROWN = [
    RandomForestClassifier(n_estimators=3),
    RandomForestClassifier(n_estimators=3, max_leaf_nodes=9),  # grown best first
    GradientBoostingClassifier(n_estimators=3),
    HistGradientBoostingClassifier(max_iter=3),
    LogisticRegression(),  # no tree at all
]


@pytest.mark.parametrize("estimator", GROWN, ids=str)
def test_what_scikit_learn_grows_is_sound(estimator):
    grown = estimator.fit(X, Y)
    require_sound(grown, 3)
    assert grown.predict(X).shape == Y.shape


def forest():
    return RandomForestClassifier(n_estimators=2, random_state=0).fit(X, Y)


def boosting():
    return HistGradientBoostingClassifier(max_iter=1).fit(X, Y)


@pytest.mark.parametrize("column", ["children_left", "children_right"])
@pytest.mark.parametrize("child", [0, 10**6, -2], ids=["in a circle", "out of the tree", "before it"])
def test_a_child_that_is_not_behind_its_parent_is_refused(column, child):
    grown = forest()
    getattr(grown.estimators_[1].tree_, column)[0] = child
    with pytest.raises(ValueError, match="tree 1 has nodes that lead nowhere"):
        require_sound(grown, 3)


def test_more_trees_than_their_sum_has_room_for_are_refused():
    """scikit-learn would write beside it."""
    grown = GradientBoostingClassifier(n_estimators=2).fit(X, Y > 0)
    require_sound(grown, 3)
    grown.estimators_ = np.repeat(grown.estimators_, 4, axis=1)
    with pytest.raises(ValueError, match="no room"):
        require_sound(grown, 3)


@pytest.mark.parametrize(
    ("grown", "part"), [(GradientBoostingClassifier, "init_"), (HistGradientBoostingClassifier, "_preprocessor")]
)
def test_a_model_before_the_trees_is_refused(grown, part):
    """Its trees, which nobody would look at, would be followed too."""
    found = grown().set_params(**{"max_leaf_nodes": 3}).fit(X, Y)
    setattr(found, part, forest())
    with pytest.raises(ValueError, match=part.strip("_")):
        require_sound(found, 3)


@pytest.mark.parametrize("feature", [3, -2])
def test_a_split_on_a_column_that_is_not_there_is_refused(feature):
    grown = forest()
    grown.estimators_[0].tree_.feature[0] = feature
    with pytest.raises(ValueError, match="tree 0"):
        require_sound(grown, 3)


@pytest.mark.parametrize(("key", "value"), [("left", 0), ("right", 10**6), ("feature_idx", 3), ("is_categorical", 1)])
def test_so_is_one_of_histograms(key, value):
    grown = boosting()
    grown._predictors[0][0].nodes[key][0] = value
    with pytest.raises(ValueError, match="tree 0"):
        require_sound(grown, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_leaves_that_are_not_finite_are_refused(value):
    grown = forest()
    grown.estimators_[1].tree_.value[0, 0, 0] = value
    with pytest.raises(ValueError, match="its values are not finite"):
        require_sound(grown, 3)
    boosted = HistGradientBoostingClassifier(max_iter=2).fit(X, Y)
    boosted._predictors[1][0].nodes["value"][-1] = value
    with pytest.raises(ValueError, match="its values are not finite"):
        require_sound(boosted, 3)


def test_thresholds_and_coefficients_that_are_nan_are_refused():
    grown = forest()
    grown.estimators_[0].tree_.threshold[0] = np.nan
    with pytest.raises(ValueError, match="its thresholds are not finite"):
        require_sound(grown, 3)
    line = LogisticRegression().fit(X, Y)
    line.coef_[0, 1] = np.nan
    with pytest.raises(ValueError, match="its coef are not finite"):
        require_sound(line, 3)
