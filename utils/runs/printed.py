"""The end of a run in words: its line in the table of a sweep, and the screen after a training of its own."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import paths_config
from utils.decides.thresholds_text import describe_fit, describe_small, in_words
from utils.metrics.directions import REST, headlines, split_some
from utils.metrics.references import compares_alone, differences, is_of_intersections
from utils.records.typed import Record
from utils.run_store import store_of
from utils.runs.best import nearly_constant
from utils.runs.causal_figures import model_of, sentences
from utils.runs.data_sources import sensitive_of, source_of
from utils.runs.outcomes import Model, Outcome
from utils.system.console import count, say, warn
from utils.words.added_rows import DONE, describe_origins
from utils.words.levels import name_class, write_level, write_text
from utils.words.numbers import write_estimate
from utils.words.quoting import copyable, load_call, option, with_import

REFERRED = ("acceptance_rate", "fnr", "fpr")  # rates that are compared with those of a reference group


def outcome_of(record: Record, doc_id: int, status: str, *, kept: bool = False) -> Outcome:
    """Returns how a run ended, for the table of a sweep.

    Args:
        record: of the run.
        doc_id: its number in the database; a process that delivers its records says 0.
        status: finished, failed or skipped.
        kept: a failed run leaves the finished record of an earlier training as it was.
    """
    name, detail = record["name"], f"seed {record['seed']}"
    doc_id = 0 if paths_config.delivers() else doc_id
    dataset, run_id, setting = record["dataset"], record["run_id"], record["group_id"]
    if status == "failed":
        detail += f": {record['reason']}"
        return Outcome(name, status, detail, doc_id, dataset=dataset, run_id=run_id, setting=setting, kept=kept)
    seconds = None
    if status == "finished":
        seconds = sum(record["seconds"].values())
        detail += f", {seconds:.1f} s"
    watched = record["params"]["watch"]
    causal = {key: model for key in watched if (model := model_of(record, key))}
    models = {
        key: Model(dataset=record["dataset"], option=model["option"], fingerprint=model["fingerprint"])
        for key, model in causal.items()
    }
    figures = {key: record["metrics"].get(key) for key in watched}
    return Outcome(
        name,
        status,
        detail,
        doc_id,
        figures,
        models,
        dataset=dataset,
        source=source_of(record),
        sensitive=sensitive_of(record),
        setting=setting,
        intervals=dict(_intervals(record, watched)),
        constant=nearly_constant(record["metrics"]),
        run_id=run_id,
        seconds=seconds,
    )


def _intervals(record: Record, keys: Iterable[str]) -> Iterator[tuple[str, list[float]]]:
    """Yields the intervals of figures that have one."""
    for key in keys:
        low, high = (record["metrics"].get(f"{key}_{end}") for end in ("low", "high"))
        if low is not None and high is not None:
            yield key, [low, high]


def report(record: Record, doc_id: int, database: Path) -> None:
    """Prints the headline figures of a finished run, its warnings, and the commands that go on from it."""
    metrics = record["metrics"]
    judged, left = record["rows"]["test"], record["rows"].get("unjudged", 0)
    some = f"{judged:,.0f} of " if left else ""
    say(f"\n{record['name']}, seed {record['seed']}, on {some}{count(judged + left, 'test row')}")
    for line in (*_figures(record), *_against_references(record), *_of_poison(record), *_of_added(record)):
        say(line)
    warnings = record.get("warnings", [])
    fit = describe_fit(record["fitted"], metrics) if "fitted" in record else ""
    if fit and not any(fit in warning for warning in warnings):  # which say it with what is wrong
        say(f"  {fit}")
    for line in _of_small_groups(record):
        say(f"  {line}")
    for warning in warnings:
        warn(warning)
    if record["params"]["model"]["outputs"] == 1:
        one = name_class(1, record["preprocessing"].get("class_names", ()))
        say(f"  {one} from a probability of {_thresholds(record)} (decide={record['params']['choices']['decide']})")
    seconds = record["seconds"]
    search = f"search {seconds['search']:.1f} s, " if "search" in seconds else ""
    say(f"  {search}fit {seconds['fit']:.1f} s, evaluation {seconds['evaluate']:.1f} s")
    if paths_config.delivers():
        say(f"delivered beside {database}, where a process without TRILEMMA_DELIVER=1 files it")
        return
    say(f"filed as record {doc_id} of {database}")
    load = load_call(doc_id, record["dataset"], schema=record["preprocessing"].get("schema"))
    say(f"load it in Python: {with_import(load)}")
    beside = comparable(record, store_of(record["dataset"]).all())
    say(f"compare what is there with {copyable('python -m evals.plot', *beside)}")


def comparable(record: Record, others: Iterable[Record]) -> list[str]:
    """Returns the options that choose, of the records of a database, those with which one can be compared."""
    held = [other for other in others if other.get("status") == "finished"]
    facts = {"source": source_of, "sensitive": sensitive_of}
    apart = [f"{key}=={of(record)}" for key, of in facts.items() if len({of(other) for other in held} - {None}) > 1]
    where = [option("where", ", ".join(apart))] if apart else []
    return [option("dataset", record["dataset"]), *where]


def _figures(record: Record) -> Iterator[str]:
    """Yields a line for each headline figure, with its interval, and the remarks on their causal models."""
    metrics = record["metrics"]
    hidden = is_of_intersections if compares_alone(record) else (lambda _: False)
    keys = [key for key in headlines(metrics) if not hidden(key)]
    wide = max([32, *map(len, keys)])
    for key in keys:
        value, low, high = (metrics.get(k) for k in (key, f"{key}_low", f"{key}_high"))
        if value is None and split_some(key)[1] and f"{key}{REST}" in metrics:
            continue  # a warning says so
        yield f"  {key:<{wide}} {write_estimate(value, low, high)}"
    yield from (f"  {sentence}" for sentence in sentences([record], keys))


def _against_references(record: Record) -> Iterator[str]:
    """Yields a line for each attribute with a reference in its schema: the differences of rates, with intervals."""
    found: dict[tuple[str, str], list[str]] = {}
    for of in differences(record, REFERRED):
        shown = write_estimate(of.value, of.low, of.high, "+")
        found.setdefault((of.attribute, of.rate), []).append(f"{write_text(of.level)} {shown}")
    for (attribute, rate), each in found.items():
        reference = record["preprocessing"]["schema"]["groups"]["reference"][attribute]
        yield f"  {rate} against {write_level(attribute, reference)}: {', '.join(each)}"


def _of_small_groups(record: Record) -> Iterator[str]:
    """Yields the threshold of groups with too few rows for one of their own, in use and at operating points."""
    own = describe_small(record.get("fitted"))
    points = describe_small((record.get("operating_points") or {}).get("fitted"))
    yield from [own] if own else []
    yield from [f"operating points: {points}"] if points and points != own else []


def _of_poison(record: Record) -> Iterator[str]:
    """Yields the rows that were added to the training rows of a run, and the change they made; else nothing."""
    found, metrics = record.get("poison"), record["metrics"]
    if not found:
        return
    changed = [f"{count(found[key], 'row')} {word}" for key, word in DONE.items() if key != "rows" and found.get(key)]
    added = [f"{count(found['rows'], 'row')} added ({found['distinct']} distinct)"] if found["rows"] else []
    file = found["csv"] if added or not changed else found["changes"]
    yield (
        f"  {', '.join([*added, *changed]) or 'no row added or changed'} after "
        f"{count(found['evaluations'], 'evaluation')}, {found['failed']} of them failed; "
        f"{found['ended']}: {paths_config.poison_file(file['path'])}"
    )
    for split, end in (("validation rows, which the search saw", "_valid"), ("test rows, touched once", "")):
        changes = [
            f"{key} {metrics[f'{key}{end}_unpoisoned']:.4f} -> {metrics[f'{key}{end}']:.4f}"
            for key in dict.fromkeys((found["metric"], "accuracy"))
            if None not in (metrics.get(f"{key}{end}_unpoisoned"), metrics.get(f"{key}{end}"))
        ]
        yield f"    {split}: {', '.join(changes)}"
    if (trivial := found.get("trivial") or {}).get("better"):
        what = f"{trivial['rows']} copies of {trivial['of']}"
        yield f"    a trivial attack was better than the search, and is filed: {what}"
    if near := found.get("nearest"):
        beyond = ", ".join(f"{key} by {by:.3g}" for key, by in near["beyond"].items())
        yield (
            f"    nothing better keeps to the limits on validation; the nearest, evaluation {near['evaluation']} with "
            f"{found['metric']} {near[found['metric']]:.4f}, breaks {beyond}: permit more by attack.poison.harm or "
            "attack.poison.accuracy_loss"
        )
    yield from _of_baselines(found)


def _of_baselines(poison: dict[str, Any]) -> Iterator[str]:
    """Yields what plain methods reach within the same limits, on test rows."""
    if found := poison.get("baselines"):
        yield "    beside it, on test rows:"
    for own in found or ():
        if "error" in own:
            yield f"      {own['method']}: not there, {own['error']}"
            continue
        figures = ", ".join(
            f"{key} {own['test'][key]:.4f}" for key in (poison["metric"], "accuracy") if key in own["test"]
        )
        limits = f"; beyond its limits: {', '.join(own['broken'])}" if own["broken"] else ""
        yield f"      {own['method']}: {figures} ({count(own['trainings'], 'training')}{limits})"


def _of_added(record: Record) -> Iterator[str]:
    """Yields what the rows are that were added to the training rows, those of a file and those of a search."""
    added, poison = record.get("added"), record.get("poison") or {}
    if changed := record.get("changed"):
        told = [f"{count(changed[key], 'row')} {word}" for key, word in DONE.items() if changed.get(key)]
        yield f"  {', '.join(told) or 'no row changed'} as {changed['path']} says"
    if added:
        yield f"  {count(added['rows'], 'row')} of {added['path']} trained on too ({added['distinct']} distinct)"
    for counted in filter(None, (added, poison.get("origins"))):
        yield from (f"    {text}" for text in describe_origins(counted))


def _thresholds(record: Record) -> str:
    """Returns the thresholds of a two-class model as probabilities, one for each group where they differ."""
    decide, groups = record["decide"], record["preprocessing"]["groups"]
    if "probability" in decide:
        return f"{decide['probability']:.2f}"
    words = in_words(decide["logits"], decide.get("shares"))
    return ", ".join(f"{own} for {name}" for own, name in zip(words, groups, strict=True))
