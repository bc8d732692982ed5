"""Choosing among trained models: the best of those that meet every constraint, and what each constraint costs.

A candidate is a setting, judged by its mean over seeds, or a single run; each operating point of a record is one too.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from evals import query
from evals.intervals import over_rows
from evals.points import with_points
from utils.metrics.directions import direction

Mask = np.ndarray  # (candidates,) bool
SIDES = {"<=": 1, "<": 1, ">=": -1, ">": -1}  # +1: the bound is from above
ENDS = ("_low", "_high")
CLOSE = 9  # decimals to which distances are compared


@dataclass(frozen=True)
class Constraint:
    """A comparison of a metric with a number, ``uai_0.05<=0.1``."""

    text: str
    key: str
    sign: str
    bound: float

    @property
    def side(self) -> int:
        """+1 where the bound is from above, -1 from below, 0 for == and !=."""
        return SIDES.get(self.sign, 0)

    def met(self, table: pd.DataFrame, *, sure: bool) -> Mask:
        """Which candidates meet it; ``sure``: with the whole of their interval, which has to be known."""
        meets = query.COMPARE[self.sign]
        found = np.asarray(meets(table[self.key], self.bound) & table[self.key].notna())
        if not sure:
            return found
        low, high = (table[f"{self.key}{end}"] for end in ("_low", "_high"))
        inside = (low < self.bound) & (self.bound < high)  # what != must not have
        ends = meets(low, self.bound) & meets(high, self.bound) & low.notna() & high.notna()
        return found & np.asarray(ends & ~(inside & (self.sign == "!=")))

    def worst(self, table: pd.DataFrame, *, sure: bool) -> np.ndarray:
        """The value (candidates,) that has to meet it: the metric, or where sure its interval's worse end."""
        ends = [table[f"{self.key}{end}"] for end in ("_low", "_high")] if sure and self.side else []
        values = np.stack([np.asarray(column, dtype=float) for column in (table[self.key], *ends)])
        return (values * (self.side or 1)).max(0) * (self.side or 1)  # NaN where an end is not known

    def excess(self, table: pd.DataFrame, *, sure: bool) -> np.ndarray:
        """How far (candidates,) the bound is missed, in ranges of the metric among them; inf where not known."""
        beyond = self.worst(table, sure=sure) - self.bound
        beyond = beyond * self.side if self.side else np.abs(beyond) * (self.sign == "==")
        spread = float(table[self.key].max() - table[self.key].min())
        return np.nan_to_num(np.maximum(beyond, 0.0) / (spread or 1.0), nan=np.inf, posinf=np.inf)


@dataclass(frozen=True)
class Question:
    """What is asked for: the largest or smallest ``objective`` among candidates that meet all constraints."""

    objective: str
    higher: bool
    constraints: tuple[Constraint, ...]
    sure: bool

    @property
    def keys(self) -> list[str]:
        """Its metrics, the objective first, each once."""
        return list(dict.fromkeys([self.objective, *(c.key for c in self.constraints)]))

    @property
    def better(self) -> int:
        """+1 where a higher objective is better, else -1."""
        return 1 if self.higher else -1

    def __str__(self) -> str:
        met = " and ".join(c.text for c in self.constraints) or "no constraint"
        sure = ", each met by its whole 95 % interval" if self.sure and self.constraints else ""
        return f"{'highest' if self.higher else 'lowest'} {self.objective} under {met}{sure}"


@dataclass(frozen=True)
class Pool:
    """Who competes.

    ``table`` has one row per candidate: ``name``, ``label``, ``doc_ids``, ``seeds``, ``point`` (-1: the record's own
    thresholds), ``policy``, ``members`` (places in ``records``), and of every metric ``<key>``, ``<key>_low``,
    ``<key>_high`` and ``<key>_over``: the interval is over seeds, over rows, or not known.
    """

    table: pd.DataFrame
    records: Sequence[Mapping[str, Any]]
    left_out: Sequence[str]  # a sentence for each reason why runs do not compete
    runs: bool  # single runs compete, not settings


@dataclass(frozen=True)
class Price:
    """What one constraint costs: the best candidate without it, and the least change of its bound that helps."""

    constraint: Constraint
    meeting: int  # candidates that meet it
    best: int | None  # the best candidate without it; None where there is none
    gain: float  # of the objective by that, 0 where the choice stays; NaN where nothing was chosen
    step: int | None  # the first better candidate that a laxer bound permits
    bound: float  # what the bound must be for that

    @property
    def binds(self) -> bool:
        """Whether the choice would be better without it."""
        return self.gain > 0


@dataclass(frozen=True)
class Choice:
    """The answer to a question."""

    question: Question
    pool: Pool
    ranked: list[int]  # candidates that meet every constraint, best first; empty where none does
    prices: list[Price]
    free: int  # the best candidate without any constraint
    nearest: list[int]  # the candidates nearest to meeting all constraints, where none does

    @property
    def best(self) -> int | None:
        """The chosen candidate."""
        return self.ranked[0] if self.ranked else None


# --- who competes ----------------------------------------------------------------------------------------------


def compete(records: Sequence[query.Record], question: Question, *, facts: str, runs: bool, points: bool) -> Pool:
    """The candidates among finished records.

    Args:
        records: those of one data set.
        question: names the metrics that a candidate must have.
        facts: conditions on facts, such as ``regularizer==erm``, that runs have to meet.
        runs: single runs, or settings with the means over their seeds.
        points: operating points too.

    Raises:
        ValueError: no run is left.
    """
    everyone = [(made, record) for record in records for made in (with_points([record]) if points else [record])]
    table = query.frame([made for made, _ in everyone])
    table["point"] = [made.get("point", -1) for made, _ in everyone]
    table["policy"] = [made.get("policy", "") for made, _ in everyone]
    table["plain_group"] = [record.get("group_id") for _, record in everyone]
    for key in question.keys:
        query.known(key, table)
        intervals = [over_rows(made, key) for made, _ in everyone]
        table[f"{key}_low"], table[f"{key}_high"] = zip(*intervals, strict=True)
    chosen = query.where(table, facts)
    if chosen.empty:
        raise ValueError(f"where={facts!r} leaves none of the {len(records)} runs; relax it")
    complete = chosen.dropna(subset=question.keys)
    left_out = _left_out(chosen, [made for made, _ in everyone], question.keys)
    if complete.empty:
        raise ValueError(f"no run has all of {', '.join(question.keys)}: {'; '.join(left_out)}")
    rows = _alone(complete, question.keys) if runs else _settings(complete, question.keys)
    rows["label"] = _labels(records, complete, rows, runs=runs)
    return Pool(rows, [made for made, _ in everyone], left_out, runs)


def _left_out(chosen: pd.DataFrame, records: Sequence[query.Record], keys: Sequence[str]) -> list[str]:
    """How many runs and points lack which metric, and whether it was undefined or not measured."""
    counts: dict[tuple[str, str, str], int] = {}
    lacks = chosen[list(keys)].isna()
    for i in chosen.index[lacks.any(axis=1)]:
        key = next(key for key in keys if lacks.loc[i, key])
        undefined = key in (records[i].get("metrics") or {})
        what = "operating point" if "point" in records[i] else "run"
        why = "undefined there" if undefined else "never measured there"
        if "point" in records[i] and not undefined:
            why = "points hold what thresholds alone decide"
        counts[what, key, why] = counts.get((what, key, why), 0) + 1
    return [f"{n} {what}{'s' * (n > 1)} without {key} ({why})" for (what, key, why), n in counts.items()]


def _alone(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """One candidate for each run."""
    rows = table[["name", "group_id", "plain_group", "seed", "point", "policy"]].copy()
    rows["doc_ids"], rows["seeds"], rows["members"] = (
        [[value] for value in table["doc_id"]],
        1,
        [[i] for i in table.index],
    )
    for key in keys:
        known = table[f"{key}_low"].notna()
        rows[key], rows[f"{key}_over"] = table[key], ["rows" if k else "" for k in known]
        rows[[f"{key}_low", f"{key}_high"]] = table[[f"{key}_low", f"{key}_high"]]
    return rows.reset_index(drop=True)


def _settings(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """One candidate for each setting; over its seeds where there are two or more."""
    rows = query.aggregate(table, keys)
    members = table.groupby(["dataset", "group_id"], sort=False, dropna=False).groups
    rows["members"] = [list(members[pair]) for pair in zip(rows["dataset"], rows["group_id"], strict=True)]
    rows["doc_ids"], rows["seeds"] = rows["doc_ids"].map(list), rows["members"].map(len)
    for fact in ("point", "policy", "plain_group"):
        rows[fact] = [table.loc[places[0], fact] for places in rows["members"]]
    for key in keys:
        of_rows = table.loc[[places[0] for places in rows["members"]], [f"{key}_low", f"{key}_high"]].to_numpy()
        several = rows["seeds"].to_numpy() > 1
        for end, alone in zip(("_low", "_high"), of_rows.T, strict=True):
            rows[key + end] = np.where(several, rows[key + end], alone)
        known = rows[f"{key}_low"].notna()
        rows[f"{key}_over"] = np.where(~known, "", np.where(several, "seeds", "rows"))
    return rows


def _labels(records: Iterable[query.Record], table: pd.DataFrame, rows: pd.DataFrame, *, runs: bool) -> list[str]:
    """A name for each candidate: that of its runs, and what tells it from others of the name."""
    plain = table.assign(group_id=table["plain_group"])
    settings = query.aggregate(plain, [])
    apart = dict(zip(settings["group_id"], query.differences(records, settings, "name"), strict=True))
    words = [
        [row["name"], apart[row["plain_group"]], f"seed {row['seed']}" if runs else "", _thresholds(row["policy"])]
        for row in rows.to_dict("records")
    ]
    return [", ".join(dict.fromkeys(word for word in line if word)) for line in words]


def _thresholds(policy: str) -> str:
    return f"thresholds of {policy}" if policy else ""


# --- the choice ------------------------------------------------------------------------------------------------


def choose(pool: Pool, question: Question, *, near: int) -> Choice:
    """The best candidate that meets every constraint, the price of each, and the ``near`` nearest where none does.

    Of equal candidates in the objective the one further inside the constraints wins, in the order in which they were
    given; then the one of more seeds, the lowest doc_id, the record's own thresholds before its points.
    """
    table = pool.table
    met = [c.met(table, sure=question.sure) for c in question.constraints]
    everyone = np.ones(len(table), dtype=bool)
    ranked = _ranked(table, _all(met, everyone), question)
    prices = [_price(i, met, ranked, table, question) for i in range(len(met))]
    misses = sum((c.excess(table, sure=question.sure) for c in question.constraints), np.zeros(len(table)))
    order = _ranked(table, everyone, question)
    nearest = sorted(order, key=lambda i: round(float(misses[i]), CLOSE))[:near]
    return Choice(question, pool, ranked, prices, order[0], [] if ranked else nearest)


def _all(masks: Sequence[Mask], everyone: Mask) -> Mask:
    return np.logical_and.reduce([everyone, *masks])


def _ranked(table: pd.DataFrame, which: Mask, question: Question) -> list[int]:
    """Places of candidates, best first; see ``choose``."""
    inside = [c.side * table[c.key] for c in question.constraints]
    first = [ids[0] for ids in table["doc_ids"]]
    keys = [-question.better * table[question.objective], *inside, -table["seeds"], first, table["point"]]
    order = np.lexsort([np.asarray(key, dtype=float) for key in reversed(keys)])  # its last key is the first to count
    return [int(i) for i in order if which[i]]


def _price(i: int, met: Sequence[Mask], ranked: Sequence[int], table: pd.DataFrame, question: Question) -> Price:
    """What constraint i costs beside the others."""
    others = _all([*met[:i], *met[i + 1 :]], np.ones(len(table), dtype=bool))
    without = _ranked(table, others, question)
    best, constraint = (without[0] if without else None), question.constraints[i]
    values = table[question.objective].to_numpy() * question.better
    gain = values[best] - values[ranked[0]] if ranked and best is not None else math.nan
    better = [j for j in without if not met[i][j] and (not ranked or values[j] > values[ranked[0]])]
    needed = constraint.worst(table, sure=question.sure)
    reachable = [j for j in better if constraint.side and not math.isnan(needed[j])]
    step = min(reachable, key=lambda j: constraint.side * needed[j], default=None)
    bound = math.nan if step is None else float(needed[step])
    return Price(constraint, int(met[i].sum()), best, float(gain), step, bound)


def conflicts(choice: Choice) -> list[Constraint]:
    """Where nothing was chosen, the fewest constraints that no candidate meets together: one, two, or all."""
    table, question = choice.pool.table, choice.question
    met = [c.met(table, sure=question.sure) for c in question.constraints]
    for i, alone in enumerate(met):
        if not alone.any():
            return [question.constraints[i]]
    pairs = [(i, j) for i in range(len(met)) for j in range(i + 1, len(met)) if not (met[i] & met[j]).any()]
    return [question.constraints[i] for i in (pairs[0] if pairs else range(len(met)))]


def to_deploy(choice: Choice, candidate: int) -> tuple[int, bool]:
    """The place in ``pool.records`` of the run of a candidate to use, and whether it meets every constraint itself.

    It is the run nearest to the mean, of those that meet the constraints where there are any: the best one would be
    chosen for the luck of its test rows, and its figures would promise too much. Nearest in the sum over the
    question's metrics of distances in standard deviations over seeds; of equal ones the lowest seed.
    """
    question, members = choice.question, choice.pool.table.iloc[candidate]["members"]
    runs = query.frame([choice.pool.records[i] for i in members])
    meets = _all([c.met(runs, sure=False) for c in question.constraints], np.ones(len(runs), dtype=bool))
    values = runs[question.keys]
    distances = ((values - values.mean()).abs() / values.std().replace(0, math.nan)).sum(axis=1)  # NaN counts as 0
    kept = np.flatnonzero(meets) if meets.any() else np.arange(len(runs))
    place = min(kept, key=lambda i: (round(distances.iloc[i], CLOSE), runs["seed"].iloc[i], runs["doc_id"].iloc[i]))
    return members[int(place)], bool(meets[place])


def settings_apart(choice: Choice, candidate: int) -> dict[str, str]:
    """In what a candidate differs: options from all others, settings from those of the same options; by dotted key."""
    places = [members[0] for members in choice.pool.table["members"]]
    params = pd.json_normalize([dict(choice.pool.records[i]["params"]) for i in places])
    names = [key for key in params if not key.startswith("choices.")]
    kept = [key for key in names if key not in query.LABELS_OMIT and not key.rpartition(".")[2].startswith("_")]
    options = params.drop(columns=names).map(_joined)
    alike = (options == options.iloc[candidate]).all(axis=1)
    settings = params.loc[alike, kept].map(_joined)
    patterns: set[tuple[str, ...]] = set()  # of values: what follows from another setting is named once
    found: dict[str, str] = {}
    for table in (options, settings):
        for key in table:
            pattern = tuple(table[key])
            if len(set(pattern)) > 1 and pattern not in patterns:
                found[str(key).removeprefix("choices.")] = str(table.loc[candidate, key])
                patterns.add(pattern)
    return found


def _joined(value: Any) -> str:
    """As it is typed; a choice of several, such as of regularizers, in one word."""
    if not isinstance(value, list):
        return str(value)
    return "+".join(value) if all(isinstance(v, str) for v in value) else str(value)


# --- the question ----------------------------------------------------------------------------------------------


def ask(
    records: Sequence[query.Record],
    *,
    maximize: str | None,
    minimize: str | None,
    conditions: str | None,
    sure: bool,
    anyway: bool,
) -> tuple[Question, str]:
    """The question, and of its conditions those on facts, which choose who competes.

    Raises:
        ValueError: not one objective, an unknown metric, a condition that is no comparison, or, unless ``anyway``,
            an objective whose better end is the other one.
    """
    if (maximize is None) == (minimize is None):
        given = "both were given" if maximize is not None else "neither was given"
        raise ValueError(f"give maximize=METRIC or minimize=METRIC, one of them; {given}")
    objective, higher = str(maximize or minimize), maximize is not None
    table = query.frame([made for record in records for made in with_points([record])])
    _metric(objective, table)
    if direction(plain(objective, records)) == (-1 if higher else 1) and not anyway:
        verb, other, end = ("maximize", "minimize", "lower") if higher else ("minimize", "maximize", "higher")
        raise ValueError(
            f"{verb}={objective}, but {end} {objective} is better: write {other}={objective}, or anyway=true "
            "if you mean it"
        )
    facts, constraints = [], []
    for text in [c.strip() for c in str(conditions or "").split(",") if c.strip()]:
        query.where(table, text)  # refuses what is no comparison, or of an unknown column
        found = query.COMPARISON.fullmatch(text)
        assert found is not None
        key, sign, bound = found.groups()
        if key in query.FACTS or key not in table.columns:  # a fact or a setting
            facts.append(text)
        else:
            _metric(key, table)
            constraints.append(Constraint(f"{key}{sign}{bound}", key, sign, query.number(bound)))
    return Question(objective, higher, tuple(constraints), sure), ", ".join(facts)


def _metric(key: str, table: pd.DataFrame) -> None:
    if key in query.FACTS:
        raise ValueError(f"{key} is no metric. Metrics here: {', '.join(query.metrics(table))}")
    if key.endswith(ENDS):
        raise ValueError(f"{key} is an end of an interval: ask about {key.rpartition('_')[0]}, and with sure=true")
    query.known(key, table)


def plain(key: str, records: Sequence[query.Record]) -> str:
    """A metric's key without the name of the later evaluation it belongs to, which may hold slashes itself."""
    return query.of_evaluation(key, query.evaluations(records))[1]


def cautions(question: Question, records: Sequence[query.Record]) -> list[str]:
    """A sentence for the objective and each constraint that may not say what is meant."""
    found = []
    if "signed" in plain(question.objective, records):
        end = "highest" if question.higher else "lowest"
        unsigned = _unsigned(question.objective)
        found.append(
            f"the {end} {question.objective} is no small gap, but the largest of that sign; minimize={unsigned}"
        )
    for c in question.constraints:
        key = plain(c.key, records)
        if "signed" in key and c.side:
            met = f"{c.key} has a sign: {-0.4 * c.side:g} meets {c.text}"
            found.append(f"{met}; a bound on the size of the gap is one on {_unsigned(c.key)}")
        elif c.side and direction(key) == c.side:
            better = "higher" if c.side > 0 else "lower"
            found.append(f"{c.text} keeps {c.key} from being better: {better} is better there")
    return found


def _unsigned(key: str) -> str:
    return key.replace("_signed", "")
