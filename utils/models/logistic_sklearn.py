"""Logistic regression with an L2 penalty, fitted to its optimum: scikit-learn's LogisticRegression."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.linear_model import LogisticRegression

from utils.models.learner import Learner, require


class LogisticSklearn(Learner):
    """Log-odds (..., outputs) linear in x (..., inputs), minimising C * sum of losses + norm(weights)^2 / 2 (L-BFGS).

    Args:
        inputs: columns.
        outputs: 1 for two classes, else their number.
        C: how much a row counts against the penalty, > 0; larger is less regularised.
        max_iter: iterations, >= 1.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(self, inputs: int, outputs: int, *, C: float, max_iter: int) -> None:
        require("C", C, C > 0, "a number above 0")
        require("max_iter", max_iter, max_iter >= 1, "a whole number, 1 or more")
        super().__init__(LogisticRegression(C=C, max_iter=max_iter), inputs, outputs)

    def bound(self, x: Any) -> Any:
        """The log-odds of numbers that are known by bounds alone, as of any linear model; of two classes."""
        if self.outputs != 1:
            return super().bound(x)
        trained = self.require_trained()
        weight, bias = (
            torch.as_tensor(of, dtype=x.dtype, device=x.device) for of in (trained.coef_, trained.intercept_)
        )
        return F.linear(x, weight, bias)
