"""Radii of records in words: in steps of a byte, such as 8/255, where the runs were given them so."""

import re
from collections.abc import Sequence

from evals.records import query
from utils.words.numbers import read_number

NORMS = {"linf": "ℓ∞", "l2": "ℓ₂", "l1": "ℓ₁"}
EVERY_BYTE = re.compile(r"\d+(?:\.\d+)?/255")


def in_bytes(records: Sequence[query.Record]) -> bool:
    """Returns whether the radii of the records are written in steps of a byte, such as 8/255."""
    given = [r["params"].get("epsilon") or {} for r in records]
    return any(EVERY_BYTE.fullmatch(str(r)) for e in given for r in (e.get("radius"), *e.get("evaluate", ())))


def radius_words(text: str, bytes_: bool) -> str:
    """A radius for a reader: in the style of 8/255 where the runs are."""
    if not bytes_ or "/" in text or not read_number(text):
        return text
    return f"{round(255 * read_number(text), 1):g}/255"
