"""One run from its configuration to its record: what every engine that trains does before and after the training."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter
from typing import Any, TypeGuard

import torch
from filelock import FileLock
from torch import Tensor, nn

import paths_config
from utils.build import Params, Run, build_run, describe_scm, is_learner, stackable
from utils.command_line.checks import validate, validate_settings
from utils.datasets.images import describe
from utils.decides.thresholds_text import describe_fit, doubts_of, in_words
from utils.metrics import twins
from utils.metrics.directions import headlines
from utils.metrics.intervals import Measured
from utils.model_zoo import content, describe_preprocessing, require_loadable, save_weights
from utils.models.learner import Learner
from utils.records import checksum
from utils.run_store import SCHEMA, Record, RunStore, to_plain
from utils.runs.added_rows import account, forget_search, poisoned, rehearse_poison
from utils.runs.causal_figures import model_of, sentences
from utils.runs.fitting import checkpoint_of, fit_plainly, fit_together, logits_of, probing, threshold, trial_of
from utils.runs.judging import evaluate, evaluate_many, warnings_of
from utils.runs.judging import rehearse as rehearse_metrics
from utils.runs.operating_points import operating_points
from utils.runs.outcomes import Model, Outcome
from utils.runs.progress import SayNow, steps_said, steps_shown
from utils.system import atomic, processes
from utils.system.console import complain, count, format_error, say, warn
from utils.system.environment import environment
from utils.system.locks import hold
from utils.threats import NothingToMoveError, find_freed
from utils.training.many_models import DivergenceError, Watch
from utils.training.one_model import NO_VALID
from utils.types import Batch, Context, StoredDecide
from utils.views.modes import in_double
from utils.views.stack import Stack, UnstackableError, stack_batches, stack_contexts
from utils.words.quoting import IMPORT, call, copyable, option, write_word

COMPARED = 64  # test rows that a loaded model answers before its record is filed
PIXELS = {"radius": "pixels in [0, 1]", "features": "pixels in [0, 1]"}
STANDARDISED = {"features": "standard deviations of the training split"}
JUDGED = 8  # models of a stack that are judged, and filed, at a time
FAILURES = (ValueError, AssertionError, torch.OutOfMemoryError)  # of a training; anything else is a defect of ours


def check(params: Params) -> None:
    """Refuse a configuration that cannot be meant, before anything is built from it. Raises ValueError."""
    validate(params)
    validate_settings(params)


def carry_out(params: Params, folder: Path, *, in_sweep: bool, say_now: SayNow = lambda _: None) -> Outcome:
    """One run: build, fit, fix the threshold, evaluate, file. A finished run of the same identity is skipped.

    Args:
        params: the resolved configuration.
        folder: where the job's own ``record.json`` goes.
        in_sweep: say less, since many more are to come.
        say_now: hears what is being done, and None when it is done.
    """
    check(params)
    if processes.count_launched() > 1 and (
        in_sweep or stackable(params) or is_learner(params) or "poison" in params["attack"]
    ):
        raise ValueError("torchrun trains one model of images by several processes; start sweeps and tables without it")
    run = build_run(params)
    with processes.join(run.dataset.train.y.device):
        if processes.rank():
            return _assist(run)
        return _lead(run, folder, in_sweep=in_sweep, say_now=say_now)


def _lead(run: Run, folder: Path, *, in_sweep: bool, say_now: SayNow) -> Outcome:
    """The run by the process that judges and files."""
    params = run.params
    store = RunStore(paths_config.database(run.dataset.name))
    check_folders(run)
    with hold(lock_of(run), f"{run.name}, seed {run.seed}: another process is training this very run"):
        finished = store.find(run.run_id)
        skip = stands(finished, params)
        if processes.world() > 1 or not skip:
            rehearse(run)
        if processes.broadcast(skip) and finished is not None:
            return skipped(run, finished, in_sweep=in_sweep)
        if run.dataset.shape and not in_sweep:
            say(describe(run.dataset))
        write_record(blank_record(run) | {"status": "running"}, folder)
        forget_search(run, finished)
        steps, unit = steps_of(run)
        shown = steps_said(run.name, steps, say_now, unit) if in_sweep else None
        with shown or steps_shown(run.name, steps, unit) as watch:
            record = trained_alone(run, watch=watch)
        doc_id = store.add(write_record(record, folder), replace=finished is not None)
        forget_checkpoint(run, record)
    if record["status"] == "finished" and not in_sweep:
        report(record, doc_id, store.path)
    return outcome(record, doc_id, finished_before=finished is not None)


def _assist(run: Run) -> Outcome:
    """The run by a process that only trains with the leading one."""
    rehearse(run)
    if not processes.broadcast(None):
        fit_plainly(run, watch=lambda *_: None)
    return Outcome(run.name, "finished", "")


# --- before the training ---------------------------------------------------------------------------------------


def lock_of(run: Run) -> FileLock:
    """The lock that who trains the run holds; a process that had to wait for it finds the run finished."""
    folder = paths_config.weights() / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{run.run_id}.lock")


def check_folders(run: Run) -> None:
    """Write and remove an empty file where the results will go, so that a training is not lost for want of a folder.

    The folders of weights and added rows are asked for as a reader asks for what a record names in them.

    Raises:
        ValueError: a folder cannot be made or written to, or the data set's name leads out of the folder of all.
    """
    places = [
        (paths_config.evals(), "TRILEMMA_EVALS"),
        (paths_config.weights_file(run.dataset.name), "TRILEMMA_WEIGHTS"),
    ]
    if run.poison is not None:
        places.append((paths_config.poison_file(run.dataset.name), "TRILEMMA_EVALS"))
    for folder, variable in places:
        try:
            folder.resolve().mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=folder).close()
        except OSError as error:
            raise ValueError(
                f"cannot write to {folder} ({error.strerror}); set {variable} to a folder that can be written to"
            ) from None


def stands(finished: Record | None, params: Params) -> TypeGuard[Record]:
    """Whether a run that finished before need not be trained again: nobody asked for it, and its weights are there."""
    if finished is None or params["existing"] == "replace":
        return False
    return paths_config.weights_file(finished["weights"]["path"]).is_file()


def rehearse(run: Run) -> None:
    """Try objective, attack, metrics and threshold on a few rows: what does not fit is refused before any training.

    Raises:
        ValueError: parts that do not fit each other, a metric that fails, or no rows to fit the threshold on.
    """
    fit_on = run.params["fit_on"]
    rows = getattr(run.dataset, fit_on)
    if not len(rows.y):
        raise ValueError(f"fit_on={fit_on}, but dataset.split leaves it no rows; choose another split or fit_on=train")
    if run.poison is not None:
        rehearse_poison(run)
    (model, few), probe = trial_of(run), probing(run)
    if not isinstance(model, Learner):
        _rehearse_training(run, model, few, probe)
    model.eval()
    with suppress(NothingToMoveError):  # then what it would tell of the model is undefined, and the evaluation says so
        run.ctx.attack(model, few, probe.on(few))
    rehearse_metrics(model, run.dataset.train, probe, run.metrics)
    with torch.no_grad():
        # of images only what the labels and groups tell: their logits come after the training
        outputs = run.params["model"]["outputs"]
        logits = few.w.new_zeros(len(rows.y), outputs) if run.dataset.shape else _scores(run, model, rows)
        decide = run.fit_decide(logits, rows, run.dataset.groups)
    _rehearse_filing(run, model, decide, few)


def _rehearse_filing(run: Run, model: nn.Module, decide: StoredDecide, few: Batch) -> None:
    """Load the model as users will, from the bytes that would be filed. Raises ValueError where that fails."""
    try:
        require_loadable(to_plain(_described(run, decide)), model, decide, few, data=content(model))
    except (ValueError, RuntimeError) as error:
        name = run.params["model"]["_target_"].split(".")[-2]
        raise ValueError(
            f"model={name} could not be loaded again, so it is not trained: {format_error(error)}"
        ) from error


def _described(run: Run, decide: StoredDecide) -> Record:
    """What loading a model takes from its record, beside its weights."""
    return {
        "name": run.name,
        "run_id": run.run_id,
        "params": run.params,
        "status": "finished",
        "decide": decide.to_record(),
        "preprocessing": describe_preprocessing(run.dataset),
    }


def _scores(run: Run, model: nn.Module, rows: Batch) -> Tensor:
    """What thresholds are fitted to. Raises ValueError for a model that cannot be scored in double precision."""
    try:
        return in_double(model)(rows.x)
    except RuntimeError as error:
        said = str(error).splitlines()[0]
        raise ValueError(
            f"model={run.params['model']['_target_']} does not compute in double precision, by which decisions are "
            f"made ({said}); make its constants from its inputs (x.new_zeros) or register them as buffers"
        ) from error


def _rehearse_training(run: Run, model: nn.Module, few: Batch, probe: Context) -> None:
    """The objective, and what looks at the validation rows after an epoch. Raises ValueError as ``rehearse``."""
    heard: list[Any] = []
    try:
        run.objective(model, few, replace(probe.on(few), observe=lambda *seen: heard.append(seen)))
    except NothingToMoveError:
        raise _unmoved(run, model, few, probe) from None
    _check_observed(run, heard)
    if run.recipe.judges and not len(run.dataset.valid.y):
        raise ValueError(NO_VALID)
    for adaptation in run.adaptations:
        adaptation.epoch_ended(model, run.dataset.valid, probe)


def _unmoved(run: Run, model: nn.Module, few: Batch, probe: Context) -> ValueError:
    """The error of a term that has nothing to move in these data, with the words that let it move something."""
    lost = []
    for name, weighted in run.terms.items():
        with suppress(NothingToMoveError):
            weighted.term(model, few, probe.on(few))
            continue
        lost.append(name)
    words = {name: find_freed(run.params["regularizer"][name], f"regularizer.{name}") for name in lost}
    attack = find_freed(run.params["attack"]["evasion"], "attack.evasion")
    remedy = " ".join(dict.fromkeys(word for name in lost for word in words[name] or attack))
    return ValueError(
        f"regularizer={'+'.join(lost)} moves columns of numbers, and dataset={run.dataset.name} has none that may "
        f"move; choose another, such as regularizer=erm, or let columns of 0 and 1 move as numbers: {remedy}"
    )


def steps_of(run: Run) -> tuple[int, str]:
    """How many steps the longest part of a run has, and what they are."""
    if run.poison is not None:
        return run.params["attack"]["poison"]["budget"], "evaluation"
    return run.params["trainer"]["epochs"], "epoch"


def _check_observed(run: Run, heard: Sequence[Any]) -> None:
    """Refuse an adaptation that nothing would be told. Raises ValueError."""
    deaf = [type(adaptation).__name__.lower() for adaptation in run.adaptations if adaptation.listens]
    if deaf and not heard:
        others = " or ".join(write_word("regularizer", [term, deaf[0]]) for term in ("trades", "pgd_at", "mart"))
        raise ValueError(
            f"regularizer={deaf[0]} learns from the adversarial examples of another term, and none makes any known; "
            f"choose one beside it: {others}"
        )


# --- the training ----------------------------------------------------------------------------------------------


def trained_alone(run: Run, *, watch: Watch) -> Record:
    """The record of a run that is trained by itself, on rows that some are added to where it asks for that."""
    if run.poison is None:
        return _trained_alone(run, watch=watch)
    try:
        poisoning = poisoned(run, watch=watch)
        return account(poisoning, _trained_alone(poisoning.run, watch=lambda *_: None))
    except FAILURES as error:
        return failed_record(run, error)


def _trained_alone(run: Run, *, watch: Watch) -> Record:
    """As a stack of one, so that its bits are those of any stack."""
    try:
        [[record]] = trained_together([run], watch=watch)
        return record
    except UnstackableError:
        return _trained_plainly(run, watch=watch)
    except FAILURES as error:
        return failed_record(run, error)


def trained_together(runs: Sequence[Run], *, watch: Watch) -> Iterator[list[Record]]:
    """Train models of one structure together, fix their thresholds, save their weights, judge them on the test rows.

    Judged by ``JUDGED`` at a time, so that an interrupt costs no more than the judging of so many.

    Args:
        runs: those of equal learning rate and weight decay side by side.
        watch: called after every epoch.

    Yields:
        The records of some of the runs as soon as they are known, finished or failed; the seconds of a run are its
        share.

    Raises:
        UnstackableError: runs that form no stack; nothing has been trained.
    """
    started = perf_counter()
    errors = fit_together(runs, watch=watch)
    failed: list[Record] = []
    sound: list[tuple[Run, StoredDecide, Any]] = []
    for run, error in zip(runs, errors, strict=True):
        try:
            if error:
                checkpoint_of(run).unlink(missing_ok=True)
                raise error
            # the weights before judging, which may fail
            sound.append((run, threshold(run), save_weights(run.model, run.dataset.name, run.run_id)))
        except FAILURES as failure:
            failed.append(failed_record(run, failure))
        except OSError as failure:
            if len(runs) == 1:
                raise
            lost = ValueError(f"its weights could not be written: {failure.strerror}")
            failed.append(failed_record(run, lost))
    if failed:
        yield failed
    fitted = (perf_counter() - started) / len(runs)
    for start in range(0, len(sound), JUDGED):
        yield _judged_records(sound[start : start + JUDGED], fitted)


def _judged_records(sound: Sequence[tuple[Run, StoredDecide, Any]], fitted: float) -> list[Record]:
    """The records of trained models with their thresholds and weights; ``fitted``: the seconds of a training."""
    started = perf_counter()
    judged = _judge_together([run for run, *_ in sound], [decide for _, decide, _ in sound])
    seconds = fitted, (perf_counter() - started) / len(sound)
    return [
        _loaded_once(run, decide, _judged_record(run, decide, weights, metrics, seconds))
        for (run, decide, weights), metrics in zip(sound, judged, strict=True)
    ]


def _judge_together(runs: Sequence[Run], decides: Sequence[StoredDecide]) -> list[Any]:
    """The metrics of every model, or what made judging fail."""
    contexts = [replace(run.ctx, decide=decide) for run, decide in zip(runs, decides, strict=True)]
    try:
        return list(
            evaluate_many(
                Stack([run.model for run in runs]),
                stack_batches([run.dataset.test for run in runs]),
                stack_contexts(contexts),
                [run.metrics for run in runs],
            )
        )
    except FAILURES:  # one of the models is to blame
        return [_judged_alone(run, ctx) for run, ctx in zip(runs, contexts, strict=True)]


def _judged_alone(run: Run, ctx: Context) -> Any:
    try:
        return evaluate(run.model, run.dataset.test, ctx, run.metrics)
    except FAILURES as error:
        return error


def _judged_record(run: Run, decide: StoredDecide, weights: Any, judged: Any, seconds: tuple[float, float]) -> Record:
    if isinstance(judged, Exception):
        return failed_record(run, judged)
    return finished_record(run, decide, weights, judged, seconds)


def forget_checkpoint(run: Run, record: Record) -> None:
    """Remove the checkpoint of a finished run; where judging failed, a relaunch goes on from the trained model."""
    if record["status"] == "finished":
        checkpoint_of(run).unlink(missing_ok=True)


def _trained_plainly(run: Run, *, watch: Watch) -> Record:
    """Of a model that forms no stack, by ordinary means."""
    started = perf_counter()
    try:
        fit_plainly(run, watch=watch)
        decide = threshold(run)
        weights = save_weights(run.model, run.dataset.name, run.run_id)
        trained = perf_counter()
        metrics = evaluate(run.model, run.dataset.test, replace(run.ctx, decide=decide), run.metrics)
    except DivergenceError as error:
        checkpoint_of(run).unlink(missing_ok=True)
        return failed_record(run, error)
    except FAILURES as error:
        return failed_record(run, error)
    record = finished_record(run, decide, weights, metrics, (trained - started, perf_counter() - trained))
    return _loaded_once(run, decide, record)


def _loaded_once(run: Run, decide: StoredDecide, record: Record) -> Record:
    """The record, where what it says can be loaded from the disk by users and answers as the model; else a failure."""
    if record["status"] != "finished":
        return record
    try:
        require_loadable(to_plain(record), run.model, decide, run.dataset.test.rows(slice(0, COMPARED)))
    except (ValueError, OSError) as error:
        return failed_record(run, ValueError(f"what was filed cannot be loaded: {format_error(error)}"))
    return record


# --- records ---------------------------------------------------------------------------------------------------


def blank_record(run: Run) -> Record:
    """What is known of a run before it is trained."""
    return {
        "schema": SCHEMA,
        "name": run.name,
        "dataset": run.dataset.name,
        "run_id": run.run_id,
        "group_id": run.group_id,
        "params": run.params,
        "seed": run.seed,
        "fingerprint": run.dataset.fingerprint,
        "environment": environment(run.dataset.train.x.device, run.params["threads"]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def finished_record(
    run: Run, decide: StoredDecide, weights: Any, metrics: Measured, seconds: tuple[float, float]
) -> Record:
    """The record of a trained and judged model; ``seconds`` of fit and of evaluation."""
    data = run.dataset
    record = blank_record(run)
    points, without = _operating_points(run)
    doubts = warnings_of(metrics, data.groups, run.params["evaluation"]["metrics"])
    facts = twins.facts_of_twins(run.ctx.scm, data)
    unlike = twins.warnings_of(facts, data.columns)
    fitted = getattr(decide, "fitted", None)
    if fitted is not None:
        record |= {"fitted": {**fitted, "split": run.params["fit_on"]}}
    beyond = doubts_of(record.get("fitted"), metrics)
    if warnings := [*doubts, *unlike, *getattr(decide, "warnings", ()), *beyond, *without]:
        record |= {"warnings": warnings}
    if causal := describe_scm(run.params, data, run.ctx.scm):
        record |= {"causal": causal}
    if points:
        record |= {"operating_points": points}
    if run.adaptations:
        record |= {"class_weights": [adaptation.class_weights() for adaptation in run.adaptations]}
    figures: Any = Measured({**metrics, **data.facts}, metrics.shares, metrics.deviations).to_record()
    return {
        **record,
        "status": "finished",
        "decide": decide.to_record(),
        "preprocessing": describe_preprocessing(data),
        "units": PIXELS if data.shape else {"radius": run.ctx.scm.radius_unit, **STANDARDISED},
        "rows": {"train": len(data.train.y), "valid": len(data.valid.y), "test": len(data.test.y)},
        "scm": facts,
        **figures,
        "seconds": {"fit": seconds[0], "evaluate": seconds[1]},
        "weights": weights,
    }


def _operating_points(run: Run) -> tuple[dict[str, Any] | None, list[str]]:
    """What thresholds for each group attain on the test rows, where asked for, and a word where there are none."""
    asked, data, fit_on = run.params.get("operating_points"), run.dataset, run.params["fit_on"]
    if not asked or data.classes > 2 or len(data.groups) < 2:
        return None, []
    fitted, judged = ((logits_of(run, rows), rows) for rows in (getattr(data, fit_on), data.test))
    try:
        points = operating_points(fitted, judged, data.groups, **asked, seed=run.seed)
    except ValueError as error:
        return None, [f"no operating points: {error}"]
    return {"fit_on": fit_on} | points | {"fitted": points["fitted"] | {"split": fit_on}}, []


def failed_record(run: Run, error: Exception) -> Record:
    """The record of a run that failed, and a line that says so."""
    reason = (format_error(error) or type(error).__name__).splitlines()[0]
    complain(f"{run.name}, seed {run.seed}: {reason}")
    return blank_record(run) | {"status": "failed", "reason": reason}


def write_record(record: Record, folder: Path) -> Record:
    """Write the job's own ``record.json``, the source of truth; the record as plain values."""
    plain: Record = to_plain(record)
    whole = {**plain, checksum.KEY: checksum.checksum(plain)}
    lines = (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in whole.items())
    atomic.write_text(folder / "record.json", "{\n" + ",\n".join(lines) + "\n}\n")
    return plain


# --- outcomes --------------------------------------------------------------------------------------------------


def outcome(record: Record, doc_id: int, *, finished_before: bool) -> Outcome:
    """How a run ended, for the table of a sweep."""
    if record["status"] == "failed":
        kept = "stays as it was" if finished_before else "says so"
        detail = f"seed {record['seed']}: {record['reason']} (record {doc_id} {kept})"
        return Outcome(record["name"], "failed", detail, record=doc_id)
    seconds = sum(record["seconds"].values())
    detail = f"record {doc_id}, seed {record['seed']}, {seconds:.1f} s"
    return Outcome(record["name"], "finished", detail, doc_id, watched(record), models_watched(record))


def skipped(run: Run, finished: Record, *, in_sweep: bool) -> Outcome:
    """A run that was finished before."""
    if not in_sweep:
        doc_id = finished["doc_id"]
        say(f"{run.name}, seed {run.seed}: finished before, record {doc_id}; existing=replace trains anew")
    doc_id = finished["doc_id"]
    record = finished | {"params": run.params}
    detail = f"record {doc_id}, seed {run.seed}"
    return Outcome(run.name, "skipped", detail, doc_id, watched(record), models_watched(record))


def watched(record: Record) -> dict[str, float | None]:
    """The metrics of a record that its configuration asks to watch."""
    return {key: record["metrics"].get(key) for key in record["params"]["watch"]}


def models_watched(record: Record) -> dict[str, Model]:
    """The causal models that those of these metrics rest on that are causal."""
    found = {key: model_of(record, key) for key in watched(record)}
    return {
        key: Model(dataset=record["dataset"], option=model["option"], fingerprint=model["fingerprint"])
        for key, model in found.items()
        if model is not None
    }


def report(record: Record, doc_id: int, database: Path) -> None:
    """The headline figures on one screen, and what to do with them."""
    metrics = record["metrics"]
    say(f"\n{record['name']}, seed {record['seed']}, on {count(record['rows']['test'], 'test row')}")
    for key in headlines(metrics):
        value, low, high = (metrics.get(k) for k in (key, f"{key}_low", f"{key}_high"))
        shown = "undefined" if value is None or value != value else f"{value:.4f}"
        interval = f"  [{low:.4f}, {high:.4f}]" if low is not None and high is not None else ""
        say(f"  {key:<32} {shown}{interval}")
    for sentence in sentences([record], headlines(metrics)):
        say(f"  {sentence}")
    for line in _of_poison(record):
        say(line)
    warnings = record.get("warnings", [])
    fit = describe_fit(record["fitted"], metrics) if "fitted" in record else ""
    if fit and not any(fit in warning for warning in warnings):  # which say it with what is wrong
        say(f"  {fit}")
    for warning in warnings:
        warn(warning)
    if record["params"]["model"]["outputs"] == 1:
        say(f"  class 1 from a probability of {_thresholds(record)} (decide={record['params']['choices']['decide']})")
    seconds = record["seconds"]
    search = f"search {seconds['search']:.1f} s, " if "search" in seconds else ""
    say(f"  {search}fit {seconds['fit']:.1f} s, evaluation {seconds['evaluate']:.1f} s")
    say(f"filed as record {doc_id} of {database}")
    say(f"load it in Python: {IMPORT}{call('from_database', doc_id, record['dataset'])}")
    say(f"compare what is there with {copyable('python -m evals.plot', option('dataset', record['dataset']))}")


def _of_poison(record: Record) -> list[str]:
    """What was added to the training rows of a run, and what that changed; nothing where nothing was."""
    found = record.get("poison")
    if not found:
        return []
    metrics = record["metrics"]
    lines = [
        f"  {count(found['rows'], 'row')} added ({found['distinct']} distinct) after "
        f"{count(found['evaluations'], 'evaluation')}, {found['failed']} of them failed; "
        f"{found['ended']}: {paths_config.poison_file(found['csv']['path'])}"
    ]
    for split, end in (("validation rows, which the search saw", "_valid"), ("test rows, touched once", "")):
        changes = [
            f"{key} {metrics[f'{key}{end}_unpoisoned']:.4f} -> {metrics[f'{key}{end}']:.4f}"
            for key in dict.fromkeys((found["metric"], "accuracy"))
            if None not in (metrics.get(f"{key}{end}_unpoisoned"), metrics.get(f"{key}{end}"))
        ]
        lines.append(f"    {split}: {', '.join(changes)}")
    return lines


def _thresholds(record: Record) -> str:
    """The thresholds of a two-class model as probabilities, of each group where they differ."""
    decide, groups = record["decide"], record["preprocessing"]["groups"]
    if "probability" in decide:
        return f"{decide['probability']:.2f}"
    said = in_words(decide["logits"], decide.get("shares"))
    return ", ".join(f"{words} for {name}" for words, name in zip(said, groups, strict=True))
