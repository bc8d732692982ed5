"""Thresholds of groups in words, from what a record holds."""

import math
from collections.abc import Sequence
from itertools import repeat
from typing import Any

ALWAYS, NEVER = -math.inf, math.inf


def in_words(logits: Sequence[Any], shares: Sequence[Sequence[float]] | None = None) -> list[str]:
    """For each group the probability from which a row is class 1, ``0.42``.

    Args:
        logits: the threshold of each group, or several between which chance decides; numbers, or text such as "-inf".
        shares: the chance of each of several: ``0.42 (70%) or never (30%)``.
    """
    return [
        _mixed(of, chances) if isinstance(of, list | tuple) else f"{_probability(float(of)):.2f}"
        for of, chances in zip(logits, repeat(()) if shares is None else shares, strict=False)
    ]


def _mixed(logits: Sequence[Any], chances: Sequence[float]) -> str:
    """One threshold, or those that chance decides between."""
    if len(logits) == 1:
        return f"{_probability(float(logits[0])):.2f}"
    ends = {ALWAYS: "always", NEVER: "never"}
    said = [ends.get(z, f"{_probability(z):.2f}") for z in map(float, logits)]
    return " or ".join(f"{word} ({chance:.0%})" for word, chance in zip(said, chances, strict=True))


def _probability(z: float) -> float:
    """The logistic function of a logit."""
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0
