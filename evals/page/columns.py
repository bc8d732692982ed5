"""Columns of the page's data, written short.

A column is its distinct values, ``of`` for texts and ``steps`` for numbers, and the place among them of every row,
``at``, one text of ``wide`` characters a row in the alphabet below, most significant first: 5,000 runs with their
operating points stay below 10 MB. ``evals/page/columns.js`` reads them.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

ALPHABET = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype=np.uint8)
DIGITS = 12  # of metrics that models are chosen by: their means are compared to nine decimals, as evals.select does
PLAIN, COARSE = 9, 6  # of other metrics, and of the ends of intervals, which nothing ranks

Column = dict[str, Any]


def numbers(values: ArrayLike, digits: int = DIGITS) -> Column:
    """Returns a column of numbers (n,), with ``digits`` digits of its largest; what is not finite becomes null.

    ``steps`` lead from each distinct value, in rising order, to the next, the first from 0, in units of
    ``10 ** -power``: they are shorter than the values.
    """
    given = np.asarray(values, dtype=float)
    given = np.where(np.isfinite(given), given, np.nan)
    known = given[~np.isnan(given)]
    whole = not known.size or bool((known == np.rint(known)).all())
    above = 0 if whole else int(np.ceil(np.log10(np.abs(known).max())))
    power = 0 if whole else min(max(digits - above, 0), 22)
    distinct, places = np.unique(np.rint(given * 10.0**power), return_inverse=True)
    steps = np.diff(distinct[~np.isnan(distinct)], prepend=0).astype(np.int64).tolist()
    return {"steps": steps, "power": power} | _places(places, len(distinct))


def texts(values: Iterable[Any]) -> Column:
    """A column of texts, None being none, in the order of their first rows."""
    known: dict[Any, int] = {}
    places = np.fromiter((known.setdefault(value, len(known)) for value in values), dtype=np.int64)
    return {"of": list(known)} | _places(places, len(known))


def _places(places: np.ndarray, distinct: int) -> Column:
    """``wide`` characters a row: 0 where all rows have one value."""
    wide = 0
    while 64**wide < distinct:
        wide += 1
    digits = [places // 64 ** (wide - 1 - i) % 64 for i in range(wide)]
    return {"wide": wide, "at": ALPHABET[np.stack(digits, axis=-1)].tobytes().decode() if wide else ""}
