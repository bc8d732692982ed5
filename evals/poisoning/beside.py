"""Plain methods beside a search for rows, as the records of one setting hold them: seed by seed, on the test rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from evals.poisoning.paired import Change, Setting, change_of
from evals.records import query
from utils.metrics.directions import ERRORS, direction
from utils.system.console import count
from utils.words.numbers import write_estimate

SEARCH, NOTHING = "this search", "rows as they are"
ACCURACY = "accuracy"


class Method(NamedTuple):
    """One way to a fairer model over the seeds of a setting, on the test rows."""

    name: str
    valid: float  # mean of the poisoned metric on validation rows, by which the best is chosen
    change: Change  # of the poisoned metric
    accuracy: Change
    to_search: Change  # the metric of the search, then that of the method
    rates: Mapping[str, Change]  # by key, such as fpr_group0
    within: int  # seeds in which it keeps to the limits on validation rows
    broken: Sequence[str]  # the limits that it breaks in some seed
    trainings: float
    seconds: float  # of the processor
    words: tuple[str, ...]  # of the command line, where all seeds have the same
    error: str  # why there is none

    @property
    def permitted(self) -> bool:
        """True where the limits hold in every seed."""
        return bool(self.change.n) and self.within == self.change.n


def methods_of(setting: Setting) -> list[Method]:
    """The search of a setting, then what stands beside it; nothing where the records hold no baselines."""
    beside: list[list[Mapping[str, Any]]] = [record["poison"].get("baselines") or [] for record in setting.records]
    if not all(beside):
        return []
    named = list(dict.fromkeys(own["method"] for found in beside for own in found))
    each = {name: [_entry(found, name) for found in beside] for name in named}
    own = [_of_search(record) for record in setting.records]
    return [_method(setting, SEARCH, own), *(_method(setting, name, found) for name, found in each.items())]


def _entry(found: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next((own for own in found if own["method"] == name), {"error": "not tried"})


def _of_search(record: query.Record) -> dict[str, Any]:
    """Returns a search in the form of a baseline."""
    poison = record["poison"]
    metrics, metric = record["metrics"], poison["metric"]
    return {
        "valid": {metric: metrics.get(f"{metric}_valid")},
        "test": metrics,
        "broken": {},
        "trainings": (poison.get("evaluations") or 0) + 1,
        "seconds": sum(filter(None, (poison.get("seconds") or {}).values())),
        "words": [],
    }


def _method(setting: Setting, name: str, entries: Sequence[Mapping[str, Any]]) -> Method:
    metric, groups = setting.metric, range(len(setting.groups))
    keys = [f"{rate}_group{i}" for rate in ERRORS for i in groups]
    there = [own for own in entries if "error" not in own]

    def change(key: str, before: str) -> Change:
        befores = [record["metrics"].get(before) for record in setting.records]
        afters = [own.get("test", {}).get(key) for own in entries]
        pairs = zip(befores, afters, strict=True)
        return change_of([(a, b) for a, b in pairs if a is not None and b is not None], key)

    return Method(
        name=name,
        valid=_mean([value for own in there if (value := own["valid"].get(metric)) is not None]),
        change=change(metric, f"{metric}_unpoisoned"),
        accuracy=change(ACCURACY, f"{ACCURACY}_unpoisoned"),
        to_search=change(metric, metric),
        rates={key: change(key, f"{key}_unpoisoned") for key in keys},
        within=sum(not own["broken"] for own in there),
        broken=tuple(dict.fromkeys(key for own in there for key in own["broken"])),
        trainings=_mean([own["trainings"] for own in there]),
        seconds=_mean([own["seconds"] for own in there]),
        words=_shared([tuple(own["words"]) for own in there]),
        error=next((own["error"] for own in entries if "error" in own), ""),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _shared(words: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Returns the words that all seeds have; in place of a value that differs, dots."""
    if not words or not words[0]:
        return ()
    if len({len(own) for own in words}) > 1:
        return words[0][:1]
    return tuple(
        each[0] if len(set(each)) == 1 else f"{each[0].partition('=')[0]}=..." for each in zip(*words, strict=True)
    )


def best_of(setting: Setting, methods: Sequence[Method]) -> Method | None:
    """The plain method with the best mean on validation of those within the limits in every seed; None for none."""
    plain = [of for of in methods if of.name != SEARCH and of.permitted and not math.isnan(of.valid)]
    return min(plain, key=lambda method: -_better(setting) * method.valid, default=None)


def is_better(setting: Setting, value: float, other: float) -> bool:
    """Returns whether one value of the metric is fairer than another."""
    return _better(setting) * (value - other) > 0


def _better(setting: Setting) -> int:
    """Returns +1 where more of the metric is fairer, -1 where less is."""
    return direction(setting.metric) or -1


def verdict(setting: Setting, methods: Sequence[Method]) -> str:
    """A sentence on whether the search is worth its trainings, and what to take instead."""
    search, best = methods[0], best_of(setting, methods)
    if best is None:
        nearest = min((m for m in methods[1:] if m.change.n), key=lambda m: len(m.broken), default=None)
        about = f"; {nearest.name} breaks {', '.join(nearest.broken)}" if nearest else ""
        return f"{setting.label}: no plain method keeps to the limits in every seed{about}"
    difference = best.to_search
    gain, *ends = (-_better(setting) * of for of in (difference.mean, difference.low, difference.high))
    low, high = sorted(ends)
    about = (
        f"{setting.label}: the best plain method within the limits, by validation, is {best.name}, {setting.metric} "
        f"{best.change.after:.3f} with {count(round(best.trainings), 'training')}; the search reaches "
        f"{search.change.after:.3f} with {round(search.trainings)}"
    )
    if math.isnan(low):
        return f"{about}; without an interval nothing is known of another seed"
    written = write_estimate(gain, low, high)
    if low > 0:
        return f"{about}, better by {written}"
    if high < 0:
        return f"{about}, worse by {write_estimate(-gain, -high, -low)}: take {_taken(best)}"
    cheaper = best.trainings <= search.trainings and best.seconds <= search.seconds
    return f"{about}, and cannot be told from it ({written} better){f': {_taken(best)} costs less' if cheaper else ''}"


def _taken(method: Method) -> str:
    return " ".join(method.words) or method.name
