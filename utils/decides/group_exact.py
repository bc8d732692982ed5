"""The most accurate thresholds of the groups that keep their rates near each other."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from utils.decides.frontier import TOGETHER, exact, require_permitted
from utils.decides.group_thresholds import GroupThresholds
from utils.types import Batch


def group_exact(
    logits: Tensor,
    batch: Batch,
    groups: Sequence[str] = (),
    *,
    rate: Literal["fnr", "fpr", "acceptance_rate", "equalized_odds"],
    permitted: float,
) -> GroupThresholds:
    """One threshold for each group: of all there are, the most accurate whose gap in the rate is permitted.

    The gap is the largest rate of a group minus the smallest; of equalised odds the larger of those of fnr and fpr
    (Hardt et al. 2016, arXiv 1610.02413). Of several policies with as few errors it is the one with the smallest gap.
    On other rows the gap may be larger. Exact, see ``frontier``.

    Args:
        logits: (n, 1).
        batch: their rows.
        groups: their names.
        rate: equalised odds of two groups, the others of any number.
        permitted: the largest gap on these rows, in [0, 1].

    Raises:
        ValueError: a gap outside [0, 1], one group, three logits or more, or a rate that is undefined in a group.
    """
    require_permitted(permitted)
    (thresholds,) = exact(logits, batch, groups, rates=TOGETHER[rate], permitted=[permitted])
    return GroupThresholds(thresholds)
