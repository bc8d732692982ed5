"""One sweep on every launcher: the same records, words, table and exit code as with Hydra's basic one."""

import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.commands import SMALL, Answer, command, environment, house, line, process, refused
from tests.slurm_cluster import cluster, require_slurm
from utils import cli
from utils.model_zoo import from_database
from utils.run_store import RunStore

pytestmark = pytest.mark.e2e

EXTRAS = {"joblib": "joblib", "submitit_local": "submitit", "submitit_slurm": "submitit", "ray": "ray"}
PACKAGES = {"joblib": "hydra-joblib-launcher", "submitit": "hydra-submitit-launcher", "ray": "ray"}  # of each extra
# two jobs that finish, two whose loss is not finite
WORDS = ("-m", "seed=0,1", "dataset.rows=1000", "trainer=sgd", "model.activation=relu", "trainer.lr=0.01,1e6", *SMALL)
LAUNCHERS = [
    "joblib",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("submitit_local", "submitit_slurm", "ray")),
]


class Sweep(NamedTuple):
    """A sweep that has ended."""

    answer: Answer
    folder: Path  # of the command
    records: list[dict[str, Any]]  # by seed and learning rate

    @property
    def jobs(self) -> Path:
        (folder,) = self.folder.glob("multirun/*/*")
        return folder


def installed(launcher: str) -> bool:
    return any(d.name == PACKAGES[EXTRAS[launcher]] for d in importlib.metadata.distributions())


def need(launcher: str) -> None:
    if not installed(launcher):
        pytest.skip(f"hydra/launcher={launcher} is not installed: pip install -r requirements/{EXTRAS[launcher]}.txt")


def filed(folder: Path) -> list[dict[str, Any]]:
    records = RunStore(folder / "evals" / "loan.json").all()
    return sorted(records, key=lambda r: (r["seed"], r["params"]["trainer"]["lr"]))


@pytest.fixture(scope="module")
def sweep_on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Sweep]]:
    """The sweep on a launcher, run once, with folders that are relative to where the command is given."""

    @cache
    def run(launcher: str) -> Sweep:
        with ExitStack() as stack:
            folder = stack.enter_context(house(tmp_path_factory.mktemp(launcher)))
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            for variable in ("EVALS", "WEIGHTS"):
                patch.setenv(f"TRILEMMA_{variable}", variable.lower())
            if launcher == "submitit_slurm":
                require_slurm()
                slurm = stack.enter_context(cluster(folder / "slurm"))
                patch.setenv("SLURM_CONF", str(slurm.configuration))
                patch.setenv("SBATCH_EXPORT", "NONE")  # as where jobs know none of our variables
            start = command if launcher == "basic" else process
            answer = start("train", f"hydra/launcher={launcher}", *WORDS)
            if launcher == "ray" and "Ray did not start" in answer.err:
                pytest.skip(f"Ray did not start on this machine: {answer.err.strip().splitlines()[-1]}")
            return Sweep(answer, folder, filed(folder))

    return run


@pytest.fixture(params=LAUNCHERS)
def sweep(request: pytest.FixtureRequest, sweep_on: Callable[[str], Sweep]) -> Sweep:
    need(request.param)
    return sweep_on(request.param)


# --- the same sweep on every launcher --------------------------------------------------------------------------


def test_every_job_leaves_word(sweep):
    words = {path.name: json.loads(path.read_text())["status"] for path in (sweep.jobs / ".jobs").iterdir()}
    assert words == {"0.json": "finished", "1.json": "failed", "2.json": "finished", "3.json": "failed"}


def test_every_job_leaves_its_record_in_its_folder(sweep):
    status = [json.loads((sweep.jobs / str(n) / "record.json").read_text())["status"] for n in range(4)]
    assert status == ["finished", "failed", "finished", "failed"]


def test_a_failed_job_makes_the_exit_code_1_and_stops_no_other(sweep):
    assert sweep.answer.code == 1
    assert "2 finished, 2 failed" in sweep.answer.out


def test_the_end_has_a_row_for_the_setting_that_went_well_and_a_line_for_every_job_that_failed(sweep):
    end = sweep.answer.out.partition("4 jobs: 2 finished, 2 failed")[2]
    ids = sorted(record["doc_id"] for record in sweep.records if record["status"] == "finished")
    row = re.search(r"^setting .*\n.*? 2 +([\d,-]+)  ", end, re.MULTILINE)
    assert row[1] in (f"{ids[0]}-{ids[1]}", f"{ids[0]},{ids[1]}")
    assert re.findall(r"^#(\d+) (\w+): ", end, re.MULTILINE) == [("1", "failed"), ("3", "failed")]


def test_jobs_are_shown_as_they_end(sweep):
    assert "[4/4, 2 failed, best accuracy" in sweep.answer.out


def test_nobody_is_told_of_schemas(sweep):
    assert "schema" not in sweep.answer.err


def test_records_land_in_one_database(sweep):
    assert [r["status"] for r in sweep.records] == ["finished", "failed"] * 2
    assert len({r["doc_id"] for r in sweep.records}) == 4


def test_records_are_those_of_the_basic_launcher(sweep, sweep_on):
    for ours, basic in zip(sweep.records, sweep_on("basic").records, strict=True):
        assert ours["run_id"] == basic["run_id"]
        assert ours.get("metrics") == basic.get("metrics")
        assert ours["environment"] == basic["environment"]  # its threads, too
        if ours["status"] == "finished":
            assert ours["weights"]["sha256"] == basic["weights"]["sha256"]


def test_a_model_trained_elsewhere_loads(sweep, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(sweep.folder / "evals"))
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(sweep.folder / "weights"))
    finished = next(r for r in sweep.records if r["status"] == "finished")
    assert not from_database(finished["doc_id"], "loan").training


# --- processes that die ----------------------------------------------------------------------------------------


def wait_for(*paths: Callable[[], bool]) -> None:
    limit = time.monotonic() + 120
    while not all(there() for there in paths):
        assert time.monotonic() < limit, "the jobs did not start within two minutes"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_process_is_named_and_relaunching_trains_what_it_did_not(tmp_path):
    need("joblib")
    words = ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0", "trainer.epochs=1,100")
    words = (*words, *(w for w in SMALL if not w.startswith("trainer.epochs")), "hydra.sweep.dir=first")
    with house(tmp_path) as folder:
        started = subprocess.Popen(
            line("train", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )
        wait_for((folder / "first/.jobs/0.json").exists, (folder / "first/1/record.json").exists)
        workers = subprocess.run(["pgrep", "-P", str(started.pid), "-f", "loky"], capture_output=True, text=True)
        for worker in workers.stdout.split():
            os.kill(int(worker), signal.SIGKILL)
        out, err = started.communicate(timeout=120)
        again = process("train", *words[:-1], "hydra.sweep.dir=second")
    assert started.returncode == 1
    assert "the launcher stopped: TerminatedWorkerError" in err
    assert re.search(r"^#1 failed: trainer.epochs=100, left no word: killed", out, re.MULTILINE)
    assert "2 jobs: 1 finished, 1 failed" in out
    assert again.code == 0
    assert "2 jobs: 1 finished, 1 skipped" in again.out


def test_a_sweep_in_the_folder_of_an_earlier_one_shows_its_own_jobs(tmp_path):
    with house(tmp_path):
        first, second = (command("train", "-m", "seed=0", "hydra.sweep.dir=same", *SMALL) for _ in range(2))
    assert "1 job: 1 finished\n" in first.out
    assert "1 job: 0 finished, 1 skipped" in second.out


# --- what cannot be launched -----------------------------------------------------------------------------------


@pytest.mark.parametrize("launcher", EXTRAS)
def test_a_launcher_that_is_not_installed_says_what_to_install(launcher, tmp_path):
    if installed(launcher):
        pytest.skip(f"hydra/launcher={launcher} is installed here")
    with house(tmp_path) as folder:
        answer = command("train", "-m", f"hydra/launcher={launcher}", "seed=0,1", *SMALL)
        refused(answer, f"pip install -r requirements/{EXTRAS[launcher]}.txt")
        assert not list(folder.glob("evals/*.json"))


@pytest.mark.parametrize("extra", sorted(set(EXTRAS.values())))
def test_every_extra_has_its_requirements(extra):
    assert (cli.paths_config.ROOT / "requirements" / f"{extra}.txt").is_file()


def test_the_ranges_of_all_requirements_can_be_met_at_once():
    """What two files ask of one package; the lowest version of one of the ranges is in all of them."""
    root = cli.paths_config.ROOT
    files = [root / "requirements.txt", root / "tests/requirements.txt", *(root / "requirements").glob("*.txt")]
    asked: dict[str, SpecifierSet] = {}
    for needed in [Requirement(row) for path in files for row in path.read_text().splitlines() if row[:1] not in "#-"]:
        asked[needed.name.lower()] = asked.get(needed.name.lower(), SpecifierSet()) & needed.specifier
    lowest = {name: [each.version for each in ranges if each.operator != "<"] for name, ranges in asked.items()}
    assert [name for name, ranges in asked.items() if not any(version in ranges for version in lowest[name])] == []


@pytest.mark.parametrize(("word", "meant"), [("jobli", "joblib"), ("bsic", "basic"), ("submitit", "submitit_slurm")])
def test_a_misspelt_launcher_has_near_misses(word, meant, tmp_path):
    with house(tmp_path):
        refused(command("train", "-m", f"hydra/launcher={word}", "seed=0,1"), "did you mean", meant)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("hydra.launcher.n_jbs=2", "did you mean hydra.launcher.n_jobs?"),
        ("hydra.launcher.n_jobs=2", "it belongs to hydra/launcher=joblib"),
        ("hydra.sweeper.max_bach_size=2", "did you mean hydra.sweeper.max_batch_size?"),
    ],
)
def test_a_key_that_the_launcher_does_not_have_is_refused(word, says, tmp_path):
    with house(tmp_path):
        refused(command("train", "-m", word, "seed=0,1"), says)


# --- cores -----------------------------------------------------------------------------------------------------


def test_as_many_jobs_run_at_a_time_as_their_threads_fit_the_cores():
    from joblib import cpu_count

    assert cli._processes(1) == cpu_count()
    assert cli._processes(cpu_count()) == 1
    assert cli._processes(10 * cpu_count()) == 1


def test_libraries_that_would_take_every_core_take_one():
    program = (
        "import sys; from utils import cli; sys.argv = ['train.py', 'sed=1']; cli.run(None, 'train'); import numpy;"
        "from threadpoolctl import threadpool_info; print('pools', *(i['num_threads'] for i in threadpool_info()))"
    )
    cores = {key: value for key, value in environment().items() if key not in cli.POOLS}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=cores, check=True)
    pools = ended.stdout.splitlines()[-1].split()
    assert pools[0] == "pools"
    assert set(pools[1:]) == {"1"}
