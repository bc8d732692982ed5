"""Proven bounds of figures over all training rows that may be added or removed, of a model that tells its range.

Deep partition aggregation (Levine and Feizi 2021, arXiv 2006.14768, theorem 1) as ``utils.models.partition_vote`` does
it: m rows leave the logit of a test row between two others, l <= z <= u. A threshold given beforehand decides
monotonely, so the label lies between those at l and u: it is certain where they agree. Of k votes, v for class 1, at a
threshold of 1/2 with class 1 where votes are equal, that is 2 (v - m) >= k or 2 (v + m) < k.

Of group i let n_i be the rows of the test that a rate is of, a_i those of them that get class 1 for certain, and b_i
those that may. Each row falls as it likes, so the rate of class 1 is in [a_i / n_i, b_i / n_i], both ends are reached,
and the gap of two groups is largest with one at its upper end and the other at its lower: the bound is the largest
b_i / n_i - a_j / n_j over ordered pairs of groups. With the false negative rate it is the same of class 0. That all
rows fall at their worst at once may be more than m rows can do, as these change the same m votes of every row: the
bound holds, and may not be reached.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from utils.metrics import confusion
from utils.metrics.breakdown import groups_of
from utils.metrics.confusion import PARTS, RATES, Counts, Floats
from utils.metrics.directions import Key
from utils.metrics.intervals import Measured
from utils.metrics.measuring import of_shares
from utils.types import Batch, Context, Figures, Predict
from utils.views.row_parts import parts

KEYS = {
    "certain": Key(1, "rows whose label is certain", headline=4, at="(training rows added or removed: {})"),
    "accuracy_lower": Key(1, "proven least accuracy", at="(training rows added or removed: {})"),
    "fnr_gap_upper": Key(
        -1,
        "proven largest difference in false negative rate between {groups}",
        at="(training rows added or removed: {})",
    ),
    "fpr_gap_upper": Key(
        -1,
        "proven largest difference in false positive rate between {groups}",
        headline=4,
        at="(training rows added or removed: {})",
    ),
    "demographic_parity_difference_upper": Key(
        -1,
        "proven largest difference in acceptance rate between {groups}",
        at="(training rows added or removed: {})",
    ),
}
OF_GAP = {"fnr_gap": "fnr", "fpr_gap": "fpr", "demographic_parity_difference": "acceptance_rate"}


@runtime_checkable
class Ranged(Protocol):
    """A model that proves how far training rows can move its answers."""

    def logit_range(self, x: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """x (n, d) -> the least and the largest logits (n, 1) once as many training rows were added or removed."""
        ...


def poison_bounds(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    rows: Sequence[int],
    probability: float | None,
    groups_min: int,
    level: float,
) -> Figures | Sequence[Figures]:
    """Bounds over all m training rows that may be added or removed, for each m in ``rows``.

    Copies of a row count once, and a row that is relabelled twice.

    ``certain_<m>``: share of rows whose label they cannot change; ``accuracy_lower_<m>``: share of rows that are right
    and certain; both with the interval of ``level`` in (0, 1) of a share. ``fnr_gap_upper_<m>``, ``fpr_gap_upper_<m>``
    and ``demographic_parity_difference_upper_<m>``: no such gap on these rows is larger. None where the gap itself is,
    some group having fewer than ``groups_min`` rows of the rate.

    All are None of a model that proves nothing, and where the threshold is not the ``probability`` given beforehand:
    one that was fitted moves as well.
    """
    model = _ranged(predict)
    if model is None or probability is None or getattr(ctx.decide, "probability", None) != probability:
        return ctx.of_each(lambda own: {key: None for m in rows for key in _keys(m, own)})
    found = Measured()
    for m in rows:
        found.add(_figures(model, batch, ctx, m, groups_min=groups_min, level=level))
    return found


def _ranged(predict: Predict) -> Ranged | None:
    """The model, or the part of it, that tells its range."""
    of = predict.modules() if isinstance(predict, nn.Module) else ()
    return next((part for part in of if isinstance(part, Ranged)), None)


def _keys(m: int, ctx: Context) -> list[str]:
    gaps = [f"{gap}_upper_{m}" for gap in OF_GAP] if ctx.groups > 1 else []
    return [f"certain_{m}", f"accuracy_lower_{m}", *gaps]


def _figures(model: Ranged, batch: Batch, ctx: Context, m: int, *, groups_min: int, level: float) -> Figures:
    """Returns the figures for m rows, of a threshold that is given."""
    ends = [[ctx.decide(end, part.s) for end in model.logit_range(part.x, m)] for part in parts(batch)]
    low, high = (torch.cat(labels).cpu().numpy() for labels in zip(*ends, strict=True))
    y, s, n = batch.y.cpu().numpy(), batch.s.cpu().numpy(), len(batch.y)
    certain = low == high
    shares = {f"certain_{m}": (int(certain.sum()), n), f"accuracy_lower_{m}": (int((certain & (low == y)).sum()), n)}
    found = of_shares(shares, level)
    if ctx.groups > 1:
        tables = [confusion.counts(y, labels, s, groups=groups_of(s, ctx), classes=2) for labels in (low, high)]
        found |= {
            f"{gap}_upper_{m}": confusion.to_float(_upper(rate, tables, groups_min)) for gap, rate in OF_GAP.items()
        }
    return found


def _upper(rate: str, tables: Sequence[Counts], groups_min: int) -> float:
    """The largest gap in a rate, given tables (g, 2, 2) with all uncertain rows in class 0, and in class 1; or nan."""
    if (PARTS[rate](tables[0])[1] < max(groups_min, 1)).any():
        return np.nan
    ends: Floats = np.stack([RATES[rate](table) for table in tables])
    apart = ends.max(0)[:, None] - ends.min(0)  # (g, g), of ordered pairs
    return float(apart[~np.eye(len(apart), dtype=bool)].max())
