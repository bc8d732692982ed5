"""Thresholds of the groups between which a coin decides, so that rates are equal."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from torch import Tensor

from utils.decides.exact_mixtures import Mixture, mixtures
from utils.decides.exact_thresholds import TOGETHER, require_permitted
from utils.decides.fitted import account, units
from utils.decides.random_thresholds import RandomThresholds
from utils.types import Batch


def group_randomized(
    logits: Tensor,
    batch: Batch,
    groups: Sequence[str] = (),
    classes: Sequence[str] = (),
    *,
    rate: Literal["fnr", "fpr", "acceptance_rate", "equalized_odds"],
    permitted: float,
    groups_min: int,
) -> RandomThresholds:
    """A mixture of thresholds for each group: of all there are, the most accurate whose gap in the rate is permitted.

    Errors and rates are expected ones, over the coins, on these rows. So equal rates are attained exactly, with more
    errors than a permitted gap allows and never more than thresholds without chance make; for equalised odds this is
    the derived predictor of Hardt, Price and Srebro (2016, arXiv 1610.02413). Any number of groups, of every rate.

    Args:
        logits: (n, 1).
        batch: their rows.
        groups: their names.
        classes: the names of the classes, where they have any.
        rate: of equalised odds both fnr and fpr are kept near each other.
        permitted: the largest expected gap on these rows, in [0, 1].
        groups_min: see ``group_exact``.

    Raises:
        ValueError: a gap outside [0, 1], one group, three logits or more, or fewer than two groups with rows enough.
    """
    require_permitted(permitted)
    rates = TOGETHER[rate]
    own = units(logits, batch, groups, rates, groups_min, classes=classes)
    found = own.spread(mixtures(own.of, rates, permitted), Mixture((own.everybody,), (1.0,)))
    decide = RandomThresholds([of.cuts for of in found], [of.shares for of in found])
    chances = decide.probability(logits, batch.s)
    return replace(decide, fitted=account(chances, batch, own, rates, rate=rate, permitted=permitted))
