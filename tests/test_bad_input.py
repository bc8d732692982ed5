"""A careless user gets one clear line, exit code 2 and an untouched database, through the command line."""

import json
import re
import shutil
import signal
import subprocess

import numpy as np
import pytest
import torch

import paths_config
from tests.commands import SMALL, command, environment, full_disk, house, line, process, refused
from utils import build
from utils.model_zoo import from_database
from utils.run_store import RunStore

pytestmark = pytest.mark.e2e

TABLE = "sex,age,job,y\n" + "".join(f"{i % 2},{20 + i % 37},{'abc'[i % 3]},{(i // 3) % 2}\n" for i in range(60))
CSV = ["dataset=csv", "dataset.path=people.csv", "dataset.label=y", "dataset.sensitive=sex"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with one finished run, record 1 of loan, and some tables, good and bad."""
    with house(tmp_path_factory.mktemp("home")) as folder:
        assert command("train", *SMALL).code == 0
        lines = TABLE.splitlines()
        files = {
            "people": lines,
            "gap": [*lines, "1,,a,1"],
            "oneclass": [lines[0], *(row[:-1] + "1" for row in lines[1:])],
            "onesex": [lines[0], *("1" + row[1:] for row in lines[1:])],
            "header": lines[:1],
            "empty": [],
        }
        for name, rows in files.items():
            (folder / f"{name}.csv").write_text("\n".join(rows))
        yield folder


@pytest.fixture
def untouched(home):
    """The test must leave the database as it is."""
    before = database().read_bytes()
    yield home
    assert database().read_bytes() == before


@pytest.fixture
def own(home, tmp_path, monkeypatch):
    """A copy of the home that a test may spoil."""
    shutil.copytree(home / "evals", tmp_path / "evals")
    shutil.copytree(home / "weights", tmp_path / "weights")
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path / "evals"))
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def database():
    return paths_config.database("loan")


def spoil(change):
    """Rewrite record 1 as another program could, which leaves out the checksum."""
    tables = json.loads(database().read_text())
    tables["_default"]["1"].pop("checksum")
    change(tables["_default"]["1"])
    database().write_text(json.dumps(tables))


# --- what is misspelt ------------------------------------------------------------------------------------------

MISSPELT = [
    ("regularizer=causal_ad", "regularizer=causal_ad: there is no such option", "causal_adv"),
    ("regularizer=[causal_ad,erm]", "regularizer=causal_ad: there is no such option", "causal_adv"),
    ("scm=lerned", "learned"),
    ("attack=foo", "causal_pgd, causal_random, cell_poison, fab_t, fgsm, fgsm_pixels, gradient_poison, pgd"),
    ("dataset=lona", "loan"),
    ("epsilon=xyz", "constant, faces, pixels, ramp"),
    ("experiment=capify", "capify_small"),
    ("experiment=null", "capify_small"),
    ("trainer.lrr=0.1", "trainer.lrr: there is no such key; did you mean trainer.lr?"),
    ("trainr.lr=1", "did you mean trainer.lr?"),
    ("epsilon.radus=1", "did you mean epsilon.radius?"),
    ("modle=mlp", "did you mean model?"),
    ("lr=1", "trainer.lr"),
    ("attack.steps=3", "attack.evasion.steps"),
    ("trainer.learning_rate=1", "trainer.epochs, trainer.batch_size, trainer.lr, trainer.weight_decay"),
    ("+regularizer.llr.foo=1", "regularizer.llr.foo: there is no such key", "regularizer.llr.linearity"),
    ("++trainer.lrr=0.1", "did you mean trainer.lr?"),
    ("+foo=3", "foo: there is no such key"),
    ("+trainer.optimizer.beta=1", "trainer.optimizer.beta is not a setting of Adam", "betas"),
    ("+seed=3", "without the +"),
    ("regularizer.llr.weight=1", "it belongs to regularizer=llr"),
    ("~trainer.lr", "trainer.lr is missing"),
    ("~scm", "scm is required", "known"),
    ("foo", "cannot read 'foo'", "KEY=VALUE"),
    ("=3", "cannot read '=3'"),
    ("dataset.path=a(1).csv", "quote"),
    ("seed=0,1", "add -m"),
    ("prepare=rewiegh", "prepare=rewiegh: there is no such option; did you mean reweigh"),
    ("prepare=null", "prepare takes the name of an option: ", "group_weights, massage, none"),
    ("prepare.weights=[1,2]", "it belongs to prepare=group_weights"),
    ("--nope", "--nope: there is no such flag"),
    ("--config-dir=nowhere", "--config-dir=nowhere: there is no such folder"),
    ("--config-dir", "--config-dir needs a value"),
    ("--cfg=jobs", "expected one of job, hydra, all"),
    ("--resolve", "can only be used in conjunction with --cfg"),
    ("watch=[accuracy,nope]", "there is no metric nope"),
    ("watch=[acuracy]", "did you mean accuracy"),
    ("watch=[robust_accuracy_0.3]", "epsilon.evaluate=[0.05,0.01,0.3]"),
    ("evaluation.watch=[accuracy,uai_0.3]", "epsilon.evaluate=[0.05,0.01,0.3]"),
    ("epsilon.evaluate=[0.1,1/10]", "names one radius twice"),
    ("~prepare", "prepare is required"),
]


@pytest.mark.parametrize(("word", "phrases"), [(word, phrases) for word, *phrases in MISSPELT])
def test_a_misspelt_word_is_answered_with_its_near_misses(untouched, word, phrases):
    refused(command("train", *SMALL, word), *phrases)


def test_a_setting_of_an_option_that_is_not_chosen_names_the_option(untouched):
    refused(command("train", "model=logistic", "model.hidden=[3]"), "model.hidden", "it belongs to model=mlp")


def test_a_misspelt_option_is_one_screen_as_a_process(untouched):
    answer = process("train", "regularizer=causal_ad")
    refused(answer, "causal_adv")
    assert answer.out == ""


# --- what has a value it cannot have ---------------------------------------------------------------------------

WRONG = [
    ("epsilon=-0.1", "epsilon.radius=-0.1: expected a radius such as 0.1 or 8/255 in [0, 1e6]"),
    ("epsilon=1/0", "1/0"),
    ("epsilon=nan", "epsilon.radius=nan", "8/255"),
    ("epsilon=inf", "epsilon.radius=inf"),
    ("epsilon=true", "a radius such as 0.1 or 8/255", "ramp"),
    ("epsilon=", "a radius such as 0.1 or 8/255", "ramp"),
    ("epsilon=[0.1]", "a radius such as 0.1 or 8/255"),
    ("epsilon.radius=null", "epsilon.radius=None: expected a radius"),
    ("epsilon.evaluate=0.1", "epsilon.evaluate=0.1: expected a list of radii"),
    ("epsilon.evaluate=[]", "expected a list of radii"),
    ("epsilon.evaluate=[0.1,-1]", "epsilon.evaluate=[0.1, -1]: expected a list of radii"),
    ("regularizer=[]", "regularizer takes the name of an option"),
    ("dataset=null", "dataset takes the name of an option"),
    ("dataset=[loan,lin]", "dataset takes the name of an option"),
    ("regularizer.erm.weight=-1", "regularizer.erm.weight=-1: expected a number in [0, 1e6]"),
    ("trainer.epochs=0", "trainer.epochs=0: expected a whole number in [1, 1000000]"),
    ("trainer.lr=abc", "trainer.lr='abc': expected a number in (0, 1e6]"),
    ("trainer.lr=???", "trainer.lr is required"),
    ("seed=-1", "seed=-1: expected a whole number in [0, 1000000000000000000]"),
    ("threads=0", "threads=0"),
    ("existing=keep", "skip or replace"),
    ("fit_on=test", "valid or train"),
    ("objective.nominal=-1", "objective.nominal=-1"),
    ("device=banana", "device='banana' is not known", "cuda:<number>"),
    ("device=mps", "device='mps' is not known"),
    ("dataset.rows=many", "dataset.rows='many': expected a whole number"),
    ("dataset.rows=-5", "dataset.rows=-5"),
    ("dataset.rows=5", "a whole number in [10, 100000000]"),
    ("dataset.split=0.8", "dataset.split=0.8: expected a list of numbers"),
    ("dataset.split=[0.5,0.5,0.5]", "summing to 1"),
    ("dataset.sensitive=[age]", "'age' is continuous"),
    ("dataset.sensitive=[gendr]", "gender"),
    ("dataset.sensitive=[]", "no column is sensitive"),
    ("dataset.name=../evil", "dataset.name='../evil'"),
    ("dataset.name=null", "dataset.name=None"),
    ("model.hidden=[a]", "model.hidden=['a']: expected a list of whole numbers"),
    ("model.hidden=[0]", "model.hidden=[0]: expected a list of whole numbers in [1, 1000000]"),
    ("model.activation=foo", "tanh"),
    ("attack.evasion.steps=a", "attack.evasion.steps='a': expected a whole number"),
    ("attack.evasion.threat=null", "attack.evasion.threat"),
    ("attack.evasion.threat.norm=l3", "l2 or linf"),
    ("attack.evasion.random_start=3", "expected true or false"),
    ("decide.levels=1", "decide.levels=1"),
    ("scm.sampling=foo", "scm.sampling='foo'"),
    ("evaluation.metrics=null", "evaluation.metrics is missing"),
    ("evaluation.metrics.robust=null", "~evaluation.metrics.robust"),
    ("evaluation.metrics.group.groups_min=a", "evaluation.metrics.group.groups_min='a'"),
    ("model._target_=utils.models.foo.Foo", "there is no such function"),
    ("scm=none", "scm=none is for images", "scm=independent"),
    (f"dataset.name={'a' * 240}", "at most 100"),
    (f"dataset.name='{'ä' * 51}'", "it has 102 bytes"),
    ("+trainer.optimizer.eps=inf", "trainer.optimizer.eps=inf: expected finite numbers"),
]


@pytest.mark.parametrize(("word", "phrases"), [(word, phrases) for word, *phrases in WRONG])
def test_a_value_out_of_range_is_refused_before_any_training(untouched, word, phrases):
    answer = command("train", *SMALL, word)
    refused(answer, *phrases)
    assert "epoch 1" not in answer.out


def test_cuda_on_a_machine_without_it_is_refused(untouched, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(command("train", "device=cuda"), "device='cuda'", "choose auto or cpu")


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (["regularizer=causal_adv", "regularizer.causal_adv.linearity=a"], "expected a number"),
        (["regularizer=causal_adv", "regularizer.causal_adv.mask=foo"], "actionable"),
        (["regularizer=llr", "regularizer.llr.own_loss=7"], "expected true or false"),
        (["regularizer=llr", "epsilon=ramp", "epsilon.schedule.warmup=2"], "a number in (0, 1]"),
        (["decide=fixed", "decide.probability=2"], "decide.probability=2: expected a number in [0, 1]"),
        (["fit_on=valid", "dataset.split=[0.8,0,0.2]"], "fit_on=train"),
        (["prepare=group_weights", "prepare.weights=[1]"], "expected 2 numbers above 0, one for each group"),
        (
            ["prepare=group_weights", "prepare.weights=[a,b]"],
            "prepare.weights=['a', 'b']: expected null or a list of numbers",
        ),
        (["prepare=group_weights", "prepare.classes=[2]"], "is of a class in prepare.classes=[2]"),
        (["prepare=group_weights", "prepare.classes=some"], "expected all or a list of whole numbers"),
        (["prepare=group_weights", "prepare.wieghts=[1,2]"], "did you mean prepare.weights?"),
        (["regularizer=group_gap", "regularizer.group_gap.rate=fnrr"], "expected acceptance_rate or fnr or fpr"),
        (
            ["regularizer=group_gap", "regularizer.group_gap.temperature=0"],
            "temperature=0: expected a number in (0, 1e6]",
        ),
        (["regularizer=adversarial_debiasing", "regularizer.adversarial_debiasing.ridge=0"], "ridge=0: expected"),
        (["regularizer=half_adversarial"], "pixels"),
        (["trainer=sgd", "trainer.optimizer.momentum=a"], "trainer.optimizer.momentum='a'"),
        ([*CSV, "scm=known"], "no true SCM is known for data set 'csv'"),
        ([*CSV, "scm=learned"], "needs a causal graph"),
        ([*CSV, "scm=linear"], "needs a causal graph"),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_any_training(untouched, words, phrase):
    answer = command("train", *SMALL, *words)
    refused(answer, phrase)
    assert "epoch 1" not in answer.out


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (["dataset=lin", "dataset=loan"], "dataset is chosen twice, dataset=lin and dataset=loan"),
        (["regularizer=erm", "regularizer=llr"], "for both write 'regularizer=[a,b]'"),
        (["-m", "seed=range(0)"], "seed=range(0): no number is in this range"),
        (["-m", "hydra/sweeper=optuna", "epsilon=interval(0.1,0.2)", "seed=range(3,1)"], "no number is in this range"),
        (
            ["-m", "hydra/sweeper=optuna", "epsilon=interval(0.1,0.2)", "hydra.sweeper.objectives={nope: maximize}"],
            "hydra.sweeper.objectives: there is no metric nope",
        ),
        (
            ["-m", "hydra/sweeper=optuna", "epsilon=interval(0.1,0.2)", "hydra.sweeper.constraints=['fnr_gapp<=1']"],
            "did you mean fnr_gap",
        ),
    ],
)
def test_words_that_do_not_go_together_are_refused_before_any_training(untouched, words, phrase):
    refused(command("train", *words), phrase)


LATE = "regularizer=half_adversarial"  # on a table: refused once data and model are there


@pytest.mark.parametrize(
    "words", [[LATE], [LATE, "hydra.run.dir=own/a/b"], ["-m", LATE, "seed=1,2"], ["-m", "seed=1,-2"], ["seed=-1"]]
)
def test_a_refused_command_leaves_nothing(own, words):
    def there():
        return {path for path in own.rglob("*") if ".locks" not in path.parts}  # which stay, as others may hold them

    before = there()
    assert command("train", *SMALL, *words).code == 2
    assert there() == before


def test_the_rows_of_refused_jobs_say_which_they_are_and_their_mistake_once(own):
    """By the words that differ: those of all jobs say nothing."""
    answer = command("train", "-m", *SMALL, LATE, "seed=1,2", "trainer.lr=0.01,0.02")
    assert answer.code == 2
    rows = re.findall(r"^#(\d) +refused +(.*?)  +(?:this method moves pixels|as #0)", answer.out, re.MULTILINE)
    pairs = ["seed=1 trainer.lr=0.01", "seed=1 trainer.lr=0.02", "seed=2 trainer.lr=0.01", "seed=2 trainer.lr=0.02"]
    assert dict(rows) == dict(zip("0123", pairs, strict=True))
    assert answer.err.count("this method moves pixels") == 1
    assert answer.out.count("this method moves pixels") == 2  # in the first row, and in the end
    assert "#0 (and #1-3) refused: seed=1 trainer.lr=0.01, this method" in answer.out


def test_a_refused_command_leaves_what_was_there(own):
    (own / "outputs").mkdir()
    (own / "outputs" / "notes.txt").write_text("mine")
    assert command("train", *SMALL, LATE).code == 2
    assert [path.name for path in (own / "outputs").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(("words", "key"), [([], "hydra.run.dir"), (["-m", "seed=0,1"], "hydra.sweep.dir")])
def test_a_folder_of_the_run_that_cannot_be_made_names_it_and_the_setting(own, words, key):
    for name in ("outputs", "multirun"):
        (own / name).write_text("a file")
    refused(command("train", *SMALL, *words), f"cannot write to {own}/", f"or give another by {key}=FOLDER")


@pytest.mark.parametrize("allocate", [lambda: np.zeros(2**55), lambda: torch.zeros(2**55)])
def test_what_does_not_fit_the_memory_is_refused(untouched, monkeypatch, allocate):
    monkeypatch.setattr(build, "build_dataset", lambda *_: allocate())
    words = "this needs more memory than there is (", "lower what is large"
    refused(command("train", *SMALL, "seed=7"), *words)


# --- data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        (["dataset.path=none.csv"], ["none.csv"]),
        (["dataset.path=gap.csv"], ["'age'", "missing"]),
        (["dataset.path=oneclass.csv"], ["'y' is '1' in every row", "two classes"]),
        (["dataset.path=onesex.csv"], ["'sex' is '1' in every row", "no groups to compare"]),
        (["dataset.path=header.csv"], ["header.csv: there is no row below its header"]),
        (["dataset.path=empty.csv"], ["empty.csv is empty"]),
        (["dataset.label=z"], ["no column 'z'", "sex, age, job, y"]),
        (["dataset.sensitive=sx"], ["did you mean sex?"]),
        (["dataset.label=3"], ["dataset.label=3: expected text", "quote it"]),
        (["dataset.path=null"], ["dataset.path=None"]),
        (["dataset.graph={age: [ses]}"], ["'ses'", "did you mean sex?"]),
        (["dataset.graph=3"], ["dataset.graph=3"]),
    ],
)
def test_a_table_that_cannot_be_used_names_file_or_column(untouched, words, phrases):
    refused(command("train", *SMALL, *CSV, *words), *phrases)


@pytest.mark.parametrize("key", ["path", "label", "sensitive"])
def test_what_a_table_needs_is_asked_for(untouched, key):
    words = [word for word in CSV if not word.startswith(f"dataset.{key}=")]
    refused(command("train", *SMALL, *words), f"dataset.{key} is required")


def test_without_file_and_network_address_and_path_are_told(untouched, monkeypatch):
    """A proxy on a closed port stands for a machine without network."""
    for variable in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    expected = str(paths_config.data() / "adult" / "adult.data")
    refused(command("train", *SMALL, "dataset=adult"), "https://archive.ics.uci.edu", expected, "TRILEMMA_DATA")


# --- folders, disks and databases ------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["TRILEMMA_EVALS", "TRILEMMA_WEIGHTS"])
def test_a_folder_that_cannot_be_written_is_refused_before_any_training(own, monkeypatch, variable):
    (own / "file").write_text("")
    monkeypatch.setenv(variable, str(own / "file" / "below"))
    answer = command("train", *SMALL, "seed=1")
    refused(answer, str(own / "file" / "below"))
    assert "epoch 1" not in answer.out


def test_the_folder_of_weights_that_cannot_be_written_names_the_variable(own, monkeypatch):
    monkeypatch.setenv("TRILEMMA_WEIGHTS", "/proc/weights")
    refused(command("train", *SMALL, "seed=1"), "/proc/weights", "TRILEMMA_WEIGHTS")


@pytest.mark.parametrize("content", ['{"_default": {"1": {"na', "not JSON", "[]", '{"_default": {"x": 1}}'])
def test_a_damaged_database_is_refused_before_any_training_and_left_as_it_is(own, content):
    database().write_text(content)
    answer = command("train", *SMALL, "seed=1")
    refused(answer, str(database()), "python -m evals.database rebuild dataset=loan")
    assert "epoch 1" not in answer.out
    assert database().read_text() == content


@pytest.mark.parametrize("program", ["evaluate", "evals.plot", "evals.table"])
def test_a_damaged_database_is_refused_by_its_readers(own, program):
    database().write_text("not JSON")
    refused(command(program, "dataset=loan"), str(database()), "rebuild")


def test_a_full_disk_leaves_the_database_as_it_was(own):
    """The limit of a file's size is below that of the weights, which are written first."""
    before, files = database().read_bytes(), sorted((own / "weights" / "loan").iterdir())
    with full_disk(20_000):
        answer = command("train", *SMALL, "seed=1")
    refused(answer, ".safetensors", "File too large")
    assert database().read_bytes() == before
    assert sorted((own / "weights" / "loan").iterdir()) == files


def test_a_diverging_run_is_recorded_as_failed_and_tried_again(own):
    words = ["trainer=sgd", "model.activation=relu", "trainer.lr=1e6"]
    answers = [command("train", *SMALL, *words) for _ in range(2)]
    for answer in answers:
        assert answer.code == 1
        assert "lower trainer.lr" in answer.err
        assert "Traceback" not in answer.err
        assert "finished before" not in answer.out
    failed = [record for record in RunStore(database()).all() if record["status"] == "failed"]
    assert len(failed) == 1
    assert "epoch 1" in failed[0]["reason"]
    assert "metrics" not in failed[0]


def test_a_failed_run_has_no_model_and_says_why(own):
    assert command("train", *SMALL, "trainer=sgd", "model.activation=relu", "trainer.lr=1e6").code == 1
    with pytest.raises(ValueError, match="failed and has no model.*lower trainer.lr"):
        from_database(2, "loan")


def test_ctrl_c_in_a_sweep_keeps_the_finished_runs(own):
    """The second job would take minutes, so that the interrupt surely meets it."""
    words = line("train", "-m", *SMALL, "seed=1", "trainer.epochs=1,100000")
    started = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # also where the tests run in the background
    )
    for text in started.stdout:
        if "record 2," in text:
            started.send_signal(signal.SIGINT)
            break
    _, err = started.communicate(timeout=60)
    assert started.returncode == 130
    assert err.splitlines() == [
        "error: interrupted; finished runs are in the database, relaunch the same line to go on"
    ]
    assert [record["status"] for record in RunStore(database()).all()] == ["finished", "finished"]
    again = command("train", "-m", *SMALL, "seed=1", "trainer.epochs=1,2")
    assert again.code == 0
    assert "1 finished, 1 skipped" in again.out


def test_a_sweep_with_an_invalid_job_trains_nothing_and_names_it(own):
    answer = command("train", "-m", *SMALL, "seed=-1,1")
    refused(answer, "1 of 2 jobs", "seed=-1", "#0")
    assert "finished" not in answer.out


def test_a_sweep_goes_on_after_a_job_that_its_data_refuse(own):
    answer = command("train", "-m", *SMALL, "dataset.split=[0.8,0.0,0.2]", "fit_on=valid,train")
    refused(answer, "fit_on=valid")
    assert "1 finished, 1 refused" in answer.out


def test_a_sweep_with_a_diverging_job_exits_1(own):
    answer = command("train", "-m", *SMALL, "trainer=sgd", "model.activation=relu", "trainer.lr=0.01,1e6")
    assert answer.code == 1
    assert "1 finished, 1 failed" in answer.out


def test_a_sweep_naming_an_option_that_is_not_there_trains_nothing(untouched):
    refused(command("train", "-m", *SMALL, "regularizer=llr,llrr"), "regularizer=llrr", "llr")


# --- evaluate --------------------------------------------------------------------------------------------------

EVALUATE = [
    (["id=99"], "id=99: no finished record of dataset=loan has it; there are [1]"),
    (["id=abc"], "id='abc': expected the number of a record"),
    (["id=1.5"], "id=1.5: expected the number of a record"),
    (["id=true"], "id=True: expected the number of a record"),
    (["id=[1,99]"], "id=99"),
    (["dataset=lona"], "did you mean loan?"),
    (["where=accurracy<1"], "did you mean accuracy"),
    (["where=accuracy"], "is no comparison"),
    (["where=3"], "is no comparison"),
    (["where=accuracy<abc"], "accuracy holds numbers"),
    (["where=regularizer==erl"], "erm"),
    (["sort=foo"], "no column 'foo'"),
    (["sort=3"], "no column '3'"),
    (["columns=[accurracy]"], "did you mean accuracy"),
    (["columns=3"], "columns=3: expected a list"),
    (["columns=[1,2]"], "columns=[1, 2]: expected a list of metrics"),
    (["where=accuracy>=nan"], "compares it with 'nan'"),
    (["dataset=loan", "dataset=lin"], "database is chosen twice"),
    (["dataset=../evil"], "dataset='../evil'"),
    (["dataset="], "dataset=''"),
    (["csv=people.csv/x.csv"], "people.csv/x.csv"),
    (["id=1", "epsilon.evaluate=0.3"], "expected a list of radii"),
    (["id=1", "epsilon.evaluate=[-1]"], "epsilon.evaluate=[-1]: expected a list of radii"),
    (["id=1", "attack=foo"], "causal_pgd"),
    (["id=1", "attack=causal_pgd", "attack.evasion.steps=a"], "attack.evasion.steps='a'"),
    (["id=1", "threads=a"], "threads='a'"),
    (["id=1", "device=banana"], "device='banana'"),
    (["id=1", "replace=perhaps"], "replace='perhaps': expected true or false"),
    (["iid=1"], "did you mean id?"),
    (["+foo=1"], "foo: there is no such key"),
    (["id=1,2"], "'id=[1,2]'"),
]


@pytest.mark.parametrize(("words", "phrase"), EVALUATE)
def test_evaluate_refuses(untouched, words, phrase):
    refused(command("evaluate", *words), phrase)


@pytest.mark.parametrize("program", ["evaluate", "evals.plot"])
@pytest.mark.parametrize("content", [None, "", "{}"])
def test_without_a_finished_run_the_readers_say_how_to_train_one(own, program, content):
    database().unlink()
    if content is not None:
        database().write_text(content)
    refused(command(program, "dataset=loan"), "python train.py dataset=loan")


def test_missing_weights_are_named_with_the_remedy(own):
    file = own / "weights" / RunStore(database()).get(1)["weights"]["path"]
    file.unlink()
    refused(command("evaluate", "id=1"), "record 1", str(file), "existing=replace")


@pytest.mark.parametrize("change", [lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b[:100], lambda b: b + b"\0"])
def test_altered_weights_are_refused(own, change):
    file = own / "weights" / RunStore(database()).get(1)["weights"]["path"]
    file.write_bytes(change(file.read_bytes()))
    before = database().read_bytes()
    refused(command("evaluate", "id=1"), "record 1", str(file), "altered")
    assert database().read_bytes() == before


@pytest.mark.parametrize("place", ["model", "decide", "dataset", "scm"])
@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "os.system", "command": "touch trap"},
        {"_target_": "torch.nn.Linear", "in_features": 7, "out_features": 1},
        {"_target_": "utils.models.mlp.nn.Linear", "in_features": 7, "out_features": 1},
        {"_target_": "utils.models.mlp.MLP", "hidden": {"_target_": "os.system", "command": "touch trap"}},
    ],
)
def test_a_record_that_names_foreign_code_is_not_loaded(own, place, node):
    def change(record):
        (record if place == "decide" else record["params"])[place] = node

    spoil(change)
    refused(command("evaluate", "id=1"), "is not loaded")
    assert not (own / "trap").exists()


def test_a_record_of_other_data_is_not_evaluated(own):
    spoil(lambda record: record.update(fingerprint="0" * 16))
    refused(command("evaluate", "id=1"), "changed since record 1 was made", "0" * 16)


# --- plot and table --------------------------------------------------------------------------------------------

READERS = [
    ("evals.plot", [], "dataset is required"),
    ("evals.plot", ["dataset=null"], "dataset is required"),
    ("evals.plot", ["dataset=lona"], "databases in that folder: loan"),
    ("evals.plot", ["dataset=loan", "x=accurracy"], "did you mean accuracy"),
    ("evals.plot", ["dataset=loan", "x=seed"], "seed is no metric"),
    ("evals.plot", ["dataset=loan", "where=accuracy"], "is no comparison"),
    ("evals.plot", ["dataset=loan", "where=3"], "is no comparison"),
    ("evals.plot", ["dataset=loan", "where=accuracy>2"], "leaves none of the 1 run;"),
    ("evals.plot", ["dataset=loan", "hue=regulariser"], "regularizer"),
    ("evals.plot", ["dataset=loan", "out=a.bmp"], ".png, .svg, .pdf"),
    ("evals.plot", ["dataset=loan", "out=people.csv/a.png"], "people.csv/a.png"),
    ("evals.plot", ["dataset=loan", "ouy=a.png"], "did you mean out?"),
    ("evals.plot", ["dataset"], "key=value"),
    ("evals.table", [], "experiment=..., dataset=... or both"),
    ("evals.table", ["experiment=foo"], "Presets are aia_celeba, "),
    ("evals.table", ["dataset=loan", "metrics=accurracy"], "did you mean accuracy"),
    ("evals.table", ["dataset=loan", "format=html"], "markdown, csv, latex"),
    ("evals.table", ["dataset=loan", "out=people.csv/t.md"], "people.csv/t.md"),
]


@pytest.mark.parametrize(("program", "words", "phrase"), READERS)
def test_plot_and_table_refuse(untouched, program, words, phrase):
    refused(command(program, *words), phrase)


def test_a_radius_far_beyond_the_data_is_doubted_once_before_the_training(own):
    """Also that of a later job of a sweep; a radius that only attacks on the test rows have counts, too."""
    answer = command("train", "-m", *SMALL, "dataset.rows=300", "epsilon.evaluate=[0.05],[0.05,1000]")
    assert answer.code == 0
    (doubt,) = [text for text in answer.err.splitlines() if "beyond the data" in text]
    assert "loan: epsilon=1000 is far beyond the data" in doubt
    assert "beyond the data" not in command("train", *SMALL, "dataset.rows=300", "epsilon=3", "seed=5").err


def test_a_reader_that_has_seen_enough_is_no_error(untouched):
    """As ``python evaluate.py | head``: the pipe is closed before anything is written."""
    started = subprocess.Popen(line("evaluate"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    started.stdout.close()
    assert started.stderr.read() == b""
    assert started.wait() == 141


def test_the_name_of_a_table_that_is_there_leads_to_its_schema(own, monkeypatch):
    monkeypatch.chdir(own)
    (own / "people.yaml").touch()
    refused(command("train", "dataset=people"), "there is no such option, but a file of this name: dataset=people.yaml")
    refused(command("train", "dataset=peeple"), "dataset=peeple: there is no such option; did you mean")
