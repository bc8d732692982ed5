"""What is known of sweeps that were handed to a cluster, from their files and what the queue says."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from evals import database
from tests.commands import house
from utils.launchers import array_task, slurm_queue
from utils.launchers.array_task import pack, unpack
from utils.launchers.slurm import deal
from utils.launchers.slurm_queue import QueueError, Seen
from utils.launchers.submissions import (
    Submission,
    Waiting,
    describe_end,
    digest,
    find_queued,
    forget_ended,
    new_submission,
    note,
    require_own,
    submissions,
)
from utils.runs.outcomes import Outcome, write_outcome
from utils.runs.sweep import Job
from utils.system import console

RUNNING, PENDING = Seen("7", "RUNNING", "n1", "0:10", "None"), Seen("7", "PENDING", "", "0:00", "Priority")
FAILED = Seen("7", "FAILED", "n2", "0:01", "NonZeroExitCode")


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    with house(tmp_path) as folder:
        (folder / "sweep" / ".jobs").mkdir(parents=True)
        yield folder / "sweep"


def submitted(sweep: Path, tasks: int = 2) -> Submission:
    """Tasks of two jobs each, numbered through."""
    jobs = [[Waiting(2 * i + k, f"digest{2 * i + k}", "loan", "") for k in range(2)] for i in range(tasks)]
    made = new_submission("trilemma", sweep, {"mem_gb": 4, "timeout_min": 60}, jobs, sweep / "logs")
    made = replace(made, array="7")
    note(made)
    return made


def test_a_submission_is_read_as_it_was_noted(sweep):
    made = submitted(sweep)
    assert submissions() == [made]
    assert submissions("loan") == [made]
    assert submissions("adult") == []


@pytest.mark.parametrize("text", ['{"name": ', "[]", '{"name": null, "tasks": []}', "\x00"])
def test_a_damaged_file_is_passed_with_a_warning(text, sweep, capsys):
    made = submitted(sweep)
    damaged = sweep.parent / "evals" / ".submitted" / "trilemma-0.json"
    damaged.write_text(text)
    console.begin()
    assert submissions() == [made]
    assert f"warning: {damaged} is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["submitted", "sweep", "asked"])
def test_a_file_with_a_value_of_another_kind_is_damaged(key, sweep):
    made = submitted(sweep)
    path = sweep.parent / "evals" / ".submitted" / f"{made.name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: None}))
    assert submissions() == []


def test_a_job_is_queued_while_its_task_lives_and_it_has_not_ended(sweep):
    made = submitted(sweep)
    queue = {made.name: {0: RUNNING, 1: FAILED}}
    write_outcome(sweep, 0, Outcome("", "finished", ""))
    found = find_queued(["digest0", "digest1", "digest2", "other"], queue)
    assert {key: (place.task, place.number) for key, place in found.items()} == {"digest1": (0, 1)}
    assert find_queued(["digest1"], {}) == {}


def test_a_submission_is_forgotten_once_nobody_need_look_at_it(sweep):
    made = submitted(sweep)
    forget_ended({made.name: {0: PENDING}}, {"digest0", "digest1", "digest2", "digest3"})
    assert submissions() == [made]  # a task waits
    for number in (0, 1, 2):
        write_outcome(sweep, number, Outcome("", "finished", ""))
    forget_ended({}, set())
    assert submissions() == [made]  # a job died, and is not launched again
    forget_ended({}, {"digest3"})
    assert submissions() == []


def test_a_submission_is_forgotten_once_its_folder_is_gone_and_not_for_want_of_words(sweep):
    made = submitted(sweep)
    (sweep / ".jobs").rmdir()
    forget_ended({}, set())
    assert submissions() == [made]
    sweep.rmdir()
    forget_ended({}, set())
    assert submissions() == []


def test_a_run_to_be_replaced_is_queued_for_whoever_wants_it(sweep):
    made = new_submission("trilemma", sweep, {}, [[Waiting(0, "digest!", "loan", "")]], sweep)
    made = replace(made, asked={"mem_gb": 4, "timeout_min": 60})
    note(made)
    queue = {made.name: {0: PENDING}}
    assert find_queued(["digest"], queue).keys() == {"digest"}
    assert find_queued(["digest!"], queue).keys() == {"digest!"}
    note(replace(made, tasks=[[Waiting(0, "digest", "loan", "")]]))
    assert find_queued(["digest!"], queue) == {}


def test_the_folder_of_a_sweep_that_still_runs_is_refused(sweep):
    made = submitted(sweep)
    require_own(sweep, {})
    require_own(sweep, {made.name: {0: FAILED}})
    require_own(sweep.parent, {made.name: {0: RUNNING}})
    with pytest.raises(ValueError, match=r"is that of array 7, which waits or runs"):
        require_own(sweep, {made.name: {0: RUNNING}})


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("OUT_OF_MEMORY", "it took more than hydra.launcher.mem_gb=4"),
        ("TIMEOUT", "it took longer than hydra.launcher.timeout_min=60"),
        ("NODE_FAIL", "the node failed"),
        ("FAILED", "NonZeroExitCode"),
    ],
)
def test_the_end_of_a_task_is_told_with_its_reason_and_log(state, says, sweep):
    made = submitted(sweep)
    told = describe_end(made, 1, FAILED._replace(state=state))
    assert told.startswith(f"SLURM: {state} on n2: {says}")
    assert f"no log in {sweep}/logs: it never started" in told
    log = sweep / "logs" / "7_1" / "7_1_0_log.err"
    log.parent.mkdir(parents=True)
    log.write_text("first\nslurmstepd: error: Exceeded memory limit\nsrun: error: task 0 exited\n\n")
    (sweep / "logs" / "7_0").mkdir()
    (sweep / "logs" / "7_0" / "7_0_0_log.err").write_text("of another task")
    assert describe_end(made, 1, FAILED).endswith(f"see {log}: slurmstepd: error: Exceeded memory limit")
    log.write_text("srun: error: n1: task 0: Killed\nsrun: Force Terminated StepId=24.0\n")
    assert describe_end(made, 1, None).endswith(f"see {log}: srun: error: n1: task 0: Killed")


def test_settings_have_one_digest_whatever_says_nothing_of_the_run():
    params = {"seed": 0, "existing": "skip", "choices": {"model": "mlp"}, "watch": ["accuracy"]}
    assert digest(params) == digest(params | {"choices": {}, "watch": [], "device": "cuda:1"})
    assert digest(params) != digest(params | {"existing": "replace"})
    assert digest(params) != digest(params | {"seed": 1})


def test_stacks_are_dealt_to_at_most_so_many_tasks_and_none_is_lost():
    stacks = [[Job(i, (), {}, Path())] for i in range(7)]
    dealt = deal(stacks, 3)
    assert [len(task) for task in dealt] == [3, 2, 2]
    assert sorted(job.number for task in dealt for stack in task for job in stack) == [*range(7)]
    assert deal(stacks, 100) == [[stack] for stack in stacks]


def test_stacks_are_packed_small_and_unpacked_as_they_were():
    jobs = [Job(i, ("a=1",), {"seed": i, "long": "setting" * 500}, Path("folder") / str(i)) for i in range(32)]
    packed = pack([jobs[:20], jobs[20:]])
    assert unpack(packed) == [jobs[:20], jobs[20:]]
    assert len(packed) < 4000


@pytest.mark.parametrize(
    ("devices", "index", "expected"), [(0, 5, ["auto"] * 3), (1, 5, ["auto"] * 3), (2, 5, [1, 0, 1])]
)
def test_tasks_and_their_stacks_take_turns_on_the_devices_that_they_see(devices, index, expected, sweep, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: devices)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(index))
    used = []
    monkeypatch.setattr(array_task, "work", lambda stack, *_: used.append(stack[0].params["device"]))
    monkeypatch.delenv("TRILEMMA_DELIVER", raising=False)
    stacks = [[Job(i, (), {"device": "auto"}, sweep)] for i in range(4)]
    write_outcome(sweep, 2, Outcome("", "finished", ""))  # before the task was queued again
    array_task.ArrayTask(pack(stacks), sweep, sweep, 1, 0)()
    assert used == [of if of == "auto" else f"cuda:{of}" for of in expected]
    assert os.environ.pop("TRILEMMA_DELIVER") == "1"


# --- SLURM's commands ------------------------------------------------------------------------------------------


def stand_in(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_the_queue_is_read_by_name_and_index_whatever_others_call_their_jobs(tmp_path, monkeypatch):
    lines = r"7|0|RUNNING|n1|0:10|None|trilemma-1\n7|1|PENDING||0:00|Resources|trilemma-1\n9|N/A|FAILED|n2|1:00|x|a|b"
    stand_in(tmp_path, "squeue", f"printf '{lines}\\n'")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    known = slurm_queue.look()
    assert known["trilemma-1"][0] == RUNNING
    assert known["trilemma-1"][1].alive
    assert not known["a|b"][0].alive


def test_a_queue_that_does_not_answer_is_an_error_of_its_own(tmp_path, monkeypatch):
    stand_in(tmp_path, "squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(QueueError, match="Unable to contact slurm controller"):
        slurm_queue.look()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(QueueError, match="squeue is not on this machine"):
        slurm_queue.look()


def test_slurm_s_commands_do_not_take_the_job_they_are_given_in_for_their_own():
    kept = {"SLURM_CONF": "/etc/slurm.conf", "HOME": "/"}
    assert slurm_queue.outside({"SLURM_JOB_ID": "3", "SLURM_NTASKS": "1"} | kept) == kept


@pytest.mark.parametrize(
    ("said", "setting"),
    [
        ("sbatch: error: Batch job submission failed: Invalid partition name specified", "hydra.launcher.partition"),
        ("sbatch: error: Memory specification can not be satisfied", "hydra.launcher.mem_gb"),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", "hydra.launcher.qos"),
        ("sbatch: error: Invalid account or account/partition combination specified", "hydra.launcher.account"),
        (
            "sbatch: error: Job violates accounting/QOS policy (job submit limit, user's size)",
            "hydra.launcher.max_tasks",
        ),
        ("sbatch: error: AssocMaxSubmitJobLimit", "hydra.launcher.max_tasks"),
        (
            "sbatch: error: Requested time limit is invalid (missing or exceeds some limit)",
            "hydra.launcher.timeout_min",
        ),
    ],
)
def test_a_refusal_names_the_setting_that_it_is_about(said, setting):
    told = slurm_queue.explain_refusal(said)
    assert told.startswith(said.removeprefix("sbatch: error: "))
    assert setting in told


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"SLURM_JOB_ID": "148", "SLURM_ARRAY_JOB_ID": "148", "SLURM_ARRAY_TASK_ID": "1"}, "148_1"),
        ({"SLURM_JOB_ID": "9"}, "9"),
    ],
)
def test_a_task_queues_itself_again_and_not_its_array(given, asked, sweep, monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    spoken = []
    monkeypatch.setattr(array_task, "state_of", lambda job: spoken.append(job) or "RUNNING")
    monkeypatch.setattr(array_task, "requeue", lambda job: spoken.append(job) or "")
    assert array_task.ArrayTask(pack([]), sweep, sweep, 1, 1)._queue_again() == ""
    assert spoken == [asked, asked]


# --- the command that looks ------------------------------------------------------------------------------------


def test_watch_tells_from_the_jobs_alone_where_there_is_no_slurm(sweep, monkeypatch, capsys):
    submitted(sweep)
    write_outcome(sweep, 0, Outcome("loan_mlp_erm", "finished", ""))
    write_outcome(sweep, 1, Outcome("loan_mlp_erm", "failed", "the loss became nan"))
    monkeypatch.setenv("PATH", "/nowhere")
    (sweep.parent / "evals" / "loan.json").write_text("{")  # which other commands speak of
    assert database.main(["watch", "dataset=loan"]) == 1
    looked = capsys.readouterr()
    assert "4 jobs: 1 finished, 1 failed, 2 unknown" in looked.out
    assert "#1: the loss became nan" in looked.out
    assert "squeue is not on this machine" in looked.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("watch", "dataset=adult"), "no sweep on dataset=adult was submitted"),
        (("watch", "dataset=loan", "every=0"), "expected seconds between two looks, a number in [1, 86400]"),
        (("watch", "dataset=loan", "every=soon"), "expected seconds"),
        (("cancel", "dataset=loan", "aray=7"), "did you mean array"),
        (("cancel", "dataset=loan", "array="), "array= names none"),
    ],
)
def test_what_cannot_be_watched_is_one_error(words, says, sweep, capsys):
    submitted(sweep)
    assert database.main(words) == 2
    assert says in capsys.readouterr().err
