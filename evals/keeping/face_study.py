"""The figures of the face-scoring study's older databases under the names that this program gives them."""

import re
from collections.abc import Mapping

Figures = Mapping[str, float | None]
GROUPS = {"A": 0, "B": 1}
RATES = {"acc": "accuracy"}  # the other rates are called alike
GAPS = {"acceptance_rate": "demographic_parity_difference"}
OF_GROUP = re.compile(r"Fairness\.Group_(?P<group>[AB])\.(?P<rate>\w+)")
ATTACKED = re.compile(r"Adversarial\.(?P<norm>Linf|L2|L1)_(?P<radius>.+)")


def rename_metrics(metrics: Figures) -> dict[str, float | None]:
    """Names joined by dots, as ``Fairness.Group_A.fnr``, under our own; others stay as they are.

    Group A is group 0. Gaps are made from the rates of the groups, whose difference the study stores without saying
    in which order. ``MMC`` beside them is the mean of the largest probability. Figures of attacks are taken to be
    accuracies, as all others there.
    """
    if not any(OF_GROUP.fullmatch(key) for key in metrics):
        return dict(metrics)
    found: dict[str, float | None] = {}
    for key, value in metrics.items():
        if match := OF_GROUP.fullmatch(key):
            found[f"{RATES.get(match['rate'], match['rate'])}_group{GROUPS[match['group']]}"] = value
        elif match := ATTACKED.fullmatch(key):
            found[f"robust_accuracy_{match['norm'].lower()}_{match['radius']}"] = value
        elif key == "mcc":  # as MMC is read elsewhere
            found["mean_max_confidence"] = value
        elif not key.startswith("Fairness.Difference."):
            found[key] = value
    return found | _gaps(found)


def _gaps(figures: Figures) -> dict[str, float | None]:
    """Signed and unsigned, of every rate that both groups have."""
    gaps: dict[str, float | None] = {}
    for rate in [key.removesuffix("_group0") for key in figures if key.endswith("_group0")]:
        first, second = figures[f"{rate}_group0"], figures.get(f"{rate}_group1")
        signed = None if first is None or second is None else second - first
        gaps |= {f"{rate}_signed_gap": signed, GAPS.get(rate, f"{rate}_gap"): None if signed is None else abs(signed)}
    return gaps
