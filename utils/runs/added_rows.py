"""A run whose training rows are changed for a metric: the search for that, and what the record says of it."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import paths_config
from utils.build import Run
from utils.configuration.run_identity import identity_of, run_id
from utils.metrics.directions import direction
from utils.metrics.intervals import Measured
from utils.models.learner import Learner
from utils.poisoning import changes_csv
from utils.poisoning.origins import count_origins
from utils.poisoning.poison_settings import judge_of
from utils.poisoning.rows_csv import to_csv
from utils.records.settings import seeks_trivial
from utils.records.typed import Record
from utils.runs.baselines import compare, outdo
from utils.runs.fitting import threshold
from utils.runs.judging import evaluate
from utils.runs.progress import Watch
from utils.runs.refits import fitted, loss_of, refits, trained_on
from utils.system import atomic
from utils.types import Batch, Poisoned, Refit, StoredDecide, Victim

JUDGED = ("classification", "group", "unfair_area")  # metrics that a record holds of the unpoisoned model too
TABLES = ("classification", "group")  # those of them that cost nothing, and so of the validation rows as well
LABELS = ("class", "label")  # what the label's column is called, the first that no other column is

UNHELD = (
    "the search was led by {metric} of the validation rows, which the record has no figure of: a group has fewer of "
    "them than evaluation.metrics.group.groups_min, or no metric of the evaluation reports it"
)
UNLIKE = (
    "the search claims {metric} {claimed:.4f} on the validation rows and the stored model has {found:.4f}: its journal "
    "is of another machine or other versions, or training does not repeat to the bit: existing=replace searches anew"
)
ROUNDING = 1e-9  # of a mean


@dataclass(frozen=True)
class Poisoning:
    """The run with the rows that were chosen, and all that is known before it is trained."""

    run: Run
    people: Batch  # its training rows as they were
    chosen: Poisoned
    baselines: list[dict[str, Any]]
    unpoisoned: Measured  # on the test rows
    unpoisoned_valid: Measured
    seconds: float  # of the clock, in this process: less after an interruption


def poisoned(run: Run, *, watch: Watch) -> Poisoning:
    """Searches the rows to add to the training rows of a run.

    The test rows play no part: they only judge the model without the rows, here, and later that with them.

    Raises:
        ValueError: splits that share rows, settings that fit neither data nor model, or a learner that always fails.
        DivergenceError: the loss of the model without the rows left the finite numbers.
    """
    assert run.poison is not None
    settings = run.params["attack"]["poison"]
    started, journal = perf_counter(), files(run, ".jsonl")
    journal.parent.mkdir(parents=True, exist_ok=True)
    with refits(run, inner_seeds=settings["inner_seeds"], processes=settings.get("workers")) as refit:
        victim = _victim(run, refit, journal, lambda done, figures: watch(done, dict(figures)))
        chosen = run.poison(replace(victim, earlier=_earlier(run)))
        judge = judge_of(settings, victim)
        if seeks_trivial(settings) and settings["budget"]:
            chosen = outdo(run, victim, judge, chosen, _most(settings, len(run.dataset.train.y)), _share(settings))
        baselines = compare(run, victim, judge, chosen, _tables) if settings.get("baselines") else []
    before = replace(run, model=fitted(run, run.dataset.train))
    decide = threshold(before)
    return Poisoning(
        trained_on(run, chosen.train),
        run.dataset.train,
        chosen,
        baselines,
        _figures(before, decide, run.dataset.test, JUDGED),
        _figures(before, decide, run.dataset.valid, TABLES),
        perf_counter() - started,
    )


def forget_search(run: Run, finished: Mapping[str, Any] | None) -> None:
    """Deletes the journal of a finished run that is to be replaced; that of an interrupted replacement stays."""
    if run.poison is None or finished is None or run.params["existing"] != "replace":
        return
    journal = files(run, ".jsonl")
    if journal.is_file() and atomic.digest(journal) == finished.get("poison", {}).get("trace", {}).get("sha256"):
        journal.unlink()


def rehearse_poison(run: Run) -> None:
    """Refuses a search that cannot be meant before anything is trained.

    Raises:
        ValueError: splits that share rows, or settings that fit neither data nor model.
    """
    assert run.poison is not None
    require_apart(run)
    _require_comparable(run)

    def reached(_: Any) -> Any:
        raise _ReachedError

    with TemporaryDirectory() as folder, suppress(_ReachedError):
        run.poison(_victim(run, reached, Path(folder) / "journal.jsonl", lambda *_: None))


def _require_comparable(run: Run) -> None:
    """Refuses plain methods beside a search that they cannot be compared with, and lists of rows that are there twice.

    Raises:
        ValueError: so it is.
    """
    poison = run.params["attack"]["poison"]
    if poison.get("baselines") and poison["objective"] != "fair":
        raise ValueError(
            "attack.poison.baselines=true compares a search for a fairer model; with objective=unfair leave it out: "
            "the trivial attacks are tried anyway (attack.poison.trivial)"
        )
    if poison.get("baselines") and run.params["prepare"]:
        raise ValueError(
            "attack.poison.baselines=true sets reweighing, massaging and others beside the search, in place of a "
            "prepare; leave prepare=none"
        )
    index = run.dataset.train.index
    if poison.get("action", "add") != "add" and len(index.unique()) < len(index):
        raise ValueError(
            f"attack.poison.action={poison['action']} names rows by their numbers, and prepare or added has some of "
            "them twice; leave it out, or use action=add"
        )


class _ReachedError(Exception):
    """A search has come to its first training."""


def _victim(run: Run, refit: Refit, journal: Path, watch: Callable[[int, Mapping[str, float]], None]) -> Victim:
    data, differentiable = run.dataset, not isinstance(run.model, Learner)
    return Victim(
        columns=data.columns,
        groups=data.groups,
        loc=data.loc,
        scale=data.scale,
        train=data.train,
        valid=data.valid,
        refit=refit,
        fit=(lambda rows: fitted(run, rows)) if differentiable else None,
        loss=loss_of(run) if differentiable else None,
        fit_decide=run.fit_decide,
        seed=run.seed,
        run=_but_for_its_budget(run),
        journal=journal,
        earlier=(),
        watch=watch,
    )


def _but_for_its_budget(run: Run) -> str:
    """Returns a text that is equal for runs that differ in the budget of their search, or in what stands beside it."""
    attack = run.params["attack"]
    poison = {k: v for k, v in attack["poison"].items() if k not in ("budget", "baselines", "trivial")}
    return run_id(identity_of(run.params | {"attack": attack | {"poison": poison}}, run.dataset, run.ctx.scm))


def _earlier(run: Run) -> list[Path]:
    """Returns journals of other runs, some of them maybe of this search; none where the run is to be replaced."""
    own = files(run, ".jsonl")
    if run.params["existing"] == "replace":
        return []
    return sorted(path for path in own.parent.glob("*.jsonl") if path != own)


def require_apart(run: Run) -> None:
    """Refuses splits that share rows, since the search would then see what it is judged by. Raises ValueError."""
    splits = {"train": run.dataset.train, "valid": run.dataset.valid, "test": run.dataset.test}
    seen: dict[int, str] = {}
    for name, rows in splits.items():
        for number in rows.index.tolist():
            if seen.setdefault(number, name) != name:  # within one split a prepare may repeat it
                raise ValueError(
                    f"row {number} of the data is in both {seen[number]} and {name}: what judges the search for rows "
                    "must be apart from what it sees"
                )
    if run.params["fit_on"] != "valid":
        raise ValueError(
            f"fit_on={run.params['fit_on']}: a search for rows fits thresholds on the rows that judge it; leave it out"
        )


def account(poisoning: Poisoning, record: Record) -> Record:
    """Returns the record of the trained run with an account of the search: its files, the figures before and after."""
    if record["status"] != "finished":
        return record
    run, chosen = poisoning.run, poisoning.chosen
    settings = run.params["attack"]["poison"]
    after_valid = _figures(run, threshold(run), run.dataset.valid, TABLES)
    metrics = Measured(record["metrics"], record["shares"], record["deviations"])
    metrics.add(poisoning.unpoisoned.plain("_unpoisoned"))
    metrics.add(after_valid.plain("_valid"))
    metrics.add(poisoning.unpoisoned_valid.plain("_valid_unpoisoned"))
    metric = settings["metric"]
    if settings["objective"] == "unfair":
        after, before = metrics.get(metric), metrics.get(f"{metric}_unpoisoned")
        harm = None if after is None or before is None else -(direction(metric) or -1) * (after - before)
        metrics |= {f"{metric}_under_poisoning": after, f"{metric}_poisoning_harm": harm}
    section = {
        "metric": metric,
        "objective": settings["objective"],
        "budget": settings["budget"],
        "rows": len(chosen.rows.y),
        "distinct": len({(*row, y) for row, y in zip(chosen.natural.tolist(), chosen.rows.y.tolist(), strict=True)}),
        "labels": _counts(chosen.rows.y.tolist()),
        "groups": _counts([run.dataset.groups[s] for s in chosen.rows.s.tolist()]),
        "origins": count_origins(chosen.rows, poisoning.people, run.dataset.groups, run.dataset.class_names),
        "claimed": {"before": dict(chosen.before), "after": dict(chosen.after)},
        "steps": [list(step) for step in chosen.steps],
        "csv": _filed(files(run, ".csv"), _csv(run, chosen)),
        "trace": _filed(files(run, ".jsonl"), None),
        **_changes(poisoning),
        **chosen.facts,
    }
    if poisoning.baselines:
        section["baselines"] = poisoning.baselines
    figures: Any = metrics.to_record()
    whole: Record = {**record, **figures, "poison": section}
    if doubts := _doubts(settings, chosen, after_valid.get(metric)):
        whole["warnings"] = [*record.get("warnings", []), *doubts]
    whole["seconds"] = record["seconds"] | {"search": poisoning.seconds}
    return whole


def _changes(poisoning: Poisoning) -> dict[str, Any]:
    """Returns how many training rows went or changed, and the file that lists them; nothing where none did."""
    run, chosen = poisoning.run, poisoning.chosen
    counts = changes_csv.find_changes(poisoning.people, chosen.train).counts()
    if not counts:
        return {}
    was = replace(run.dataset, train=poisoning.people)
    text = changes_csv.to_csv(was, chosen.train, chosen.reasons)
    return counts | {"changes": _filed(files(run, ".changes.csv"), text)}


def _most(settings: Mapping[str, Any], rows: int) -> int:
    """Returns how many rows a search may add at most, of as many training rows as there are."""
    limit = settings.get("rows")
    return rows if limit is None else min(rows, limit * settings["copies"])


def _share(settings: Mapping[str, Any]) -> float:
    """Returns how many copies of its rows a group and label may get at most, as a share of them."""
    return float(settings["most"]["add"]) if "most" in settings else math.inf


def _tables(run: Run, decide: StoredDecide, rows: Batch) -> Measured:
    return _figures(run, decide, rows, TABLES)


def _doubts(settings: Mapping[str, Any], chosen: Poisoned, found: float | None) -> list[str]:
    """Returns a warning where the stored model has not, or may not have, the figure that the search claims.

    A search by several inner seeds claims a mean, which no one model has.
    """
    metric, claimed = settings["metric"], chosen.after[settings["metric"]]
    if found is None:
        return [UNHELD.format(metric=metric)]
    if settings["inner_seeds"] == 1 and abs(found - claimed) > ROUNDING:
        return [UNLIKE.format(metric=metric, claimed=claimed, found=found)]
    return []


def files(run: Run, suffix: str) -> Path:
    """Returns the path of a file that the search of a run leaves behind."""
    return paths_config.poison_file(f"{run.dataset.name}/{run.run_id}{suffix}")


def _csv(run: Run, chosen: Poisoned) -> str:
    names = {name for column in run.dataset.columns for name in (column.name, column.attribute)}
    label = next(name for name in (*LABELS, "_class") if name not in names)
    return to_csv(run.dataset.columns, chosen.natural, chosen.rows.y, label)


def _filed(path: Path, content: str | None) -> dict[str, str]:
    """Writes a file, or takes it as it is; returns its path, relative to the folder of all of them, and its SHA-256."""
    if content is not None:
        atomic.write_text(path, content)
    relative = path.relative_to(paths_config.poison()).as_posix()
    return {"path": relative, "sha256": atomic.digest(path)}


def _figures(run: Run, decide: StoredDecide, rows: Batch, names: tuple[str, ...]) -> Measured:
    """Returns the named metrics of the trained model of a run."""
    metrics = {name: metric for name, metric in run.metrics.items() if name in names}
    return evaluate(run.model, rows, replace(run.ctx, decide=decide), metrics)


def _counts(values: list[Any]) -> dict[str, int]:
    return {str(value): number for value, number in sorted(Counter(values).items())}
