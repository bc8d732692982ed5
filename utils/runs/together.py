"""Many runs of one structure from their configurations to their records, trained and judged as stacks."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import nn

import paths_config
from utils.adversary.worst_case import moves
from utils.build import Run, build_run, stackable
from utils.run_store import Record, RunStore
from utils.runs.added_rows import forget_search
from utils.runs.fitting import FEW, probing
from utils.runs.lifecycle import (
    blank_record,
    carry_out,
    check_folders,
    failed_record,
    forget_checkpoint,
    lock_of,
    outcome,
    rehearse,
    skipped,
    stands,
    steps_of,
    trained_alone,
    trained_together,
    write_record,
)
from utils.runs.outcomes import Outcome
from utils.runs.progress import SayNow, Watch, steps_said
from utils.runs.sweep import Job
from utils.system.console import complain, format_error, say
from utils.views.stack import UnstackableError

LOCKED = 256  # runs that are locked at a time; every lock is an open file
GRAPH = 6  # what autograd and temporaries hold at the most, in units of the outputs of all layers in one pass
OPTIMIZER = 6  # parameters, gradients, an optimizer's moments and temporaries, in units of the parameters

Ended = tuple[Job, Outcome]
Pair = tuple[Job, Run]


def carry_out_together(jobs: Sequence[Job], *, budget: int, say_now: SayNow) -> Iterator[Ended]:
    """Run jobs of one structure as stacks that fit the ``budget`` of bytes; how each ended, as soon as it is known.

    ``say_now`` hears what is being done, and None when it is done.
    """
    built: list[Pair] = []
    made: dict[str, Any] = {}
    for job in jobs:
        try:
            built.append((job, build_run(job.params, made)))
        except (ValueError, OSError) as error:
            yield job, _refused(job, error)
    ended: set[int] = set()
    try:
        check_folders(built[0][1])
        for job, how in _in_stacks(built, budget, say_now):
            ended.add(job.number)
            yield job, how
    except (ValueError, OSError) as error:
        yield from ((job, _refused(job, error)) for job, _ in built if job.number not in ended)


def _in_stacks(built: Sequence[Pair], budget: int, say_now: SayNow) -> Iterator[Ended]:
    """Skip what is finished, leave to other processes what they train, cut the rest to the budget."""
    if not built:
        return
    store = RunStore(paths_config.database(built[0][1].dataset.name))
    distinct = {run.run_id: (job, run) for job, run in reversed(built)}
    first = {job.number for job, _ in distinct.values()}
    again = [job for job, _ in built if job.number not in first]  # the same run twice in a sweep
    pairs = [pair for pair in built if pair[0].number in first]
    finished = store.find_many(distinct)
    fresh = [(job, run) for job, run in pairs if not stands(finished.get(run.run_id), run.params)]
    size = min(_largest(fresh[0][1], budget) if fresh and stackable(fresh[0][1].params) else LOCKED, LOCKED)
    for start in range(0, len(pairs), size):
        with ExitStack() as locks:
            free, taken = _locked(pairs[start : start + size], locks)
            again += [job for job, _ in taken]  # trained by another sweep at this moment
            finished = store.find_many([run.run_id for _, run in free])  # as it is under the locks
            left = []
            for job, run in free:
                before = finished.get(run.run_id)
                if stands(before, run.params):
                    yield job, skipped(run, before, in_sweep=True)
                else:
                    forget_search(run, before)
                    left.append((job, run))
            if left:
                yield from _stack(left, store, say_now)
    for job in again:
        try:
            yield job, carry_out(job.params | {"existing": "skip"}, job.folder, in_sweep=True)
        except (ValueError, OSError) as error:
            yield job, _refused(job, error)


def _locked(pairs: Sequence[Pair], locks: ExitStack) -> tuple[list[Pair], list[Pair]]:
    """The runs that are ours to train now, and those that another process is training."""
    free, taken = [], []
    for job, run in pairs:
        lock: FileLock = lock_of(run)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            taken.append((job, run))
        else:
            locks.callback(lock.release)
            free.append((job, run))
    return free, taken


def _stack(pairs: Sequence[Pair], store: RunStore, say_now: SayNow) -> Iterator[Ended]:
    """Train and file one stack; one by one where it forms none."""
    rehearse(pairs[0][1])
    for job, run in pairs:
        write_record(blank_record(run) | {"status": "running"}, job.folder)
    run = pairs[0][1]
    steps, unit = steps_of(run)
    with steps_said(f"{len(pairs)} {run.name}", steps, say_now, unit) as watch:
        yield from _trained(pairs, store, watch, say_now)


def _trained(pairs: Sequence[Pair], store: RunStore, watch: Watch, say_now: SayNow) -> Iterator[Ended]:
    run = pairs[0][1]
    left = {run.run_id: (job, run) for job, run in pairs}
    try:
        for records in trained_together([run for _, run in pairs], watch=watch):
            yield from _filed([left.pop(record["run_id"]) for record in records], records, store)
    except UnstackableError as error:
        if len(pairs) > 1:
            say(f"{run.name}: {len(pairs)} jobs one by one, since {error}")
        for pair in pairs:
            yield from _filed([pair], [trained_alone(pair[1], watch=watch)], store)
    except (torch.OutOfMemoryError, MemoryError) as error:
        if len(left) == 1:
            yield from _filed(list(left.values()), [failed_record(run, error) for _, run in left.values()], store)
        else:
            say(f"{run.name}: {len(left)} models are too many for the memory there is; going on with half as many")
            again = [(job, build_run(job.params)) for job, _ in left.values()]  # the parameters may have moved
            for half in (again[: len(again) // 2], again[len(again) // 2 :]):
                yield from _stack(half, store, say_now)


def _filed(pairs: Sequence[Pair], records: Sequence[Record], store: RunStore) -> Iterator[Ended]:
    """File what was trained, in the place of what was there."""
    plain = [write_record(record, job.folder) for (job, _), record in zip(pairs, records, strict=True)]
    for (job, run), record, doc_id in zip(pairs, plain, store.add_many(plain, replace=True), strict=True):
        forget_checkpoint(run, record)
        stays = record["status"] == "failed" and store.find(record["run_id"]) is not None
        yield job, outcome(record, doc_id, finished_before=stays)


def _refused(job: Job, error: Exception) -> Outcome:
    complain(f"#{job.number} {' '.join(job.words)}: {format_error(error)}")
    return Outcome("", "refused", format_error(error))


def _largest(run: Run, budget: int) -> int:
    """How many models like this one fit the budget of bytes.

    Raises:
        ValueError: not even one, or what a rehearsal refuses, with its remedy.
    """
    rehearse(run)
    each = memory_of(run)
    if each > budget:
        raise ValueError(
            f"{run.name} needs about {each / 2**20:.0f} MB, and a process has {budget / 2**20:.0f} MB; raise "
            "hydra.launcher.max_memory, or lower hydra.launcher.workers or trainer.batch_size"
        )
    return budget // each


def memory_of(run: Run) -> int:
    """About how many bytes one more model of this kind takes in a stack.

    Its rows, parameters and optimizer, and what the largest forward pass of a training step or of an attack on the
    test rows keeps for its gradient.
    """
    parts = (run.dataset.train, run.dataset.valid, run.dataset.test)
    data = sum(column.nbytes for part in parts for column in part)
    parameters = sum(p.nbytes for p in run.model.parameters())
    rows = run.dataset.train.rows(slice(0, run.params["trainer"]["batch_size"]))
    probe, model = probing(run), copy.deepcopy(run.model)  # whose running statistics would move
    step = _largest_pass(model, lambda: run.objective(model, rows, probe.on(rows)))
    few = run.dataset.test.rows(slice(0, FEW))
    bound = [getattr(metric, "keywords", {}) for metric in run.metrics.values()]
    attacks = [run.ctx.attack, *(of["attack"] for of in bound if "attack" in of)]
    passes = (partial(attack, model, few, probe.on(few)) for attack in attacks if moves(attack, probe))
    judging = max((_largest_pass(model, attack) for attack in passes), default=0)
    judging = judging * len(run.dataset.test.y) // max(1, len(few.y))
    return 2 * data + OPTIMIZER * parameters + GRAPH * max(step, judging)


def _largest_pass(model: nn.Module, compute: Callable[[], Any]) -> int:
    """Bytes of all layers' outputs in the forward pass with most of them."""
    passes = [0]

    def begin(*_: Any) -> None:
        passes.append(0)

    def count(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        passes[-1] += output.numel() * output.element_size()

    layers = [m for m in model.modules() if not list(m.children())]
    hooks = [model.register_forward_pre_hook(begin), *(m.register_forward_hook(count) for m in layers)]
    try:
        compute()
    finally:
        for hook in hooks:
            hook.remove()
    return max(passes)
