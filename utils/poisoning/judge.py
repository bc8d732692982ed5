"""The worth of a set of added rows: metrics on the validation rows, one loss, and whether it is permitted."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from utils.metrics.classification import FROM_TABLE
from utils.metrics.confusion import Counts, Floats
from utils.metrics.directions import ERRORS, by_attribute, direction, split_some
from utils.metrics.group import GAPS, OF_ANY_CLASSES, RATES, views
from utils.types import Answer, Batch, FitDecide
from utils.words.near import near, near_or_all

OF_ALL_ROWS = ("accuracy", "balanced_accuracy", "mcc")
ACCURACIES = ("constraint", "weight", "objective", "ignore")
DIGITS = 12  # of a violation: a loss of exactly what is permitted is permitted


class Judged(NamedTuple):
    """Metrics, the loss that is minimised, and by how much accuracy or harm miss their limits: permitted up to 0."""

    metrics: Mapping[str, float]
    loss: float
    violation: float


class UndefinedError(ValueError):
    """A metric that is needed is undefined."""


@dataclass(frozen=True)
class Judge:
    """Judges by the labels of the validation rows, whose thresholds are fitted to each learner anew.

    loss = sign * metric + sum of weight_i * penalty_i + (accuracy_weight * (accuracy of the baseline - accuracy),
    where ``accuracy`` is weight). The sign is that of the metric's worse end, and the other for ``objective=unfair``.
    violation = accuracy of the baseline - accuracy_loss - accuracy, where ``accuracy`` is constraint or objective; with
    ``harm`` the largest of this and, over all groups, of the rise of its false negative and false positive rate - harm.

    Raises:
        ValueError: a setting that cannot be meant.
    """

    metric: str
    objective: str  # fair or unfair
    penalties: Mapping[str, float]  # metric -> weight in the loss
    accuracy: str  # constraint, weight, objective or ignore
    accuracy_loss: float  # at most so much below the baseline, in [0, 1]
    accuracy_weight: float
    valid: Batch
    groups: Sequence[str]
    fit_decide: FitDecide
    harm: float | Mapping[str, float] | None = None  # the most that both error rates, or each, may rise; None: any
    sizes: Mapping[str, int] = field(default_factory=dict)  # of several sensitive attributes, see ``attribute_sizes``

    def __post_init__(self) -> None:
        chosen("objective", self.objective, ("fair", "unfair"))
        chosen("accuracy", self.accuracy, ACCURACIES)
        for key in (self.metric, *self.penalties):
            where = "metric" if key == self.metric else "penalties"
            if key not in self.available:
                hint = near_or_all(key, self.available)
                raise ValueError(f"attack.poison.{where}: there is no metric {key} of the validation rows{hint}")
        if not direction(self.metric):
            raise ValueError(
                f"attack.poison.metric={self.metric}: it has no better end; use a gap, such as fpr_gap or "
                "demographic_parity_difference"
            )
        for key, weight in {**self.penalties, "accuracy_weight": self.accuracy_weight}.items():
            if not _is_number(weight) or not math.isfinite(weight):
                raise ValueError(f"attack.poison: the weight of {key} is {weight}; expected a finite number")
        if not _is_number(self.accuracy_loss) or not 0 <= self.accuracy_loss <= 1:
            raise ValueError(
                f"attack.poison.accuracy_loss={self.accuracy_loss}: expected a share of rows in [0, 1], such as 0.01"
            )
        for rate, most in self._limits.items():
            if rate not in ERRORS or not _is_number(most) or not 0 <= most <= 1:
                raise ValueError(
                    f"attack.poison.harm: {rate}={most}; expected a number in [0, 1], or {{fpr: 0.01}}, of "
                    f"{' and '.join(ERRORS)}"
                )

    @cached_property
    def available(self) -> tuple[str, ...]:
        """The metrics that there are."""
        rates, gaps = self._names
        two = len(self.groups) == 2
        of_groups = [f"{rate}_group{i}" for rate in rates for i in range(len(self.groups))]
        signed = [f"{rate}_signed_gap" for rate in rates]
        alone = [f"{gap}{by_attribute(a)}" for a, n in self.sizes.items() for gap in (*gaps, *signed * (n == 2))]
        return (*OF_ALL_ROWS, *gaps, *of_groups, *signed * two, *alone)

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """The metrics that the loss and the violation are made of."""
        return tuple(dict.fromkeys([self.metric, *self.penalties, "accuracy"]))

    @property
    def objectives(self) -> int:
        """The number of values that are minimised: the loss and, where it is an objective, 1 - accuracy."""
        return 1 + (self.accuracy == "objective")

    @property
    def least(self) -> float:
        """A loss below which there is none, where it is known: a gap is 0 at least. The weighted accuracy has none."""
        plain = [split_some(key)[0] for key in (self.metric, *self.penalties)]
        below_0 = any(key == "mcc" or key.endswith("_signed_gap") for key in plain)
        if self.accuracy == "weight" or below_0:
            return -math.inf
        return sum(min(0.0, weight) for weight in (self.sign, *self.penalties.values()))

    @property
    def sign(self) -> int:
        """The sign of the metric in the loss."""
        return -direction(self.metric) * (1 if self.objective == "fair" else -1)

    @cached_property
    def _names(self) -> tuple[list[str], list[str]]:
        binary = self._classes == 2
        return ([n for n in RATES if binary or n in OF_ANY_CLASSES], [n for n in GAPS if binary or n in OF_ANY_CLASSES])

    @cached_property
    def _classes(self) -> int:
        return max(2, int(self.valid.y.max()) + 1)

    @cached_property
    def _cells(self) -> Counts:
        """Index of the first cell of every row in the tables of the groups, (n,)."""
        s, y = self.valid.s.cpu().numpy(), self.valid.y.cpu().numpy()
        return (s * self._classes + y) * self._classes

    def tables(self, answer: Answer) -> Counts:
        """Confusion tables of each inner seed and group, (r, g, k, k), true class before label.

        Raises:
            UndefinedError: the learner failed, a logit is nan, or a label is of a class that no row has.
        """
        if answer.logits is None:
            raise UndefinedError(answer.error or "the learner gave no answer")
        if answer.logits.isnan().any():
            raise UndefinedError("the learner answers nan on validation rows")
        shape = (len(self.groups), self._classes, self._classes)
        found = []
        for logits in answer.logits:
            own = logits.to(self.valid.y.device)  # where the thresholds of the stored model are fitted
            labels = self.fit_decide(own, self.valid, self.groups)(own, self.valid.s).cpu().numpy()
            if labels.max() >= self._classes:
                raise UndefinedError(f"the learner answers class {labels.max()}, of which no validation row is")
            found.append(np.bincount(self._cells + labels, minlength=math.prod(shape)).reshape(shape))
        return np.stack(found)

    def metrics(self, answer: Answer) -> dict[str, float]:
        """Means over inner seeds of accuracy, balanced_accuracy, mcc and the rates and gaps of ``utils.metrics.group``.

        Of several sensitive attributes also the gaps between the groups of each alone.

        What is undefined with some inner seed is left out.

        Raises:
            UndefinedError: the learner failed, or a logit is nan.
        """
        tables = self.tables(answer)
        whole = tables.sum(1)
        rates, gaps = self._names
        found: dict[str, Floats] = {key: FROM_TABLE[key](whole) for key in OF_ALL_ROWS}
        for end, own in views(tables, self.sizes):
            found |= {f"{key}{end}": GAPS[key](own) for key in gaps}
            if own.shape[1] == 2:
                found |= {f"{key}_signed_gap{end}": np.diff(RATES[key](own))[:, 0] for key in rates}
        for key in rates:
            found |= {f"{key}_group{i}": of for i, of in enumerate(RATES[key](tables).T)}
        means = {key: float(values.mean()) for key, values in found.items()}
        return {key: mean for key, mean in means.items() if not math.isnan(mean)}

    def __call__(self, metrics: Mapping[str, float], baseline: Mapping[str, float]) -> Judged:
        """Judges metrics beside those without added rows. Raises UndefinedError where one is not there."""
        for key in self.needed:
            if key not in metrics:
                raise UndefinedError(self._undefined(key))
        lost = baseline["accuracy"] - metrics["accuracy"]
        loss = self.sign * metrics[self.metric] + sum(weight * metrics[key] for key, weight in self.penalties.items())
        loss += self.accuracy_weight * lost if self.accuracy == "weight" else 0.0
        beyond = self.beyond(metrics, baseline).values()
        return Judged(metrics, loss, round(max(beyond), DIGITS) if beyond else 0.0)

    @cached_property
    def _limits(self) -> Mapping[str, float]:
        """The most that each error rate of a group may rise."""
        if self.harm is None or isinstance(self.harm, Mapping):
            return self.harm or {}
        return dict.fromkeys(ERRORS, self.harm)

    def beyond(self, metrics: Mapping[str, float], baseline: Mapping[str, float]) -> dict[str, float]:
        """Returns by how much accuracy and error rates of groups miss their limits, 0 at most where they hold.

        What is undefined is left out.
        """
        found = {}
        if self.accuracy in ("constraint", "objective"):
            found["accuracy"] = baseline["accuracy"] - metrics["accuracy"] - self.accuracy_loss
        keys = [(f"{rate}_group{i}", most) for rate, most in self._limits.items() for i in range(len(self.groups))]
        there = [(key, most) for key, most in keys if key in metrics and key in baseline]
        return found | {key: metrics[key] - baseline[key] - most for key, most in there}

    def _undefined(self, key: str) -> str:
        """Says why a metric is undefined: which group lacks which class or label."""
        shape = (len(self.groups), self._classes)
        there = np.bincount(self._cells // self._classes, minlength=math.prod(shape)).reshape(shape)
        lacking = [f"{self.groups[g]} has no row of class {c}" for g, c in np.argwhere(there == 0)]
        why = "; ".join(lacking) or "some group has no row with label 1"
        return f"{key} is undefined on the validation rows: {why}; choose another metric, or another split"


def chosen(setting: str, value: str, known: Sequence[str]) -> None:
    """Refuses a word that is not one of the known ones. Raises ValueError."""
    if value not in known:
        raise ValueError(f"attack.poison.{setting}={value}: expected one of {', '.join(known)}{near(value, known, '')}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
