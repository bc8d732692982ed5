"""Both sides of a difference between groups: is it smaller for the good of some, or at the cost of the better-off?"""

from collections.abc import Callable, Sequence

import numpy as np

from utils.metrics import directions
from utils.metrics.references import settings_of
from utils.records.later import Record

MOSTLY = 0.5  # share of the closing that makes it levelled down


def describe(
    words: str, names: Sequence[str], before: Sequence[float], after: Sequence[float], *, harms: bool = True
) -> str:
    """Returns both sides of a difference in an error rate, and ``levelled down`` where the better-off pay for it.

    The difference closes by what the highest rate falls and the lowest rises, whosever these are afterwards.

    Args:
        words: the rate, such as "false positive rate".
        names: those of the groups, (g,).
        before: the rate of each group, (g,).
        after: the same afterwards.
        harms: whether the error is one at the cost of the person; of another nobody says who pays.

    Returns:
        ``false positive rate: women .338 → .280, men .160 → .277; levelled down: 67 % of the closing is the rise of
        men``. Empty where a rate is not known, or for one group.
    """
    old, new = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if len(old) < 2 or np.isnan(old).any() or np.isnan(new).any():
        return ""
    moves = ", ".join(f"{name} {a:.3f} → {b:.3f}" for name, a, b in zip(names, old, new, strict=True))
    rise, fall = new.min() - old.min(), max(0.0, old.max() - new.max())
    share = rise / (rise + fall) if rise > 0 and np.ptp(old) > np.ptp(new) else 0.0
    if not harms or share < MOSTLY:
        return f"{words}: {moves}"
    best, now = names[int(old.argmin())], names[int(new.argmin())]
    whose = best if best == now else f"the lowest rate, of {best} before and of {now} now"
    return f"{words}: {moves}; levelled down: {share:.0%} of the closing is the rise of {whose}"


def sides(
    rates: Sequence[str],
    names: Sequence[str],
    moved: Callable[[str], tuple[float, float]],
    records: Sequence[Record],
) -> list[str]:
    """Returns what ``describe`` says of each error rate that is known of all groups with rows enough for gaps.

    Args:
        rates: some of ``utils.metrics.directions.ERRORS``.
        names: those of the groups.
        moved: key, such as ``fpr_group0`` -> its value before and after, NaN where it is not known.
        records: whose rates these are; a group with fewer rows than their ``groups_min`` is left out.
    """
    found = []
    for rate in rates:
        keys = {f"{rate}_group{i}": name for i, name in enumerate(names)}
        enough = [key for key in keys if not any(_is_of_few(record, key) for record in records)]
        if len(enough) > 1:
            before, after = zip(*map(moved, enough), strict=True)
            named, harms = [keys[key] for key in enough], not any(_is_good(record, rate) for record in records)
            found.append(describe(directions.describe(rate), named, before, after, harms=harms))
    return [text for text in found if text]


def _is_good(record: Record, rate: str) -> bool:
    """Returns whether an error is good for the person: class 1 for one of class 0, where that is the favourable one."""
    label = ((record.get("preprocessing") or {}).get("schema") or {}).get("label") or {}
    return rate == "fpr" and label.get("favourable") is not None


def _is_of_few(record: Record, key: str) -> bool:
    """Returns whether a record says that a rate of a group is of fewer rows than its gaps are reported from."""
    counted = (record.get("shares") or {}).get(key)
    return counted is not None and counted[1] < settings_of(record).get("groups_min", 0)
