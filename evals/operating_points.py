"""What a two-class model attains by thresholds for each group: its operating points, judged on other rows."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from utils import seeding
from utils.decides.frontier import exact
from utils.decides.group_thresholds import GroupThresholds, in_json
from utils.metrics import confusion, group
from utils.metrics.classification import FROM_TABLE
from utils.metrics.confusion import Counts, Floats, defined
from utils.types import Batch

Rows = tuple[Tensor, Batch]  # logits (n, 1) and their rows
Metric = Callable[[Counts], Floats]
DIGITS = 10**4  # of the ends of intervals
SAID = ("tpr", "prevalence")  # the one by fnr, the other by the record: records hold many points and should stay small


def operating_points(
    fitted: Rows,
    judged: Rows,
    groups: Sequence[str],
    *,
    rates: Sequence[str],
    permitted: Sequence[float],
    groups_min: int,
    intervals: int,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """The most accurate thresholds by each permitted gap and without a limit, and what they attain on other rows.

    Args:
        fitted: what the thresholds are fitted to.
        judged: what they are judged on.
        groups: their names.
        rates: whose largest gap between groups is kept to: fnr, fpr, acceptance_rate.
        permitted: gaps on the fitted rows, in [0, 1].
        groups_min: fewer judged rows in a group leave gaps undefined.
        intervals: bootstrap draws.
        level: of the intervals, in (0, 1).
        seed: of the draws.

    Returns:
        ``rates``; ``permitted``, None at the end; ``logits``, a threshold for each group of each point; ``metrics``,
        for each key of a record one value a point, None where it is undefined: those of ``classification`` and
        ``group`` that depend on the labels, less what others say already (``SAID``); accuracy, the gaps, and the signed
        gaps of the ``rates`` with ``<key>_low`` and ``<key>_high``.

    Raises:
        ValueError: rates that are undefined on the fitted rows.
    """
    asked = [*permitted, None]
    found = exact(*fitted, groups, rates=rates, permitted=asked)
    distinct = list(dict.fromkeys(found))  # p policies: a larger gap often permits no better one
    tables = np.stack([_table(GroupThresholds(logits), *judged, len(groups)) for logits in distinct])  # (p, g, 2, 2)
    rng = (seeding.rng(seed, "bootstrap") for _ in distinct)
    drawn = np.stack([confusion.bootstrap(own, intervals, next(rng)) for own in tables])  # (p, draws, g, 2, 2)
    supported = tables.sum((-2, -1)).min() >= groups_min  # tables without rows leave everything undefined
    values = {key: metric(tables.sum(-3)) for key, metric in FROM_TABLE.items()}
    draws = {"accuracy": FROM_TABLE["accuracy"](drawn.sum(-3))}
    bare = {f"{rate}_signed_gap" for rate in group.RATES} - {f"{rate}_signed_gap" for rate in rates}
    for key, gap in _gaps(len(groups)).items():
        values[key] = gap(supported * tables)
        if key not in bare:
            draws[key] = gap(supported * drawn)
    for key, rate in _unsaid(group.RATES).items():
        values |= {f"{key}_group{i}": of for i, of in enumerate(rate(tables).T)}
    point = [distinct.index(logits) for logits in found]
    metrics = {key: list(map(defined, of[point])) for key, of in (values | _ends(values, draws, level)).items()}
    return {
        "rates": list(rates),
        "permitted": asked,
        "logits": [in_json(logits) for logits in found],
        "metrics": metrics,
    }


def _table(decide: GroupThresholds, logits: Tensor, rows: Batch, groups: int) -> Counts:
    labels = decide(logits, rows.s)
    y, label, s = (of.cpu().numpy() for of in (rows.y, labels, rows.s))
    return confusion.counts(y, label, s, groups=groups, classes=2)


def _gaps(groups: int) -> dict[str, Metric]:
    """The gaps from tables (..., g, 2, 2); of two groups the signed ones too."""
    signed = {f"{key}_signed_gap": partial(_signed, rate) for key, rate in group.RATES.items()}
    return _unsaid(group.GAPS | (signed if groups == 2 else {}))


def _unsaid(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    return {key: metric for key, metric in metrics.items() if not key.startswith(SAID)}


def _signed(rate: Metric, tables: Counts) -> Floats:
    """The rate of group 1 less that of group 0."""
    of_groups = rate(tables)
    return of_groups[..., 1] - of_groups[..., 0]


def _ends(values: Mapping[str, Floats], draws: Mapping[str, Floats], level: float) -> dict[str, Floats]:
    """The ends (p,) of the intervals of all figures (p,) that have draws (p, b).

    They hold the value, as those of an unsigned gap might not, and are rounded outwards: draws tell no more digits.
    """
    ends = np.array(confusion.intervals(np.concatenate(list(draws.values())), level), dtype=float)
    found: dict[str, Floats] = {}
    for key, (low, high) in zip(draws, ends.reshape(len(draws), -1, 2).swapaxes(1, 2), strict=True):
        found[f"{key}_low"] = np.floor(np.minimum(low, values[key]) * DIGITS) / DIGITS
        found[f"{key}_high"] = np.ceil(np.maximum(high, values[key]) * DIGITS) / DIGITS
    return found
