"""The gain of a method over the one it builds on: in points, and as rho, for the worst class beside the average."""

import math
import re
from collections.abc import Sequence

import pandas as pd

from evals.records import judged_rows
from evals.records.judged_rows import ROWS, name_records

NEAR_0 = 0.1  # accuracy of a base; a ratio to less says little: a point more of .02 is a rho of .5
RHO, GAIN, BASE = "rho_", "gain_", "base_"
# of a clean or robust average: what stands before it (the name of a later evaluation, with its slash) and its radius
AVERAGE = re.compile(r"(?P<before>(?:.*/)?)(?:accuracy|robust_accuracy(?P<radius>(?:_[\d.][^_]*)?))")
AT_TRAINING = ("robust_accuracy", "robust_accuracy_worst_class")  # that name no radius
ALIKE = ("dataset", "model", "radius", "seed")  # in a run and in the run of its base


def rho(average: float, worst: float, base_average: float, base_worst: float) -> float:
    """Relative change of the worst class plus that of the average, signed (Li & Liu, 2023); 0 of the base itself.

    rho = (worst - base_worst) / base_worst + (average - base_average) / base_average, of accuracies in [0, 1]. It
    grows without bound as the base's worst class nears 0, and is nan where an accuracy of the base is 0.
    """
    if not (base_average and base_worst):
        return math.nan
    return (worst - base_worst) / base_worst + (average - base_average) / base_average


def worst_of(average: str) -> str | None:
    """The metric of the worst class beside a clean or robust average; None beside anything else."""
    found = AVERAGE.fullmatch(average)
    if found is None:
        return None
    robust = found["radius"] is not None
    return found["before"] + (f"robust_accuracy_worst_class{found['radius']}" if robust else "worst_class_accuracy")


def is_at_training_radius(key: str) -> bool:
    """Returns whether a metric is a robust accuracy, of all or of the worst class, that names no radius."""
    return key.rpartition("/")[2] in AT_TRAINING


def columns(keys: Sequence[str], *, every_pair: bool) -> list[str]:
    """The columns to show for metrics: before each ``rho_<average>`` the two gains that it is made of.

    With ``every_pair`` there is a rho for every average whose worst class is shown too.

    Raises:
        ValueError: rho of what is no average.
    """
    shown: list[str] = []
    for key in [*keys, *(f"{RHO}{key}" for key in keys if every_pair and worst_of(key) in keys)]:
        if key.startswith(RHO):
            shown += [f"{GAIN}{part}" for part in parts(key)]
        shown.append(key)
    return list(dict.fromkeys(shown))


def is_derived(key: str) -> bool:
    """Returns whether a column compares a row with its base."""
    return key.startswith((RHO, GAIN))


def parts(key: str) -> list[str]:
    """The measured metrics that a column is made of: of a rho average and worst class, of a measured one itself."""
    if not key.startswith(RHO):
        return [key.removeprefix(GAIN)]
    average = key.removeprefix(RHO)
    worst = worst_of(average)
    if worst is None:
        raise ValueError(f"{key}: rho is of an average, such as {RHO}accuracy or {RHO}robust_accuracy_8/255")
    return [average, worst]


def beside_base(runs: pd.DataFrame, metrics: Sequence[str], base: Sequence[str]) -> pd.DataFrame:
    """The runs with ``base_<metric>``, the value of the base's run, and ``gain_<metric>``, the own value less it.

    The base's run is the one of equal data set, model, radius and seed, as far as the runs say these, whose
    regularizer is the base. That is the first term of the run's own (``trades`` of ``trades+dafa``) or, of several
    names in ``base``, the longest that the run's own begins with; a single name is the base of all. What has no base,
    several (see ``unclear``), or is one itself, has nan.

    With ``rows_of_<metric>`` (``judged_rows.with_rows``), a figure of other rows than its base's has nan too, and
    ``base_rows_of_<metric>`` is the number of the base's rows there.
    """
    alike, of, known = _pair_with_base(runs, base)
    known = known.assign(**{key: math.nan for key in metrics if key not in runs.columns})
    counted = {key: f"{ROWS}{key}" for key in metrics if f"{ROWS}{key}" in runs.columns}
    there = known.drop_duplicates([*alike, BASE], keep=False)[[*alike, BASE, *metrics, *counted.values()]]
    found = known.assign(**{BASE: of})[[*alike, BASE]].merge(there, "left", [*alike, BASE]).set_index(runs.index)
    beside = {f"{BASE}{key}": found[key] for key in metrics}
    for key, rows in counted.items():
        alike_rows = found[rows] == runs[rows]
        beside[f"{BASE}{key}"] = found[key].where(alike_rows)
        beside[f"{BASE}{rows}"] = found[rows].mask(alike_rows | known[key].isna() | found[key].isna())
    gains = {f"{GAIN}{key}": known[key] - beside[f"{BASE}{key}"] for key in metrics}
    return pd.concat([runs, pd.DataFrame({**beside, **gains}, index=runs.index)], axis=1)


def tell_other_rows(runs: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    """``No gain of robust_accuracy in records 3, 4: of 10 rows, the base's of all test rows``, a line for each rows.

    Args:
        runs: with what ``beside_base`` adds.
        metrics: the metrics that were compared.
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for key in (key for key in metrics if f"{BASE}{ROWS}{key}" in runs.columns):
        own, theirs = runs[f"{ROWS}{key}"], runs[f"{BASE}{ROWS}{key}"]
        pairs = pd.DataFrame({"own": own, "theirs": theirs, "id": runs["doc_id"]}).dropna(subset="theirs")
        for (rows, of_base), of in pairs.groupby(["own", "theirs"])["id"]:
            where = (name_records(list(of)), judged_rows.describe(rows), judged_rows.describe(of_base))
            found.setdefault(where, []).append(key)
    return [
        f"No gain of {', '.join(keys)} in {records}: of {rows}, the base's of {of_base}"
        for (records, rows, of_base), keys in found.items()
    ]


def unclear(runs: pd.DataFrame, base: Sequence[str]) -> list[str]:
    """The bases that ran with several settings, so that it is unclear with which one to compare."""
    alike, of, known = _pair_with_base(runs, base)
    twice = known[known.duplicated([*alike, BASE], keep=False)]
    return sorted(set(twice[BASE]) & set(of))


def _pair_with_base(runs: pd.DataFrame, base: Sequence[str]) -> tuple[list[str], pd.Series, pd.DataFrame]:
    """Returns the keys that run and base share, the base of each run, and the runs as the bases that they may be."""
    names = runs["regularizer"].fillna("none").astype(str)  # an imported run may name none
    of = pd.Series([_base(name, base) for name in names], runs.index, dtype=names.dtype)
    return [key for key in ALIKE if key in runs.columns], of, runs.assign(**{BASE: names})


def _base(name: str, given: Sequence[str]) -> str:
    """The base of a regularizer, which may be several terms joined by ``+``; nothing of a base itself."""
    fitting = [base for base in given if f"{name}+".startswith(f"{base}+")]
    base = max(fitting, key=len, default=given[0] if len(given) == 1 else "") if given else name.partition("+")[0]
    return "" if base == name else base


def with_rho(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Rows with the means of ``base_<metric>`` and ``gain_<metric>``, and with those of the keys that are a rho.

    A rho is nan where an accuracy of the base is below ``NEAR_0``. Where gains have an ``_n``, over how many seeds they
    are, so has rho.
    """
    for key in (key for key in keys if key.startswith(RHO)):
        base = [rows[f"{BASE}{part}"] for part in parts(key)]
        gains = [f"{GAIN}{part}" for part in parts(key)]
        own = [rows[gain] + its for gain, its in zip(gains, base, strict=True)]
        near = (base[0] < NEAR_0) | (base[1] < NEAR_0)
        rows = rows.assign(**{key: [rho(*row) for row in zip(*own, *base, strict=True)]})
        rows[key] = rows[key].mask(near)
        if f"{gains[0]}_n" in rows.columns:
            rows = rows.assign(**{f"{key}_n": rows[[f"{gain}_n" for gain in gains]].min(axis=1)})
    return rows
