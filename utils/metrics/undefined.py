"""Figures of a record that are undefined, and why."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from utils.metrics.directions import BY, REST, by_attribute, split_some
from utils.system.console import count
from utils.words.levels import levels_of, name_class

Figures = Mapping[str, float | None]

# by what rates are shares of, and the class that is meant: these, and the gaps of them
NEEDS = {
    ("of", 1): (("fnr", "tpr"), ("fnr_gap", "tpr_gap", "equalized_odds_difference")),
    ("of", 0): (("fpr",), ("fpr_gap", "equalized_odds_difference")),
    ("that the model gives", 1): (("ppv",), ("ppv_gap",)),
}
ENDS = ("_low", "_high", "_null")
CERTAIN = re.compile(r"certain_\d+")
OF_CLASSES = ("balanced_accuracy", "worst_class_accuracy", "mcc", "auc")


def explain_undefined(
    metrics: Figures,
    shares: Mapping[str, Sequence[int]],
    groups: Sequence[str],
    classes: Sequence[str] = (),
    *,
    groups_min: int,
    row: str,
) -> list[str]:
    """A sentence for each cause: "fnr_gap is undefined: group men has no test row of class 1".

    Args:
        metrics: of one model, undefined ones None.
        shares: numerator and denominator of those that are shares of rows.
        groups: names of the sensitive groups.
        classes: names of the classes, where they have any.
        groups_min: the fewest rows of a group, of those that a rate is a share of, with which its gap is reported.
        row: what each of the rows is called.
    """
    of_groups = _of_groups(metrics, shares, groups, classes, (groups_min, row))
    return [*_of_classes(metrics, classes, row), *of_groups, *_of_attacks(metrics), *_of_bounds(metrics)]


def _of_classes(metrics: Figures, classes: Sequence[str], row: str) -> Iterator[str]:
    """Classes without rows."""
    if metrics.get("accuracy", 0.0) is None:
        yield f"every metric is undefined: there are no {row}s"
        return
    empty = {key.removeprefix("accuracy_class_"): key for key in metrics if key.startswith("accuracy_class_")}
    missing = [label for label, key in empty.items() if label.isdigit() and metrics[key] is None]
    if not empty and metrics.get("prevalence") in (0.0, 1.0):
        missing = ["1" if metrics["prevalence"] == 0.0 else "0"]
    for label in missing:
        shown = [key for key in (empty.get(label), *OF_CLASSES) if key and metrics.get(key, 0.0) is None]
        yield f"{_are(shown)} undefined: there is no {row} of {name_class(int(label), classes)}"


def _of_groups(
    metrics: Figures,
    shares: Mapping[str, Sequence[int]],
    groups: Sequence[str],
    classes: Sequence[str],
    least: tuple[int, str],
) -> Iterator[str]:
    """Groups with too few rows, without any, or with too few of those that a rate needs; of attributes alone too."""
    support = {i: metrics.get(f"support_group{i}") for i in range(len(groups))}
    known = [_Group(groups[i], i, rows) for i, rows in support.items() if rows is not None]
    yield from _of_view(_View("", known, metrics, shares, *least), classes)
    gaps = [key for key in metrics if key.startswith(f"accuracy_gap{BY}") and not key.endswith((*ENDS, REST))]
    for attribute in (split_some(key)[1] for key in gaps):
        end = by_attribute(attribute)
        last = max((i for i in range(len(groups)) if _whole(shares, f"accuracy_group{i}{end}")), default=0)
        names = enumerate(levels_of(groups, attribute) or [f"{i} of {attribute}" for i in range(last + 1)])
        levels = [_Group(name, i, _whole(shares, f"accuracy_group{i}{end}")) for i, name in names]
        yield from _of_view(_View(end, levels, metrics, shares, *least), classes)


def _whole(shares: Mapping[str, Sequence[int]], key: str) -> int:
    return shares[key][1] if key in shares else 0


class _Group(NamedTuple):
    """A group, its number and its test rows."""

    name: str
    number: int
    rows: float


class _View(NamedTuple):
    """The groups that gaps are between, and the end of the keys of these gaps."""

    end: str
    groups: Sequence[_Group]
    metrics: Figures
    shares: Mapping[str, Sequence[int]]
    groups_min: int
    row: str  # what each row is called

    def fewer(self, groups: Sequence[_Group], needed: str = "") -> str:
        """``group men has 4 test rows of class 1, group x 3, fewer than ...groups_min=10``."""
        first, *others = groups
        more = "".join(f", group {group.name} {group.rows:g}" for group in others)
        return f"group {first.name} has {count(int(first.rows), self.row)}{needed}{more}, {self.least}"

    @property
    def least(self) -> str:
        """The number of rows that a group falls short of, in words."""
        return f"fewer than evaluation.metrics.group.groups_min={self.groups_min}"

    def others(self, gaps: Sequence[str]) -> str:
        """Names the gaps of the other groups, where some are filed."""
        filed = any(f"{gap}{self.end}{REST}" in self.metrics for gap in gaps)
        return f"; <gap>{self.end}{REST} is that of the other groups" if filed else ""

    def needing(self, rates: Sequence[str]) -> list[_Group]:
        """The groups that have rows, each with the fewest that one of these rates is of; none of more classes."""
        ends = [(group, [f"{rate}_group{group.number}{self.end}" for rate in rates]) for group in self.groups]
        measured = f"{rates[0]}_gap{self.end}" in self.metrics
        return [
            group._replace(rows=min(_whole(self.shares, key) for key in keys))
            for group, keys in ends
            if measured and group.rows
        ]


def _of_view(view: _View, classes: Sequence[str]) -> Iterator[str]:
    """A sentence for each cause, naming all groups that it is the cause of."""
    every = f"every gap{view.end.replace('_', ' ')} is undefined"
    all_gaps = [gap for _, gaps in NEEDS.values() for gap in gaps]
    small = {group.number for group in view.groups if group.rows < view.groups_min}
    if none := [group.name for group in view.groups if not group.rows]:
        lost, whose = ("", _groups(none)) if view.end else (f", and every rate of {_groups(none)}", _they(none))
        yield f"{every}{lost}: {whose} {_have(none)} no {view.row}{view.others(all_gaps)}"
    if few := [group for group in view.groups if group.number in small and group.rows]:
        yield f"{every}: {view.fewer(few)}{view.others(all_gaps)}"
    needs = [
        (f" {words} {name_class(label, classes)}", rates, gaps, view.needing(rates))
        for (words, label), (rates, gaps) in NEEDS.items()
    ]
    if not view.end:
        for needed, rates, gaps, needing in needs:
            yield from _of_need(view, needed, needing, rates, gaps, small)
    if view.end or (small and view.others(all_gaps)):
        yield from _in_short(view, [(needed, needing) for needed, _, _, needing in needs], small)


def _of_need(
    view: _View, needed: str, needing: Sequence[_Group], rates: Sequence[str], gaps: Sequence[str], small: set[int]
) -> Iterator[str]:
    """Groups without the rows that some rates are of; where no group is ``small``, those with too few of them."""
    if none := [group for group in needing if not group.rows]:
        lost = [f"{rate}_group{group.number}" for group in none for rate in rates] if small else gaps
        names = [group.name for group in none]
        others = "" if small else view.others(gaps)
        yield f"{_are(lost)} undefined: {_groups(names)} {_have(names)} no {view.row}{needed}{others}"
    few = [group for group in needing if group.rows and group.rows < view.groups_min]
    if few and not small:
        yield f"{_are(gaps)} undefined: {view.fewer(few, needed)}{view.others(gaps)}"


def _in_short(view: _View, needs: Sequence[tuple[str, Sequence[_Group]]], small: set[int]) -> Iterator[str]:
    """One sentence on the groups that are large enough, but have too few of the rows that some rates are of."""
    found: dict[str, list[str]] = {}
    for needed, needing in needs:
        for group in needing:
            if group.rows < view.groups_min and group.number not in small:
                own = found.setdefault(group.name, [])
                own.append(f"{group.rows:g}{needed}" if own else f"{count(int(group.rows), view.row)}{needed}")
    if found:
        ends = view.end.replace("_", " ")
        said = "left out of some of these gaps too" if small else f"some gaps{ends} are undefined"
        others = "" if small else view.others([gap for _, gaps in NEEDS.values() for gap in gaps])
        listed = ", ".join(f"group {name} has {', '.join(of)}" for name, of in found.items())
        yield f"{said}: {listed}, {view.least}{others}"


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _they(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "they"


def _groups(names: Sequence[str]) -> str:
    """``group women``, ``groups women, men``."""
    return f"group{'s' * (len(names) > 1)} {', '.join(names)}"


def _of_attacks(metrics: Figures) -> Iterator[str]:
    """Attacks that have nothing to move."""
    parts = ("_low", "_high", "_class_", "_group", "_after_")
    keys = [key for key, value in metrics.items() if value is None and key.startswith("robust_accuracy")]
    lost = [key for key in keys if not any(part in key for part in parts)]
    if lost and metrics.get("accuracy", 0.0) is not None:
        yield f"{_are(lost)} undefined: the attack has no column to move, as none of numbers may move in these data"


def _of_bounds(metrics: Figures) -> Iterator[str]:
    """Bounds over added rows, of another model, or of a threshold that these move too."""
    lost = [key for key, value in metrics.items() if value is None and CERTAIN.fullmatch(key)]
    if lost and metrics.get("accuracy", 0.0) is not None:
        yield (
            f"{_are(lost)} undefined, and the bounds beside: they are proven of model=partition_vote alone, and of a "
            "threshold that is given (decide=fixed), as one that is fitted moves with rows that are added; where such "
            "a stored model is judged again, evaluation.metrics.poison_bounds.probability=0.5 gives it"
        )


def _are(keys: Sequence[str]) -> str:
    """``a is``, ``a, b are``."""
    return f"{', '.join(keys)} {'is' if len(keys) == 1 else 'are'}"
