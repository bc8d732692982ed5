"""A model and its thresholds as what searches ask: a slope, and the decision itself."""

from dataclasses import dataclass

from torch import Tensor

from utils.types import Decide, Predict


@dataclass(frozen=True)
class Decision:
    """The decision about features (..., d) of people of sensitive levels, which broadcast with (...).

    Args:
        predict: logits (..., 1), with gradients where the model has any.
        score: the logits that decisions are made by.
        decide: for class 1 where its margin is 0 or more.
    """

    predict: Predict
    score: Predict
    decide: Decide

    def slope_of(self, x: Tensor, level: Tensor) -> Tensor:
        """The margin (...) that gradients are taken of."""
        return self.decide.margin(self.predict(x), level)

    def margin(self, x: Tensor, level: Tensor) -> Tensor:
        """The margin (...) by which it is decided: class 1 where it is 0 or more."""
        return self.decide.margin(self.score(x), level)
