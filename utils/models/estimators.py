"""scikit-learn's classifiers on arrays: how they are fitted, and what their answers are as log-odds. Without torch."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Estimator = Any  # a classifier of scikit-learn, which has no types of its own
Floats = NDArray[np.floating[Any]]
LEAST = 1e-6  # a probability, so that log-odds are finite: of a forest whose trees agree it would be 0


def fit_copy(estimator: Estimator, x: Floats, y: NDArray[np.int64], w: Floats, seed: int) -> Estimator:
    """A copy of the estimator, trained on rows x (n, d) of classes y (n,) and weights w (n,), all >= 0.

    The seed, in [0, 2^32), decides all that it draws. Ratios of weights count alone, as in a mean weighted by them:
    where all are equal the training is one without weights.

    Raises:
        ValueError: rows of one class alone, rows of weight 0 not counted; or whatever the estimator refuses.
    """
    from sklearn.base import clone  # which takes a second, and many runs need none of it

    seen = np.unique(y[w > 0]).tolist()
    if len(seen) < 2:
        held = f"all of class {seen[0]}" if seen else "none of a weight above 0"
        raise ValueError(
            f"the {len(y)} training rows are {held}, and a classifier learns from two classes or more; choose another "
            "split, or weights that leave some of each class"
        )
    own = clone(estimator)
    if "random_state" in own.get_params():
        own.set_params(random_state=seed)
    as_they_are = getattr(own, "takes_weights_as_they_are", False)
    return own.fit(x.astype(np.float64), y, sample_weight=w.astype(np.float64) if as_they_are else _relative(w))


def _relative(w: Floats) -> Floats | None:
    """Weights (n,) divided by their mean; None where all are equal."""
    return None if (w == w[0]).all() else w.astype(np.float64) / w.mean(dtype=np.float64)


def log_odds(estimator: Estimator, x: Floats, outputs: int) -> NDArray[np.float32]:
    """Returns log-odds of rows x (n, d): (n, 1) log(p / (1 - p)) of class 1, or (n, k) log p of k classes.

    Probabilities are cut to at least 1e-6, but where the estimator adds log-odds up itself. A class without training
    rows has that probability.

    Args:
        estimator: of ``fit_copy``.
        x: in the units that it was trained in.
        outputs: 1 of two classes, else their number.
    """
    if outputs == 1 and _adds_log_odds(estimator):
        return estimator.decision_function(x).astype(np.float32)[:, None]
    known = probabilities(estimator, x)
    if outputs == 1:
        return log_odds_of(known)
    every = np.full((len(x), outputs), LEAST)
    every[:, estimator.classes_] = known.clip(LEAST, 1 - LEAST)
    return np.log(every).astype(np.float32)


def log_odds_of(known: Floats) -> NDArray[np.float32]:
    """Returns log(p / (1 - p)) (n, 1) of class 1, from the probabilities (n, 2) of both, cut to [1e-6, 1 - 1e-6]."""
    cut = known.clip(LEAST, 1 - LEAST)
    return (np.log(cut[:, 1:]) - np.log(cut[:, :1])).astype(np.float32)


def probabilities(estimator: Estimator, x: Floats) -> Floats:
    """Returns probabilities of the classes that the training rows had, (n, c).

    Of a forest the mean over its trees, in the order of its own ``predict_proba`` and so to the bit, without the
    bookkeeping of each call, which on a few hundred rows takes longer than the trees.
    """
    if not _is_forest(estimator):
        return estimator.predict_proba(x)
    rows = np.ascontiguousarray(x, np.float32)
    total = np.zeros((len(rows), len(estimator.classes_)))
    for tree in estimator.estimators_:
        total += tree.tree_.predict(rows)
    return total / len(estimator.estimators_)


def _adds_log_odds(estimator: Estimator) -> bool:
    """Returns whether ``decision_function`` is the log-odds, as of linear estimators and sums of trees."""
    return isinstance(estimator, _additive()) and getattr(estimator, "loss", "log_loss") == "log_loss"


@cache
def _additive() -> tuple[type, ...]:
    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    return GradientBoostingClassifier, HistGradientBoostingClassifier, LogisticRegression


def _is_forest(estimator: Estimator) -> bool:
    from sklearn.ensemble import RandomForestClassifier

    return isinstance(estimator, RandomForestClassifier)
