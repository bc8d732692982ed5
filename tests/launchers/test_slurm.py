"""Sweeps on a real SLURM of two nodes: as an array, left to itself, cut off, and what it refuses."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands import SMALL, Answer, command, environment, house, line, process, refused
from tests.slurm_cluster import Cluster, cluster, require_slurm
from utils.run_store import RunStore

pytestmark = pytest.mark.e2e

SLURM = ("-m", "hydra/launcher=submitit_slurm", "hydra.launcher.mem_gb=2")
LONG = tuple(word for word in SMALL if not word.startswith("trainer.epochs"))


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    pytest.importorskip("submitit", reason="pip install -r requirements/submitit.txt")
    require_slurm()
    with cluster(tmp_path_factory.mktemp("slurm") / "own") as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(made.configuration))
        yield made


@pytest.fixture
def folder(slurm: Cluster, tmp_path: Path) -> Iterator[Path]:
    with house(tmp_path) as own:
        yield own
    slurm.ask("scancel", "--user=root")


def watch(verb: str = "watch", *words: str) -> Answer:
    return process("evals.database", verb, "dataset=loan", *words)


def wait_until(there: Callable[[], object], seconds: float = 90) -> None:
    limit = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < limit
        time.sleep(0.2)


def numbers(said: str) -> list[int]:
    """Those of records: 1-3,5 are 1, 2, 3 and 5."""
    ends = [part.split("-") for part in said.split(",")]
    return [number for end in ends for number in range(int(end[0]), int(end[-1]) + 1)]


def count_arrays(folder: Path) -> int:
    return len(list((folder / "evals" / ".submitted").glob("*.json")))


def weights_of(folder: Path) -> dict[str, str]:
    return {r["run_id"]: r["weights"]["sha256"] for r in RunStore(folder / "evals" / "loan.json").all()}


# --- one sweep: submitted and left, looked at, waited for ------------------------------------------------------


def test_a_sweep_is_left_to_slurm_looked_at_and_waited_for(slurm, folder):
    words = (*SLURM, "hydra.launcher.stack=true", "hydra.launcher.max_models=4", "regularizer=causal_adv")
    words = (*words, "seed=range(4)", "epsilon=0.05,0.1", *SMALL)
    left = command("train", *words, "hydra.launcher.wait=false", "hydra.sweep.dir=first")
    assert left.code == 0
    assert "8 jobs submitted as array" in left.out
    assert "2 tasks" in left.out
    assert "8 jobs: 0 finished, 8 queued or running" in left.out
    again = command("train", *words, "hydra.launcher.wait=false", "hydra.sweep.dir=second")
    assert "8 jobs queued or running since an earlier command" in again.out
    assert count_arrays(folder) == 1
    looked = watch()
    assert looked.code == 0
    assert re.search(r"8 jobs: \d+ finished, \d+ (running|queued)", looked.out)
    waited = command("train", *words, "hydra.sweep.dir=third")
    assert waited.code == 0
    assert "8 jobs: 8 finished" in waited.out
    records = RunStore(folder / "evals" / "loan.json").all()
    assert [record["doc_id"] for record in records] == [*range(1, 9)]
    row = re.search(r"radius=0.05 +4 +([\d,-]+)  ", waited.out, re.MULTILINE)
    assert row, waited.out
    own = [record["doc_id"] for record in records if record["params"]["epsilon"]["radius"] == 0.05]
    assert numbers(row[1]) == own  # which the nodes did not know
    assert "8 jobs: 8 finished" in watch().out
    finished = command("train", *words, "hydra.sweep.dir=fourth")
    assert "8 jobs: 0 finished, 8 skipped" in finished.out
    assert count_arrays(folder) == 1


# --- what SLURM or its nodes cannot do -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "phrases"),
    [
        ("hydra.launcher.partition=nope", ("SLURM refused", "hydra.launcher.partition", "sinfo")),
        ("hydra.launcher.mem_gb=900", ("SLURM refused 2 jobs", "Memory specification", "hydra.launcher.mem_gb")),
        ("hydra.launcher.gpus_per_node=1", ("SLURM refused 2 jobs", "hydra.launcher.gpus_per_node")),
        ("hydra.launcher.additional_parameters={foo: 1}", ("unrecognized option '--foo=1'",)),
        ("hydra.launcher.setup=3", ("expected lines of a shell",)),
        ("hydra.launcher.wait=no", ("hydra.launcher.wait=no: expected true or false",)),
        ("hydra.launcher.name=a/b", ("hydra.launcher.name=a/b",)),
        ("hydra.launcher.timeout_min=1", ("signal_delay_s=120 leaves nothing of timeout_min=1",)),
    ],
)
def test_a_refusal_is_one_error_before_anything_runs(word, phrases, slurm, folder):
    refused(command("train", *SLURM, "seed=0,1", word, *SMALL), *phrases)
    assert not count_arrays(folder)
    assert not (folder / "evals" / "loan.json").exists()


@pytest.mark.slow
def test_a_queue_that_does_not_answer_is_one_error_and_nothing_is_submitted(slurm, folder, monkeypatch):
    silent = folder / "slurm.conf"
    silent.write_text(re.sub(r"SlurmctldPort=\d+", "SlurmctldPort=9", slurm.configuration.read_text()))
    monkeypatch.setenv("SLURM_CONF", str(silent))
    refused(command("train", *SLURM, "seed=0,1", *SMALL), "squeue", "nothing was submitted")


def test_the_folder_of_a_sweep_that_runs_is_refused_and_its_words_stay(slurm, folder):
    words = (*SLURM, "trainer.epochs=4000", "hydra.launcher.wait=false", "hydra.sweep.dir=same", *LONG)
    assert command("train", *words, "seed=0").code == 0
    (folder / "same" / ".jobs").mkdir(exist_ok=True)
    (folder / "same" / ".jobs" / "0.json").write_text("{}")
    refused(command("train", *words, "seed=1"), "which waits or runs", "hydra.sweep.dir")
    assert (folder / "same" / ".jobs" / "0.json").exists()
    assert count_arrays(folder) == 1


def test_without_slurm_one_error_says_so(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(command("train", *SLURM, "seed=0,1", *SMALL), "sbatch", "login node")


@pytest.mark.slow
def test_a_folder_that_a_node_does_not_see_is_found_before_anything_is_submitted(slurm, folder):
    hidden = folder / "hidden"
    hidden.mkdir()
    for node in slurm.nodes:
        os.kill(int((slurm.folder / f"{node}.pid").read_text()), 15)
        time.sleep(1)
        slurm.start_node(node, hidden)
    slurm.wait_for_nodes()
    try:
        answer = command("train", *SLURM, "seed=0,1", f"hydra.sweep.dir={hidden}/sweep", *SMALL)
        refused(answer, "does not see", str(hidden), "so nothing was submitted")
        assert set(slurm.ask("squeue", "--noheader", "--format=%j").split()) <= {"trilemma-look"}
        assert not count_arrays(folder)
    finally:
        for node in slurm.nodes:
            os.kill(int((slurm.folder / f"{node}.pid").read_text()), 15)
            time.sleep(1)
            slurm.start_node(node)
        slurm.wait_for_nodes()


# --- what goes wrong on the way --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_task_that_dies_is_named_with_its_reason_and_trained_by_the_next_command(slurm, folder):
    words = (*SLURM, "seed=0,1", *SMALL)
    died = command("train", *words, "hydra.launcher.setup=[exit 3]", "hydra.sweep.dir=first")
    assert died.code == 1
    assert "2 jobs: 0 finished, 2 failed" in died.out
    assert re.search(r"#0 failed: seed=0, SLURM: FAILED on n\d: NonZeroExitCode; see .*first/.submitit/", died.out)
    again = command("train", *words, "hydra.sweep.dir=second")
    assert "2 jobs: 2 finished" in again.out


@pytest.mark.slow
def test_a_cancelled_sweep_says_so_and_goes_on_when_launched_again(slurm, folder):
    words = (*SLURM, "seed=0,1", "trainer.epochs=400", *LONG)
    command("train", *words, "hydra.launcher.wait=false", "hydra.sweep.dir=first")
    cancelled = watch("cancel")
    assert cancelled.code == 0
    assert "cancelled array" in cancelled.out
    wait_until(lambda: not slurm.states())
    assert "2 cancelled" in watch().out
    assert "nothing on dataset=loan is queued or runs" in watch("cancel").out
    assert "submitted as array" in command("train", *words, "hydra.launcher.wait=false").out
    assert count_arrays(folder) == 1  # what was cancelled is not spoken of any more


@pytest.mark.slow
def test_a_command_that_is_interrupted_leaves_its_jobs_which_the_next_one_waits_for(slurm, folder):
    words = (*SLURM, "seed=0,1", *SMALL)
    started = subprocess.Popen(
        line("train", *words, "hydra.sweep.dir=first"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    wait_until(lambda: slurm.states())
    started.send_signal(2)
    out, _ = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "2 jobs stay queued or running" in out
    assert "2 queued or running" in out
    again = command("train", *words, "hydra.sweep.dir=second")
    assert "submitted" not in again.out
    assert "2 jobs: 2 finished" in again.out


@pytest.mark.slow
@pytest.mark.parametrize(("how", "stack"), [("USR1", "false"), ("TERM", "true"), ("node", "true")])
def test_jobs_that_are_cut_off_are_queued_again_and_end_with_the_bits_of_an_uninterrupted_training(
    how, stack, slurm, folder
):
    kind = ("regularizer=causal_adv", "seed=0,1", "trainer.epochs=150", *LONG)
    words = (*SLURM, f"hydra.launcher.stack={stack}", *kind)
    tasks = 1 if stack == "true" else 2
    left = command("train", *words, "hydra.launcher.wait=false", "hydra.sweep.dir=first")
    assert f"{tasks} task" in left.out
    jobs = Path("first/.jobs")
    wait_until(lambda: sum("epoch" in path.read_text() for path in jobs.glob("*.now")) == tasks)
    time.sleep(2)
    if how == "node":
        node = slurm.ask("squeue", "--noheader", "--format=%N").strip()
        slurm.kill_node(node)
    else:
        slurm.ask("scancel", f"--signal={how}", slurm.ask("squeue", "--noheader", "--format=%F").split()[0])
    wait_until(lambda: slurm.states() == ["PENDING"] * tasks)
    if how != "node":
        assert len(list((folder / "weights" / ".checkpoints").iterdir())) == 2
    slurm.start_now()  # on the other node, where one was killed
    answer = command("train", *words, "hydra.sweep.dir=second")
    assert "2 jobs: 2 finished" in answer.out, answer.out
    if how == "node":
        slurm.revive_node(node)
    else:
        assert not list((folder / "weights" / ".checkpoints").iterdir())
    (folder / "alone").mkdir()
    with house(folder / "alone") as alone:
        plain = command("train", "-m", f"hydra/launcher={'batched' if stack == 'true' else 'basic'}", *kind)
        assert "2 jobs: 2 finished" in plain.out, plain
        assert weights_of(alone) == weights_of(folder)


@pytest.mark.slow
def test_a_job_that_was_queued_again_too_often_fails_with_a_reason(slurm, folder):
    words = (*SLURM, "seed=0", "trainer.epochs=4000", "hydra.launcher.max_num_timeout=0", *LONG)
    command("train", *words, "hydra.launcher.wait=false", "hydra.sweep.dir=first")
    wait_until(lambda: any("epoch" in path.read_text() for path in Path("first/.jobs").glob("*.now")))
    slurm.ask("scancel", "--signal=USR1", slurm.ask("squeue", "--noheader", "--format=%A").strip())
    wait_until(lambda: Path("first/.jobs/0.json").exists())
    assert "out of time, and not queued again" in json.loads(Path("first/.jobs/0.json").read_text())["detail"]
    looked = watch()
    assert looked.code == 1
    assert "1 failed" in looked.out
    assert "out of time" in looked.out


@pytest.mark.slow
def test_more_stacks_than_an_array_may_have_tasks_share_tasks(slurm, folder):
    answer = command("train", *SLURM, "hydra.launcher.max_tasks=2", "seed=range(5)", *SMALL)
    assert "5 jobs submitted as array" in answer.out
    assert ", 2 tasks" in answer.out
    assert "5 jobs: 5 finished" in answer.out


@pytest.mark.slow
def test_a_search_trains_its_trials_on_the_nodes(slurm, folder):
    search = ("hydra/sweeper=optuna", "hydra.sweeper.trials=3", "hydra.sweeper.batch=2", "epsilon=interval(0.01,0.2)")
    answer = command("train", *SLURM, *search, "regularizer=causal_adv", *SMALL)
    assert answer.code == 0, answer
    assert len(RunStore(folder / "evals" / "loan.json").all()) == 3


def test_a_search_does_not_go_without_its_jobs(folder):
    words = (*SLURM, "hydra/sweeper=optuna", "hydra.launcher.wait=false", "epsilon=interval(0.01,0.2)")
    refused(command("train", *words, *SMALL), "hydra.launcher.wait=false", "search")
