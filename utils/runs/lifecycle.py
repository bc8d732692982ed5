"""The life of a run from its configuration to its record, the same for one and for many of one structure.

A run is built, locked against other processes, and skipped where it is finished; else it is rehearsed, trained, judged
and filed. A single run is a stack of one.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TypeGuard

import torch
from filelock import Timeout

import paths_config
from utils.build import Parts, Run, build_run
from utils.command_line.checks import check
from utils.configuration.stacking import stackable, structure_of
from utils.configuration.traits import is_learner
from utils.datasets.images import describe
from utils.metrics.intervals import Measured
from utils.model_zoo import save_weights
from utils.records.plain import to_plain
from utils.records.typed import Params, Record
from utils.run_store import RunStore, store_of
from utils.runs.answers import Answers, Fitted, answer, fit_decisions
from utils.runs.finished_before import remember, say_skipped, skip, stands
from utils.runs.fitting import checkpoint_of, fit_alone, fit_plainly, fit_together
from utils.runs.judging import evaluate, evaluate_many
from utils.runs.loadable import require_loadable
from utils.runs.memory import largest_stack
from utils.runs.outcomes import Outcome
from utils.runs.printed import outcome_of, report
from utils.runs.progress import UNHEARD, SayNow, Steps, show_steps, tell_steps
from utils.runs.records import Alike, failed_record, finished_record, make_folder, write_record
from utils.runs.rehearsal import (
    check_folders,
    rehearse,
    tell_of_other_data,
    tell_of_unjudged,
    warn_of_rounding,
    warn_of_wide_radii,
)
from utils.runs.sweep import Job
from utils.system import atomic, processes
from utils.system.console import complain_once, format_error, say
from utils.system.locks import hold, holding, make_lock
from utils.training.many_models import DivergenceError
from utils.types import Context, Dataset
from utils.views.stack import Stack, UnstackableError, stack_batches, stack_contexts

COMPARED = 64  # test rows that a loaded model answers before its record is filed
JUDGED = 8, 32  # models of a stack that are judged, and filed, at a time: at the least, and at the most
JUDGED_ROWS = 16_000  # their test rows together, but for the least
LOCKED = 256  # runs that are locked at a time; every lock is an open file
FAILURES = (ValueError, AssertionError, torch.OutOfMemoryError, MemoryError)  # of a training; others are our defects

Ended = tuple[Job, Outcome]
Pair = tuple[Job, Run]
Trained = tuple[Run, Fitted, dict[str, str]]  # with its thresholds, and where its weights are


@dataclass
class Kept:
    """Memory of a process, of the stacks that it has carried out, for those of the same sweep that follow."""

    sizes: dict[str, int] = field(default_factory=dict)  # of structures that were rehearsed: models trained at a time
    parts: Parts = field(default_factory=Parts)  # of the last stack


def carry_out(params: Params, folder: Path, say_now: SayNow | None = None, dataset: Dataset | None = None) -> Outcome:
    """Carries out one run: builds, fits, fixes the threshold, evaluates, files. A finished run is skipped.

    Args:
        params: the resolved configuration.
        folder: where the job's own ``record.json`` goes.
        say_now: hears what is being done, and None when it is done, of one job of many; None: the run is the only one,
            and prints its steps and figures itself.
        dataset: where it is there already; None: built as the configuration says.
    """
    check(params)
    if processes.count_launched() > 1 and (
        say_now or stackable(params) or is_learner(params) or "poison" in params["attack"]
    ):
        raise ValueError("torchrun trains one model of images by several processes; start sweeps and tables without it")
    run = build_run(params, dataset=dataset)
    with processes.join(run.dataset.train.y.device):
        if processes.rank():
            return _assist(run)
        check_folders(run)
        store = store_of(run.dataset.name)
        with hold(_lock_of(run), f"{run.name}, seed {run.seed}: another process is training this very run"):
            [(_, outcome)] = _skip_or_train([(Job(0, (), params, folder), run)], store, say_now)
    if say_now is None and (record := store.find(run.run_id)):
        if outcome.status == "skipped":
            say_skipped(run.name, run.seed, record["doc_id"])
        elif outcome.status == "finished":
            report(record, record["doc_id"], store.path)
    return outcome


def _assist(run: Run) -> Outcome:
    """Trains with the process that judges and files, where torchrun started several."""
    rehearse(run)
    if not processes.broadcast(None):
        with suppress(*FAILURES):  # the process that files says so
            fit_plainly(run, watch=lambda *_: None)
    return Outcome(run.name, "finished", "")


def carry_out_together(
    jobs: Sequence[Job], *, budget: int, say_now: SayNow, kept: Kept, first: int = 0
) -> Iterator[Ended]:
    """Carries out jobs of one structure as stacks that fit the ``budget`` of bytes.

    Args:
        jobs: those of equal learning rate and weight decay side by side.
        budget: of a stack.
        say_now: hears what is being done, and None when it is done.
        kept: of the stacks before, and for those after it.
        first: the place of the job that is built first, for processes that do not fit the same causal model at once.

    Yields:
        how each job ended, as soon as it has.
    """
    built: dict[int, Pair] = {}
    kept.parts.turn()
    for place in (*range(first, len(jobs)), *range(first)):
        job = jobs[place]
        try:
            built[place] = job, build_run(job.params, kept.parts)
        except (ValueError, OSError) as error:
            yield _refused(job, error)
    kept.parts.settle()
    pairs = [built[place] for place in sorted(built)]
    left = {job.number: job for job, _ in pairs}
    try:
        for job, outcome in _in_stacks(pairs, budget, say_now, kept.sizes):
            del left[job.number]
            yield job, outcome
    except (ValueError, OSError) as error:
        yield from (_refused(job, error) for job in left.values())


def _in_stacks(built: Sequence[Pair], budget: int, say_now: SayNow, sizes: dict[str, int]) -> Iterator[Ended]:
    """Locks and carries out as many runs at a time as fit the budget; repeated runs, and those of others, come last."""
    if not built:
        return
    check_folders(built[0][1])
    store = store_of(built[0][1].dataset.name)
    first = {pair[1].run_id: pair for pair in reversed(built)}
    pairs = [pair for pair in built if first[pair[1].run_id] is pair]
    later = [job for job, run in built if first[run.run_id][0] is not job]  # the same run twice in a sweep
    tried, size = _try_one(pairs, store, budget, sizes)
    for start in range(0, len(pairs), size):
        with ExitStack() as locks:
            free = []
            for job, run in pairs[start : start + size]:
                if _lock(run, locks):
                    free.append((job, run))
                else:
                    later.append(job)  # trained by another sweep at this moment
            yield from _skip_or_train(free, store, say_now, tried)
    for job in later:
        try:
            yield job, carry_out(job.params | {"existing": "skip"}, job.folder, say_now)
        except (ValueError, OSError) as error:
            yield _refused(job, error)


def _try_one(pairs: Sequence[Pair], store: RunStore, budget: int, sizes: dict[str, int]) -> tuple[bool, int]:
    """Rehearses one of these runs of one structure, unless it was; says if it is, and how many are trained at a time.

    Raises:
        ValueError: it cannot be trained, or there is no room for one.
    """
    finished = store.find_many(run.run_id for _, run in pairs)
    fresh = next((pair for pair in pairs if not _stands(finished.get(pair[1].run_id), pair[1].params)), None)
    if fresh is None or not stackable(fresh[1].params):
        return False, LOCKED
    job, run = fresh
    if (structure := structure_of(job.params)) not in sizes:
        rehearse(run)
        sizes[structure] = min(largest_stack(run, budget), LOCKED)
    return True, sizes[structure]


def _refused(job: Job, error: Exception) -> Ended:
    """Prints the mistake that keeps a job from being run, once of jobs that share it; returns how the job ended."""
    complain_once(format_error(error))
    return job, Outcome("", "refused", format_error(error))


# --- one stack -------------------------------------------------------------------------------------------------


def _lock_of(run: Run) -> Path:
    """Returns the file that who trains the run locks; a process that had to wait for it finds the run finished."""
    folder = paths_config.weights() / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{run.run_id}.lock"


def _lock(run: Run, locks: ExitStack) -> bool:
    """Locks a run until the ``locks`` are released; returns False where another process holds its lock."""
    try:
        locks.enter_context(holding(make_lock(_lock_of(run)), timeout=0))
    except Timeout:
        return False
    return True


def _stands(finished: Record | None, params: Params) -> TypeGuard[Record]:
    """Returns whether a finished run need not be trained again: nobody wants it replaced, and its weights are there."""
    return finished is not None and params["existing"] != "replace" and stands(finished)


def _skip_or_train(
    pairs: Sequence[Pair], store: RunStore, say_now: SayNow | None, tried: bool = False
) -> Iterator[Ended]:
    """Skips locked runs that are finished, and trains and files the others as one stack.

    Its first run is rehearsed, unless one of its structure was ``tried``.
    """
    finished = store.find_many(run.run_id for _, run in pairs)
    left = []
    for job, run in pairs:
        before = finished.get(run.run_id)
        if _stands(before, run.params):
            remember(job.params, before)
            yield job, skip(run.params, before)
            continue
        try:
            make_folder(job.folder)
        except OSError as error:
            yield _refused(job, error)
        else:
            left.append((job, run))
    if left:
        tell_of_other_data(left[0][1], store)
    warn_of_wide_radii([run for _, run in left])
    for _, run in left:
        warn_of_rounding(run)
        tell_of_unjudged(run)
    if (left or processes.world() > 1) and not tried:
        rehearse((left or pairs)[0][1])
    if processes.broadcast(not left):
        return
    for _, run in left:
        if run.poison is not None:
            from utils.runs.added_rows import forget_search  # imports pandas, which other runs need not wait for

            forget_search(run, finished.get(run.run_id))
    yield from _train_and_file(left, store, say_now)


def _train_and_file(pairs: Sequence[Pair], store: RunStore, say_now: SayNow | None) -> Iterator[Ended]:
    """Trains a stack and files its records as they come; half of it at a time where the memory does not hold it."""
    run = pairs[0][1]
    if run.dataset.shape and say_now is None:
        say(describe(run.dataset))
    left = {own.run_id: (job, own) for job, own in pairs}
    try:
        with _steps_of(pairs, say_now) as steps:
            for records in _train([own for _, own in pairs], steps):
                yield from _file([left.pop(record["run_id"]) for record in records], records, store)
    except (torch.OutOfMemoryError, MemoryError):
        if len(pairs) == 1:
            raise
    else:
        return
    # behind the error, whose traceback holds what filled the memory
    say(f"{run.name}: {len(left)} models are too many for the memory there is; going on with half as many")
    again = [(job, build_run(job.params)) for job, _ in left.values()]  # the parameters may have moved
    for half in filter(None, (again[: len(again) // 2], again[len(again) // 2 :])):
        yield from _train_and_file(half, store, say_now)


def _steps_of(pairs: Sequence[Pair], say_now: SayNow | None) -> AbstractContextManager[Steps]:
    """Shows or tells the steps of the longest part of a run: the evaluations of a search, else the epochs."""
    run, number = pairs[0][1], len(pairs)
    steps, unit = run.params["trainer"]["epochs"], "epoch"
    if run.poison is not None:
        steps, unit = run.params["attack"]["poison"]["budget"], "evaluation"
    if say_now is None:
        return show_steps(run.name, steps, unit)
    return tell_steps(f"{number} {run.name}" if number > 1 else run.name, steps, say_now, unit)


def _file(pairs: Sequence[Pair], records: Sequence[Record], store: RunStore) -> Iterator[Ended]:
    """Files what was trained, in the place of what was there.

    The checkpoint of a finished run is removed; where judging failed, a relaunch goes on from the trained model.
    """
    written, plain = [], []
    for (job, run), record in zip(pairs, records, strict=True):
        try:
            plain.append(write_record(record, job.folder))
            written.append((job, run))
        except OSError as error:
            yield _refused(job, error)
    for (job, run), record, doc_id in zip(written, plain, store.add_many(plain, replace=True), strict=True):
        if record["status"] == "finished":
            checkpoint_of(run).unlink(missing_ok=True)
            remember(job.params, record)
        kept = record["status"] == "failed" and store.find(record["run_id"]) is not None
        yield job, outcome_of(record, doc_id, record["status"], kept=kept)


# --- training and judging --------------------------------------------------------------------------------------


def _train(runs: Sequence[Run], steps: Steps) -> Iterator[list[Record]]:
    """Trains runs as a stack, or one by one where they form none; yields their records as soon as they are known."""
    if len(runs) > 1:
        try:
            yield from train_stack(runs, steps=steps)
        except UnstackableError as error:
            say(f"{runs[0].name}: {len(runs)} jobs one by one, since {error}")
        else:
            return
    for run in runs:
        yield [train_alone(run, steps=steps)]


def train_alone(run: Run, *, steps: Steps) -> Record:
    """Returns the record of a run that is trained by itself, first choosing the rows to add where it wants some.

    It is a stack of one where it can be, so that its bits are those of any stack.
    """
    try:
        if run.poison is None:
            [[record]] = train_stack([run], steps=steps)
            return record
        from utils.runs.added_rows import account, poisoned  # import pandas, which other runs need not wait for

        poisoning = poisoned(run, watch=steps.step)
        return account(poisoning, train_alone(poisoning.run, steps=UNHEARD))
    except FAILURES as error:
        return failed_record(run, error)


def train_stack(runs: Sequence[Run], *, steps: Steps) -> Iterator[list[Record]]:
    """Trains models of one structure together, fixes their thresholds, saves their weights, judges them on test rows.

    Judged by ``JUDGED`` at a time, so that an interrupt costs no more than the judging of so many.

    Args:
        runs: those of equal learning rate and weight decay side by side.
        steps: hears of every epoch, then of every metric.

    Yields:
        The records of some of the runs as soon as they are known, finished or failed; the seconds of a run are its
        share.

    Raises:
        UnstackableError: several runs that form no stack; nothing has been trained.
    """
    started = perf_counter()
    judge = _judge_together
    try:
        errors = fit_together(runs, watch=steps.step)
    except UnstackableError:
        if len(runs) > 1:
            raise
        errors, judge = [fit_alone(runs[0], watch=steps.step)], _judge_each
    ends = [_kept(run, error, alone=len(runs) == 1) for run, error in zip(runs, errors, strict=True)]
    if failed := [end for end in ends if isinstance(end, dict)]:
        yield failed
    trained = [end for end in ends if not isinstance(end, dict)]
    written = [paths_config.weights_file(weights["path"]) for *_, weights in trained]
    # by a process that was killed: nobody else writes these runs now, as far as their locks hold
    for left in () if paths_config.delivers() else atomic.leftovers(*written):
        left.unlink(missing_ok=True)
    spent = (perf_counter() - started) / len(runs)
    alike = Alike()
    size = max(JUDGED[0], min(JUDGED[1], JUDGED_ROWS // max(1, len(runs[0].dataset.test.y))))
    for start in range(0, len(trained), size):
        some, began = trained[start : start + size], perf_counter()
        contexts = [replace(run.ctx, decide=fitted.decide) for run, fitted, _ in some]
        metrics = judge([run for run, *_ in some], contexts, steps)
        seconds = spent, (perf_counter() - began) / len(some)
        sound = [own for own, found in zip(some, metrics, strict=True) if not isinstance(found, Exception)]
        answers = iter(answer([run for run, *_ in sound], [fitted for _, fitted, _ in sound]))
        yield [
            failed_record(own[0], found)
            if isinstance(found, Exception)
            else _record_of(own, found, next(answers), seconds, alike)
            for own, found in zip(some, metrics, strict=True)
        ]


def _kept(run: Run, error: DivergenceError | None, *, alone: bool) -> Trained | Record:
    """Fits the thresholds of a model and saves its weights, before judging, which may fail; or a failed record."""
    try:
        if error:
            checkpoint_of(run).unlink(missing_ok=True)
            raise error
        return run, fit_decisions(run), save_weights(run.model, run.dataset.name, run.run_id)
    except FAILURES as failure:
        return failed_record(run, failure)
    except OSError as failure:
        if alone:
            raise
        return failed_record(run, ValueError(f"its weights could not be written: {failure.strerror}"))


def _judge_together(runs: Sequence[Run], contexts: Sequence[Context], steps: Steps) -> Sequence[Measured | Exception]:
    """Returns the metrics of every model of a stack, or what made judging it fail."""
    try:
        return evaluate_many(
            Stack([run.model for run in runs]),
            stack_batches([run.dataset.test for run in runs]),
            stack_contexts(contexts),
            [run.metrics for run in runs],
            steps.judging(list(runs[0].metrics)),
        )
    except FAILURES:  # one of the models is to blame
        return _judge_each(runs, contexts, steps)


def _judge_each(runs: Sequence[Run], contexts: Sequence[Context], steps: Steps) -> Sequence[Measured | Exception]:
    """Returns the same, of one model after the other."""
    return [_judge(run, ctx, steps) for run, ctx in zip(runs, contexts, strict=True)]


def _judge(run: Run, ctx: Context, steps: Steps) -> Measured | Exception:
    """Returns the metrics of one model, or the error that judging ends in."""
    try:
        return evaluate(run.model, run.dataset.test, ctx, run.metrics, steps.judging(list(run.metrics)))
    except FAILURES as error:
        return error


def _record_of(
    trained: Trained, metrics: Measured, answers: Answers, seconds: tuple[float, float], alike: Alike
) -> Record:
    """Returns the record of a judged model, whose file users can load and answers as the model; else of a failure."""
    run, (decide, *_), weights = trained
    try:
        record = finished_record(run, decide, weights, metrics, answers, seconds, alike)
    except OSError as error:
        return failed_record(run, ValueError(f"its decisions could not be written: {error.strerror}"))
    record = to_plain(record)
    try:
        rows = run.dataset.test.rows(slice(0, COMPARED))
        require_loadable(record, run.model, answers.logits[:COMPARED], decide, rows, like=alike.loaded)
    except (ValueError, OSError) as error:
        return failed_record(run, ValueError(f"what was filed cannot be loaded: {format_error(error)}"))
    alike.loaded = alike.loaded or record
    return record
