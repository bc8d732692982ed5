"""Explanations as JSON, and as a table of one line a person."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from utils.explaining.parts import Explanation, Side, WayOut
from utils.system.console import escape_formulas


def to_json(people: Sequence[Explanation], facts: dict[str, Any], names: Sequence[str]) -> str:
    """All that is known of each person; numbers in natural units, None for what is infinite.

    Args:
        people: their explanations.
        facts: of the model.
        names: of the columns.
    """
    content = {**facts, "people": [_person(one, names) for one in people]}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _person(one: Explanation, names: Sequence[str]) -> dict[str, Any]:
    worst = one.worst
    return {
        "name": one.name,
        "decision": one.label,
        "draws": one.draws,
        "person": _side(one.own, names),
        "twins": [_side(twin, names) | {"otherwise": twin.otherwise} for twin in one.twins],
        "carried": [
            {
                "level": of.level,
                "change": of.change,
                "arrows": [{"nodes": list(part.nodes), "change": part.change} for part in of.arrows],
                "paths": [{"nodes": list(part.nodes), "change": part.change} for part in of.paths],
                "exact": of.exact,
            }
            for of in one.carried
        ],
        "worst_point": {
            "radius": worst.radius,
            "otherwise": worst.turned,
            "level": worst.level,
            "words": dict(worst.words),
            "around": dict(worst.centre),
            "log_odds": worst.log_odds,
            "threshold": _finite(worst.threshold),
        },
        "proof": {
            "radius": worst.radius,
            "verdict": one.proven.verdict,
            "margin": one.proven.margin,
            "counterexample": dict(one.proven.words) or None,
            "largest_radius": one.proven.largest,
            "largest_tried": one.proven.most,
            "reason": one.proven.reason or None,
        },
        "recourse": None if one.way_out is None else _way_out(one.way_out),
    }


def _side(side: Side, names: Sequence[str]) -> dict[str, Any]:
    columns = zip(names, side.values.T.tolist(), strict=True)
    return {
        "level": side.level,
        "words": dict(side.words),
        "values": {name: of[0] if len(set(of)) == 1 else of for name, of in columns},
        "log_odds": side.log_odds,
        "threshold": _finite(side.threshold),
    }


def _way_out(way: WayOut) -> dict[str, Any]:
    found = math.isfinite(way.cost)
    return {
        "cost": _finite(way.cost),
        "all_tried": way.all_tried,
        "columns": list(way.columns),
        "changes": [of.__dict__ for of in way.changes],
        "follows": [{k: v for k, v in of.__dict__.items() if k != "deviations"} for of in way.follows],
        "others": [
            {"level": of.level, "same_change": of.accepted if found else None, "cost": _finite(of.cost)}
            for of in way.others
        ],
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def to_csv(people: Sequence[Explanation]) -> str:
    """One line a person, empty where there is none: decision, twins, worst point, recourse, then the attributes."""
    rows = [_row(one) for one in people]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([escape_formulas(key) for key in keys])
    for row in rows:
        writer.writerow([escape_formulas(row.get(key, "")) for key in keys])
    return text.getvalue()


def _row(one: Explanation) -> dict[str, Any]:
    way = one.way_out
    row: dict[str, Any] = {
        "person": one.name,
        "decision": one.label,
        "log_odds": one.own.log_odds,
        "threshold": one.own.threshold,
    }
    levels = sorted([one.own.level, *(twin.level for twin in one.twins)])
    others = {twin.level: twin.otherwise for twin in one.twins}
    row |= {f"otherwise as {level}": others.get(level, "") for level in levels}
    row |= {f"otherwise within {one.worst.radius:g}": one.worst.turned}
    largest = one.proven.largest
    row |= {f"proof within {one.worst.radius:g}": one.proven.verdict}
    row |= {"proven fair up to": "" if largest is None else largest}
    changes = () if way is None else way.changes
    row |= {"recourse": "; ".join(f"{of.attribute} {of.before} -> {of.after}" for of in changes)}
    costs = {} if way is None else {one.own.level: way.cost} | {of.level: of.cost for of in way.others}
    row |= {f"recourse cost as {level}": costs.get(level, "") for level in levels}
    return row | {f"attribute {name}": text for name, text in one.own.words.items()}
