"""The settings of searches for rows to add: by what rows are judged, which rows there are, which search it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from utils.metrics.group import attribute_sizes
from utils.poisoning.features import Space
from utils.poisoning.journal import Entry, Journal, fingerprint, of_other_budgets
from utils.poisoning.judge import Judge
from utils.records.settings import permitted_harm
from utils.types import Victim


@dataclass(frozen=True, kw_only=True)
class PoisonSettings:
    """Settings of every search, explained where a search takes them (``utils.attacks.bo_poison``).

    Raises:
        ValueError: a number that is no whole one, or too small.
    """

    LEAST: ClassVar[Mapping[str, int]] = {"budget": 0, "batch": 1}  # of whole numbers

    budget: int
    metric: str
    objective: str
    penalties: Mapping[str, float] | None
    accuracy: str
    accuracy_loss: float
    accuracy_weight: float
    harm: float | str | Mapping[str, float] | None
    batch: int

    def __post_init__(self) -> None:
        for name, lowest in self.LEAST.items():
            value = getattr(self, name)
            if name == "rows" and value is None:  # no limit
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
                raise ValueError(f"attack.poison.{name}={value}: expected a whole number, {lowest} or more")

    @property
    def harm_permitted(self) -> float | Mapping[str, float] | None:
        """The largest rise of a group's error rates, or of each rate; None: any."""
        return permitted_harm(self.harm, self.objective)

    def judge(self, victim: Victim) -> Judge:
        """Returns the judge of rows by the victim's validation rows. Raises ValueError as ``Judge``."""
        return Judge(
            metric=self.metric,
            objective=self.objective,
            penalties=self.penalties or {},
            accuracy=self.accuracy,
            accuracy_loss=self.accuracy_loss,
            accuracy_weight=self.accuracy_weight,
            harm=self.harm_permitted,
            valid=victim.valid,
            groups=victim.groups,
            fit_decide=victim.fit_decide,
            sizes=attribute_sizes(victim.columns),
        )

    def journal(self, victim: Victim, shared: Callable[[list[Entry]], list[Entry]]) -> Journal:
        """Returns the journal of this search among the victim's rows. Raises ValueError as ``Journal``.

        A new one begins with what the same search has evaluated with another budget, where that is more than nothing:
        ``shared`` takes from its evaluations those that this one would make too.
        """
        data = fingerprint(victim.train, victim.valid)
        own = {key: value for key, value in vars(self).items() if key != "harm" and (key, value) != ("action", "add")}
        if self.harm_permitted is not None:  # a later setting
            own["harm"] = self.harm_permitted
        definition = {"run": victim.run, **own, "seed": victim.seed, "data": data}
        journal = Journal(victim.journal, definition)
        if not journal.entries:
            others = [shared(entries) for entries in of_other_budgets(victim.earlier, definition)]
            most: list[Entry] = max(others, key=len, default=[])
            journal.add(most)
        return journal


@dataclass(frozen=True, kw_only=True)
class CellSettings(PoisonSettings):
    """Settings of a search by numbers of rows of each group with each label."""

    action: str
    cells: Sequence[Sequence[object]] | None
    labels: str
    order: str
    most: Mapping[str, float]
    slack: float
    sampler: str


@dataclass(frozen=True, kw_only=True)
class RowSettings(PoisonSettings):
    """Settings of a search for the features of rows to add."""

    LEAST: ClassVar[Mapping[str, int]] = {**PoisonSettings.LEAST, "rows": 1, "copies": 1}

    label: int | str
    bounds: Mapping[str, Sequence[float]] | None
    fixed: Mapping[str, float | str] | None
    rows: int | None
    copies: int

    def space(self, victim: Victim, *, spread: bool = False) -> Space:
        """Returns the rows that may be added. Raises ValueError as ``Space.of``, and for a label that is none."""
        return Space.of(
            victim.columns,
            victim.train,
            victim.loc,
            victim.scale,
            label=_read_label(self.label),
            classes=count_classes(victim),
            copies=self.copies,
            spread=spread,
            bounds=self.bounds or {},
            fixed=self.fixed or {},
        )


@dataclass(frozen=True, kw_only=True)
class BayesSettings(RowSettings):
    """Settings of a search by a surrogate of the loss."""

    search: str
    spread: bool
    sampler: str


@dataclass(frozen=True, kw_only=True)
class GradientSettings(RowSettings):
    """Settings of a search by predicted effects."""

    LEAST: ClassVar[Mapping[str, int]] = {**RowSettings.LEAST, "candidates": 1, "steps": 0, "cg_steps": 1}

    action: str
    candidates: int
    steps: int
    damping: float
    cg_steps: int
    temperature: float


def judge_of(settings: Mapping[str, Any], victim: Victim) -> Judge:
    """Returns the judge of a search by its settings, as ``attack.poison`` has them. Raises ValueError as ``Judge``."""
    return PoisonSettings(**{field.name: settings[field.name] for field in fields(PoisonSettings)}).judge(victim)


def count_classes(victim: Victim) -> int:
    """Returns how many classes the victim's rows have, two at least."""
    return 1 + max(1, int(victim.train.y.max()), int(victim.valid.y.max()))


def _read_label(label: Any) -> int | None:
    """Returns the class, or None where it is searched; which classes there are the space checks."""
    if label == "search":
        return None
    if isinstance(label, bool) or not (isinstance(label, int) or str(label).isdigit()):
        raise ValueError(f"attack.poison.label={label}: expected search, or a class such as 1")
    return int(label)
