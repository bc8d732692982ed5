"""Choose the best model that meets every limit, say what each limit costs, and write its model card.

``python -m evals.select dataset=loan where="uai_0.05<=0.1, fnr_gap<=0.05" maximize=accuracy``; options and defaults
stand in ``config/select.yaml``. A limit on a setting is met by its mean over seeds, and the run that is handed out
meets every limit itself, or the answer says that none does. ``sure=true`` demands it of the whole interval of that
run, wide enough for all the runs that were compared.
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

import paths_config
from evals.cards import card, tradeoff
from evals.choosing import choice, choice_text
from evals.choosing.choice import Choice, Price
from evals.records import query, reproduce
from evals.records.advice import Asked
from evals.records.points import describe_fits, small_groups
from utils.records.warned import list_warnings
from utils.system.console import say, write
from utils.system.tables import align
from utils.words.quoting import option, with_import

OPTIONS = paths_config.ROOT / "config" / "select.yaml"
UNATTAINABLE = 1  # exit code


def select(options: DictConfig) -> int:
    """Reads the database, chooses, writes the card, and prints the choice; returns the exit code."""
    files = _check(options)
    dataset = str(options.dataset)
    uses = {key: card.text_of(key, options[key]) for key in ("intended_use", "out_of_scope")}
    records = query.read(dataset)
    question, facts = choice.ask(
        records,
        maximize=query.to_text(options.maximize),
        minimize=query.to_text(options.minimize),
        conditions=query.to_text(options.where),
        sure=options.sure,
        anyway=options.anyway,
    )
    asked = Asked(dataset, facts or None, ", ".join(c.text for c in question.constraints))
    pool = choice.compete(records, question, asked=asked, runs=options.seeds == "runs", points=options.points)
    found = choice.choose(pool, question, near=options.near)
    ids = {pool.records[i]["doc_id"] for i in pool.each.index}
    competing = [record for record in records if record["doc_id"] in ids]
    notes = [*choice.cautions(question, competing), *list_warnings(competing)]
    written: list[Path] = []
    if found.best is not None and files != []:
        record, _ = choice.pick_run(found, found.best)
        paths = files or _default_files(dataset, record)
        lines = commands(found, asked, record)
        lost = _explain_lost(record)
        notes += lost
        of_card = [*choice.cautions(question, [record]), *lost]
        written = card.write(found, dataset, paths, facts=facts, notes=of_card, commands=lines, stored=records, **uses)
    if options.format == "json":
        write(as_json(found, asked, notes, written, near=options.near))
    else:
        say(as_text(found, asked, notes, written, near=options.near).rstrip("\n"))
    return 0 if found.ranked else UNATTAINABLE


def _check(options: DictConfig) -> list[Path] | None:
    """Refuses options that cannot be meant; returns the files of the card, None for the default ones."""
    for key, words in {"seeds": ("mean", "runs"), "format": ("text", "json")}.items():
        if options[key] not in words:
            raise ValueError(f"{key}={options[key]}: expected {' or '.join(words)}")
    return None if options.card == "auto" else card.files(options.card)


def _default_files(dataset: str, record: query.Record) -> list[Path]:
    point = f"_point{record['point']}" if "point" in record else ""
    stem = f"{dataset}_{record['doc_id']}{point}".replace("/", "-")
    return [Path("figures/cards") / f"{stem}{suffix}" for suffix in card.SUFFIXES]


# --- commands --------------------------------------------------------------------------------------------------


def commands(found: Choice, asked: Asked, record: query.Record) -> dict[str, str]:
    """Returns the commands for the chosen run, by purpose."""
    question = found.question
    load = choice_text.format_load(record, asked.database)
    axes = (*question.keys, *(key for key in tradeoff.AXES if key in record["metrics"] and key != question.objective))
    drawn = [option(name, key) for name, key in zip("xy", axes, strict=False)]
    lines = {
        "load": load if record.get("imported") else with_import(load),
        "plot": asked.command("evals.plot", *drawn) if len(axes) > 1 else "",
        "report": asked.command("evals.report"),
        "reproduce": "" if _explain_lost(record) else reproduce.command(record),
    }
    return {purpose: text for purpose, text in lines.items() if text}


def _explain_lost(record: query.Record) -> list[str]:
    """Returns why no command trains the run again; nothing where one does."""
    try:
        reproduce.command(record)
    except ValueError as error:
        return [f"record {record['doc_id']} cannot be trained again by a command: {error}"]
    return []


# --- text ------------------------------------------------------------------------------------------------------


def as_text(found: Choice, asked: Asked, notes: Sequence[str], written: Sequence[Path], *, near: int) -> str:
    """The answer for a reader."""
    lines = [f"{asked.database}: {found.question}", f"  {choice_text.describe_competition(found, asked.where or '')}"]
    lines += [f"  {line}" for line in choice_text.describe_comparison(found)]
    lines += [f"  left out: {reason}" for reason in found.pool.left_out] + [f"  note: {note}" for note in notes]
    lines += ["", *(_chosen_lines(found, asked) if found.ranked else _unattained_lines(found))]
    lines += _price_lines(found) if found.ranked and found.prices else []
    if found.ranked[1 : near + 1]:
        lines += ["", "runners-up", *_listing(found, found.ranked[1 : near + 1])]
    lines += ["", *(f"card      {path}" for path in written)] if written else []
    return "\n".join(lines) + "\n"


def _chosen_lines(found: Choice, asked: Asked) -> list[str]:
    best = found.ranked[0]
    row = found.pool.table.iloc[best]
    record, _ = choice.pick_run(found, best)
    apart = "  ".join(f"{key}={value}" for key, value in choice.settings_apart(found, best).items())
    lines = [f"chosen    {row['label']}  ({choice_text.seeds(row)})", *([f"          {apart}"] if apart else [])]
    told = (choice_text.describe_given(record, row["seeds"]), choice_text.describe_constant(record))
    lines += [f"          {said}" for said in told if said]
    lines += align([""] * 3, _metric_rows(found, best), indent="  ").splitlines()
    lines += ["", f"use       record {record['doc_id']}, seed {record.get('seed')}{choice_text.why(found, best)}"]
    if row["seeds"] > 1 or found.question.sure:
        lines += [f"          {line}" for line in choice_text.own_figures(found, best)]
    lines += [f"          {line}" for line in _facts(record) if line]
    return lines + [f"{purpose:<10}{line}" for purpose, line in commands(found, asked, record).items()]


def _facts(record: query.Record) -> list[str]:
    """States how a run compares with a constant prediction, and what its thresholds were fitted to."""
    return [choice_text.beside_constant(record), *describe_fits(record), small_groups(record)]


def _metric_rows(found: Choice, candidate: int) -> list[list[str]]:
    row = found.pool.table.iloc[candidate]
    return [
        [
            key,
            choice_text.estimate_over(row, key),
            "; ".join(c for c in choice_text.meetings(found, row, key)),
        ]
        for key in found.question.keys
    ]


def _price_lines(found: Choice) -> list[str]:
    total = len(found.pool.table)
    rows = []
    for paid in found.prices:
        first, found_more, more = _shortly(found, choice_text.price(found, paid)).partition(choice_text.LAXER)
        rows.append([paid.constraint.text, f"{paid.meeting} of {total}", first])
        rows += [["", "", f"{choice_text.LAXER[2:]}{more}"]] if found_more else []
    lines = ["", *align(["limit", "met by", "what it costs"], rows).splitlines()]
    lines += [choice_text.together(found)] if choice_text.together(found) else []
    return lines


def _listing(found: Choice, candidates: Sequence[int]) -> list[str]:
    keys, table = found.question.keys, found.pool.table.iloc[list(candidates)]
    wide = [choice_text.reached(found, i) for i in candidates]
    cells = [
        [
            *(_shortly(found, row["label"]), choice_text.records(row), *(choice_text.figure(row[key]) for key in keys)),
            *("unknown" if math.isnan(end) else choice_text.figure(end) for end in ends.values()),
        ]
        for (_, row), ends in zip(table.iterrows(), wide, strict=True)
    ]
    several = "mean of records" if (table["seeds"] > 1).any() else "record"
    ends = [f"wide interval to ({text})" for text in wide[0]]
    return align(["", several, *keys, *ends], cells, indent="  ").splitlines()


def _shortly(found: Choice, text: str) -> str:
    """A text without data set and model, where the names of all candidates begin with these."""
    first = found.pool.records[0]
    start = f"{first['dataset']}_{(first['params'].get('choices') or {}).get('model')}_"
    return text.replace(start, "") if found.pool.table["name"].astype(str).str.startswith(start).all() else text


def _unattained_lines(found: Choice) -> list[str]:
    question, sure = found.question, found.question.sure
    missed = choice.conflicts(found)
    names = " and ".join(c.text for c in missed)
    lines = [f"no model meets {names}{' together' if len(missed) > 1 else ''}{' for sure' if sure else ''}"]
    for c in question.constraints:
        met = int(choice.find_meeting(found.pool, question, [c]).sum())
        lines.append(f"  {c.text}: met by {met} of {len(found.pool.table)}{'' if met else _reach(found, c)}")
    if found.nearest:
        lines += ["", "nearest to meeting them", *_listing(found, found.nearest)]
    return lines


def _reach(found: Choice, constraint: choice.Constraint) -> str:
    """States the nearest value to a constraint that no candidate meets."""
    needed = choice.find_needed(constraint, [], found.pool, found.question)
    known = constraint.side * needed[np.isfinite(needed)]
    return f"; the nearest reaches {known.min() * constraint.side:.4f}" if constraint.side and len(known) else ""


# --- JSON ------------------------------------------------------------------------------------------------------


def as_json(found: Choice, asked: Asked, notes: Sequence[str], written: Sequence[Path], *, near: int) -> str:
    """The answer for a script; ``chosen`` is null where no model meets every constraint."""
    question = found.question
    answer = {
        "dataset": asked.database,
        "question": {
            "maximize" if question.higher else "minimize": question.objective,
            "constraints": [c.text for c in question.constraints],
            "competing": asked.where,
            "sure": question.sure,
        },
        "candidates": len(found.pool.table),
        "compared": len(found.pool.each),
        "level": found.pool.level if question.sure else None,
        "meeting": len(found.ranked),
        "left_out": list(found.pool.left_out),
        "notes": list(notes),
        "chosen": _chosen_json(found, asked) if found.ranked else None,
        "constraints": [_price_json(found, paid) for paid in found.prices],
        "unattainable": [] if found.ranked else [c.text for c in choice.conflicts(found)],
        "runners_up": [_candidate_json(found, i) for i in found.ranked[1 : near + 1]],
        "nearest": [_candidate_json(found, i) for i in found.nearest],
        "card": [str(path) for path in written],
    }
    return json.dumps(answer, indent=2, allow_nan=False) + "\n"


def _candidate_json(found: Choice, candidate: int) -> dict[str, Any]:
    row = found.pool.table.iloc[candidate]
    metrics = {
        key: {"value": row[key], **{end: _finite(row[f"{key}_{end}"]) for end in ("low", "high")}}
        | {"over": row[f"{key}_over"] or None}
        for key in found.question.keys
    }
    point = None if row["point"] < 0 else int(row["point"])
    ids = [int(i) for i in row["doc_ids"]]
    return {
        "name": row["name"],
        "label": row["label"],
        "doc_ids": ids,
        "point": point,
        "metrics": metrics,
    } | _reached_json(found, candidate)


def _reached_json(found: Choice, candidate: int) -> dict[str, Any]:
    """With ``sure=true`` the ends of the wide intervals, by constraint."""
    ends = choice_text.reached(found, candidate)
    return {"reached": {text: _finite(end) for text, end in ends.items()}} if ends else {}


def _chosen_json(found: Choice, asked: Asked) -> dict[str, Any]:
    best = found.ranked[0]
    record, handed = choice.pick_run(found, best)
    use = {
        "doc_id": record["doc_id"],
        "seed": record.get("seed"),
        "meets_every_constraint": handed.meets,
        "missed": [c.text for c in handed.missed],
        "fitted": describe_fits(record),
        "beside_constant": choice_text.beside_constant(record) or None,
        "metrics": {key: float(choice.pick_row(found, best)[key]) for key in found.question.keys},
    }
    settings = choice.settings_apart(found, best)
    return _candidate_json(found, best) | {
        "settings": settings,
        "use": use,
        "commands": commands(found, asked, record),
    }


def _price_json(found: Choice, paid: Price) -> dict[str, Any]:
    return {
        "constraint": paid.constraint.text,
        "met_by": paid.meeting,
        "binds": paid.binds,
        "gain_without": _finite(paid.gain),
        "best_without": None if paid.best is None else found.pool.table["label"].iloc[paid.best],
        "next_bound": _finite(paid.bound),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


if __name__ == "__main__":
    sys.exit(query.command(select, OPTIONS, sys.argv[1:]))
