"""What every search for rows is asked: by what rows are judged, which rows there are, which search it is.

``settings`` are those of the searches (``utils.attacks.bo_poison``, ``utils.attacks.gradient_poison``), by name.
"""

from collections.abc import Callable, Mapping
from typing import Any

from utils.poisoning.features import Space
from utils.poisoning.journal import Entry, Journal, fingerprint, of_other_budgets
from utils.poisoning.judge import Judge
from utils.types import Victim

JUDGING = ("metric", "objective", "accuracy", "accuracy_loss", "accuracy_weight")

Settings = Mapping[str, Any]


def judge_of(victim: Victim, settings: Settings) -> Judge:
    """Who judges rows by the victim's validation rows. Raises ValueError as ``Judge``."""
    return Judge(
        **{key: settings[key] for key in JUDGING},
        penalties=settings["penalties"] or {},
        valid=victim.valid,
        groups=victim.groups,
        fit_decide=victim.fit_decide,
    )


def space_of(victim: Victim, settings: Settings) -> Space:
    """The rows that may be added to the victim's. Raises ValueError as ``Space.of``, and for a label that is none."""
    return Space.of(
        victim.columns,
        victim.train,
        victim.loc,
        victim.scale,
        label=_label(settings["label"]),
        classes=classes(victim),
        copies=settings["copies"],
        spread=settings.get("spread", False),
        bounds=settings["bounds"] or {},
        fixed=settings["fixed"] or {},
    )


def journal_of(victim: Victim, settings: Settings, shared: Callable[[list[Entry]], list[Entry]]) -> Journal:
    """The journal of this search among the victim's rows. Raises ValueError as ``Journal``.

    A new one begins with what the same search has evaluated with another budget, where that is more than nothing:
    ``shared`` takes from its evaluations those that this one would make too.
    """
    data = fingerprint(victim.train, victim.valid)
    definition = {"run": victim.run, **settings, "seed": victim.seed, "data": data}
    journal = Journal(victim.journal, definition)
    if not journal.entries:
        others = [shared(entries) for entries in of_other_budgets(victim.earlier, definition)]
        most: list[Entry] = max(others, key=len, default=[])
        journal.add(most)
    return journal


def classes(victim: Victim) -> int:
    """How many classes the victim's rows have, two at least."""
    return 1 + max(1, int(victim.train.y.max()), int(victim.valid.y.max()))


def require_whole(settings: Settings, **least: int) -> None:
    """Raise ValueError unless each of these settings is a whole number that is large enough; null rows are no limit."""
    for name, lowest in least.items():
        value = settings[name]
        if name == "rows" and value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise ValueError(f"attack.poison.{name}={value}: expected a whole number, {lowest} or more")


def _label(label: Any) -> int | None:
    """Of a word the class, or None where it is searched; which classes there are the space checks."""
    if label == "search":
        return None
    if isinstance(label, bool) or not (isinstance(label, int) or str(label).isdigit()):
        raise ValueError(f"attack.poison.label={label}: expected search, or a class such as 1")
    return int(label)
