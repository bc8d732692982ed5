"""Thresholds of the groups between which a coin decides, so that rates are equal."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from utils.decides.frontier import TOGETHER, curves, require_permitted
from utils.decides.hulls import mixtures
from utils.decides.random_thresholds import RandomThresholds
from utils.types import Batch


def group_randomized(
    logits: Tensor,
    batch: Batch,
    groups: Sequence[str] = (),
    *,
    rate: Literal["fnr", "fpr", "acceptance_rate", "equalized_odds"],
    permitted: float,
) -> RandomThresholds:
    """A mixture of thresholds for each group: of all there are, the most accurate whose gap in the rate is permitted.

    Errors and rates are expected ones, over the coins, on these rows. So equal rates are attained exactly, with more
    errors than a permitted gap allows and never more than thresholds without chance make; for equalised odds this is
    the derived predictor of Hardt, Price and Srebro (2016, arXiv 1610.02413). Any number of groups, of every rate.

    Args:
        logits: (n, 1).
        batch: their rows.
        groups: their names.
        rate: of equalised odds both fnr and fpr are kept near each other.
        permitted: the largest expected gap on these rows, in [0, 1].

    Raises:
        ValueError: a gap outside [0, 1], one group, three logits or more, or a rate that is undefined in a group.
    """
    require_permitted(permitted)
    rates = TOGETHER[rate]
    found = mixtures(curves(logits, batch, groups, rates), rates, permitted)
    return RandomThresholds([of.cuts for of in found], [of.shares for of in found])
