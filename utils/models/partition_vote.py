"""A vote of learners trained on disjoint parts of the rows, whose labels few rows cannot change.

Deep partition aggregation (Levine and Feizi 2021, arXiv 2006.14768): a hash of a row itself, of its features and its
label, says which of k parts it belongs to; a learner is trained on each part, and the answer is the vote of all. A row
that is added, or removed, changes the rows of one part, and so one vote at the most; one that is relabelled or moved
changes two. With v of k votes for class 1, m rows leave a number between max(v - m, 0) and min(v + m, k), whatever they
hold, and where all of these are decided alike the label is certain: ``utils.metrics.poison_bounds`` counts such rows,
and bounds the gaps between groups by them.

What it rests on, and what it does not cover:

- The bound is one of this vote, a learner of its own, and says nothing of the plain learner.
- What comes before the training does not look at the rows added: columns are scaled by the clean training rows, and the
  weight of a row is its own. ``prepare`` and ``added`` work so here, as rows come in behind both. Whoever scales or
  weighs anew with the added rows among the others, as ``prepare=reweigh`` would, has another learner.
- The threshold is given (``decide=fixed``). One fitted to the votes on validation rows moves with them.
- A part is trained the same way on the same rows: each has a seed of its own, and nothing is shared.

Equal rows with equal labels are in one part, so that copies of a row count once; a table of few distinct rows fills few
parts. Trees need rows enough in each: boosting on histograms splits none of fewer than 40.
"""

from typing import Literal

import numpy as np
import torch
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from utils.models.estimators import Estimator, log_odds_of
from utils.models.hist_gradient_boosting import PREDICTOR
from utils.models.learner import Learner, require
from utils.models.partitioned import Partitioned

BASES = {  # with the settings that their own options have
    "logistic_sklearn": LogisticRegression(max_iter=1000),
    "hist_gradient_boosting": HistGradientBoostingClassifier(),
    "gradient_boosting": GradientBoostingClassifier(),
    "random_forest": RandomForestClassifier(),
}


class PartitionVote(Learner):
    """Log-odds (..., outputs) of x (..., inputs), of the shares of the votes: 0 where two classes have equally many.

    They grow with the votes for class 1; shares are cut to [1e-6, 1 - 1e-6]. At a threshold of 1/2 the label is that of
    the majority, and class 1 where votes are equal.

    Args:
        inputs: columns.
        outputs: 1 for two classes, else their number.
        parts: that the training rows are divided into, >= 1; more withstand more rows, and learn from fewer each.
        base: the learner of each part, with the default settings of its own option.

    Raises:
        ValueError: a setting out of range.
    """

    types = ("utils.models.partitioned.Partitioned", "sklearn.tree._tree.Tree", PREDICTOR)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        parts: int,
        base: Literal["logistic_sklearn", "hist_gradient_boosting", "gradient_boosting", "random_forest"],
    ) -> None:
        require("parts", parts, parts >= 1, "a whole number, 1 or more")
        require("base", base, base in BASES, f"one of {', '.join(BASES)}")
        super().__init__(Partitioned(BASES[base], parts), inputs, outputs)

    def logit_range(self, x: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """Returns the least and the largest log-odds (..., 1) of x (..., d) that ``rows`` training rows can lead to.

        Added or removed, whatever they hold; at 0 both are the answer itself. Of two classes, the type and device of x.

        Raises:
            ValueError: it is not trained yet, or there are more classes.
        """
        if self.outputs != 1:
            raise ValueError(f"model={self.option} bounds the votes for two classes, and here are {self.outputs}")
        answers, parts = self.require_trained(), self.estimator.parts
        votes = answers.votes(x.detach().reshape(-1, x.shape[-1]).cpu().numpy())[:, 1]
        both = np.stack([votes - rows, votes + rows]).clip(0, parts)
        odds = [log_odds_of(np.column_stack([parts - of_one, of_one]) / parts) for of_one in both]
        least, largest = (torch.from_numpy(of).to(x).reshape(*x.shape[:-1], 1) for of in odds)
        return least, largest

    def require_like(self, found: Estimator) -> None:
        """Refuses parts of another learner too. Raises ValueError."""
        super().require_like(found)
        own, held = self.estimator, getattr(found, "parts_", ())
        if found.parts != own.parts or len(held) != own.parts:
            raise ValueError(f"they hold {len(held)} parts in place of {own.parts}")
        for part in held:
            if not isinstance(part, int):
                self.require_made_like(part, own.base)
            elif part not in found.classes_:
                raise ValueError(f"a part of them votes for class {part}, which is none of {found.classes_.tolist()}")
