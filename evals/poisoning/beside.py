"""Plain methods beside a search for rows, as the records of one setting hold them: seed by seed, on the test rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from evals.choosing.comparison import GAPS
from evals.poisoning.paired import Change, Setting, change_of
from evals.records import levelling, query
from utils.metrics.directions import describe, direction
from utils.words.numbers import write_estimate

SEARCH, NOTHING = "this search", "rows as they are"
ERRORS = ("fnr", "fpr")
ACCURACY = "accuracy"


class Method(NamedTuple):
    """One way to a fairer model over the seeds of a setting, on the test rows."""

    name: str
    change: Change  # of the poisoned metric
    accuracy: Change
    to_search: Change  # the metric of the search, then that of the method
    rates: Mapping[str, list[Change]]  # error rate -> of each group
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
    return {
        "test": record["metrics"],
        "broken": {},
        "trainings": (poison.get("evaluations") or 0) + 1,
        "seconds": sum(filter(None, (poison.get("seconds") or {}).values())),
        "words": [],
    }


def _method(setting: Setting, name: str, entries: Sequence[Mapping[str, Any]]) -> Method:
    metric, groups = setting.metric, len(query.group_names(setting.records))
    there = [own for own in entries if "error" not in own]

    def change(key: str, before: str) -> Change:
        befores = [record["metrics"].get(before) for record in setting.records]
        afters = [own.get("test", {}).get(key) for own in entries]
        pairs = zip(befores, afters, strict=True)
        return change_of([(a, b) for a, b in pairs if a is not None and b is not None], key)

    return Method(
        name=name,
        change=change(metric, f"{metric}_unpoisoned"),
        accuracy=change(ACCURACY, f"{ACCURACY}_unpoisoned"),
        to_search=change(metric, metric),
        rates={
            rate: [change(f"{rate}_group{i}", f"{rate}_group{i}_unpoisoned") for i in range(groups)] for rate in ERRORS
        },
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
    """Returns the words of the first, where all have them; else the option alone."""
    if not words or not words[0]:
        return ()
    return words[0] if len(set(words)) == 1 else words[0][:1]


def best_of(setting: Setting, methods: Sequence[Method]) -> Method | None:
    """The plain method with the best metric among those that keep to the limits in every seed; None for none."""
    plain = [method for method in methods if method.name != SEARCH and method.permitted]
    return min(plain, key=lambda method: -_better(setting) * method.change.after, default=None)


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
        f"{setting.label}: the best plain method within the limits is {best.name}, {setting.metric} "
        f"{best.change.after:.3f} with {best.trainings:.3g} trainings; the search reaches {search.change.after:.3f} "
        f"with {search.trainings:.3g}"
    )
    if math.isnan(low):
        return f"{about}; without an interval nothing is known of another seed"
    written = write_estimate(gain, low, high)
    if low > 0:
        return f"{about}, better by {written}"
    if high < 0:
        return f"{about}, worse by {write_estimate(-gain, -high, -low)}: take {_taken(best)}"
    return f"{about}, and cannot be told from it ({written} better): {_taken(best)} costs less"


def _taken(method: Method) -> str:
    return " ".join(method.words) or method.name


def sides(setting: Setting, method: Method, groups: Sequence[str]) -> list[str]:
    """Both groups' error rates before and after, of those that the metric is a gap in."""
    found = []
    for rate in (rate for rate in ERRORS if rate in GAPS.get(setting.metric, ())):
        of = method.rates[rate]
        found.append(levelling.describe(describe(rate), groups, *zip(*((c.before, c.after) for c in of), strict=True)))
    return [text for text in found if text]
