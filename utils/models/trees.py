"""The nodes of stored trees: compiled code follows them without a check, so a file must not lead it astray."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.models.estimators import Estimator

LEAF = -1  # scikit-learn's left child of a leaf

Nodes = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]


def require_sound(estimator: Estimator, columns: int) -> None:
    """Refuses numbers that are not finite, and trees of which a split leads astray.

    A split may lead out of the tree, back to where it was, or to a column that is not there.

    Every child stands behind its parent, as scikit-learn grows trees; so whoever follows them arrives.

    Raises:
        ValueError: the first such tree or number; boosted ones of more classes than the sum has room for, or with
            a model before them.
    """
    from sklearn.dummy import DummyClassifier  # which takes a second, and many runs need none of it

    for part in getattr(estimator, "parts_", ()):  # of a vote
        require_sound(part, columns)
    for part, legal in (("init_", DummyClassifier), ("_preprocessor", type(None))):
        if not isinstance(getattr(estimator, part, None), legal | None):
            raise ValueError(f"its {part.strip('_')} is not one that ours have, and might hold trees of its own")
    grown: Any = getattr(estimator, "estimators_", None)
    if hasattr(estimator, "_raw_predict_init") and np.shape(grown)[1:] != _sums(estimator, columns):
        raise ValueError(f"its trees are {np.shape(grown)}, which their sum has no room for")
    for what, values in _numbers(estimator):
        if not np.isfinite(values).all():
            raise ValueError(f"its {what} are not finite")
    for number, (left, right, feature, split) in enumerate(_trees(estimator)):
        place = np.arange(len(split))[split]
        lost = [(child[split] <= place) | (child[split] >= len(split)) for child in (left, right)]
        off = (feature[split] < 0) | (feature[split] >= columns)
        if not len(split) or (lost[0] | lost[1] | off).any():
            raise ValueError(f"tree {number} has nodes that lead nowhere")


def _sums(estimator: Estimator, columns: int) -> tuple[int, ...]:
    """Shape of what the trees of a boosted estimator are added up in, of one row."""
    shape: tuple[int, ...] = estimator._raw_predict_init(np.zeros((1, columns))).shape[1:]
    return shape


def _numbers(estimator: Estimator) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yields the numbers that answers are computed from; infinite thresholds of histograms split by what is missing."""
    for name in ("coef_", "intercept_", "_baseline_prediction"):
        if hasattr(estimator, name):
            yield name.strip("_"), np.asarray(getattr(estimator, name), np.float64)
    for tree in np.ravel(getattr(estimator, "estimators_", [])):
        yield "thresholds", np.asarray(tree.tree_.threshold)
        yield "values", np.asarray(tree.tree_.value)
    for predictor in np.ravel(getattr(estimator, "_predictors", [])):
        yield "thresholds", np.nan_to_num(predictor.nodes["num_threshold"], nan=np.nan)
        yield "values", predictor.nodes["value"]


def _trees(estimator: Estimator) -> Iterator[Nodes]:
    """Yields left and right children, columns, and whether a node splits, (nodes,) each, of every tree."""
    for tree in np.ravel(getattr(estimator, "estimators_", [])):
        found: Any = tree.tree_
        whole = (found.children_left, found.children_right, found.feature)
        left, right, feature = (np.asarray(column, np.int64) for column in whole)
        yield left, right, feature, left != LEAF
    for predictor in np.ravel(getattr(estimator, "_predictors", [])):
        nodes = predictor.nodes
        left, right, feature = (nodes[key].astype(np.int64) for key in ("left", "right", "feature_idx"))
        split = nodes["is_leaf"] == 0
        yield left, right, np.where(nodes["is_categorical"] > 0, LEAF, feature), split  # none of ours asks for one
