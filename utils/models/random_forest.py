"""A random forest (Breiman 2001), scikit-learn's RandomForestClassifier."""

from typing import Literal

from sklearn.ensemble import RandomForestClassifier

from utils.models.learner import TreeLearner, require


class RandomForest(TreeLearner):
    """Log-odds (..., outputs) of x (..., inputs): of the mean over trees of the shares of classes in their leaves.

    Args:
        inputs: columns.
        outputs: 1 for two classes, else their number.
        trees: each grown on a bootstrap sample, >= 1.
        max_depth: of a tree, >= 1; None: until every leaf is pure or small.
        min_samples_leaf: rows of a leaf, >= 1.
        max_features: columns that a split chooses from: sqrt or log2 of their number, a share in (0, 1]; None: all.

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
        min_samples_leaf: int,
        max_features: Literal["sqrt", "log2"] | float | None,
    ) -> None:
        share = float(max_features) if isinstance(max_features, int | float) else max_features
        require("trees", trees, trees >= 1, "a whole number, 1 or more")
        require("max_depth", max_depth, max_depth is None or max_depth >= 1, "null, or a whole number, 1 or more")
        require("min_samples_leaf", min_samples_leaf, min_samples_leaf >= 1, "a whole number, 1 or more")
        legal = not isinstance(share, float) or 0 < share <= 1
        require("max_features", max_features, legal, "sqrt, log2, null, or a share of the columns in (0, 1]")
        estimator = RandomForestClassifier(
            n_estimators=trees, max_depth=max_depth, min_samples_leaf=min_samples_leaf, max_features=share
        )
        super().__init__(estimator, inputs, outputs)
