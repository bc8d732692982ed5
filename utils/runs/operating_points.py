"""The operating points of two-class models: their figures by thresholds for each group, judged on other rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from torch import Tensor

from utils.decides.exact_thresholds import POINTS, exact
from utils.decides.fitted import Units, account, units
from utils.decides.group_thresholds import GroupThresholds, in_json
from utils.metrics import confusion, group
from utils.metrics.bootstrap import spread_tables
from utils.metrics.classification import DRAWN, FROM_TABLE
from utils.metrics.confusion import Counts
from utils.metrics.directions import split_some
from utils.metrics.intervals import Measured
from utils.metrics.measuring import measure_each, number_shares
from utils.types import Batch

T = TypeVar("T")
Thresholds = tuple[float, ...]  # of each group
DIGITS = 4  # of the ends of intervals, of which there are many
SAID = ("tpr", "prevalence")  # the one by fnr, the other by the record: records hold many points and should stay small


class Points(NamedTuple):
    """The operating points of a model: thresholds by each permitted gap and without a limit."""

    rates: Sequence[str]  # whose largest gap is kept to
    permitted: list[float | None]  # None at the end
    logits: list[Thresholds]  # one for each permitted gap
    fitted: dict[str, Any]  # what they attain where they were fitted

    @property
    def distinct(self) -> list[Thresholds]:
        """Those that differ: a larger gap often permits no better ones."""
        return list(dict.fromkeys(self.logits))


def fit_points(
    logits: Tensor,
    rows: Batch,
    groups: Sequence[str],
    classes: Sequence[str] = (),
    *,
    rates: Sequence[str],
    permitted: Sequence[float],
    groups_min: int,
) -> Points:
    """Returns the most accurate thresholds by each permitted gap and without a limit.

    Args:
        logits: (n, 1) of the rows.
        rows: that the thresholds are fitted to.
        groups: their names.
        classes: the names of the classes, where they have any.
        rates: whose largest gap between groups is kept to: fnr, fpr, acceptance_rate.
        permitted: gaps on these rows, in [0, 1].
        groups_min: groups with fewer rows of a rate share a threshold (``fitted.units``).

    Returns:
        Points, which say what they attain on these rows: a ``gap`` in the rates and an ``accuracy`` for each, on how
        many ``rows``, with the ``denominators`` of each rate by group and the ``small`` groups.

    Raises:
        ValueError: fewer than two groups with rows enough.
    """
    asked = [*permitted, None]
    own = units(logits, rows, groups, rates, groups_min, key=POINTS, classes=classes)
    found = [tuple(own.thresholds(cuts)) for cuts in exact(own.of, rates, asked)]
    return Points(rates, asked, found, _attained(found, logits, rows, own, rates))


def _attained(
    points: Sequence[Thresholds], logits: Tensor, rows: Batch, own: Units, rates: Sequence[str]
) -> dict[str, Any]:
    """Returns the gaps and accuracies of the points on the rows that they were fitted to."""
    labels = {point: GroupThresholds(point)(logits, rows.s) for point in dict.fromkeys(points)}
    each = {point: account(of, rows, own, rates) for point, of in labels.items()}
    accuracy = {point: float((of == rows.y).double().mean()) for point, of in labels.items()}
    gaps = [each[point]["gap"] for point in points]
    return {**each[points[0]], "gap": gaps, "accuracy": [accuracy[point] for point in points]}


def judge_points(
    points: Sequence[Points],
    judged: Sequence[tuple[Tensor, Batch]],
    groups: int,
    *,
    sizes: Mapping[str, int],
    groups_min: int,
    intervals: int,
    level: float,
    seeds: Sequence[int],
) -> list[dict[str, Any]]:
    """Returns what a record holds of the operating points of models that keep to the same rates.

    Args:
        points: of each model.
        judged: logits (n, 1) of each model and their rows.
        groups: how many there are.
        sizes: levels of each of several sensitive attributes by name, see ``utils.metrics.group.attribute_sizes``.
        groups_min: a rate of fewer judged rows leaves its gap undefined.
        intervals: bootstrap draws, of what is no share.
        level: of the intervals, in (0, 1).
        seeds: of the draws, one of each model.

    Returns:
        For each model the ``rates``; ``permitted``; ``logits``; ``fitted``; and ``metrics``, for each key of a record
        one value a point, None where it is undefined: those of ``classification`` and ``group`` that depend on the
        labels, less what others say already (``SAID``); accuracy, the gaps, and the signed gaps of the ``rates`` with
        ``<key>_low`` and ``<key>_high``. ``shares`` and ``deviations`` hold what other intervals need
        (``utils.metrics.intervals.at_level``), one of each for a point likewise.
    """
    if not points:
        return []
    tables = [_tables(own.distinct, *rows, groups) for own, rows in zip(points, judged, strict=True)]
    seed_of = [seed for seed, of in zip(seeds, tables, strict=True) for _ in of]
    made = iter(_measure(np.concatenate(tables), points[0].rates, sizes, groups_min, intervals, level, seed_of))
    found = []
    for own in points:
        figures = dict(zip(own.distinct, made, strict=False))
        found.append(
            {
                "rates": list(own.rates),
                "permitted": own.permitted,
                "logits": [in_json(logits) for logits in own.logits],
                "fitted": own.fitted,
                **_columns([figures[logits] for logits in own.logits]),
            }
        )
    return found


def _tables(points: Sequence[Thresholds], logits: Tensor, rows: Batch, groups: int) -> Counts:
    """Tables (p, g, 2, 2) of the points of a model."""
    labels = np.stack([GroupThresholds(point)(logits, rows.s).cpu().numpy() for point in points])
    return confusion.counts(rows.y.cpu().numpy(), labels, rows.s.cpu().numpy(), groups=groups, classes=2)


def _measure(
    tables: Counts,
    rates: Sequence[str],
    sizes: Mapping[str, int],
    groups_min: int,
    intervals: int,
    level: float,
    seeds: Sequence[int],
) -> Iterator[Measured]:
    """Yields the figures of each of the points, from their tables (p, g, 2, 2)."""
    everyone = tables.sum(1)
    of_groups, rates_of_groups = group.of_tables(tables, groups_min=groups_min, sizes=sizes)
    values = {key: metric(everyone) for key, metric in FROM_TABLE.items()} | _unsaid(of_groups)
    shares = _unsaid(rates_of_groups) | {"accuracy": confusion.PARTS["accuracy"](everyone)}
    shares |= number_shares("accuracy_class_", confusion.of_classes(everyone))
    spreads = spread_tables({key: FROM_TABLE[key] for key in DRAWN}, everyone, intervals, seeds, level)
    ended = {"accuracy", *group.OF_GAP, *(f"{rate}_signed_gap" for rate in rates)}
    bare = {key for key in values if split_some(key)[0] not in ended}
    return map(group.drop_rests, measure_each(values, shares, level, spreads, digits=DIGITS, bare=bare))


def _unsaid(metrics: Mapping[str, T]) -> dict[str, T]:
    """Leaves out the metrics that follow from others."""
    return {key: metric for key, metric in metrics.items() if not key.startswith(SAID)}


def _columns(points: Sequence[Measured]) -> dict[str, dict[str, list[Any]]]:
    """Returns for each key of the points one value a point, None where it has none."""
    distinct = list({id(of): of for of in points}.values())
    place = [next(i for i, of in enumerate(distinct) if of is point) for point in points]
    parts: dict[str, Sequence[Mapping[str, Any]]] = {
        "metrics": distinct,
        "shares": [of.shares for of in distinct],
        "deviations": [of.deviations for of in distinct],
    }
    columns = {name: {key: [of.get(key) for of in each] for key in _keys(each)} for name, each in parts.items()}
    return {name: {key: [own[i] for i in place] for key, own in of.items()} for name, of in columns.items()}


def _keys(each: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns the keys of all, in their order."""
    return list(dict.fromkeys(key for of in each for key in of))
