"""What a record's figures leave undefined, and why."""

from collections.abc import Iterator, Mapping, Sequence

Figures = Mapping[str, float | None]

# by what a group lacks: the rates that need it, and the gaps of them
NEEDS = {
    "no test row of class 1": (("fnr", "tpr"), ("fnr_gap", "tpr_gap", "equalized_odds_difference")),
    "no test row of class 0": (("fpr",), ("fpr_gap", "equalized_odds_difference")),
    "no test row that the model gives class 1": (("ppv",), ("ppv_gap",)),
}
OF_CLASSES = ("balanced_accuracy", "worst_class_accuracy", "auc")


def undefined(metrics: Figures, groups: Sequence[str], *, groups_min: int) -> list[str]:
    """A sentence for each cause: "fnr_gap is undefined: group men has no test row of class 1".

    Args:
        metrics: of one model, undefined ones None.
        groups: names of the sensitive groups.
        groups_min: the fewest rows of a group with which gaps are reported.
    """
    return [*_of_classes(metrics), *_of_groups(metrics, groups, groups_min)]


def _of_classes(metrics: Figures) -> Iterator[str]:
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
        yield f"{_are(shown)} undefined: there is no test row of class {label}"


def _of_groups(metrics: Figures, groups: Sequence[str], groups_min: int) -> Iterator[str]:
    """Groups with too few rows, without any, or without those that a rate needs."""
    support = [metrics.get(f"support_group{i}") for i in range(len(groups))]
    short = any(rows is not None and rows < groups_min for rows in support)
    least = f"fewer than groups_min={groups_min}"
    for i, (name, rows) in enumerate(zip(groups, support, strict=True)):
        if rows == 0:
            yield f"every gap is undefined, and every rate of group {name}: it has no test row"
        elif rows is not None:
            if rows < groups_min:
                yield f"every gap is undefined: group {name} has {rows:.0f} test rows, {least}"
            for lack, (rates, gaps) in NEEDS.items():
                lost = [key for key in (f"{rate}_group{i}" for rate in rates) if metrics.get(key, 0.0) is None]
                if lost:
                    yield f"{_are(lost if short else gaps)} undefined: group {name} has {lack}"


def _are(keys: Sequence[str]) -> str:
    """``a is``, ``a, b are``."""
    return f"{', '.join(keys)} {'is' if len(keys) == 1 else 'are'}"
