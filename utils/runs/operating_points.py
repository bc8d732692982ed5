"""The operating points of a two-class model: its figures by thresholds for each group, judged on other rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from utils import seeding
from utils.decides.exact_thresholds import POINTS, exact
from utils.decides.fitted import Units, account, units
from utils.decides.group_thresholds import GroupThresholds, in_json
from utils.metrics import confusion, group
from utils.metrics.bootstrap import spreads
from utils.metrics.classification import DRAWN, FROM_TABLE
from utils.metrics.confusion import Counts
from utils.metrics.directions import split_some
from utils.metrics.intervals import Measured, measure, number_shares
from utils.types import Batch

Rows = tuple[Tensor, Batch]  # logits (n, 1) and their rows
T = TypeVar("T")
DIGITS = 4  # of the ends of intervals, of which there are many
SAID = ("tpr", "prevalence")  # the one by fnr, the other by the record: records hold many points and should stay small


def operating_points(
    fitted: Rows,
    judged: Rows,
    groups: Sequence[str],
    classes: Sequence[str] = (),
    *,
    sizes: Mapping[str, int],
    rates: Sequence[str],
    permitted: Sequence[float],
    groups_min: int,
    intervals: int,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """Returns the most accurate thresholds by each permitted gap and without a limit, and their figures on other rows.

    Args:
        fitted: what the thresholds are fitted to.
        judged: what they are judged on.
        groups: their names.
        classes: the names of the classes, where they have any.
        sizes: levels of each of several sensitive attributes by name, see ``utils.metrics.group.attribute_sizes``.
        rates: whose largest gap between groups is kept to: fnr, fpr, acceptance_rate.
        permitted: gaps on the fitted rows, in [0, 1].
        groups_min: groups with fewer fitted rows of a rate share a threshold (``fitted.units``); a rate of fewer judged
            rows leaves its gap undefined.
        intervals: bootstrap draws, of what is no share.
        level: of the intervals, in (0, 1).
        seed: of the draws.

    Returns:
        ``rates``; ``permitted``, None at the end; ``logits``, a threshold for each group of each point; ``metrics``,
        for each key of a record one value a point, None where it is undefined: those of ``classification`` and
        ``group`` that depend on the labels, less what others say already (``SAID``); accuracy, the gaps, and the signed
        gaps of the ``rates`` with ``<key>_low`` and ``<key>_high``. ``shares`` and ``deviations`` hold what other
        intervals need (``utils.metrics.intervals.at_level``), one of each for a point likewise. ``fitted`` says what
        the points attain where they were fitted: a ``gap`` in the rates and an ``accuracy`` for each, on how many
        ``rows``, with the ``denominators`` of each rate by group
        and the ``small`` groups.

    Raises:
        ValueError: fewer than two groups with rows enough among the fitted ones.
    """
    asked = [*permitted, None]
    own = units(*fitted, groups, rates, groups_min, key=POINTS, classes=classes)
    found = [tuple(own.thresholds(cuts)) for cuts in exact(own.of, rates, asked)]
    distinct = list(dict.fromkeys(found))  # p policies: a larger gap often permits no better one
    tables = np.stack([_table(GroupThresholds(logits), *judged, len(groups)) for logits in distinct])  # (p, g, 2, 2)
    made = [_measured(table, rates, sizes, groups_min, intervals, level, seed) for table in tables]
    point = [made[distinct.index(logits)] for logits in found]
    return {
        "rates": list(rates),
        "permitted": asked,
        "logits": [in_json(logits) for logits in found],
        "fitted": _fitted(found, *fitted, own, rates),
        "metrics": {key: [of.get(key) for of in point] for key in _keys(point)},
        "shares": {key: [of.shares.get(key) for of in point] for key in _keys(of.shares for of in point)},
        "deviations": {key: [of.deviations.get(key) for of in point] for key in _keys(of.deviations for of in point)},
    }


def _fitted(
    points: Sequence[tuple[float, ...]], logits: Tensor, rows: Batch, own: Units, rates: Sequence[str]
) -> dict[str, Any]:
    """Returns the gaps and accuracies of the points on the rows that they were fitted to."""
    labels = {point: GroupThresholds(point)(logits, rows.s) for point in dict.fromkeys(points)}
    each = {point: account(of, rows, own, rates) for point, of in labels.items()}
    accuracy = {point: float((of == rows.y).double().mean()) for point, of in labels.items()}
    gaps = [each[point]["gap"] for point in points]
    return {**each[points[0]], "gap": gaps, "accuracy": [accuracy[point] for point in points]}


def _keys(each: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns the keys of all, in their order."""
    return list(dict.fromkeys(key for of in each for key in of))


def _measured(
    table: Counts,
    rates: Sequence[str],
    sizes: Mapping[str, int],
    groups_min: int,
    intervals: int,
    level: float,
    seed: int,
) -> Measured:
    """Returns the figures of one point, from its table (g, 2, 2)."""
    everyone = table.sum(0)
    of_groups, rates_of_groups = group.of_table(table, groups_min=groups_min, sizes=sizes)
    values = {key: float(metric(everyone)) for key, metric in FROM_TABLE.items()} | _unsaid(of_groups)
    shares = _unsaid(rates_of_groups) | {"accuracy": confusion.parts_of("accuracy", everyone)}
    shares |= number_shares("accuracy_class_", confusion.of_classes(everyone))
    draws = confusion.bootstrap(everyone, intervals, seeding.rng(seed, "bootstrap"))
    moved = spreads({key: values[key] for key in DRAWN}, {key: FROM_TABLE[key](draws) for key in DRAWN}, level)
    found = measure(values, shares, level, moved, digits=DIGITS)
    ended = {"accuracy", *group.OF_GAP, *(f"{rate}_signed_gap" for rate in rates)}
    bare = {f"{key}{end}" for key in values if split_some(key)[0] not in ended for end in ("_low", "_high")}
    return Measured({key: value for key, value in found.items() if key not in bare}, found.shares, found.deviations)


def _table(decide: GroupThresholds, logits: Tensor, rows: Batch, groups: int) -> Counts:
    labels = decide(logits, rows.s)
    y, label, s = (of.cpu().numpy() for of in (rows.y, labels, rows.s))
    return confusion.counts(y, label, s, groups=groups, classes=2)


def _unsaid(metrics: Mapping[str, T]) -> dict[str, T]:
    """Leaves out the metrics that follow from others."""
    return {key: metric for key, metric in metrics.items() if not key.startswith(SAID)}
