"""What a metric's key means: which way is better, and how to say it in words.

A key is a name, followed by a group (``fnr_group1``) or a class, a norm (``robust_accuracy_linf_0.01``), a radius
(``uai_0.05``, ``robust_accuracy_8/255``), of poisoned runs one of POISONING (``fpr_gap_valid_unpoisoned``), and one of
``_low``, ``_high``, ``_null``, each where it applies.
"""

import re
from collections.abc import Iterable, Sequence
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
    "tpr": Meaning(1, "true positive rate"),
    "ppv": Meaning(1, "positive predictive value"),
    "prevalence": Meaning(0, "share of class 1"),
    "acceptance_rate": Meaning(0, "acceptance rate"),
    "bayes_accuracy": Meaning(0, "best attainable accuracy"),
    "bayes_fnr": Meaning(0, "false negative rate of the most accurate decisions"),
    "mean_max_confidence": Meaning(0, "mean probability of the label"),
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
POISONING = {
    "_valid_unpoisoned": "on validation rows, without the added rows",
    "_valid": "on validation rows",
    "_unpoisoned": "without the added rows",
    "_under_poisoning": "under poisoning",
    "_poisoning_harm": "added by poisoning",
}
LOST = "lost by poisoning"  # of a metric whose higher values are better: harm is positive either way
NORMS = {"l1": "L1", "l2": "L2", "linf": "Linf"}
OF_THE_DATA = ("prevalence", "bayes_fnr")  # gaps in these are no model's fault
AFTER = re.compile(r"robust_accuracy_after_(?P<attack>[a-z]\w*)")
ATTACKED = re.compile(r"robust_accuracy_(?P<attack>[a-z]\w*)")
SIGNED = re.compile(r"(?P<of>.+)_signed_gap")
GAP = re.compile(r"(?P<of>.+)_(gap|difference)")
END = re.compile(r"(?P<rest>.+)_(?P<end>low|high|null)")
GROUP = re.compile(r"(?P<rest>.+)_group(?P<group>\d+)")
CLASS = re.compile(r"(?P<rest>(robust_)?accuracy)_class_(?P<label>\d+)")
UNDER_NORM = re.compile(r"robust_accuracy_(worst_group_)?(l1|l2|linf)_[^_]+")
NORM = re.compile(r"(?P<rest>.+)_(?P<norm>l1|l2|linf)")
POISONED = re.compile(rf"(?P<rest>.+?)(?P<state>{'|'.join(POISONING)})")
RADIUS = re.compile(r"(?P<rest>.+)_(?P<radius>(\d+\.?\d*|\.\d+)(e[+-]?\d+)?(/\d+)?)", re.IGNORECASE)


def direction(key: str) -> int:
    """+1 where a higher value is better, -1 where a lower one is, 0 for neither or an unknown key.

    A signed gap has none: it is best at 0. What poisoning makes worse of a metric is a harm, of which less is better.
    """
    name, details, _ = _split(key, ())
    meaning = _meaning(name, ())
    if meaning is None:
        return 0
    return -1 if POISONING["_poisoning_harm"] in details else meaning.direction


def describe(key: str, groups: Sequence[str] = ()) -> str:
    """A label in words for plots; an unknown key stays as it is.

    ``uai_0.05`` is "unfair area at radius 0.05 (share of individuals)". With the names of the groups, such as women
    and men, ``fnr_signed_gap`` is "difference in false negative rate, men minus women".
    """
    name, details, end = _split(key, groups)
    meaning = _meaning(name, groups)
    if meaning is None:
        return key
    if meaning.direction > 0:
        details = [LOST if words == POISONING["_poisoning_harm"] else words for words in details]
    words = " ".join([meaning.words, *details]) + (f" ({meaning.unit})" if meaning.unit else "")
    return f"{words}, {ENDS[end]}" if end else words


def under_norms(keys: Iterable[str]) -> list[str]:
    """Those of the robust accuracies under a norm, ``robust_accuracy_linf_0.01`` and of the worst group."""
    return [key for key in keys if UNDER_NORM.fullmatch(key)]


def suggest(key: str, known: Iterable[str]) -> list[str]:
    """Up to three known keys that a mistyped one may have meant, nearest first."""
    return get_close_matches(key, list(known), n=3)


def _split(key: str, groups: Sequence[str]) -> tuple[str, list[str], str]:
    """The name; of whom, in which norm, at which radius, how poisoned, in words; the end: low, high, null or none."""
    of = norm = radius = state = end = ""
    if found := END.fullmatch(key):
        key, end = found["rest"], found["end"]
    if found := POISONED.fullmatch(key):
        key, state = found["rest"], POISONING[found["state"]]
    if not CLASS.fullmatch(key) and (found := RADIUS.fullmatch(key)):
        key, radius = found["rest"], f"at radius {found['radius']}"
    if (found := NORM.fullmatch(key)) and _is_known(_whose(found["rest"], ())[0]):
        key, norm = found["rest"], f"under {NORMS[found['norm']]} attacks"
    key, of = _whose(key, groups)
    return key, [words for words in (of, norm, radius, state) if words], end


def _is_known(name: str) -> bool:
    """Whether a norm can stand behind it; behind the name of an attack it is part of that."""
    return name in MEANINGS or AFTER.fullmatch(name) is not None


def _whose(key: str, groups: Sequence[str]) -> tuple[str, str]:
    """A key without its group or class, and these in words."""
    if found := GROUP.fullmatch(key):
        return found["rest"], f"of {_named(int(found['group']), groups)}"
    if found := CLASS.fullmatch(key):
        return found["rest"], f"of class {found['label']}"
    return key, ""


def _named(group: int, groups: Sequence[str]) -> str:
    return groups[group] if group < len(groups) else f"group {group}"


def _meaning(name: str, groups: Sequence[str]) -> Meaning | None:
    """The meaning of a name, of accuracy under a named attack, and of a gap or difference in anything."""
    if name in MEANINGS:
        meaning = MEANINGS[name]
        return meaning._replace(words=_between(meaning.words, groups))
    if found := SIGNED.fullmatch(name):
        who = f"{_named(1, groups)} minus {_named(0, groups)}"
        return Meaning(0, f"difference in {_words(found['of'])}, {who}")
    if found := GAP.fullmatch(name):
        words = f"difference in {_words(found['of'])} between groups"
        return Meaning(0 if found["of"] in OF_THE_DATA else -1, _between(words, groups))
    if found := AFTER.fullmatch(name):
        return Meaning(1, f"robust accuracy after {found['attack'].replace('_', ' ')} and those before")
    if found := ATTACKED.fullmatch(name):
        return Meaning(1, f"robust accuracy against {found['attack'].replace('_', ' ')}")
    return None


def _words(rate: str) -> str:
    return MEANINGS[rate].words if rate in MEANINGS else rate.replace("_", " ")


def _between(words: str, groups: Sequence[str]) -> str:
    """The groups by name where there are two; of more, the difference is the largest."""
    if len(groups) == 2:
        return words.replace("between groups", f"between {groups[0]} and {groups[1]}")
    return f"largest {words}" if len(groups) > 2 and words.startswith("difference in") else words
