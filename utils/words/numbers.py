"""Numbers as people write them, read: 0.05, .1, 1e-3, 8/255; and estimates, written with the digits that are known.

Without torch, which mistakes and readers need not wait for.
"""

import math
import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

# in keys of metrics, conditions and file names, where a radius keeps its spelling; without a sign
SPELLED = r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?:/\d+)?"
# of a fraction; a longer exponent would be written out, digit by digit
PART = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?\s*", re.IGNORECASE | re.ASCII)
UNKNOWN, MOST = 4, 6  # decimals of an estimate without an interval, and of one with a very short one
ROUNDING = 1e-9  # of a logarithm
ANY = re.compile(rf"\s*[+-]?{SPELLED}\s*", re.IGNORECASE | re.ASCII)


def is_written(value: Any) -> bool:
    """Returns whether a value is a number or text that is written as one, be it 1/0."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    return not isinstance(value, str) or ANY.fullmatch(value) is not None


def read_number(value: Any) -> float:
    """Returns the finite number that a value is or spells, a fraction rounded once.

    Raises:
        ValueError: it is none.
    """
    above, *parts = str(value).split("/")
    try:
        (below,) = parts or ["1"]
        if parts and not (PART.fullmatch(above) and PART.fullmatch(below)):
            raise ValueError
        found = float(Fraction(above.strip()) / Fraction(below.strip())) if parts else float(above)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"{value!r} is no number") from None
    if not math.isfinite(found):  # to which nothing compares
        raise ValueError(f"{value!r} is no finite number")
    return found


def read_radius(radius: str | float) -> float:
    """Returns the number that a radius means.

    Raises:
        ValueError: no number, negative, or not finite.
    """
    try:
        value = read_number(radius)
    except ValueError:
        raise ValueError(f"radius {radius!r} is not a number; write for example 0.1 or 8/255") from None
    if value < 0:
        raise ValueError(f"radius {radius!r} is negative; a radius is 0 or more")
    return value


def read_radii(radii: Iterable[str | float]) -> dict[str, float]:
    """Returns the numbers that radii mean, by their spelling. Raises ValueError as ``read_radius``."""
    return {str(radius): read_radius(radius) for radius in radii}


def count_decimals(half: float) -> int:
    """Returns the decimals of an estimate that may be off by ``half``, at most 6; 4 where that is 0 or not known.

    Two digits of what it may be off by, as the page shows them too (``evals/page/figures.js``): with fewer, models that
    differ could not be told apart; the digits after them say nothing.
    """
    if not (math.isfinite(half) and half > 0):
        return UNKNOWN
    return min(MOST, max(0, 1 - math.floor(math.log10(half) + ROUNDING)))


def write_estimate(value: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    """``0.746 [0.724, 0.768]``, an estimate and its interval; ``0.7458`` without one, ``undefined`` for None or NaN.

    ``sign`` is "+" for a difference, which is written with its sign.
    """
    if value is None or math.isnan(value):
        return "undefined"
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return f"{value:{sign}z.{UNKNOWN}f}"
    form = f"{sign}z.{count_decimals((high - low) / 2)}f"  # z: no zero has a minus
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def write_spread(mean: float, sd: float) -> str:
    """``0.716 ± 0.022``, a mean and a standard deviation; ``0.7158`` where that is NaN, ``undefined`` for no mean."""
    if math.isnan(mean):
        return "undefined"
    digits = count_decimals(sd)
    return f"{mean:.{digits}f}" + ("" if math.isnan(sd) else f" ± {sd:.{digits}f}")
