"""``hydra/launcher=batched``: an engine, never a different experiment. The oracle is the one-by-one run."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from itertools import cycle

import pytest
import torch
from safetensors.torch import load_file

import paths_config
from tests.commands import SMALL, command, environment, for_tables, full_disk, house, line, refused
from utils.command_line import checks
from utils.configuration.stacking import structure_of
from utils.launchers.batched import cut, in_bytes
from utils.run_store import RunStore
from utils.runs import lifecycle
from utils.runs import sweep as runs_sweep
from utils.runs.sweep import Job

pytestmark = pytest.mark.e2e

REGULARIZERS = for_tables("regularizer")
ROWS = 400
TWO_ROWS = 2 / (0.2 * ROWS)  # of the test split
FEW = ("dataset.rows=400", "trainer.epochs=2", *SMALL[:1], *SMALL[2:])
BATCHED = ("hydra/launcher=batched", "hydra.launcher.workers=1")
# those that are compared with runs one by one in every run of the tests; a stack itself asks two of its own
OFTEN = ("causal_adv", "adversarial_debiasing")
# numbers of each regularizer that a stack may hold in different values
KNOBS = {
    "adversarial": "epsilon=0.05,0.2",
    "adversarial_debiasing": "regularizer.adversarial_debiasing.weight=0.3,1",
    "capify": "regularizer.capify.linearity=0.5,2.0",
    "causal_adv": "regularizer.causal_adv.twins=1,2.5",
    "causal_al": "epsilon=0.05,0.2",
    "causal_dro": "epsilon=0.05,0.2",
    "causal_al_random": "regularizer.causal_al_random.attack.samples=20",
    "certified": "regularizer.certified.spread=1,3",
    "erm": "trainer.lr=0.01,0.03",
    "group_gap": "regularizer.group_gap.weight=3,30",
    "llr": "regularizer.llr.gradient=0.5,1",
    "ross": "regularizer.ross.step=0.3,0.75",
    "sensei": "regularizer.sensei.search.steps=5",
    "sensei_causal": "regularizer.sensei_causal.search.steps=3",
    "sensr": "regularizer.sensr.search.steps=5",
    "sensr_causal": "regularizer.sensr_causal.search.steps=3",
}


@pytest.fixture
def own(tmp_path):
    """An empty house."""
    with house(tmp_path) as folder:
        yield folder


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory):
    """Where a stack of two seeds was trained."""
    with house(tmp_path_factory.mktemp("two")) as folder:
        assert command("train", "-m", "seed=0,1", *FEW, *BATCHED).code == 0
    return folder


@pytest.fixture
def after(two_seeds, own):
    """A house in which the sweep of two seeds is finished."""
    return shutil.copytree(two_seeds, own, dirs_exist_ok=True)


def by_run(dataset="loan"):
    return {record["run_id"]: record for record in RunStore(paths_config.database(dataset)).all()}


def parameters(record):
    return load_file(paths_config.weights_file(record["weights"]["path"]))


def sweep(folder, *words, code=0):
    """The records of a sweep by run, and its answer, in a house of its own."""
    folder.mkdir()
    with house(folder):
        answer = command("train", "-m", *words)
        assert answer.code == code, answer
        found = by_run(next(path.stem for path in (folder / "evals").glob("*.json")))
        return {run: (record, parameters(record)) for run, record in found.items() if "weights" in record}, answer


def differ(key, one, other):
    """Whether two figures differ by more than two test rows."""
    if one is None or other is None:
        return one is not other
    return abs(one - other) > (TWO_ROWS if not key.startswith("support") else 0) + 1e-9


# --- equality --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("regularizer", "dataset"),
    [
        pytest.param(*pair, marks=[] if pair[0] in OFTEN else [pytest.mark.slow])
        for pair in zip(REGULARIZERS, cycle(["loan", "nlm"]), strict=False)
    ],
)
def test_records_are_those_of_one_by_one_runs(tmp_path, regularizer, dataset):
    """Stacks of several numbers and seeds, on either data set in turn."""
    words = (f"dataset={dataset}", f"regularizer={regularizer}", KNOBS[regularizer], "seed=0,1", *FEW)
    alone, _ = sweep(tmp_path / "alone", *words)
    together, _ = sweep(tmp_path / "together", *words, *BATCHED)
    assert alone.keys() == together.keys()
    assert len(alone) == (4 if "," in KNOBS[regularizer] else 2)
    for run, (record, weights) in alone.items():
        other, other_weights = together[run]
        for name, value in weights.items():
            assert torch.linalg.norm(other_weights[name] - value) <= 1e-4 * torch.linalg.norm(value)
        assert record["metrics"].keys() == other["metrics"].keys()
        assert not [k for k, v in record["metrics"].items() if differ(k, v, other["metrics"][k])]
        assert record["decide"] == other["decide"]
        assert record["params"] == other["params"]


# rows of weights that begin on lines of the cache, or not
@pytest.mark.parametrize("hidden", [pytest.param("[100]", marks=pytest.mark.slow), "[37,11]"])
def test_the_bits_of_a_model_do_not_depend_on_the_size_of_its_stack(tmp_path, hidden):
    words = ("regularizer=causal_adv", "seed=0,1,2", "epsilon=0.05,0.1", f"model.hidden={hidden}", *FEW, *BATCHED)
    large, _ = sweep(tmp_path / "large", *words)
    small, _ = sweep(tmp_path / "small", *words, "hydra.launcher.max_models=4")
    for run, (_, weights) in large.items():
        assert all(torch.equal(weights[name], small[run][1][name]) for name in weights)


@pytest.mark.parametrize("term", ["group_gap", "adversarial_debiasing"])
def test_terms_that_compare_groups_train_as_one_stack(own, term):
    words = (f"regularizer=[adversarial,{term}]", f"regularizer.{term}.weight=1,10", "seed=0,1", *FEW, *BATCHED)
    answer = command("train", "-m", *words)
    assert "4 jobs in 1 stack," in answer.out
    assert "4 finished" in answer.out
    assert "one by one" not in answer.out


def test_runs_that_weigh_their_rows_differently_train_as_one_stack_and_as_they_would_alone(tmp_path):
    lean = ("~evaluation.metrics.unfair_area", "~evaluation.metrics.robust", "watch=[]", "seed=0")
    few = (*lean, *(word for word in FEW if "unfair_area" not in word))
    sweeps = (("prepare=none,reweigh",), ("prepare=group_weights", "prepare.weights=[1,4],null", "prepare.classes=[1]"))
    for i, words in enumerate(sweeps):
        alone, _ = sweep(tmp_path / f"alone{i}", *words, *few)
        together, answer = sweep(tmp_path / f"together{i}", *words, *few, *BATCHED)
        assert f"{len(alone)} jobs in 1 stack," in answer.out
        assert "one by one" not in answer.out
        for run, (record, weights) in alone.items():
            assert all(torch.allclose(weights[k], together[run][1][k], rtol=1e-4, atol=1e-7) for k in weights)
            assert record["params"] == together[run][0]["params"]
        assert len({float(weights["layers.0.weight"].sum()) for _, weights in alone.values()}) == len(alone)


def test_different_learning_rates_and_penalties_train_as_they_would_alone(tmp_path):
    words = ("regularizer=erm", "trainer.lr=0.003,0.03", "trainer.weight_decay=0.0,0.01", *FEW)
    alone, _ = sweep(tmp_path / "alone", *words, "trainer=sgd")
    together, answer = sweep(tmp_path / "together", *words, "trainer=sgd", *BATCHED)
    assert "4 jobs in 1 stack," in answer.out
    for run, (_, weights) in alone.items():
        assert all(torch.allclose(weights[k], together[run][1][k], rtol=1e-4, atol=1e-7) for k in weights)


def test_learned_causal_models_batch(tmp_path):
    table = tmp_path / "people.csv"
    rows = [
        f"{i % 2},{(i * 7) % 11},{(i * 5 + i % 2) % 13},{int((i * 7) % 11 + (i * 5) % 13 > 11)}" for i in range(300)
    ]
    table.write_text("sex,age,income,hired\n" + "\n".join(rows) + "\n")
    words = [
        *(
            "dataset=csv",
            "dataset.name=people",
            f"dataset.path={table}",
            "dataset.label=hired",
            "dataset.sensitive=[sex]",
        ),
        *("dataset.graph={income: [sex, age], age: [sex]}", "scm=learned", "scm.steps=100", "seed=0,1"),
        *("regularizer=causal_adv", "trainer.epochs=2", *SMALL[2:]),
    ]
    alone, _ = sweep(tmp_path / "alone", *words)
    together, _ = sweep(tmp_path / "together", *words, *BATCHED)
    for run, (_, weights) in alone.items():
        assert all(torch.allclose(weights[k], together[run][1][k], rtol=1e-4, atol=1e-6) for k in weights)


# --- what forms a stack ----------------------------------------------------------------------------------------


@pytest.fixture
def planned(own, monkeypatch):
    """The configurations of the jobs of a sweep, none of which is trained."""
    batches = []
    monkeypatch.setattr(
        runs_sweep, "launch", lambda _, planner, batch, first: batches.append(planner.plan(batch, first))
    )

    def plan(*words):
        command("train", "-m", *words, *FEW)
        return [job.params for job in batches.pop()]

    return plan


def test_runs_that_differ_in_numbers_alone_have_one_structure(planned):
    params = planned("regularizer=causal_adv", "seed=0,1", "epsilon=0.1", "trainer.lr=0.01,0.02")
    assert len({structure_of(p) for p in params}) == 1


def test_a_weight_of_zero_is_another_structure(planned):
    params = planned("regularizer=llr", "regularizer.llr.linearity=0.0,1.0")
    assert len({structure_of(p) for p in params}) == 2


def test_another_width_is_another_structure(planned):
    params = planned("model.hidden=[10],[20]")
    assert len({structure_of(p) for p in params}) == 2


def test_stacks_are_cut_evenly_and_the_largest_come_first(planned, own):
    params = planned("seed=0,1,2,3,4")
    stacks = cut([Job(i, (), p, own) for i, p in enumerate(params)], 3)
    assert [len(stack) for stack in stacks] == [3, 2] or [len(stack) for stack in stacks] == [2, 3]


def test_a_sweep_of_two_structures_files_every_job(own):
    answer = command("train", "-m", "regularizer=erm,llr", "seed=0,1", *FEW, *BATCHED)
    assert answer.code == 0
    assert "4 jobs in 2 stacks" in answer.out
    assert "4 finished" in answer.out


def test_jobs_that_are_one_run_are_trained_once(own):
    """erm reads no training radius."""
    answer = command("train", "-m", "regularizer=erm", "epsilon=0.1,0.2", "seed=0,1", *FEW, *BATCHED)
    assert "2 finished, 2 skipped" in answer.out


def test_an_optimizer_that_couples_parameters_runs_one_by_one_and_says_so(own):
    words = ("trainer.optimizer._target_=torch.optim.Adafactor", "seed=0,1")
    answer = command("train", "-m", *words, *FEW, *BATCHED)
    assert "one by one" in answer.out


# --- memory ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2**31), ("500 MB", 500 * 2**20), ("1024", 1024), ("1.5gb", 3 * 2**29)]
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert in_bytes(text) == size


@pytest.mark.parametrize(
    ("jobs", "asked", "workers", "sizes"),
    [
        (20, None, 1, [20]),
        (64, None, 1, [64]),
        (20, None, 2, [10, 10]),
        (100, None, 2, [25] * 4),
        (20, None, 8, [7, 7, 6]),
        (8, None, 2, [8]),
        (100, 64, 2, [50, 50]),
        (20, 64, 2, [10, 10]),
        (20, 5, 2, [5] * 4),
    ],
)
def test_stacks_are_smaller_where_processes_share_them(planned, own, jobs, asked, workers, sizes):
    alike = [Job(i, (), params, own) for i, params in enumerate(2 * planned(f"seed=range({jobs})"))]
    assert [len(stack) for stack in cut(alike, asked, workers)] == [2 * size for size in sizes]  # every run twice


@pytest.mark.parametrize("first", [0, 2])
def test_processes_build_the_jobs_of_a_seed_at_different_times(planned, own, monkeypatch, first):
    jobs = [Job(i, (), params, own / f"{i}") for i, params in enumerate(planned("seed=range(3)", "dataset=lin"))]
    built = note_built_seeds(monkeypatch)
    ended = lifecycle.carry_out_together(jobs, budget=2**30, say_now=lambda _: None, kept=lifecycle.Kept(), first=first)
    assert [(job.number, outcome.record) for job, outcome in ended] == [(0, 1), (1, 2), (2, 3)]
    assert built == [*range(first, 3), *range(first)]


def note_built_seeds(patch):
    """Notes the seeds of the runs that are built from now on."""
    seeds, build = [], lifecycle.build_run
    patch.setattr(lifecycle, "build_run", lambda params, *made: seeds.append(params["seed"]) or build(params, *made))
    return seeds


def test_a_small_budget_cuts_stacks_and_changes_nothing(tmp_path):
    words = ("regularizer=llr", "seed=0,1,2", *FEW, *BATCHED)
    large, _ = sweep(tmp_path / "large", *words)
    small, _ = sweep(tmp_path / "small", *words, "hydra.launcher.max_memory=9MB")
    assert all(torch.equal(v, small[run][1][k]) for run, (_, weights) in large.items() for k, v in weights.items())


def test_a_budget_below_one_model_is_refused_with_what_it_needs(own):
    answer = command("train", "-m", "seed=0,1", *FEW, *BATCHED, "hydra.launcher.max_memory=1MB")
    assert answer.code == 2
    assert "raise hydra.launcher.max_memory" in answer.err


@pytest.mark.parametrize("setting", ["max_models=0", "max_memory=lots", "workers=-1"])
def test_settings_out_of_range_are_refused_by_name(own, setting):
    answer = command("train", "-m", "seed=0,1", *FEW, "hydra/launcher=batched", f"hydra.launcher.{setting}")
    refused(answer, setting.partition("=")[0])


# --- failures, interrupts, others ------------------------------------------------------------------------------


def test_a_diverging_job_fails_with_its_reason_and_leaves_the_others(own):
    words = ("trainer=sgd", "model.activation=relu", "trainer.lr=0.01,1e6", "seed=0,1", *FEW, *BATCHED)
    answer = command("train", "-m", *words)
    assert answer.code == 1
    assert "2 finished, 2 failed" in answer.out
    failed = [r for r in by_run().values() if r["status"] == "failed"]
    assert all("trainer.lr" in r["reason"] for r in failed)


def test_the_reason_of_a_diverging_job_is_that_of_its_one_by_one_run(tmp_path):
    def reasons(folder, *words):
        folder.mkdir()
        with house(folder):
            command("train", "-m", "trainer=sgd", "model.activation=relu", "trainer.lr=0.01,1e6", *FEW, *words)
            return {run: r.get("reason") for run, r in by_run().items()}

    alone = reasons(tmp_path / "alone")
    assert any(alone.values())
    assert alone == reasons(tmp_path / "together", *BATCHED)


def test_invalid_jobs_are_named_before_anything_trains(own):
    answer = command("train", "-m", "seed=0,1", "trainer.lr=0.01,-1", *FEW, *BATCHED)
    refused(answer, "trainer.lr=-1", "2 of 4 jobs")
    assert not (own / "evals").exists()


def test_relaunching_trains_only_what_is_missing(after):
    answer = command("train", "-m", "seed=0,1,2", *FEW, *BATCHED)
    assert "1 finished, 2 skipped" in answer.out


def test_a_run_filed_one_by_one_is_skipped_by_the_batched_launcher(own):
    command("train", "seed=1", *FEW)
    answer = command("train", "-m", "seed=0,1", *FEW, *BATCHED)
    assert "1 finished, 1 skipped" in answer.out


def test_a_run_that_lost_its_weights_is_trained_again(after):
    lost = next(iter(by_run().values()))
    paths_config.weights_file(lost["weights"]["path"]).unlink()
    answer = command("train", "-m", "seed=0,1", *FEW, *BATCHED)
    assert "1 finished, 1 skipped" in answer.out
    assert paths_config.weights_file(lost["weights"]["path"]).is_file()


def test_every_job_leaves_its_own_record_file(after):
    written = [json.loads(path.read_text()) for path in after.glob("multirun/**/record.json")]
    assert {r["run_id"] for r in written} == by_run().keys()
    assert {r["status"] for r in written} == {"finished"}


def test_two_sweeps_of_the_same_jobs_at_once_file_no_run_twice(own):
    """One in a process of its own; this one sets out when that one writes its first folder."""
    words = ("train", "-m", "regularizer=erm,llr", "seed=0,1", *FEW, *BATCHED)
    other = subprocess.Popen(line(*words), stdout=subprocess.PIPE, text=True, env=environment())
    while other.poll() is None and not (own / "multirun").exists():
        time.sleep(0.05)
    answer = command(*words)
    out, _ = other.communicate()
    assert (other.returncode, answer.code) == (0, 0)
    assert len(by_run()) == len(RunStore(paths_config.database("loan")).all()) == 4
    assert (out + answer.out).count(" finished  loan") >= 4


@pytest.mark.slow
def test_a_killed_sweep_is_finished_by_the_same_line(own):
    words = ("train", "-m", "regularizer=erm,llr", "seed=0,1", *FEW, *BATCHED, "hydra.launcher.max_models=1")
    killed = subprocess.Popen(line(*words), stdout=subprocess.PIPE, text=True, env=environment())
    database = paths_config.database("loan")
    while killed.poll() is None and not database.exists():
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    kept = set(by_run())
    assert len(kept) > 0
    again = command(*words)
    assert again.code == 0
    assert f"{4 - len(kept)} finished" in again.out
    assert kept < set(by_run()) or len(kept) == 4
    assert len(by_run()) == 4


def test_a_model_without_a_threshold_fails_and_leaves_the_others(own, monkeypatch):
    """Its logits are nan, though its last loss was finite: one step an epoch, of a rate beyond its range."""
    monkeypatch.setattr(checks, "require_ranges", lambda _: None)
    words = ("trainer=sgd", "model.activation=relu", "trainer.batch_size=1000", "trainer.lr=0.01,1e37", "seed=0,1")
    answer = command("train", "-m", *words, *FEW, "trainer.epochs=1", *BATCHED)
    assert answer.code == 1
    assert "2 finished, 2 failed" in answer.out


def test_folders_named_after_values_hold_every_record(own):
    words = ("seed=0,1", "hydra.sweep.dir=named", "hydra.sweep.subdir=s_${seed}", *FEW, *BATCHED)
    assert command("train", "-m", *words).code == 0
    assert sorted(path.parent.name for path in own.glob("named/*/record.json")) == ["s_0", "s_1"]


@pytest.mark.slow
def test_two_processes_share_the_stacks_of_a_sweep_and_a_killed_one_costs_no_job(own):
    """Its stack is begun again in another process."""
    words = ("regularizer=erm", "seed=range(4)", *FEW, "trainer.epochs=8", "hydra/launcher=batched")
    words += ("hydra.launcher.workers=2", "hydra.launcher.max_models=1")
    started = subprocess.Popen(line("train", "-m", *words), stdout=subprocess.PIPE, text=True, env=environment())
    database = paths_config.database("loan")
    while started.poll() is None and not database.exists():
        time.sleep(0.05)
    children = subprocess.run(["pgrep", "-P", str(started.pid), "-f", "spawn_main"], capture_output=True, text=True)
    os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
    out, _ = started.communicate(timeout=120)
    assert started.returncode == 0, out
    # what the killed one had filed and not yet reported is found there
    counted = re.search(r"^4 jobs: .*", out, re.MULTILINE)
    assert sum(int(n) for n in re.findall(r"(\d+) (?:finished|skipped)", counted[0])) == 4, out
    assert len(by_run()) == 4


def test_more_memory_than_there_is_halves_the_stack(own, monkeypatch):
    """As CUDA says it; the limit of three models is put in by hand."""
    from utils.runs import fitting

    fit = fitting.fit_many

    def limited(stack, *args, **kwargs):
        if len(stack.each) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fit(stack, *args, **kwargs)

    monkeypatch.setattr(fitting, "fit_many", limited)
    answer = command("train", "-m", "seed=range(5)", *FEW, *BATCHED)
    assert "5 models are too many" in answer.out
    assert "5 finished" in answer.out


@pytest.mark.parametrize("error", [MemoryError(), ValueError("no such thing")], ids=["memory", "value"])
def test_a_training_that_fails_is_filed_by_a_stack_of_one_as_alone(tmp_path, monkeypatch, error):
    """Memory as numpy says that there is none."""

    def failing(*_, **__):
        raise error

    monkeypatch.setattr(lifecycle, "fit_together", failing)
    for name, engine in (("single", ()), ("basic", ("-m",)), ("batched", ("-m", *BATCHED))):
        (tmp_path / name).mkdir()
        with house(tmp_path / name):
            assert command("train", *engine, *FEW).code == 1
            (record,) = by_run().values()
            assert (record["status"], record["reason"]) == ("failed", str(error) or "MemoryError")


def test_a_full_disk_costs_no_finished_run_and_the_same_line_goes_on(own):
    """The limit of a file's size is below that of the weights of the second structure, which are larger."""
    words = ("model.hidden=[10],[100,100]", "seed=0,1", "operating_points=null", *FEW, *BATCHED)
    with full_disk(40_000):
        full = command("train", "-m", *words)
    assert full.code == 1, full
    assert sum(record["status"] == "finished" for record in by_run().values()) == 2
    answer = command("train", "-m", *words)
    assert answer.code == 0
    assert "2 finished, 2 skipped" in answer.out


def test_a_job_whose_folder_cannot_hold_its_record_is_refused_before_the_others_train(own):
    (own / "sweep/1").mkdir(parents=True)
    (own / "sweep/1/record.json").mkdir()
    answer = command("train", "-m", *BATCHED, *FEW, "seed=0,1,2", "hydra.sweep.dir=sweep")
    assert answer.code == 2
    assert "error: " in answer.err
    assert "sweep/1/record.json: Is a directory" in answer.err
    assert [record["seed"] for record in RunStore(paths_config.database("loan")).all()] == [0, 2]
    assert len(list(paths_config.weights().rglob("*.safetensors"))) == 2
    refused(command("train", *FEW, "seed=1", "hydra.run.dir=sweep/1"), "sweep/1/record.json: Is a directory")


def test_a_record_that_cannot_be_written_costs_no_other(own, monkeypatch):
    real = lifecycle.write_record

    def full(record, folder):
        if record["seed"] == 1:
            raise OSError(28, "No space left on device", str(folder))
        return real(record, folder)

    monkeypatch.setattr(lifecycle, "write_record", full)
    answer = command("train", "-m", *BATCHED, *FEW, "seed=0,1,2")
    assert answer.code == 2
    assert "No space left on device" in answer.err
    assert [record["seed"] for record in RunStore(paths_config.database("loan")).all()] == [0, 2]
