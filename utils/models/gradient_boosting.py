"""Gradient boosting of trees (Friedman 2001), scikit-learn's GradientBoostingClassifier."""

from sklearn.ensemble import GradientBoostingClassifier

from utils.models.learner import TreeLearner, require


class GradientBoosting(TreeLearner):
    """Log-odds (..., outputs) of x (..., inputs), a sum of trees that each descend the log loss.

    Args:
        inputs: columns.
        outputs: 1 for two classes, else their number.
        trees: of each class, one of two; >= 1.
        max_depth: of a tree, >= 1; None: until every leaf is pure.
        learning_rate: what each tree is multiplied by, > 0.
        subsample: share of the rows that a tree is grown on, in (0, 1]; below 1 drawn by the seed.

    Raises:
        ValueError: a setting out of range.
    """

    types = ("sklearn.tree._tree.Tree",)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        trees: int,
        max_depth: int | None,
        learning_rate: float,
        subsample: float,
    ) -> None:
        require("trees", trees, trees >= 1, "a whole number, 1 or more")
        require("max_depth", max_depth, max_depth is None or max_depth >= 1, "null, or a whole number, 1 or more")
        require("learning_rate", learning_rate, learning_rate > 0, "a number above 0")
        require("subsample", subsample, 0 < subsample <= 1, "a share of the rows in (0, 1]")
        estimator = GradientBoostingClassifier(
            n_estimators=trees, max_depth=max_depth, learning_rate=learning_rate, subsample=subsample
        )
        super().__init__(estimator, inputs, outputs)
