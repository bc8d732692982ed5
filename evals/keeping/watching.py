"""Look at sweeps that were handed to a cluster, and cancel them.

    python -m evals.database watch dataset=NAME [every=SECONDS]
        how many jobs of each sweep on the data set are done, failed, running and queued, from what the jobs have said
        and what SLURM says; which failed and why; what waits for what. With every=30 it looks again until all are over.
        Records that jobs have filed are taken into the database. Launch the line of a sweep again to go on with it:
        that submits what is neither finished nor queued
    python -m evals.database cancel dataset=NAME [array=7,8]
        cancels the sweeps on the data set, or those of the given arrays; what is finished stays

A sweep is one that `hydra/launcher=submitit_slurm` submitted, noted in evals/.submitted. Exit code of watch: 1 where a
job failed.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import paths_config
from utils.launchers import slurm_queue as queue
from utils.launchers.slurm_queue import QueueError, Tasks
from utils.launchers.submissions import Submission, describe_end, note, submissions
from utils.run_store import store_of
from utils.runs.outcomes import WRONG, Outcome, ended_jobs, now, read_outcome
from utils.system.console import complain, count, say
from utils.words.quoting import copyable, option

SHOWN = 5  # reasons, running tasks of a sweep
Lines = Iterator[str]


def watch(dataset: str, every: float | None) -> int:
    """Prints how the sweeps on a data set are, again every so many seconds where given; returns 1 if a job failed.

    Raises:
        ValueError: no sweep on it was submitted.
    """
    while True:
        own = _require(dataset)
        known, trouble = _look()
        if any(paths_config.evals().glob(f"{dataset}.json*")):
            with suppress(OSError, ValueError):  # of a folder that cannot be written to; other commands say so
                store_of(dataset).fold()
        states = [_states(submission, known.get(submission.name, {}), sure=not trouble) for submission in own]
        for submission, state in zip(own, states, strict=True):
            for line in _describe(submission, known.get(submission.name, {}), state):
                say(line)
        if trouble:
            complain(trouble)
        counts = sum((Counter(state.values()) for state in states), Counter[str]())
        if every is None or not counts["queued"] + counts["running"] + counts["unknown"]:
            return 1 if counts["failed"] + counts["died"] else 0
        time.sleep(every)
        say()


def cancel(dataset: str, arrays: Sequence[str]) -> int:
    """Cancels what is queued or runs on a data set, of the given arrays where any are; returns 1 if SLURM refuses.

    Raises:
        ValueError: nothing was submitted, or none of the arrays.
    """
    queue.require_slurm()
    own, known = _require(dataset), queue.look()
    alive_tasks = {s.name: [task for task in known.get(s.name, {}).values() if task.alive] for s in own}
    there = {alive_tasks[s.name][0].array: s for s in own if alive_tasks[s.name]}
    if missing := [array for array in arrays if array not in there]:
        raise ValueError(
            f"array={missing[0]} holds nothing of dataset={dataset} that is queued or runs; these do: "
            f"{', '.join(there) or 'none'}"
        )
    refused = 0
    for array, submission in there.items():
        if arrays and array not in arrays:
            continue
        alive = len(alive_tasks[submission.name])
        why = queue.cancel(array)
        refused += bool(why)
        if why:
            complain(f"array {array}: {why}")
        else:
            note(replace(submission, cancelled=True))
            others = sorted({job.dataset for job in submission.jobs} - {dataset})
            more = f", jobs on {', '.join(others)} among them" if others else ""
            say(f"cancelled array {array}, of which {count(alive, 'task')} waited or ran{more}")
    if not there:
        say(f"nothing on dataset={dataset} is queued or runs")
    return 1 if refused else 0


def _require(dataset: str) -> list[Submission]:
    """Returns what was submitted on a data set."""
    if own := submissions(dataset):
        return own
    others = sorted({job.dataset for submission in submissions() for job in submission.jobs})
    there = f"sweeps were submitted on {', '.join(others)}" if others else "none was"
    raise ValueError(
        f"no sweep on dataset={dataset} was submitted to a cluster ({there}); hydra/launcher=submitit_slurm does so. "
        f"What is in the database: {copyable('python evaluate.py', option('dataset', dataset))}"
    )


def _look() -> tuple[Mapping[str, Tasks], str]:
    """Returns what SLURM knows, and why it does not answer."""
    try:
        return queue.look(), ""
    except QueueError as error:
        return {}, f"{error}; what follows is from the jobs alone"


def _states(submission: Submission, tasks: Tasks, *, sure: bool) -> dict[int, str]:
    """Returns the state of every job by its number: finished, failed, running, queued, cancelled, died or unknown."""
    sweep = Path(submission.sweep)
    ended = ended_jobs(sweep)
    states = {}
    for index, jobs in enumerate(submission.tasks):
        task = tasks.get(index)
        for job in jobs:
            outcome = read_outcome(sweep, job.number) if job.number in ended else None
            if outcome is not None:
                states[job.number] = "failed" if outcome.status in WRONG else "finished"
            elif task is not None and task.alive:
                states[job.number] = "running" if task.state in ("RUNNING", "COMPLETING") else "queued"
            elif submission.cancelled or (task is not None and task.state == "CANCELLED"):
                states[job.number] = "cancelled"
            else:
                states[job.number] = "died" if sure else "unknown"
    return states


def _describe(submission: Submission, tasks: Tasks, states: Mapping[int, str]) -> Lines:
    """Yields the lines on one sweep."""
    counts = Counter(states.values())
    words = ("finished", "failed", "died", "cancelled", "running", "queued", "unknown")
    counted = ", ".join(f"{counts[word]:,} {word}" for word in words if counts[word] or word == "finished")
    array = f"array {submission.array}, " if submission.array else ""
    yield f"{array}{submission.sweep}, submitted {submission.submitted} on {submission.host}"
    yield f"  {count(len(states), 'job')}: {counted}"
    at_work = [number for number, state in states.items() if state == "running"]
    yield from (f"  now: {what}" for what in now(Path(submission.sweep), at_work)[:SHOWN])
    running = [f"{task.node} ({task.time})" for task in tasks.values() if task.state == "RUNNING"]
    if running:
        more = f" and {len(running) - SHOWN} more" if len(running) > SHOWN else ""
        yield f"  runs on {', '.join(running[:SHOWN])}{more}"
    reasons = Counter(task.reason for task in tasks.values() if task.state == "PENDING")
    yield from (f"  {count(n, 'task')} wait: {reason}" for reason, n in reasons.most_common(SHOWN))
    yield from _failures(submission, tasks, states)


def _failures(submission: Submission, tasks: Tasks, states: Mapping[int, str]) -> Lines:
    """Yields why jobs failed or died, each reason once with its jobs."""
    why: dict[str, list[int]] = {}
    for index, jobs in enumerate(submission.tasks):
        for job in jobs:
            if states[job.number] == "failed":
                outcome: Outcome | None = read_outcome(Path(submission.sweep), job.number)
                why.setdefault(outcome.detail if outcome else "", []).append(job.number)
            elif states[job.number] == "died":
                why.setdefault(describe_end(submission, index, tasks.get(index)), []).append(job.number)
    for reason, numbers in list(why.items())[:SHOWN]:
        more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
        yield f"  {', '.join(f'#{n}' for n in numbers[:SHOWN])}{more}: {reason}"
    if any(state in ("died", "cancelled") for state in states.values()):
        yield "  launch the line of that sweep again to train what is missing"
