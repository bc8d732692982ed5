"""Sentences below a table of means: at which radius a figure is, over what its seeds spread, what its words mean."""

from collections.abc import Sequence

from evals.records.query import Record
from evals.records.rho import is_at_training_radius, worst_of
from utils.records import given_weights
from utils.runs.causal_figures import has

SHOWN = 3  # files in a sentence
WORST = "worst_class"


def notes(records: Sequence[Record], shown: Sequence[str]) -> list[str]:
    """Returns what a reader has to know of the figures shown, a sentence each, without its stop."""
    return [*_tell_worst(records, shown), *_tell_radius(records, shown), *tell_given(records)]


def find_pair(records: Sequence[Record]) -> tuple[str, str] | None:
    """Returns the robust accuracy at a radius that it names, and that of its worst class, of most records; else None.

    Of equally many the first that is filed.
    """
    counts: dict[str, int] = {}
    for record in records:
        for key in record["metrics"]:
            if key.startswith("robust_accuracy_") and worst_of(key) in record["metrics"]:
                counts[key] = counts.get(key, 0) + 1
    average = max(counts, key=lambda key: counts[key], default="")
    worst = worst_of(average)
    return (average, worst) if worst else None


def _tell_worst(records: Sequence[Record], shown: Sequence[str]) -> list[str]:
    """Says which worst class is meant, where there are several seeds."""
    settings = {record.get("group_id") for record in records}
    several = len(settings) < len(records) and any(WORST in key for key in shown)
    return [f"{WORST}: the mean over seeds of the class that is lowest in each"] if several else []


def _tell_radius(records: Sequence[Record], shown: Sequence[str]) -> list[str]:
    """Says the radius of robust accuracies that name none: that of the training."""
    keys = [key for key in shown if is_at_training_radius(key)]
    having = [record for record in records if any(has(record, key) for key in keys)]
    radii = [str((record["params"].get("epsilon") or {}).get("radius")) for record in having]
    if not radii:
        return []
    counts = {radius: radii.count(radius) for radius in dict.fromkeys(radii)}
    listed = ", ".join(f"{radius} in {n} of {len(radii)} runs" for radius, n in counts.items())
    said = radii[0] if len(counts) == 1 else f"each run's own ({listed})"
    lacking = [record for record in records if record not in having and has(record, "accuracy")]
    others = find_pair(records) if lacking else None
    more = f"; all runs have one radius by metrics={','.join(others)}" if others else ""
    return [f"{' and '.join(keys)}: at the radius of the training, {said}{more}"]


def tell_given(records: Sequence[Record]) -> list[str]:
    """Says which rows are weights of files, of which nothing was trained here."""
    given = [record["params"] for record in records if given_weights.name_file(record["params"])]
    if not given:
        return []
    names = list(dict.fromkeys(map(given_weights.name_with_hash, given)))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [
        f"Not trained here, weights of files: {', '.join(names[:SHOWN])}{more}; their seeds draw rows and attacks "
        f"anew, so that ± is no spread of trainings, and {given_weights.UNSEEN}"
    ]
