"""Thresholds of groups in words, from what a record holds."""

import math
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

from utils.system.console import count
from utils.words.numbers import write_estimate

# the metric that is the gap in a rate
GAP_IN = {
    "fnr": "fnr_gap",
    "fpr": "fpr_gap",
    "acceptance_rate": "demographic_parity_difference",
    "equalized_odds": "equalized_odds_difference",
}
SPLITS = {"valid": "validation", "train": "training"}
ALWAYS, NEVER = -math.inf, math.inf


def in_words(logits: Sequence[Any], shares: Sequence[Sequence[float]] | None = None) -> list[str]:
    """Describes for each group the probability from which a row is class 1, ``0.42``.

    Args:
        logits: the threshold of each group, or several between which chance decides; numbers, or text such as "-inf".
        shares: the chance of each of several: ``0.42 (70%) or never (30%)``.
    """
    return [
        _describe_mix(of, chances) if isinstance(of, list | tuple) else f"{_probability(float(of)):.2f}"
        for of, chances in zip(logits, repeat(()) if shares is None else shares, strict=False)
    ]


def describe_fit(fitted: Mapping[str, Any], metrics: Mapping[str, float | None]) -> str:
    """``fitted to fnr_gap<=0.05 on 120 validation rows (there 0.038); test 0.082 [0.040, 0.130]``.

    Args:
        fitted: of a record: ``rate`` and ``permitted``, what was asked for; ``split`` and ``rows``, on which rows;
            ``gap`` there, ``denominators``, by rate the rows of each group that it is of; with a margin ``confidence``
            and ``bound``.
        metrics: of the same record.
    """
    key = GAP_IN[fitted["rate"]]
    sure = f" with a confidence of {fitted['confidence']:g}" if "confidence" in fitted else ""
    value, low, high = (metrics.get(of) for of in (key, f"{key}_low", f"{key}_high"))
    return (
        f"fitted to {key}<={fitted['permitted']:g}{sure} on {count(fitted['rows'], SPLITS[fitted['split']] + ' row')} "
        f"(there {fitted['gap']:.3f}); test {write_estimate(value, low, high)}"
    )


def describe_small(fitted: Mapping[str, Any] | None) -> str:
    """Describes the threshold of groups that had too few rows for one of their own; empty where none had.

    ``a and b share one threshold, fitted on their 23 rows together, and count as one group in the gap there``
    """
    small = (fitted or {}).get("small")
    if not small:
        return ""
    *others, last = small["groups"]
    names, rows = f"{', '.join(others)} and {last}" if others else last, count(small["rows"], "row")
    if small["threshold"] == "shared":
        return f"{names} share one threshold, fitted on their {rows} together, and count as one group in the gap there"
    one = not others
    return (
        f"{names} {'takes' if one else 'take'} the threshold that is the most accurate for everybody, as "
        f"{'it has' if one else 'they have'} too few rows{'' if one else ' even together'} ({rows[: rows.index(' ')]}) "
        f"for {'one of its own' if one else 'one of their own'}, and the gap there leaves {'it' if one else 'them'} out"
    )


def doubts_of(fitted: Mapping[str, Any] | None, metrics: Mapping[str, float | None]) -> list[str]:
    """A sentence where the test interval of a gap reaches beyond what thresholds were fitted to; arguments as above."""
    high = metrics.get(f"{GAP_IN[fitted['rate']]}_high") if fitted else None
    if fitted is None or high is None or high <= fitted["permitted"]:
        return []
    return [f"the gap may be larger than it was fitted to be: {describe_fit(fitted, metrics)}"]


def _describe_mix(logits: Sequence[Any], chances: Sequence[float]) -> str:
    """One threshold, or those that chance decides between."""
    if len(logits) == 1:
        return f"{_probability(float(logits[0])):.2f}"
    ends = {ALWAYS: "always", NEVER: "never"}
    said = [ends.get(z, f"{_probability(z):.2f}") for z in map(float, logits)]
    return " or ".join(f"{word} ({chance:.0%})" for word, chance in zip(said, chances, strict=True))


def _probability(z: float) -> float:
    """The logistic function of a logit."""
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0
