"""What a metric's key means: which way is better, and how to say it in words.

A key is a name, followed by a radius (``uai_0.05``, ``robust_accuracy_8/255``), a group (``fnr_group1``) and one of
``_low``, ``_high``, ``_null``, each where it applies.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple


class Meaning(NamedTuple):
    """Direction (+1: higher is better, -1: lower, 0: neither), words, and of what it is a share."""

    direction: int
    words: str
    unit: str = ""


INDIVIDUALS = "share of individuals"
MEANINGS: dict[str, Meaning] = {
    "accuracy": Meaning(1, "accuracy"),
    "balanced_accuracy": Meaning(1, "balanced accuracy"),
    "mcc": Meaning(1, "Matthews correlation"),
    "auc": Meaning(1, "area under the ROC curve"),
    "worst_class_accuracy": Meaning(1, "accuracy of the worst class"),
    "robust_accuracy": Meaning(1, "robust accuracy"),
    "robust_accuracy_worst_class": Meaning(1, "robust accuracy of the worst class"),
    "robust_accuracy_worst_group": Meaning(1, "robust accuracy of the worst group"),
    "uai": Meaning(-1, "unfair area", INDIVIDUALS),
    "uai_cf": Meaning(-1, "counterfactually unfair area", INDIVIDUALS),
    "uai_ar": Meaning(-1, "non-robust area", INDIVIDUALS),
    "uai_random": Meaning(-1, "unfair area found by random search", INDIVIDUALS),
    "uai_gradient": Meaning(-1, "unfair area found by the gradient attack", INDIVIDUALS),
    "uai_ar_random": Meaning(-1, "non-robust area found by random search", INDIVIDUALS),
    "uai_ar_gradient": Meaning(-1, "non-robust area found by the gradient attack", INDIVIDUALS),
    "counterfactual_flip_rate": Meaning(-1, "labels that change with the group", "share of counterfactuals"),
    "fair_certified": Meaning(1, "certified fair", INDIVIDUALS),
    "unfair_certified": Meaning(-1, "certified unfair", INDIVIDUALS),
    "demographic_parity_difference": Meaning(-1, "difference in acceptance rate between groups"),
    "equalized_odds_difference": Meaning(-1, "largest difference in error rates between groups"),
    "fnr": Meaning(-1, "false negative rate"),
    "fpr": Meaning(-1, "false positive rate"),
    "prevalence": Meaning(0, "share of class 1"),
    "acceptance_rate": Meaning(0, "acceptance rate"),
    "support": Meaning(0, "number of rows"),
    "robust_rows": Meaning(0, "rows whose robustness was judged"),
    "check_random": Meaning(-1, "answers that are random"),
    "check_zero_gradient": Meaning(-1, "rows whose gradient is zero"),
    "check_black_box": Meaning(-1, "rows that only the black-box attack breaks"),
    "check_large_radius": Meaning(-1, "robust accuracy where none is possible"),
    "check_chance": Meaning(0, "share of the largest class"),
}
ENDS = {
    "low": "lower end of the interval",
    "high": "upper end of the interval",
    "null": "expected by chance alone",
}
AFTER = re.compile(r"robust_accuracy_after_(?P<attack>[a-z]\w*)")
ATTACKED = re.compile(r"robust_accuracy_(?P<attack>[a-z]\w*)")
GAP = re.compile(r"(?P<of>.+)_(gap|difference)")
END = re.compile(r"(?P<rest>.+)_(?P<end>low|high|null)")
GROUP = re.compile(r"(?P<rest>.+)_group(?P<group>\d+)")
CLASS = re.compile(r"(?P<rest>(robust_)?accuracy)_class_(?P<label>\d+)")
RADIUS = re.compile(r"(?P<rest>.+)_(?P<radius>(\d+\.?\d*|\.\d+)(e[+-]?\d+)?(/\d+)?)", re.IGNORECASE)


def direction(key: str) -> int:
    """+1 where a higher value is better, -1 where a lower one is, 0 for neither or an unknown key."""
    meaning = _meaning(_split(key)[0])
    return meaning.direction if meaning else 0


def describe(key: str) -> str:
    """A label in words for plots; an unknown key stays as it is.

    ``uai_0.05`` is "unfair area at radius 0.05 (share of individuals)".
    """
    name, details, end = _split(key)
    meaning = _meaning(name)
    if meaning is None:
        return key
    words = " ".join([meaning.words, *details]) + (f" ({meaning.unit})" if meaning.unit else "")
    return f"{words}, {ENDS[end]}" if end else words


def suggest(key: str, known: Iterable[str]) -> list[str]:
    """Up to three known keys that a mistyped one may have meant, nearest first."""
    return get_close_matches(key, list(known), n=3)


def _split(key: str) -> tuple[str, list[str], str]:
    """The name, its radius and group in words, and the end: low, high, null or nothing."""
    details: list[str] = []
    end = ""
    if found := END.fullmatch(key):
        key, end = found["rest"], found["end"]
    if found := GROUP.fullmatch(key):
        key = found["rest"]
        details.append(f"of group {found['group']}")
    if not CLASS.fullmatch(key) and (found := RADIUS.fullmatch(key)):
        key = found["rest"]
        details.append(f"at radius {found['radius']}")
    if found := CLASS.fullmatch(key):
        key = found["rest"]
        details.insert(0, f"of class {found['label']}")
    return key, details, end


def _meaning(name: str) -> Meaning | None:
    """The meaning of a name, of accuracy under a named attack, and of a gap or difference in anything."""
    if name in MEANINGS:
        return MEANINGS[name]
    if found := GAP.fullmatch(name):
        inner = MEANINGS.get(found["of"])
        words = inner.words if inner else found["of"].replace("_", " ")
        return Meaning(-1, f"difference in {words} between groups")
    if found := AFTER.fullmatch(name):
        return Meaning(1, f"robust accuracy after {found['attack'].replace('_', ' ')} and those before")
    if found := ATTACKED.fullmatch(name):
        return Meaning(1, f"robust accuracy against {found['attack'].replace('_', ' ')}")
    return None
