"""Figures of a record that are undefined, and why."""

from collections.abc import Iterator, Mapping, Sequence

from utils.system.console import count
from utils.words.levels import name_class

Figures = Mapping[str, float | None]

# by what rates are shares of, and the class that is meant: these, and the gaps of them
NEEDS = {
    ("of", 1): (("fnr", "tpr"), ("fnr_gap", "tpr_gap", "equalized_odds_difference")),
    ("of", 0): (("fpr",), ("fpr_gap", "equalized_odds_difference")),
    ("that the model gives", 1): (("ppv",), ("ppv_gap",)),
}
OF_CLASSES = ("balanced_accuracy", "worst_class_accuracy", "auc")


def explain_undefined(
    metrics: Figures,
    shares: Mapping[str, Sequence[int]],
    groups: Sequence[str],
    classes: Sequence[str] = (),
    *,
    groups_min: int,
) -> list[str]:
    """A sentence for each cause: "fnr_gap is undefined: group men has no test row of class 1".

    Args:
        metrics: of one model, undefined ones None.
        shares: numerator and denominator of those that are shares of rows.
        groups: names of the sensitive groups.
        classes: names of the classes, where they have any.
        groups_min: the fewest rows of a group, of those that a rate is a share of, with which its gap is reported.
    """
    of_groups = _of_groups(metrics, shares, groups, classes, groups_min)
    return [*_of_classes(metrics, classes), *of_groups, *_of_attacks(metrics)]


def _of_classes(metrics: Figures, classes: Sequence[str]) -> Iterator[str]:
    """Classes without rows."""
    if metrics.get("accuracy", 0.0) is None:
        yield "every metric is undefined: there are no test rows"
        return
    empty = {key.removeprefix("accuracy_class_"): key for key in metrics if key.startswith("accuracy_class_")}
    missing = [label for label, key in empty.items() if label.isdigit() and metrics[key] is None]
    if not empty and metrics.get("prevalence") in (0.0, 1.0):
        missing = ["1" if metrics["prevalence"] == 0.0 else "0"]
    for label in missing:
        shown = [key for key in (empty.get(label), *OF_CLASSES) if key and metrics.get(key, 0.0) is None]
        yield f"{_are(shown)} undefined: there is no test row of {name_class(int(label), classes)}"


def _of_groups(
    metrics: Figures,
    shares: Mapping[str, Sequence[int]],
    groups: Sequence[str],
    classes: Sequence[str],
    groups_min: int,
) -> Iterator[str]:
    """Groups with too few rows, without any, or with too few of those that a rate needs."""
    support = [metrics.get(f"support_group{i}") for i in range(len(groups))]
    short = any(rows is not None and rows < groups_min for rows in support)
    least = f"fewer than evaluation.metrics.group.groups_min={groups_min}"
    for i, (name, rows) in enumerate(zip(groups, support, strict=True)):
        if rows == 0:
            yield f"every gap is undefined, and every rate of group {name}: it has no test row"
        elif rows is not None:
            if rows < groups_min:
                yield f"every gap is undefined: group {name} has {count(rows, 'test row')}, {least}"
            for (words, label), (rates, gaps) in NEEDS.items():
                needed = f"{words} {name_class(label, classes)}"
                known = [key for key in (f"{rate}_group{i}" for rate in rates) if key in metrics]
                fewest = min((shares[key][1] if key in shares else 0 for key in known), default=groups_min)
                if known and not fewest:
                    yield f"{_are(known if short else gaps)} undefined: group {name} has no test row {needed}"
                elif fewest < groups_min and not short:
                    yield f"{_are(gaps)} undefined: group {name} has {count(fewest, 'test row')} {needed}, {least}"


def _of_attacks(metrics: Figures) -> Iterator[str]:
    """Attacks that have nothing to move."""
    parts = ("_low", "_high", "_class_", "_group", "_after_")
    keys = [key for key, value in metrics.items() if value is None and key.startswith("robust_accuracy")]
    lost = [key for key in keys if not any(part in key for part in parts)]
    if lost and metrics.get("accuracy", 0.0) is not None:
        yield f"{_are(lost)} undefined: the attack has no column to move, as none of numbers may move in these data"


def _are(keys: Sequence[str]) -> str:
    """``a is``, ``a, b are``."""
    return f"{', '.join(keys)} {'is' if len(keys) == 1 else 'are'}"
