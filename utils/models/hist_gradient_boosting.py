"""Gradient boosting on histograms (Ke et al. 2017, LightGBM), scikit-learn's HistGradientBoostingClassifier."""

from sklearn.ensemble import HistGradientBoostingClassifier

from utils.models.learner import TreeLearner, require

PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"


class HistGradientBoosting(TreeLearner):
    """Log-odds (..., outputs) of x (..., inputs), a sum of trees whose splits are looked for among 255 bins.

    From 10,000 training rows on, a tenth of them, drawn by the seed, says when to stop.

    Args:
        inputs: columns.
        outputs: 1 for two classes, else their number.
        iterations: trees of each class at the most, one of two; >= 1.
        learning_rate: what each tree is multiplied by, > 0.
        max_leaf_nodes: leaves of a tree, >= 2; None: no limit.
        l2: penalty of the leaves' values, >= 0.

    Raises:
        ValueError: a setting out of range.
    """

    types = (PREDICTOR,)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        iterations: int,
        learning_rate: float,
        max_leaf_nodes: int | None,
        l2: float,
    ) -> None:
        legal = max_leaf_nodes is None or max_leaf_nodes >= 2
        require("iterations", iterations, iterations >= 1, "a whole number, 1 or more")
        require("learning_rate", learning_rate, learning_rate > 0, "a number above 0")
        require("max_leaf_nodes", max_leaf_nodes, legal, "null, or a whole number, 2 or more")
        require("l2", l2, l2 >= 0, "a number, 0 or more")
        estimator = HistGradientBoostingClassifier(
            max_iter=iterations, learning_rate=learning_rate, max_leaf_nodes=max_leaf_nodes, l2_regularization=l2
        )
        super().__init__(estimator, inputs, outputs)
