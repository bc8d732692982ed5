"""The data of the page about all trained models of a data set, in JSON types."""

import json
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from evals.cards import added_rows_facts
from evals.choosing import choice_text
from evals.page import row_decisions
from evals.page.columns import COARSE, DIGITS, PLAIN, Column, numbers, texts
from evals.page.examples import Example, explain_examples
from evals.plots import axis
from evals.records import advice, causal_ranges, judged_rows, query, reproduce
from evals.records.points import at_own_thresholds, fitted_to, with_points
from evals.records.row_intervals import OF_ROWS, over_rows
from evals.records.seed_intervals import factors
from utils.metrics import intervals
from utils.metrics.directions import bounds, direction, headlines
from utils.records import given_weights, later
from utils.records.settings import flat, varying
from utils.runs import causal_figures, data_sources
from utils.system.console import count
from utils.words.near import near

FACETS = (
    *("regularizer", "model", "prepare", "decide", "scm", "attack", "radius", "experiment"),
    *("source", "sensitive"),
)
ENDS = ("_low", "_high")  # of an interval: beside a metric, none by themselves
MOST = 14  # metrics that are offered first
SECTIONS = (
    ("Poisoning: before, and on validation rows", r".*_(unpoisoned|valid|under_poisoning|poisoning_harm)"),
    ("Checks and chance", r"check_.*|.*_null|support.*|robust_rows|bayes_.*"),
    ("Each class", r".*(?<!worst)_class_\d.*"),
    ("Each group", r".*_group\d+"),
    ("Individuals and their twins", r"uai.*|counterfactual.*|(un)?fair_certified.*|open_.*|proven_radius.*"),
    ("Robustness", r"robust_accuracy.*"),
    ("Between groups", r".*_(gap|difference)(_by_.+|_rest)?"),
    ("Accuracy", r".*accuracy.*|mcc|auc|fnr|fpr|tpr|ppv|prevalence|acceptance_rate"),
    ("Others", r".*"),
)
LATER = "Later evaluations"
NO_SHARE = (math.nan, math.nan)
HOLD_ROWS = {"support_group0", "robust_rows"}  # metrics that are numbers of rows


def content(records: Sequence[query.Record], options: DictConfig) -> dict[str, Any]:
    """Returns all that the page shows, in JSON types.

    Raises:
        ValueError: a condition that leaves no run, or an axis that no run has.
    """
    everything = query.frame(records)
    table = query.where(everything, options.where)
    if table.empty:
        raise ValueError(f"where={options.where!r} leaves none of the {count(len(everything), 'run')}; relax it")
    kept = [records[i] for i in table.index]
    table = table.reset_index(drop=True)
    groups = query.group_names(kept)
    offered = _offer_metrics(table, kept, groups)
    if not offered:
        raise ValueError(f"none of the {count(len(kept), 'run')} has a metric; there is nothing to show")
    asked = advice.Asked.read(options)
    several = data_sources.sources(kept)
    first = next(iter(several), None)  # the source that the page opens with
    opened = [record for record in kept if data_sources.source_of(record) in (first, None)]
    models = _models(offered, kept, asked)
    made = with_points(kept)
    _tell_made(offered, made)
    x, y = _axes(options, offered, opened, asked)
    settings, of_each = _settings(table)
    examples = explain_examples(options.explain, kept, str(options.dataset))
    facts = _facts([kept[i] for i in of_each], table.loc[of_each])
    return {
        "dataset": str(options.dataset),
        "title": str(options.dataset if options.title is None else options.title),
        "where": query.to_text(options.where),
        "made": datetime.now(UTC).date().isoformat(),
        "axes": [x, y],
        "source": first if len(several) > 1 else None,
        "sources": advice.tell_sources(several, asked) if len(several) > 1 else "",
        "metrics": offered,
        "student": factors(int(np.bincount(settings).max())).tolist(),
        "models": models,
        "runs": _runs(table, kept, settings, examples) | {"counts": _counts(kept, offered)},
        "settings": facts | {"label": texts(_labels(kept, table, of_each))},
        "points": _points(made, offered) if options.points else None,
        "decisions": row_decisions.kept(kept, groups, query.class_names(kept), str(options.dataset)),
    }


def _offer_metrics(table: pd.DataFrame, records: Sequence[query.Record], groups: Sequence[str]) -> list[dict[str, Any]]:
    """The metrics that a run has: headlines first, then by section; key, words, direction, section, bounds."""
    evaluations, classes = later.evaluations(records), query.class_names(records)
    keys = [key for key in query.metrics(table) if not key.endswith(ENDS) and table[key].notna().any()]
    wanted = axis.find_watched(records)
    leading = [key for key in headlines(keys) if direction(key)]
    leading += [key for key in keys if key in wanted and key not in leading]
    first = set(sorted(leading, key=lambda key: key not in wanted)[:MOST])
    found = []
    for key in keys:
        evaluation, plain = later.of_evaluation(key, evaluations)
        words = causal_figures.label(records, key, groups, classes)
        section = LATER if evaluation is not None else "" if key in first else _section(key)
        found.append({"key": key, "words": words, "direction": direction(plain), "section": section})
        found[-1]["bounds"] = [end if math.isfinite(end) else None for end in bounds(plain)]
    order = ["", *(name for name, _ in reversed(SECTIONS[:-1])), LATER, SECTIONS[-1][0]]
    return sorted(found, key=lambda m: (order.index(m["section"]), leading.index(m["key"]) if not m["section"] else 0))


def _models(
    offered: Sequence[dict[str, Any]], records: Sequence[query.Record], asked: advice.Asked
) -> dict[str, Column]:
    """Returns of each run by metric its groups or causal model, where runs of several do not compare; else none.

    Such metrics get ``about``, what is several, and of causal models ``judge``, the command that judges all under one,
    or ``taken``, the key by which all are already. That no figures of two sources of data compare the page knows.
    """
    found: dict[str, Column] = {}
    several = len(set(map(data_sources.sensitive_of, records))) > 1
    for metric in offered:
        key = metric["key"]
        if several and len(data_sources.attributes_apart(records, key)) > 1:
            metric["about"] = "sensitive attributes"
            found[key] = texts(data_sources.sensitive_of(r) if causal_figures.has(r, key) else None for r in records)
            continue
        models = causal_figures.models(records, key)
        if len(models) > 1:
            known = [model for model, _ in models.values() if model is not None]
            under = {id(of): causal_figures.name(model, known) for model, having in models.values() for of in having}
            metric |= advice.for_a_page(models, key, asked)
            found[key] = texts(under.get(id(record)) for record in records)
    return found


def _section(key: str) -> str:
    return next(name for name, pattern in SECTIONS if re.fullmatch(pattern, key))


def _axes(
    options: DictConfig, offered: Sequence[Mapping[str, Any]], records: Sequence[query.Record], asked: advice.Asked
) -> list[str]:
    """The two metrics shown at first, of the records that are.

    Raises:
        ValueError: one is asked for that no run has, or by which the runs that are shown at first do not compare.
    """
    keys = [metric["key"] for metric in offered]
    given = [query.to_text(options[name]) for name in ("x", "y")]
    for name, key in zip("xy", given, strict=True):
        if key is not None and key not in keys:
            raise ValueError(f"{name}={key}: no run has it{near(key, keys)} There is {', '.join(keys[:MOST])}")
    for key in filter(None, given):
        advice.require_one(records, [key], asked)
    headed = [metric["key"] for metric in offered if metric["direction"]] + keys
    there = [key for key in headed if any(causal_figures.has(record, key) for record in records)]
    return list(axis.defaults(records, there or keys, *given))


def _settings(table: pd.DataFrame) -> tuple[np.ndarray, list[int]]:
    """The setting of each row, numbered as they come, and the first row of each; none is of two sources of data."""
    named = [*zip(table["dataset"], table["group_id"].fillna(table["run_id"]), table["source"], strict=True)]
    known: dict[Any, int] = {}
    places = np.array([known.setdefault(name, len(known)) for name in named])
    return places, np.unique(places, return_index=True)[1].tolist()


def _runs(
    table: pd.DataFrame,
    records: Sequence[query.Record],
    settings: np.ndarray,
    examples: Mapping[int, tuple[Example, ...]],
) -> dict[str, Any]:
    """Returns the columns of all runs: their facts, and every metric with the ends of its interval."""
    measured = [key for key in query.metrics(table) if table[key].notna().any()]
    headed = [key for key in headlines(measured) if not key.endswith(ENDS)]
    return {
        "n": len(table),
        "doc_id": numbers(table["doc_id"]),
        "name": texts(_text(record.get("name")) for record in records),
        "seed": texts(_text(record.get("seed")) for record in records),
        "created": texts(_text(record.get("created")) for record in records),
        "warnings": texts("\n".join(_remarks(record, headed)) or None for record in records),
        "loads": texts(bool(record.get("weights")) for record in records),
        "fit": _fits(records),
        "ranges": texts(_ranges(record) for record in records),
        "poison": texts(tuple(added_rows_facts.facts(record)) or None for record in records),
        "explained": texts(examples.get(record["doc_id"]) for record in records),
        "setting": numbers(settings),
        "metrics": {key: numbers(table[key], _digits(key)) for key in measured} | _ends_of_shares(table, records),
    }


def _remarks(record: query.Record, headed: Sequence[str]) -> list[str]:
    """Returns what stands beside the figures of a run: its warnings, headlines of fewer rows, whose weights it has."""
    fewer: dict[int, list[str]] = {}
    for key in (key for key in headed if key in record["metrics"]):
        if rows := judged_rows.count_fewer(record, key):
            fewer.setdefault(rows, []).append(key)
    few = [f"Of {count(rows, 'test row')} alone: {', '.join(keys)}" for rows, keys in fewer.items()]
    return [*filter(None, [choice_text.describe_given(record)]), *few, *map(str, record.get("warnings") or ())]


def _digits(key: str) -> int:
    return COARSE if key.endswith(ENDS) else DIGITS if direction(key.rpartition("/")[2]) else PLAIN


def _ends_of_shares(table: pd.DataFrame, records: Sequence[query.Record]) -> dict[str, Column]:
    """Returns the columns of ends of intervals that some records do not hold, of metrics that are shares of rows."""
    found: dict[str, Column] = {}
    counted = np.array([bool(r.get("rows") or HOLD_ROWS & r["metrics"].keys()) for r in records])
    for key in query.metrics(table):
        if not key.startswith(OF_ROWS) or key.endswith(ENDS):
            continue
        held = table.reindex(columns=[f"{key}{end}" for end in ENDS])  # NaN where no record has them
        lows, highs = held.to_numpy(float).T.copy()
        lacking = np.flatnonzero(counted & table[key].notna().to_numpy() & np.isnan(lows))
        for i in map(int, lacking):
            lows[i], highs[i] = over_rows(records[i], key)
        if len(lacking):
            found |= {f"{key}{end}": numbers(of, COARSE) for end, of in zip(ENDS, (lows, highs), strict=True)}
    return found


def _labels(records: Sequence[query.Record], table: pd.DataFrame, of_each: Sequence[int]) -> list[str]:
    """Returns the names of the settings, as evals.select says them: without what all of them begin with."""
    ids = table["group_id"].fillna(table["run_id"]).fillna(table["doc_id"].astype(str))
    named = [cast(query.Record, {**record, "group_id": own}) for record, own in zip(records, ids, strict=True)]
    settings = table.assign(group_id=ids).loc[of_each]
    apart = query.differences(named, settings, "name")
    common = f"{records[0]['dataset']}_{(records[0]['params'].get('choices') or {}).get('model')}_"
    pairs = zip(settings["name"].map(_text), apart, strict=True)
    whole = [", ".join(dict.fromkeys(word for word in pair if word)) for pair in pairs]
    return [text.removeprefix(common) for text in whole] if all(text.startswith(common) for text in whole) else whole


# --- counts, of which sure=true makes intervals of any level -----------------------------------------------------


def _tell_made(offered: Sequence[dict[str, Any]], made: Sequence[query.Record]) -> None:
    """Adds to every metric what its interval is made of: ``made``, kind and keys of shares; none where no share."""
    evaluations = later.evaluations(made)
    shares: dict[str | None, dict[str, Any]] = {}
    for record in made:
        for name, held in _holders(record):
            shares.setdefault(name, {}).update(held.get("shares") or {})
    for metric in offered:
        name, plain = later.of_evaluation(metric["key"], evaluations)
        found = intervals.find_parts(plain, shares.get(name, {}))
        before = "" if name is None else f"{name}/"
        metric["made"] = found and [found.kind, [[before + part for part in family] for family in found.families]]


def _holders(record: query.Record) -> list[tuple[str | None, Mapping[str, Any]]]:
    """Returns the record and its later evaluations, by name, each of which holds shares and deviations."""
    return [(None, record), *(record.get("evaluations") or {}).items()]


def _counts(records: Sequence[query.Record], offered: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the columns of numerators, denominators and standard deviations that intervals of any level need."""
    parts = {part for metric in offered if metric["made"] for family in metric["made"][1] for part in family}
    others = {metric["key"] for metric in offered if metric["direction"]}
    shares: dict[str, list[Any]] = {key: [NO_SHARE] * len(records) for key in sorted(parts)}
    deviations: dict[str, list[float]] = {key: [math.nan] * len(records) for key in sorted(others)}
    for i, record in enumerate(records):
        for name, held in _holders(record):
            before = "" if name is None else f"{name}/"
            for of, kind in ((shares, "shares"), (deviations, "deviations")):
                for key, value in (held.get(kind) or {}).items():
                    if value is not None and (column := of.get(before + key)) is not None:  # null: not known
                        column[i] = value
    return {
        "part": {key: numbers([part for part, _ in column]) for key, column in shares.items()},
        "whole": {key: numbers([whole for _, whole in column]) for key, column in shares.items()},
        "deviation": {key: numbers(of) for key, of in deviations.items() if not all(map(math.isnan, of))},
    }


def _ranges(record: query.Record) -> tuple[tuple[str, str, Any], ...] | None:
    """Returns of every unfair area under several causal models a sentence, its key, and a row for each model."""
    found = causal_ranges.ranges(at_own_thresholds(record))
    told = ((causal_ranges.sentence(own), own.key, tuple(causal_ranges.rows(own))) for own in found)
    return tuple((f"{said[0].upper()}{said[1:]}.", key, rows) for said, key, rows in told) or None


def _points(made: Sequence[query.Record], offered: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Returns the columns of all operating points: run, number within it, policy, metrics, counts."""
    owners = np.cumsum(["point" not in record for record in made]) - 1
    places = [i for i, record in enumerate(made) if "point" in record]
    if not places:
        return None
    points = [made[i] for i in places]
    metrics: Any = [point["metrics"] for point in points]
    keys = dict.fromkeys(key for of in metrics for key in of)
    return {
        "n": len(points),
        "run": numbers(owners[places]),
        "point": numbers([point["point"] for point in points]),
        "policy": texts(point["policy"] for point in points),
        "fit": _fits(points),
        "metrics": {key: numbers([of.get(key) for of in metrics], _digits(key)) for key in keys},
        "counts": _counts(points, offered),
    }


def _fits(records: Sequence[query.Record]) -> dict[str, Any]:
    """Returns of every run or point the gaps that its thresholds were fitted to, the limit, and the fitted gap."""
    found = [fitted_to(record) for record in records]
    return {
        "keys": texts("+".join(own.keys) or None for own in found),
        "limit": numbers([own.permitted for own in found]),
        "fitted": numbers([math.nan if own.gap is None else own.gap for own in found]),
    }


def _facts(records: Sequence[query.Record], table: pd.DataFrame) -> dict[str, Any]:
    """Returns of every setting what the page filters by, its parameters, and the command that trains it."""
    choices = [record["params"].get("choices") or {} for record in records]
    facts = {name: list(table[name]) for name in FACETS if name in table.columns}
    facts |= {name: [of.get(name) for of in choices] for name in FACETS if name not in facts}
    commands = [_command(record) for record in records]
    return {
        "n": len(records),
        "facets": {
            name: numbers(facts[name]) if name == "radius" else texts(map(_text, facts[name])) for name in facts
        },
        **{key: texts(of.get(key) for of in commands) for key in ("command", "alone", "remark", "lost")},
        **_params([_parameters(record) for record in records]),
    }


def _text(value: Any) -> str | None:
    return None if value is None or value != value else str(value)


def _command(record: query.Record) -> dict[str, str]:
    """The command without its seed, what it says of a single run, a remark for its end; or why there is none."""
    try:
        return {
            "command": reproduce.setting(record),
            "alone": reproduce.alone(record),
            "remark": reproduce.remark(record),
        }
    except ValueError as error:
        return {"lost": str(error)}


def _parameters(record: query.Record) -> dict[str, str]:
    """Settings by dotted key as text, without what differs between the seeds or names code."""
    own = flat(given_weights.without_training(record["params"]), "page").items()
    return {key: _write_text(value) if isinstance(value, Hashable) else json.dumps(value) for key, value in own}


@lru_cache(maxsize=4096, typed=True)
def _write_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _params(settings: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Parameters that all settings share, once; the others as columns, ``differs`` naming those that tell them apart.

    What only some settings have, always of one value, comes with an option of theirs; and of several parameters
    that change together, as a radius does and the radii that follow it, the first stands for all.
    """
    keys = list(dict.fromkeys(key for of in settings for key in of))
    columns = {key: texts(of.get(key) for of in settings) for key in keys}
    shared = {key: column["of"][0] for key, column in columns.items() if len(column["of"]) == 1}
    others = {key: column for key, column in columns.items() if key not in shared}
    return {"shared": shared, "params": others, "differs": varying(settings, together=True)}
