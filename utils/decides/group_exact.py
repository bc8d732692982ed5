"""The most accurate thresholds of the groups that keep their rates near each other."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from torch import Tensor

from utils.decides.exact_thresholds import TOGETHER, cuts_of, most_accurate, require_permitted, sides
from utils.decides.fitted import account, alike, facts_of, surely, units
from utils.decides.group_thresholds import GroupThresholds
from utils.system.console import count
from utils.types import Batch


def group_exact(
    logits: Tensor,
    batch: Batch,
    groups: Sequence[str] = (),
    classes: Sequence[str] = (),
    *,
    rate: Literal["fnr", "fpr", "acceptance_rate", "equalized_odds"],
    permitted: float,
    confidence: float | None,
    groups_min: int,
) -> GroupThresholds:
    """One threshold for each group: of all there are, the most accurate whose gap in the rate is permitted.

    The gap is the largest rate of a group minus the smallest; of equalised odds the larger of those of fnr and fpr
    (Hardt et al. 2016, arXiv 1610.02413). Of several policies with as few errors it is the one with the smallest gap.
    On other rows the gap may be larger: ``confidence`` asks that its upper bound is permitted too (``fitted.surely``).
    Then accepting everybody, or nobody, is a last resort, of which the record warns. Exact, see ``frontier``.

    Args:
        logits: (n, 1).
        batch: their rows.
        groups: their names.
        classes: the names of the classes, where they have any.
        rate: equalised odds of two groups, the others of any number.
        permitted: the largest gap on these rows, in [0, 1].
        confidence: in (0, 1), that the gap on other rows is permitted; None: it is on these.
        groups_min: the fewest rows of a group that a rate may be of; groups with fewer are one (``fitted.units``).

    Raises:
        ValueError: a gap outside [0, 1], one group, three logits or more, fewer than two groups with rows enough, or
            no thresholds that keep to the gap with that confidence.
    """
    require_permitted(permitted)
    rates = TOGETHER[rate]
    own = units(logits, batch, groups, rates, groups_min, classes=classes)
    of = own.of
    ready, warnings = sides(of, rates), []
    if confidence is None:
        policy = most_accurate(ready, permitted)
        assert policy is not None  # accepting all is always permitted
    elif found := surely(of, ready, rates, permitted, confidence):
        policy = found
    else:
        policy, least = alike(of, ready, rates, confidence)
        if least > permitted:
            raise ValueError(
                f"decide: on {count(len(batch.y), 'row')} no thresholds keep the gap in {rate} to {permitted:g} with a "
                f"confidence of {confidence:g}, and the smallest upper bound is {least:.3f}; fit on more rows "
                "(fit_on=train, or more validation rows), permit a larger gap (decide.permitted), or ask "
                "for less (decide.confidence)"
            )
        warnings.append(
            f"decide=group_exact: only {'accepting everybody' if not policy.places[0] else 'accepting nobody'} keeps "
            f"the gap in {rate} to {permitted:g} with a confidence of {confidence:g} on {count(len(batch.y), 'row')}"
        )
    decide = GroupThresholds(own.thresholds(cuts_of(of, policy)), warnings)
    asked = {"rate": rate, "permitted": permitted, **facts_of(of, policy, rates, confidence)}
    return replace(decide, fitted=account(decide(logits, batch.s), batch, own, rates, **asked))
