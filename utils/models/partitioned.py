"""A vote of learners on disjoint parts of the training rows (deep partition aggregation). Without torch."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from utils.models.estimators import Estimator, Floats, fit_copy, probabilities

Counts = NDArray[np.int64]
GRID = 1e4  # steps of the grid that hashed features are rounded to, in one unit of the model's space
NOBODY = 0  # the class that a part without rows votes for


class Partitioned(BaseEstimator):
    """The class that most of ``parts`` copies of ``base`` vote for, each trained on the rows of its own part alone.

    The part of a row is a hash of its features and label, see ``part_of``. Rows of a part keep their order. A part
    whose rows are of one class, rows of weight 0 not counted, votes for it; one without rows votes for class 0.

    Args:
        base: classifier of scikit-learn, not trained.
        parts: number of parts, >= 1.
        random_state: seed of everything drawn; that of part i is ``random_state + i``, whatever the rows.
    """

    takes_weights_as_they_are = True  # divided by the mean over all rows, those of a part would hang on other parts

    def __init__(self, base: Estimator, parts: int, random_state: int = 0) -> None:
        self.base, self.parts, self.random_state = base, parts, random_state

    def fit(self, x: Floats, y: Counts, sample_weight: Floats | None = None) -> "Partitioned":
        """Trains each part on its rows x (n, d) of classes y (n,) and weights (n,), >= 0; None: 1 for each."""
        weights = np.ones(len(y)) if sample_weight is None else sample_weight
        part = part_of(x, y, self.parts)
        self.classes_, self.n_features_in_ = np.unique(y), x.shape[1]
        self.parts_ = [self._fit_part(i, x[part == i], y[part == i], weights[part == i]) for i in range(self.parts)]
        return self

    def _fit_part(self, number: int, x: Floats, y: Counts, w: Floats) -> Any:
        """Returns a trained classifier, or the class that the part votes for whatever it is asked."""
        seen = np.unique(y[w > 0]).tolist()
        if len(seen) < 2:
            return int(seen[0]) if seen else NOBODY
        return fit_copy(self.base, x, y, w, (self.random_state + number) % 2**32)

    def votes(self, x: Floats) -> Counts:
        """Returns how many parts vote for each class, (n, c), of rows x (n, d); each for its most probable class."""
        straight = [part for part in self.parts_ if len(getattr(part, "coef_", ())) == 1]
        others = [_vote(part, x) for part in self.parts_ if len(getattr(part, "coef_", ())) != 1]
        each = np.concatenate([_linear_votes(straight, x), np.reshape(others, (-1, len(x)))])  # (parts, n)
        return (each[..., None] == self.classes_).sum(0)

    def predict_proba(self, x: Floats) -> Floats:
        """Returns the share of the votes for each class, (n, c)."""
        return self.votes(x) / self.parts


def part_of(x: Floats, y: Counts, parts: int) -> Counts:
    """Returns the part (n,) of each row: SHA-256 of its features x (n, d), to 1e-4, and its label y (n,), modulo parts.

    It depends on the row alone: not on its place, its weight, its copies, the other rows, the process or the machine.
    """
    rounded = np.rint(np.asarray(x, "<f8") * GRID) + 0.0  # no -0
    rows = np.ascontiguousarray(np.column_stack([rounded, np.asarray(y, "<f8")]), "<f8")
    first = [hashlib.sha256(row.tobytes()).digest()[:8] for row in rows]
    return (np.frombuffer(b"".join(first), "<u8") % parts).astype(np.int64)


def _linear_votes(parts: Sequence[Estimator], x: Floats) -> Counts:
    """The classes (l, n) that linear classifiers of two classes vote for, as one product."""
    if not parts:
        return np.empty((0, len(x)), np.int64)
    weights, bias, pairs = (
        np.stack([getattr(part, of) for part in parts]) for of in ("coef_", "intercept_", "classes_")
    )
    above = weights[:, 0] @ x.T + bias > 0
    return np.where(above, pairs[:, 1:], pairs[:, :1])


def _vote(part: Any, x: Floats) -> Counts:
    if isinstance(part, int):
        return np.full(len(x), part)
    chosen: Counts = part.classes_[probabilities(part, x).argmax(1)]
    return chosen
