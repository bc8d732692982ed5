"""Later evaluations of a record, as ``evaluate.py`` adds them: ``pgd@0.1/accuracy`` is a figure of one of them."""

from collections.abc import Iterable

from utils.records.typed import Record


def evaluations(records: Iterable[Record]) -> set[str]:
    """Returns the names of all later evaluations."""
    return {name for record in records for name in record.get("evaluations") or {}}


def of_evaluation(key: str, evaluations: Iterable[str]) -> tuple[str | None, str]:
    """Returns the later evaluation that a column is of, None for the training's, and the metric's own key."""
    named = [name for name in evaluations if key.startswith(f"{name}/")]
    found = max(named, key=len, default=None)  # names may hold a slash themselves: pgd@8/255
    return found, key if found is None else key.removeprefix(f"{found}/")
