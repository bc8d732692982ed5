"""Figures of the worst group that are those of a group of few rows."""

import re
from collections.abc import Mapping, Sequence

from utils.system.console import count

WORST = re.compile(r"(?P<name>.+)_worst_group(?P<end>(?:_(?!low$|high$|null$)[^/]+)?)")


def worst_of_few(
    metrics: Mapping[str, float | None],
    shares: Mapping[str, Sequence[int]],
    groups: Sequence[str],
    *,
    groups_min: int,
    row: str,
) -> list[str]:
    """A sentence for each small group whose share is that of the worst one: its interval is wide, and so says little.

    Args:
        metrics: of one model.
        shares: numerator and denominator of those that are shares of rows.
        groups: names of the sensitive groups.
        groups_min: the fewest rows of a group whose gaps are reported.
        row: what each of the rows is called.
    """
    found: dict[int, list[str]] = {}
    for key, value in metrics.items():
        if value is None or not (match := WORST.fullmatch(key)):
            continue
        own = {i: shares.get(f"{match['name']}_group{i}{match['end']}", (0, 0)) for i in range(len(groups))}
        worst = min((i for i, (_, rows) in own.items() if rows), key=lambda i: own[i][0] / own[i][1], default=None)
        if worst is not None and own[worst][1] < groups_min:
            found.setdefault(worst, []).append(key)
    return [
        f"{', '.join(keys)} {'is' if len(keys) == 1 else 'are'} of group {groups[i]}, which has "
        f"{count(metrics.get(f'support_group{i}') or 0, row)}; gaps are reported from "
        f"evaluation.metrics.group.groups_min={groups_min} on"
        for i, keys in found.items()
    ]
