"""``hydra/launcher=ray`` on a real cluster of this machine: nodes and processes that die, mistakes told at once."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.commands import SMALL, Answer, command, environment, house, line, process, refused
from tests.ray_nodes import Nodes, cluster, with_mercy
from utils.launchers import ray_cluster
from utils.run_store import RunStore

pytestmark = pytest.mark.e2e
SWEEP = ("-m", "hydra/launcher=ray", "dataset.rows=500", *SMALL)
LONG = ("regularizer=causal_adv", "dataset=loan", "trainer.epochs=25", *(w for w in SMALL if "epochs" not in w))
ADDRESS = "hydra.launcher.ray.init.address"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A cluster of a head without cores and two nodes."""
    with cluster() as made:
        for _ in range(2):
            made.add()
        yield made


@pytest.fixture
def own(tmp_path):
    with house(tmp_path) as folder:
        yield folder


def begin(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        line("train", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )


def end(started: "subprocess.Popen[str]") -> Answer:
    out, err = started.communicate(timeout=300)
    return Answer(started.returncode, out, err)


def wait_until(there) -> None:
    limit = time.monotonic() + 120
    while not there():
        assert time.monotonic() < limit, "not within two minutes"
        time.sleep(0.1)


def filed(folder):
    return RunStore(folder / "evals" / "loan.json").all()


# --- a real cluster --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_jobs_of_a_node_that_dies_end_elsewhere_each_with_one_record(nodes, own):
    """The node dies while it holds the lock of the run that it trains."""
    doomed = nodes.add()
    started = begin("-m", "hydra/launcher=ray", f"{ADDRESS}={nodes.address}", "seed=range(7)", *LONG)
    wait_until(lambda: doomed.processes("ray::_train") and any(own.glob("weights/.locks/*")))
    time.sleep(1)  # in the middle of it
    doomed.kill()
    answer = end(started)
    assert answer.code == 0, answer
    assert "on 3 nodes" in answer.out
    assert re.search(r"^error: its node died; #\d begins again$", answer.err, re.MULTILINE)
    assert "raylet" not in answer.err + answer.out
    assert "7 jobs: 7 finished" in answer.out
    assert re.search(r"^loan_mlp_causal_adv +7 +1-7 ", answer.out, re.MULTILINE)
    assert sorted(record["seed"] for record in filed(own)) == list(range(7))


@pytest.mark.slow
def test_a_job_whose_process_dies_again_and_again_fails_with_the_reason(nodes, own):
    words = (
        f"{ADDRESS}={nodes.address}",
        "hydra.launcher.ray.remote.max_retries=1",
        "seed=0,1",
        "trainer.epochs=1,900",
    )
    started = begin("-m", "hydra/launcher=ray", *words, "dataset.rows=300", *(w for w in SMALL if "epochs" not in w))
    sweep = own / "multirun"
    for _ in range(2):  # both long jobs, one on each node, twice
        wait_until(lambda: sum(f.read_text().count("epoch") for f in sweep.glob("*/*/.jobs/*.now")) == 2)
        for worker in [pid for node in nodes.nodes for pid in node.processes("ray::_train")]:
            with_mercy(worker, signal.SIGKILL)
        time.sleep(1)
    answer = end(started)
    assert answer.code == 1, answer
    assert "4 jobs: 2 finished, 2 failed" in answer.out
    assert "its process died: killed (out of memory?), 2 times (hydra.launcher.ray.remote.max_retries=1)" in answer.out
    assert answer.err.count("begins again") == 2


@pytest.mark.slow
def test_a_stack_trains_within_a_task_to_the_bits_of_the_basic_launcher(nodes, own):
    alone = command("train", "-m", "seed=range(3)", "dataset.rows=500", *SMALL)
    assert alone.code == 0, alone
    basic = {record["run_id"]: record for record in filed(own)}
    answer = process(
        "train", *SWEEP, f"{ADDRESS}={nodes.address}", "hydra.launcher.stack=true", "seed=range(3)", "existing=replace"
    )
    assert answer.code == 0, answer
    assert "3 jobs in 1 task of Ray" in answer.out
    for record in filed(own):
        assert record["weights"]["sha256"] == basic[record["run_id"]]["weights"]["sha256"]
        assert record["metrics"] == basic[record["run_id"]]["metrics"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root hides a folder from a process")
def test_a_folder_that_a_node_does_not_see_is_named_before_anything_is_trained(nodes, own):
    blind = nodes.add(before=["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {own} && exec "$@"', "sh"])
    answer = process("train", *SWEEP, f"{ADDRESS}={nodes.address}", "seed=0,1")
    blind.kill()
    refused(answer, "does not see", str(own / "evals"), "on a file system that the nodes share")
    assert not filed(own)


@pytest.mark.slow
def test_an_interrupt_ends_the_sweep_and_its_tasks(nodes, own):
    started = begin("-m", "hydra/launcher=ray", f"{ADDRESS}={nodes.address}", "seed=0,1,2,3", *LONG)
    wait_until(lambda: any(node.processes("ray::_train") for node in nodes.nodes))
    started.send_signal(signal.SIGTERM)
    answer = end(started)
    assert answer.code == 143, answer
    assert "relaunch the same line" in answer.err
    wait_until(lambda: not any(node.processes("ray::_train") for node in nodes.nodes))


@pytest.mark.slow
def test_another_version_than_the_cluster_s_is_told_in_one_line(nodes, own):
    (own / "sitecustomize.py").write_text("import ray\nray.__version__ = '2.1.0'\n")
    words = line("train", *SWEEP, f"{ADDRESS}={nodes.address}", "seed=0,1")
    there = environment() | {"PYTHONPATH": f"{own}{os.pathsep}{environment()['PYTHONPATH']}"}
    ended = subprocess.run(words, capture_output=True, text=True, env=there, check=False)
    refused(Answer(ended.returncode, ended.stdout, ended.stderr), "Version mismatch", "2.1.0")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([f"{ADDRESS}=127.0.0.1:9"], "nobody answers there"),
        ([f"{ADDRESS}=nobody.invalid:6379"], "nobody answers there"),
        ([f"{ADDRESS}=banana"], "Invalid address"),
        ([f"{ADDRESS}=ray://127.0.0.1:10001"], "make this machine a node of it"),
        (["hydra.launcher.ray.remote.num_gpus=64"], "a task asks for 1 CPU, 64 GPU, and no node has more than"),
        (["+hydra.launcher.ray.init.banana=1"], "banana"),
        (["+hydra.launcher.ray.remote.banana=1"], "banana"),
    ],
)
def test_a_ray_that_cannot_be_used_is_one_line_before_anything_is_trained(own, words, told):
    pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements/ray.txt")
    refused(process("train", *SWEEP, "seed=0,1", *words), told)
    assert not filed(own)


# --- without a cluster -----------------------------------------------------------------------------------------


class FakeRay:
    """Notes how it is started."""

    class _private:  # noqa: N801  as Ray calls it
        class worker:  # noqa: N801
            _worker_logs_enabled = True

    def __init__(self):
        self.given = {}

    def is_initialized(self):
        return False

    def init(self, **given):
        self.given = given


@pytest.fixture
def fake(monkeypatch):
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(ray_cluster, "_require_answer", lambda _: None)
    monkeypatch.setenv("TRILEMMA_EVALS", "there")
    return ray


def test_jobs_of_a_cluster_deliver_their_records_and_know_the_folders(fake):
    """Locks of a shared folder may not hold between nodes."""
    ray_cluster.connect({"address": "auto", "object_store_memory": None})
    variables = fake.given["runtime_env"]["env_vars"]
    assert variables["TRILEMMA_DELIVER"] == "1"
    assert variables["TRILEMMA_EVALS"] == "there"
    assert "object_store_memory" not in fake.given


def test_a_ray_started_here_files_under_the_locks_of_this_machine(fake, monkeypatch):
    monkeypatch.delenv("TRILEMMA_DELIVER", raising=False)
    ray_cluster.connect({"address": None, "object_store_memory": None})
    assert "TRILEMMA_DELIVER" not in fake.given["runtime_env"]["env_vars"]
    assert fake.given["address"] == "local"
    assert fake.given["object_store_memory"] == ray_cluster.STORE


def test_the_signal_that_ends_a_command_stays_its_own(fake, monkeypatch):
    """Ray's own handler would end it with another code and no word."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(fake, "init", lambda **_: signal.signal(signal.SIGTERM, signal.SIG_IGN))
    ray_cluster.connect({"address": None})
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_ray_that_is_not_installed_says_what_to_install(own, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    refused(command("train", *SWEEP, "seed=0,1"), "pip install -r requirements/ray.txt")
    assert not list(own.glob("evals/*.json"))
