"""A requirement on a metric: who meets it, and by how much others miss it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evals.records import query
from evals.records.row_intervals import SEARCHED

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]  # (candidates,) or (runs,)
SIDES = {"<=": 1, "<": 1, ">=": -1, ">": -1}  # +1: the bound is from above
ENDS = ("_low", "_high")  # of the interval that is shown, 95 %
SURE_ENDS = ("_sure_low", "_sure_high")  # of the interval that sure=true asks, wider: see evals.choosing.choice
DIGITS = 9  # decimals to which a figure is compared with a bound: .8 - .7 is .1


def of_test_rows(key: str) -> str:
    """The key of a metric that may be required. Raises ValueError for one of validation rows."""
    for ending in SEARCHED:
        if key.endswith(ending):
            raise ValueError(
                f"{key} is of validation rows, which a search or a fit has seen; what is required is decided by test "
                f"rows: write {key.removesuffix(ending)}"
            )
    return key


@dataclass(frozen=True)
class Constraint:
    """A comparison of a metric with a number, ``uai_0.05<=0.1``."""

    text: str
    key: str
    sign: str
    bound: float

    @property
    def side(self) -> int:
        """+1 where the bound is from above, -1 from below, 0 for == and !=."""
        return SIDES.get(self.sign, 0)

    def met(self, table: pd.DataFrame, *, sure: bool) -> Mask:
        """The rows of a table that meet it; ``sure``: with the whole of an interval that is known, SURE_ENDS."""
        meets, values = query.COMPARE[self.sign], self._columns(table, self.key)
        found = np.asarray(meets(values, self.bound) & ~np.isnan(values), dtype=bool)
        if not sure:
            return found
        low, high = (self._columns(table, f"{self.key}{end}") for end in SURE_ENDS)
        inside = (low < self.bound) & (self.bound < high)  # what != must not have
        ends = meets(low, self.bound) & meets(high, self.bound) & ~np.isnan(low) & ~np.isnan(high)
        return np.asarray(found & ends & ~(inside & (self.sign == "!=")), dtype=bool)

    def crossed(self, table: pd.DataFrame) -> Mask:
        """The rows whose shown interval has ends on both sides of the bound, or misses it altogether."""
        low, high = (self._columns(table, f"{self.key}{end}") for end in ENDS)
        meets = query.COMPARE[self.sign]
        known = ~np.isnan(low) & ~np.isnan(high)
        return np.asarray(known & ~(meets(low, self.bound) & meets(high, self.bound)), dtype=bool)

    def worst(self, table: pd.DataFrame, ends: tuple[str, ...] = ()) -> Floats:
        """The value of each row that has to meet it: the metric, or the worse of it and the ends of an interval."""
        columns = [self.key, *(f"{self.key}{end}" for end in (ends if self.side else ()))]
        values = np.stack([self._columns(table, column) for column in columns])
        return (values * (self.side or 1)).max(0) * (self.side or 1)  # NaN where an end is not known

    def beyond(self, table: pd.DataFrame, ends: tuple[str, ...] = ()) -> Floats:
        """Returns how far each row misses the bound, 0 where it does not; inf where that is not known."""
        past = self.worst(table, ends) - self.bound
        past = past * self.side if self.side else np.abs(past) * (self.sign == "==")
        return np.nan_to_num(np.maximum(past, 0.0), nan=np.inf, posinf=np.inf)

    def _columns(self, table: pd.DataFrame, column: str) -> Floats:
        return np.round(table[column].to_numpy(dtype=float), DIGITS)
