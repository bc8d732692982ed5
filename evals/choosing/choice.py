"""Choosing among trained models: the best of those that meet every constraint, and what each constraint costs.

A candidate is a setting, judged by its mean over seeds, or a single run; each operating point of a record is one too.
Every figure is one of the test rows. As the best of many on the same rows is partly luck, ``sure=true`` asks more: the
mean has to meet every constraint, and one run of the candidate has to meet all of them with the whole of its own
interval over the test rows, of level 1 - .05 / (runs compared x constraints). So with a probability of 95 % no run that
violates a constraint is handed out (Bonferroni). An interval over seeds has no part in it: it is about the setting, and
what is loaded is one run.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evals.choosing.constraint import DIGITS, ENDS, SURE_ENDS, Constraint, Floats, Mask, of_test_rows
from evals.choosing.handing import CLOSE, Handed, hand_out
from evals.records import advice, judged_rows, query
from evals.records.points import at_own_thresholds, describe_limit, with_points
from evals.records.row_intervals import at_level, over_rows
from utils.metrics.directions import direction
from utils.records import given_weights, later
from utils.records.settings import varying
from utils.runs.causal_figures import tell_trained_against
from utils.system.console import count
from utils.words.numbers import read_number

NOT_AT_POINTS = (
    "not judged at their thresholds, which evaluate.py id=... point=... does, under a name of its own; "
    "points=false leaves all points out"
)
CONFIDENCE = 0.95  # that sure=true hands out nothing that violates a limit


@dataclass(frozen=True)
class Question:
    """The question: the largest or smallest ``objective`` among candidates that meet all constraints."""

    objective: str
    higher: bool
    constraints: tuple[Constraint, ...]
    sure: bool

    @property
    def keys(self) -> list[str]:
        """The metrics of the question, the objective first, each once."""
        return list(dict.fromkeys([self.objective, *(c.key for c in self.constraints)]))

    @property
    def limited(self) -> list[str]:
        """The metrics of its constraints, each once."""
        return list(dict.fromkeys(c.key for c in self.constraints))

    @property
    def better(self) -> int:
        """+1 where a higher objective is better, else -1."""
        return 1 if self.higher else -1

    def __str__(self) -> str:
        met = " and ".join(c.text for c in self.constraints) or "no limit"
        sure = ", for sure" if self.sure and self.constraints else ""
        return f"{'highest' if self.higher else 'lowest'} {self.objective} under {met}{sure}"


@dataclass(frozen=True)
class Pool:
    """The candidates, and the runs and points that they consist of.

    ``table`` has one row per candidate: ``name``, ``label``, ``doc_ids``, ``seeds``, ``point`` (-1: the record's own
    thresholds), ``policy``, ``members`` (places in ``records``), and of every metric ``<key>``, ``<key>_low``,
    ``<key>_high``, ``<key>_over``: the interval is over seeds, over rows, or not known, and ``<key>_rows``, the number
    of test rows where these are fewer than all, else inf.
    """

    table: pd.DataFrame
    each: pd.DataFrame  # one row a run or point that competes, its index the place in ``records``
    owner: NDArray[np.int64]  # (len(each),), the candidate that each belongs to
    records: Sequence[query.Record]
    left_out: Sequence[str]  # a sentence for each reason why runs do not compete
    runs: bool  # single runs compete, not settings
    level: float  # of the intervals that sure=true asks: 1 - .05 / (runs x constraints)


@dataclass(frozen=True)
class Price:
    """The cost of one constraint: the best candidate without it, and the smallest change of its bound that helps."""

    constraint: Constraint
    meeting: int  # candidates that meet it
    best: int | None  # the best candidate without it; None where there is none
    gain: float  # of the objective by that, 0 where the choice stays; NaN where nothing was chosen
    step: int | None  # the first better candidate that a laxer bound permits
    bound: float  # what the bound must be for that

    @property
    def binds(self) -> bool:
        """Returns whether the choice would be better without this constraint."""
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


def compete(
    records: Sequence[query.Record], question: Question, *, asked: advice.Asked, runs: bool, points: bool
) -> Pool:
    """The candidates among finished records.

    Args:
        records: those of one data set.
        question: names the metrics that a candidate must have.
        asked: the database, and conditions on facts, such as ``regularizer==erm``, that runs have to meet.
        runs: single runs, or settings with the means over their seeds.
        points: operating points too.

    Raises:
        ValueError: no run is left.
    """
    everyone = [
        (made, record)
        for record in records
        for made in (with_points([record]) if points else [at_own_thresholds(record)])
    ]
    table = query.frame([made for made, _ in everyone])
    table["point"] = [made.get("point", -1) for made, _ in everyone]
    table["policy"] = [made.get("policy", "") for made, _ in everyone]
    table["plain_group"] = [record.get("group_id") for _, record in everyone]
    for key in question.keys:
        if key not in table.columns:
            raise ValueError(f"{key} was judged at operating points, which points=false leaves out; take points=true")
        intervals = [over_rows(made, key) for made, _ in everyone]
        table[f"{key}_low"], table[f"{key}_high"] = zip(*intervals, strict=True)
        table[f"{key}_rows"] = [judged_rows.count_rows(made, key) for made, _ in everyone]
    chosen = query.where(table, asked.where)
    if chosen.empty:
        raise ValueError(f"where={asked.where!r} leaves none of the {count(len(records), 'run')}; relax it")
    complete = chosen.dropna(subset=question.keys)
    left_out = _describe_left_out(chosen, [made for made, _ in everyone], question.keys)
    fewer = judged_rows.find_fewer([everyone[i][0] for i in complete.index], question.keys)
    complete, left_out = complete[~fewer.which], [*left_out, *fewer.why]
    if complete.empty:
        lost = [key for key in question.keys if chosen[key].isna().all()]
        why = f"{'; '.join(left_out)}{query.of_the_rest(lost, chosen)}"
        raise ValueError(f"no run has all of {', '.join(question.keys)}: {why}")
    advice.require_one([everyone[i][0] for i in complete.index], question.keys, asked)
    level = sure_level(len(complete), len(question.constraints))
    if question.sure:
        complete = _with_sure_ends(complete, [made for made, _ in everyone], question, level)
    rows = _alone(complete, question.keys) if runs else _settings(complete, question.keys)
    rows["label"] = _labels(records, complete, rows, runs=runs)
    owner = pd.Series({place: i for i, places in enumerate(rows["members"]) for place in places})
    return Pool(rows, complete, owner[complete.index].to_numpy(), [made for made, _ in everyone], left_out, runs, level)


def sure_level(compared: int, constraints: int) -> float:
    """The level of each interval by which none of the runs compared is sure and violates a constraint, at 95 %."""
    return 1 - (1 - CONFIDENCE) / max(compared * constraints, 1)


def _with_sure_ends(
    complete: pd.DataFrame, records: Sequence[query.Record], question: Question, level: float
) -> pd.DataFrame:
    """The table with the ends of the wide intervals of what is limited; NaN where a record has no counts."""
    ends = {key: [at_level(records[i], key, level) for i in complete.index] for key in question.limited}
    pairs = {key: zip(SURE_ENDS, zip(*of, strict=True), strict=True) for key, of in ends.items()}
    columns = {f"{key}{end}": values for key, of in pairs.items() for end, values in of}
    return pd.concat([complete, pd.DataFrame(columns, index=complete.index, dtype=float)], axis=1)


def _describe_left_out(chosen: pd.DataFrame, records: Sequence[query.Record], keys: Sequence[str]) -> list[str]:
    """Counts in words the runs and points that lack a metric, undefined and unmeasured ones apart."""
    counts: dict[tuple[str, str, str], int] = {}
    lacks = chosen[list(keys)].isna()
    for i in chosen.index[lacks.any(axis=1)]:
        key = next(key for key in keys if lacks.loc[i, key])
        undefined = key in (records[i].get("metrics") or {})
        what = "operating point" if "point" in records[i] else "run"
        why = "undefined there" if undefined else "never measured there"
        if "point" in records[i] and not undefined:
            why = NOT_AT_POINTS
        counts[what, key, why] = counts.get((what, key, why), 0) + 1
    return [f"{count(n, what)} without {key} ({why})" for (what, key, why), n in counts.items()]


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
        of_key = [f"{key}{end}" for end in ("_low", "_high", "_rows")]
        rows[of_key] = table[of_key]
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
        rows[f"{key}_rows"] = table.loc[[places[0] for places in rows["members"]], f"{key}_rows"].to_numpy()
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
    return describe_limit(policy) if policy else ""


# --- the choice ------------------------------------------------------------------------------------------------


def choose(pool: Pool, question: Question, *, near: int) -> Choice:
    """The best candidate that meets every constraint, the price of each, and the ``near`` nearest where none does.

    Of equal candidates in the objective the one further inside the constraints wins, in the order in which they were
    given; then the one of more seeds, the lowest doc_id, the record's own thresholds before its points.
    """
    table, everyone = pool.table, np.ones(len(pool.table), dtype=bool)
    ranked = _rank(table, find_meeting(pool, question, question.constraints), question)
    prices = [_price(i, ranked, pool, question) for i in range(len(question.constraints))]
    misses, order = _misses(pool, question).round(CLOSE), _rank(table, everyone, question)
    nearest = sorted(order, key=lambda i: misses[i].tolist())[:near]
    return Choice(question, pool, ranked, prices, order[0], [] if ranked else nearest)


def find_meeting(pool: Pool, question: Question, which: Sequence[Constraint]) -> Mask:
    """The candidates that meet some constraints: by their mean, and for sure where one of their runs meets them all."""
    found = _all([c.met(pool.table, sure=False) for c in which], len(pool.table))
    if not question.sure:
        return found
    runs = _all([c.met(pool.each, sure=True) for c in which], len(pool.each))
    return found & (np.bincount(pool.owner, runs, minlength=len(found)) > 0)


def _all(masks: Sequence[Mask], n: int) -> Mask:
    return np.asarray(np.logical_and.reduce([np.ones(n, dtype=bool), *masks]))


def _misses(pool: Pool, question: Question) -> Floats:
    """Returns how far the nearest run of each candidate is from being sure, and its mean from the constraints.

    (candidates, 2), in ranges of the metrics; inf where a run has no counts, and 0 where nothing has to be sure.
    """
    ranges = {key: float(np.ptp(pool.table[key])) or 1.0 for key in question.limited}
    means = [c.beyond(pool.table) / ranges[c.key] for c in question.constraints]
    runs = [c.beyond(pool.each, SURE_ENDS) / ranges[c.key] for c in question.constraints if question.sure]
    sure = _least(pool, np.sum([np.zeros(len(pool.each)), *runs], axis=0))
    return np.stack([sure, np.sum([np.zeros(len(pool.table)), *means], axis=0)], axis=1)


def _least(pool: Pool, values: Floats) -> Floats:
    """The least value (candidates,) of the runs of each candidate."""
    found = np.full(len(pool.table), math.inf)
    np.minimum.at(found, pool.owner, values)
    return found


def _rank(table: pd.DataFrame, which: Mask, question: Question) -> list[int]:
    """Places of candidates, best first; see ``choose``."""
    values = table[question.keys].round(DIGITS)  # means that are equal but for rounding are equal
    inside = [c.side * values[c.key] for c in question.constraints]
    first = [ids[0] for ids in table["doc_ids"]]
    keys = [-question.better * values[question.objective], *inside, -table["seeds"], first, table["point"]]
    order = np.lexsort([np.asarray(key, dtype=float) for key in reversed(keys)])  # its last key is the first to count
    return [int(i) for i in order if which[i]]


def _price(i: int, ranked: Sequence[int], pool: Pool, question: Question) -> Price:
    """Returns the cost of constraint i, the others staying."""
    table, constraint = pool.table, question.constraints[i]
    others = [*question.constraints[:i], *question.constraints[i + 1 :]]
    without = _rank(table, find_meeting(pool, question, others), question)
    best, own = (without[0] if without else None), find_meeting(pool, question, [constraint])
    values = table[question.objective].to_numpy() * question.better
    gain = values[best] - values[ranked[0]] if ranked and best is not None else math.nan
    better = [j for j in without if j not in set(ranked) and (not ranked or values[j] > values[ranked[0]])]
    reached = find_needed(constraint, others, pool, question)
    reachable = [j for j in better if constraint.side and math.isfinite(reached[j])]
    step = min(reachable, key=lambda j: constraint.side * reached[j], default=None)
    bound = math.nan if step is None else float(reached[step])
    return Price(constraint, int(own.sum()), best, float(gain), step, bound)


def find_needed(constraint: Constraint, others: Sequence[Constraint], pool: Pool, question: Question) -> Floats:
    """The bound (candidates,) by which each would meet a constraint beside the others; not finite where none would."""
    means = constraint.worst(pool.table)
    if not question.sure or not constraint.side:
        return means
    runs = constraint.side * constraint.worst(pool.each, SURE_ENDS)
    others_met = _all([c.met(pool.each, sure=True) for c in others], len(pool.each))
    least = _least(pool, np.where(others_met & ~np.isnan(runs), runs, math.inf))
    return np.asarray(constraint.side * np.maximum(constraint.side * means, least))


def conflicts(choice: Choice) -> list[Constraint]:
    """Returns the fewest constraints that no candidate meets together, one, two or all, where nothing was chosen."""
    question = choice.question
    met = [find_meeting(choice.pool, question, [c]) for c in question.constraints]
    for i, alone in enumerate(met):
        if not alone.any():
            return [question.constraints[i]]
    pairs = combinations(question.constraints, 2)
    apart = [list(pair) for pair in pairs if not find_meeting(choice.pool, question, pair).any()]
    return apart[0] if apart else list(question.constraints)


def pick_run(choice: Choice, candidate: int) -> tuple[query.Record, Handed]:
    """The run of a candidate that is to be used, and how it stands to the constraints; see ``hand_out``."""
    question, members = choice.question, choice.pool.table.iloc[candidate]["members"]
    runs = choice.pool.each.loc[members]
    handed = hand_out(runs, question.keys, question.constraints, sure=question.sure)
    return choice.pool.records[members[handed.place]], handed


def pick_row(choice: Choice, candidate: int) -> pd.Series:
    """The facts and figures of the run that is handed out, a row of ``pool.each``."""
    members = choice.pool.table.iloc[candidate]["members"]
    return choice.pool.each.loc[members[pick_run(choice, candidate)[1].place]]


def count_uncounted(pool: Pool, question: Question) -> int:
    """Counts the runs that can never be sure, since the counts that wide intervals are made of are missing."""
    if not question.sure:
        return 0
    ends = [f"{key}{end}" for key in question.limited for end in SURE_ENDS]
    return int(pool.each[ends].isna().any(axis=1).sum())


def settings_apart(choice: Choice, candidate: int) -> dict[str, str]:
    """Returns by dotted key the options and, among equal options, the settings in which a candidate differs."""
    params = [choice.pool.records[members[0]]["params"] for members in choice.pool.table["members"]]
    options = [dict(given_weights.without_training(own).get("choices") or {}) for own in params]
    alike = [own for own, chosen in zip(params, options, strict=True) if chosen == options[candidate]]
    settings = [given_weights.tell_settings(own) for own in alike]
    own = options[candidate] | given_weights.tell_settings(params[candidate])
    return {key: _join(own[key]) for key in (*varying(options), *varying(settings)) if key in own}


def _join(value: Any) -> str:
    """Returns a value as it is typed; a choice of several, such as of regularizers, in one word."""
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
    for text in map(str.strip, query.split_conditions(str(conditions or ""))):
        query.where(table, text)  # refuses what is no comparison, or of an unknown column
        found = query.COMPARISON.fullmatch(text)
        assert found is not None
        key, sign, bound = found.groups()
        if key in query.FACTS or key not in table.columns:  # a fact or a setting
            facts.append(text)
        else:
            _metric(key, table)
            of_test_rows(key)
            constraints.append(Constraint(f"{key}{sign}{bound}", key, sign, read_number(bound)))
    return Question(objective, higher, tuple(constraints), sure), ", ".join(facts)


def _metric(key: str, table: pd.DataFrame) -> None:
    if key in query.FACTS:
        raise ValueError(f"{key} is no metric. Metrics here: {', '.join(query.metrics(table))}")
    if key.endswith(ENDS):
        raise ValueError(f"{key} is an end of an interval: ask about {key.rpartition('_')[0]}, and with sure=true")
    query.find_column(key, table)


def plain(key: str, records: Sequence[query.Record]) -> str:
    """A metric's key without the name of the later evaluation it belongs to, which may hold slashes itself."""
    return later.of_evaluation(key, later.evaluations(records))[1]


def cautions(question: Question, records: Sequence[query.Record]) -> list[str]:
    """A sentence for the objective and each constraint that may not say what is meant."""
    found = []
    if "signed" in plain(question.objective, records):
        end = "highest" if question.higher else "lowest"
        unsigned = _drop_sign(question.objective)
        found.append(
            f"the {end} {question.objective} is no small gap, but the largest of that sign; minimize={unsigned}"
        )
    for c in question.constraints:
        key = plain(c.key, records)
        if "signed" in key and c.side:
            met = f"{c.key} has a sign: {-0.4 * c.side:g} meets {c.text}"
            found.append(f"{met}; a bound on the size of the gap is one on {_drop_sign(c.key)}")
        elif c.side and direction(key) == c.side:
            better = "higher" if c.side > 0 else "lower"
            found.append(f"{c.text} keeps {c.key} from being better: {better} is better there")
    return [*found, *tell_trained_against(records, question.keys)]


def _drop_sign(key: str) -> str:
    return key.replace("_signed", "")
