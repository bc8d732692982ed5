"""One page about all trained models of a data set: a single HTML file that works from disk, without a network.

``python -m evals.report dataset=celeba_jobs [where="..."] [out=page.html]``; options and defaults stand in
``config/report.yaml``. The page is ``evals/page/``: its HTML with the style sheet, the scripts and the data put in.

The data are columns. A column is its distinct values, ``of`` for texts and ``steps`` for numbers, and the place among
them of every row, ``at``, one text of ``wide`` characters a row in the alphabet below, most significant first: 5,000
runs with their operating points stay below 10 MB. Metrics are rounded to nine digits: ties stay ties, and nothing else
becomes one.
"""

import base64
import hashlib
import html
import json
import math
import re
import sys
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from omegaconf import DictConfig

import paths_config
from evals.cards import added_rows_facts
from evals.plots import axis
from evals.records import advice, causal_ranges, query, reproduce
from evals.records.points import at_own_thresholds, fits, with_points
from evals.records.seed_intervals import factors
from utils.metrics.directions import bounds, direction, headlines
from utils.records import later
from utils.records.settings import flat, varying
from utils.runs import causal_figures, data_sources
from utils.system import atomic
from utils.system.console import count, say, say_of
from utils.words.near import near

OPTIONS = paths_config.ROOT / "config" / "report.yaml"
PAGE = paths_config.ROOT / "evals" / "page"
# in this order, as one script: each defines what the later ones use
SCRIPTS = (
    *("columns.js", "pareto.js", "population.js", "state.js", "handing.js", "view.js", "looks.js", "scales.js"),
    *("plot.js", "dom.js", "controls.js", "record.js", "table.js", "zoom.js", "report.js"),
)
ALPHABET = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype=np.uint8)
DIGITS, COARSE = 9, 6  # of metrics, and of the ends of their intervals, which nothing ranks
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
    ("Individuals and their twins", r"uai.*|counterfactual.*|(un)?fair_certified.*"),
    ("Robustness", r"robust_accuracy.*"),
    ("Between groups", r".*_(gap|difference)(_by_.+|_rest)?"),
    ("Accuracy", r".*accuracy.*|mcc|auc|fnr|fpr|tpr|ppv|prevalence|acceptance_rate"),
    ("Others", r".*"),
)
LATER = "Later evaluations"

Column = dict[str, Any]


# --- columns ---------------------------------------------------------------------------------------------------


def numbers(values: ArrayLike, digits: int = DIGITS) -> Column:
    """Returns a column of numbers (n,), with ``digits`` digits of its largest; what is not finite becomes null.

    ``steps`` lead from each distinct value, in rising order, to the next, the first from 0, in units of
    ``10 ** -power``: they are shorter than the values.
    """
    given = np.asarray(values, dtype=float)
    given = np.where(np.isfinite(given), given, np.nan)
    known = given[~np.isnan(given)]
    whole = not known.size or bool((known == np.rint(known)).all())
    above = 0 if whole else int(np.ceil(np.log10(np.abs(known).max())))
    power = 0 if whole else min(max(digits - above, 0), 22)
    distinct, places = np.unique(np.rint(given * 10.0**power), return_inverse=True)
    steps = np.diff(distinct[~np.isnan(distinct)], prepend=0).astype(np.int64).tolist()
    return {"steps": steps, "power": power} | _places(places, len(distinct))


def texts(values: Iterable[Any]) -> Column:
    """A column of texts, None being none, in the order of their first rows."""
    known: dict[Any, int] = {}
    places = np.fromiter((known.setdefault(value, len(known)) for value in values), dtype=np.int64)
    return {"of": list(known)} | _places(places, len(known))


def _places(places: np.ndarray, distinct: int) -> Column:
    """``wide`` characters a row: 0 where all rows have one value."""
    wide = 0
    while 64**wide < distinct:
        wide += 1
    digits = [places // 64 ** (wide - 1 - i) % 64 for i in range(wide)]
    return {"wide": wide, "at": ALPHABET[np.stack(digits, axis=-1)].tobytes().decode() if wide else ""}


# --- what the page holds ---------------------------------------------------------------------------------------


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
    x, y = _axes(options, offered, opened, asked)
    settings, of_each = _settings(table)
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
        "runs": _runs(table, kept, settings),
        "settings": _facts([kept[i] for i in of_each], table.loc[of_each]),
        "points": _points(kept) if options.points else None,
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
    for metric in offered:
        key = metric["key"]
        if len(data_sources.attributes_apart(records, key)) > 1:
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


def _runs(table: pd.DataFrame, records: Sequence[query.Record], settings: np.ndarray) -> dict[str, Any]:
    """Returns the columns of all runs: their facts, and every metric with the ends of its interval."""
    measured = [key for key in query.metrics(table) if table[key].notna().any()]
    return {
        "n": len(table),
        "doc_id": numbers(table["doc_id"]),
        "name": texts(_text(record.get("name")) for record in records),
        "seed": texts(_text(record.get("seed")) for record in records),
        "created": texts(_text(record.get("created")) for record in records),
        "warnings": texts("\n".join(map(str, record.get("warnings") or ())) or None for record in records),
        "loads": texts(bool(record.get("weights")) for record in records),
        "fit": _fits(records),
        "ranges": texts(_ranges(record) for record in records),
        "poison": texts(tuple(added_rows_facts.facts(record)) or None for record in records),
        "setting": numbers(settings),
        "metrics": {key: numbers(table[key], COARSE if key.endswith(ENDS) else DIGITS) for key in measured},
    }


def _ranges(record: query.Record) -> tuple[tuple[str, str, Any], ...] | None:
    """Returns of every unfair area under several causal models a sentence, its key, and a row for each model."""
    found = causal_ranges.ranges(at_own_thresholds(record))
    told = ((causal_ranges.sentence(own), own.key, tuple(causal_ranges.rows(own))) for own in found)
    return tuple((f"{said[0].upper()}{said[1:]}.", key, rows) for said, key, rows in told) or None


def _points(records: Sequence[query.Record]) -> dict[str, Any] | None:
    """Returns the columns of all operating points: run, number within it, policy, metrics."""
    made = with_points(records)
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
        "metrics": {key: numbers([of.get(key) for of in metrics]) for key in keys},
    }


def _fits(records: Sequence[query.Record]) -> dict[str, Any]:
    """Returns of every run or point the gaps that its thresholds were fitted to, the limit, and the fitted gap."""
    found = [fits(record) for record in records]
    limited = [own[0] if own else None for own in found]
    return {
        "keys": texts("+".join(fit.key for fit in own) or None for own in found),
        "limit": numbers([math.nan if fit is None else fit.permitted for fit in limited]),
        "fitted": numbers([math.nan if fit is None or fit.fitted is None else fit.fitted for fit in limited]),
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
    own = flat(record["params"], "page").items()
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


# --- the page --------------------------------------------------------------------------------------------------


def page(held: Mapping[str, Any]) -> str:
    """The HTML file that shows what ``content`` found.

    Nothing in the data can become markup: no ``<``, ``>`` or ``&`` is left in them, the scripts make only text of
    them, and the page's policy lets nothing run but those very scripts, and nothing be fetched from anywhere.
    """
    style = (PAGE / "report.css").read_text(encoding="utf-8")
    body = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{body}\n}})();\n'
    parts = {
        "policy": f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data: blob:",
        "title": html.escape(f"{held['title']}: trade-offs"),
        "style": style,
        "data": embed(held),
        "script": script,
    }
    template = (PAGE / "report.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)  # in one go: data may look like a place


def embed(held: Mapping[str, Any]) -> str:
    """JSON that can stand inside an HTML element: of its signs none ends the element or begins another."""
    text = json.dumps(held, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _digest(text: str) -> str:
    """Returns the hash by which a content security policy names a script or a style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def report(options: DictConfig) -> None:
    """Reads the database, writes the page, prints what was written."""
    started = perf_counter()
    path = target(options.out, str(options.dataset))
    held = content(query.read(str(options.dataset)), options)
    written = page(held).encode(errors="replace")  # a lone surrogate has no bytes
    atomic.write_bytes(path, written)
    runs, points = held["runs"]["n"], (held["points"] or {}).get("n", 0)
    what = count(runs, "run") + (f", {count(points, 'operating point')}" if points else "")
    if held["source"] is not None:
        say(f"{held['sources']}. The page opens with {held['source']}, and offers the others in its place")
    say_of(path, f"{what}, {len(written) / 1e6:.1f} MB, {perf_counter() - started:.1f} s")


def target(out: object, dataset: str) -> Path:
    """The file that ``out`` names. Raises ValueError where it is no name of a page."""
    path = Path(str(out or f"figures/{dataset.replace('/', '-')}_report.html"))
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"out={out}: expected a name ending in .html")
    return path


if __name__ == "__main__":
    sys.exit(query.command(report, OPTIONS, sys.argv[1:]))
