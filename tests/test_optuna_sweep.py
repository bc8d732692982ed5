"""``hydra/sweeper=optuna``: what is asked, what is told, what is shown; small trainings through the command line."""

import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from itertools import islice
from threading import Thread

import numpy as np
import pytest
from filelock import FileLock
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

import paths_config
from tests.commands import SMALL, command, environment, house, line, refused
from utils.command_line.overrides import CONFIG
from utils.metrics.directions import direction
from utils.run_store import RunStore
from utils.search import study as studies
from utils.search.question import Question, check_radii, constraints, objectives
from utils.search.results import describe, judge
from utils.search.search_words import Choice, Interval, Steps, read

pytestmark = pytest.mark.e2e

needs_optuna = pytest.mark.skipif(
    find_spec("optuna") is None, reason="Optuna is not installed: pip install -r requirements.txt"
)
FACTS = {"name": "loan_mlp_erm", "dataset": "loan", "params": {}}
SPACE = ("regularizer.causal_adv.twins=tag(log,interval(0.1,10))", "epsilon.radius=interval(0.01,0.2)", "seed=0,1")
SEARCH = ("-m", "hydra/sweeper=optuna", *SMALL)
THREE = "hydra.sweeper.objectives=[accuracy,robust_accuracy_0.05,uai_0.05]"
FULL = (*SEARCH, "dataset.rows=500", "regularizer=causal_adv", *SPACE, THREE)


def asked_for(*words):
    return read(OverridesParser.create().parse_overrides(list(words)))


def records(dataset="loan"):
    return RunStore(paths_config.database(dataset)).all()


def opened(name):
    import optuna

    return optuna.load_study(study_name=name, storage=f"sqlite:///{paths_config.evals()}/studies/{name}.db")


def dominates(a, b, keys):
    """By the definition: nowhere worse, somewhere better."""
    gains = [direction(key) * (a[key] - b[key]) for key in keys]
    return min(gains) >= 0 and max(gains) > 0


def efficient(points, keys):
    """Names of the points that none dominates, by brute force."""
    return {name for name, a in points.items() if not any(dominates(b, a, keys) for b in points.values())}


def means(study):
    """Metrics of each trial, by its record ids, averaged from the records that are filed at the trial's point."""
    found = {}
    for trial in study.trials:
        own = [r for r in records() if r["params"]["epsilon"]["radius"] == trial.params["epsilon.radius"]]
        assert {r["params"]["regularizer"]["causal_adv"]["twins"] for r in own} == {
            trial.params["regularizer.causal_adv.twins"]
        }
        assert sorted(r["seed"] for r in own) == [0, 1]
        ids = ",".join(str(r["doc_id"]) for r in own)
        found[ids] = {key: sum(r["metrics"][key] for r in own) / 2 for key in own[0]["metrics"] if "_group" not in key}
    return found


def printed(out):
    """The record ids in the table that a search prints."""
    rows = out[out.index("\ntrial ") :].splitlines()[2:]
    return {re.search(r"  ([\d,]+)  +\S+=", row)[1] for row in rows if re.match(r"\d", row)}


# --- words -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("a=interval(0.1,10)", Interval(0.1, 10.0, False)),
        ("a=tag(log,interval(0.1,10))", Interval(0.1, 10.0, True)),
        ("a=int(interval(1,9))", Interval(1, 9, False)),
        ("a=tag(log,int(interval(1,9)))", Interval(1, 9, True)),
        ("a=range(1,10,3)", Steps(1, 3, 3)),
        ("a=range(10,1,-3)", Steps(4, 3, 3)),
        ("a=range(0.1,0.5,0.1)", Steps(0.1, 0.1, 4)),
        ("a=x,y,x", Choice(("x", "y"))),
        ("a=choice([x,y],z)", Choice(("[x,y]", "z"))),
    ],
)
def test_a_word_says_which_values_are_searched(word, expected):
    parameter = asked_for(word).space["a"]
    assert parameter == expected
    assert [type(value) for value in parameter] == [type(value) for value in expected]


def test_the_last_of_several_words_counts():
    line = asked_for("a=1,2", "b=interval(0,1)", "a=3", "b=interval(0,2)", "seed=0,1", "seed=5")
    assert (line.fixed, line.space, line.seeds) == (
        {"a": "a=3", "seed": "seed=5"},
        {"b": Interval(0.0, 2.0, False)},
        (),
    )


def test_a_swept_seed_is_repeated_not_searched():
    line = asked_for("a=1,2", "seed=range(3)")
    assert (list(line.space), line.seeds) == (["a"], ("0", "1", "2"))


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (["a=1"], "nothing to search"),
        (["seed=0,1"], "nothing to search"),
        (["a=interval(2,1)"], "LOW below HIGH"),
        (["a=interval(0,inf)"], "LOW below HIGH"),
        (["a=tag(log,interval(0,1))"], "above 0"),
        (["a=tag(fast,interval(0,1))"], "the tag is log"),
        (["a=tag(log,range(1,9))"], "the tag is log"),
        (["a=range(5,1)"], "holds no number"),
        (["a=range(1,5,0)"], "step other than 0"),
        (["a=1,2", "seed=interval(0,3)"], "seeds are not searched"),
    ],
)
def test_a_space_that_cannot_be_meant_is_refused(words, phrase):
    with pytest.raises(ValueError, match=phrase):
        asked_for(*words)


@needs_optuna
@pytest.mark.parametrize("values", ["range(1,10,3)", "range(10,1,-4)", "range(0.1,0.75,0.1)", "range(0,1,0.25)", "3,1"])
def test_what_is_drawn_from_a_range_or_a_choice_are_the_values_of_a_plain_sweep(values):
    """Hydra's own enumeration is the oracle."""
    optuna = studies.import_optuna()
    (override,) = OverridesParser.create().parse_overrides([f"a={values}"])
    parameter = read([override]).space["a"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = {parameter.suggest(study.ask(), "a") for _ in range(150)}
    assert sorted(map(float, drawn)) == pytest.approx(sorted(map(float, override.sweep_string_iterator())))
    assert max(map(len, drawn)) <= 4  # 0.3, not 0.30000000000000004


@needs_optuna
def test_a_logarithmic_interval_has_its_geometric_mean_in_the_middle():
    optuna = studies.import_optuna()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [float(Interval(0.01, 100.0, True).suggest(study.ask(), "a")) for _ in range(300)]
    assert all(0.01 <= value <= 100 for value in drawn)
    assert sum(value < 1 for value in drawn) / 300 == pytest.approx(0.5, abs=0.1)  # 3.5 standard deviations


# --- what judges -----------------------------------------------------------------------------------------------


def test_the_direction_of_an_objective_is_its_metric_s_unless_it_is_given():
    assert objectives(["accuracy", "uai_0.05"]) == {"accuracy": "maximize", "uai_0.05": "minimize"}
    assert objectives({"support": "maximize", "mcc": None}) == {"support": "maximize", "mcc": "maximize"}


def test_a_misspelt_objective_is_answered_with_its_near_misses():
    with pytest.raises(ValueError, match="did you mean uai_0.05"):
        objectives(["uia_0.05"])


def test_a_bound_is_broken_by_what_lies_beyond_it():
    most, least = constraints(["uai_0.05<=0.1", " mcc >= .5 "])
    assert most.excess({"uai_0.05": 0.3}) == pytest.approx(0.2)
    assert least.excess({"mcc": 0.3}) == pytest.approx(0.2)
    assert most.excess({"uai_0.05": 0.1}) == 0


@pytest.mark.parametrize("text", ["uai_0.05<0.1", "uai_0.05", "uai_0.05<=low", "<=1", "a<=1<=2"])
def test_a_constraint_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="METRIC<=NUMBER"):
        constraints([text])


def test_a_radius_that_is_not_evaluated_is_refused():
    check_radii(["accuracy", "uai_0.05", "uai_8/255"], [[0.05, "8/255"]])
    with pytest.raises(ValueError, match=r"epsilon.evaluate=\[0.05,8/255,0.07\]"):
        check_radii(["uai_0.07"], [[0.05, "8/255"]])


@pytest.mark.parametrize("word", ["+experiment=capify_small", "+experiment=capify_small,capify_table"])
def test_a_preset_keeps_its_settings_in_a_search_that_files_its_runs_under_its_own_name(word):
    question = Question("mine", asked_for(word, "trainer.lr=0.1,0.2"), {"accuracy": "maximize"}, ())
    (words,) = question.jobs(next(question.line.probes()))
    with initialize_config_dir(str(CONFIG), version_base="1.3"):
        cfg = compose("train", overrides=words)
    assert (cfg.experiment, cfg.dataset.split[0], cfg.trainer.lr) == ("mine", 0.8, 0.1)


# --- the study -------------------------------------------------------------------------------------------------


def told(study, sampler, trials, *, batch=3, stop=99):
    """Conduct a study whose values are a formula; ``stop`` after so many trials are asked, as a kill would."""
    line = asked_for("a=interval(0,1)", "b=tag(log,interval(0.1,10))", "c=range(5)", "d=x,y")
    asked = studies.points(study, line, trials, sampler, 0)
    while points := list(islice(asked, batch)):
        for trial, at in points:
            if trial.number >= stop:
                return
            a, b, c = float(at["a"]), float(at["b"]), int(at["c"])
            study.tell(trial, [a + c, b - a * (at["d"] == "x")])


def drawn(study):
    return [trial.params for trial in study.trials]


@needs_optuna
@pytest.mark.parametrize("sampler", studies.SAMPLERS)
def test_the_same_seed_asks_the_same_trials(sampler):
    optuna = studies.import_optuna()
    first, second = (optuna.create_study(directions=["minimize"] * 2) for _ in range(2))
    told(first, sampler, 14)
    told(second, sampler, 14)
    assert drawn(first) == drawn(second)
    assert len({str(params) for params in drawn(first)}) == 14


@needs_optuna
@pytest.mark.parametrize("sampler", ["tpe", pytest.param("random", marks=pytest.mark.slow)])
def test_a_search_that_is_cut_off_goes_on_as_if_it_had_not_been(tmp_path, sampler):
    """The trials of an uninterrupted study are the oracle; the cut leaves a whole batch asked and not told."""
    optuna = studies.import_optuna()
    whole = optuna.create_study(directions=["minimize"] * 2)
    told(whole, sampler, 18)
    where = {"storage": f"sqlite:///{tmp_path}/a.db", "study_name": "a"}
    told(optuna.create_study(directions=["minimize"] * 2, **where), sampler, 18, stop=12)
    resumed = optuna.load_study(**where)
    assert studies.count_unfinished(resumed) == 3
    told(resumed, sampler, 18)
    assert drawn(resumed) == drawn(whole)
    assert [trial.values for trial in resumed.trials] == [trial.values for trial in whole.trials]


@needs_optuna
@pytest.mark.parametrize("keys", [("accuracy",), ("accuracy", "uai_0.05"), ("accuracy", "uai_0.05", "mcc")])
def test_the_pareto_set_is_that_of_the_means_of_the_records_under_the_constraints(tmp_path, monkeypatch, keys):
    """Brute force over random values on a coarse grid, with ties, is the oracle."""
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    optuna = studies.import_optuna()
    rng = np.random.default_rng(len(keys))
    question = Question("mine", asked_for("a=interval(0,1)"), objectives(list(keys)), constraints(["auc>=0.4"]))
    study = optuna.create_study(directions=list(question.objectives.values()))
    store, everything = RunStore(paths_config.database("loan")), {}
    for i, (trial, _) in enumerate(studies.points(study, question.line, 40, "random", 0)):
        metrics = [dict(zip((*keys, "auc"), row, strict=True)) for row in values(rng, keys)]
        runs = [{"run_id": f"{i}-{j}", "status": "finished", **FACTS, "metrics": m} for j, m in enumerate(metrics)]
        ids = store.add_many(runs)
        judge(study, trial, question, [store.get(doc_id) for doc_id in ids])
        everything[",".join(map(str, ids))] = {key: (metrics[0][key] + metrics[1][key]) / 2 for key in metrics[0]}
    allowed = {ids: means for ids, means in everything.items() if means["auc"] >= 0.4}
    assert 0 < len(allowed) < 40
    assert printed("\n".join(describe(study, question))) == efficient(allowed, keys)


def values(rng, keys):
    """Metrics of two seeds, multiples of 1/8: their means are exact."""
    return rng.integers(0, 8, size=(2, len(keys) + 1)) / 8


def test_a_second_search_of_the_same_study_waits_for_the_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    entered = []

    def second():
        with studies.one_at_a_time("mine"):
            entered.append(True)

    (tmp_path / "studies").mkdir()
    with FileLock(tmp_path / "studies" / "mine.lock"):
        thread = Thread(target=second)
        thread.start()
        thread.join(0.3)
        assert not entered
    thread.join(10)
    assert entered
    assert "another process conducts the study mine" in capsys.readouterr().out


# --- a search through the command line --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A random search of 4 trials of two seeds, three objectives and a condition; its words and its answer."""
    with house(tmp_path_factory.mktemp("search")) as folder:
        words = (*FULL, "hydra.sweeper.constraints=['mcc>=-1']", "hydra.sweeper.sampler=random")
        words += ("hydra.sweeper.trials=4", "hydra.sweeper.batch=3", "hydra.sweeper.study=mine")
        answer = command("train", *words)
        assert answer.code == 0, answer
        yield words, answer, folder


@pytest.fixture
def copied(searched, tmp_path):
    """The same, for tests that add to it: what they do to a copy, no other test sees, whichever comes first."""
    words, answer, folder = searched
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("data"))
    with house(tmp_path / "copy"):
        yield words, answer


@needs_optuna
def test_every_trial_files_a_record_for_each_seed(searched):
    assert len({record["run_id"] for record in records()}) == len(records()) == 8
    assert {record["params"]["experiment"] for record in records()} == {"mine"}


@needs_optuna
def test_a_trial_s_values_are_the_means_over_its_seeds(searched):
    expected = [[m["accuracy"], m["robust_accuracy_0.05"], m["uai_0.05"]] for m in means(opened("mine")).values()]
    assert [trial.values for trial in opened("mine").trials] == [pytest.approx(values) for values in expected]


@needs_optuna
def test_the_trials_that_are_shown_are_the_efficient_ones_of_the_records(searched):
    assert printed(searched[1].out) == efficient(
        means(opened("mine")), ["accuracy", "robust_accuracy_0.05", "uai_0.05"]
    )


@needs_optuna
def test_the_plot_that_is_named_shows_the_trials_of_the_search_alone(copied):
    command("train", *SMALL)  # a run of another purpose
    (words,) = re.findall(r"python -m evals.plot (.+)", copied[1].out)
    answer = command("evals.plot", *words.split(), "out=plot.png", "seeds=mean")
    assert answer.code == 0, answer
    shown = {ids.replace(" ", "") for ids in re.findall(r"\d+, ?\d+", answer.out)}
    assert shown == efficient(means(opened("mine")), ["accuracy", "robust_accuracy_0.05"])


@needs_optuna
def test_a_relaunch_of_a_finished_search_trains_nothing_and_shows_the_same(searched):
    before = records()
    answer = command("train", *searched[0])
    assert answer.code == 0, answer
    assert records() == before
    assert answer.out.strip() == searched[1].out[searched[1].out.index("study mine") :].strip()


@needs_optuna
@pytest.mark.parametrize(
    "word",
    ["epsilon.radius=interval(0.01,0.3)", "epsilon.radius=0.01,0.2", "trainer.lr=0.5", "seed=0,1,2", "model=logistic"],
)
def test_another_search_under_the_same_name_is_refused(searched, word):
    before = records()
    refused(command("train", *searched[0], word), "the study mine is another search", word.partition("=")[0])
    assert records() == before


@needs_optuna
def test_more_trials_of_a_finished_search_are_added_to_it(copied):
    answer = command("train", *copied[0], "hydra.sweeper.trials=5")
    assert answer.code == 0, answer
    assert "2 finished" in answer.out
    assert len(opened("mine").trials) == 5


# --- what goes wrong -------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    """An empty house."""
    with house(tmp_path) as folder:
        yield folder


RADIUS = "epsilon=interval(0.01,0.2)"


@needs_optuna
@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        (["seed=0,1"], ["nothing to search"]),
        ([RADIUS, "hydra.sweeper.trials=0"], ["trials=0: expected a whole number in [1, 1000000]"]),
        ([RADIUS, "hydra.sweeper.batch=0"], ["batch=0: expected a whole number in [1, 100000]"]),
        ([RADIUS, "hydra.sweeper.sampler=gpp"], ["sampler=gpp", "did you mean gp"]),
        ([RADIUS, "hydra.sweeper.study=a/b"], ["study=a/b"]),
        ([RADIUS, "hydra.sweeper.objectives=[acuracy]"], ["did you mean accuracy"]),
        ([RADIUS, "hydra.sweeper.objectives={accuracy:up}"], ["expected maximize or minimize"]),
        ([RADIUS, "hydra.sweeper.objectives=[uai_0.07]"], ["uai_0.07", "epsilon.evaluate=[0.05,0.01,0.07]"]),
        ([RADIUS, "hydra.sweeper.constraints=['uai_0.05<0.1']"], ["METRIC<=NUMBER"]),
        ([RADIUS, "hydra.sweeper.constraints=['uai_0.05<=nan']"], ["METRIC<=NUMBER"]),
        ([RADIUS, "hydra.sweeper.storage=nowhere"], ["storage nowhere cannot be used"]),
        (["trainer.lr=interval(-1,0.1)"], ["trainer.lr=-1.0", "a number in (0, 1e6]"]),
        (["regularizer=erm,ermm"], ["regularizer=ermm", "did you mean erm"]),
        (["regularizer.causal_adv.twins=interval(0,1)"], ["regularizer.causal_adv"]),
        ([RADIUS, "hydra.sweeper.trails=3"], ["hydra.sweeper.trails"]),
    ],
)
def test_a_mistake_is_refused_before_any_training(own, words, phrases):
    refused(command("train", *SEARCH, *words), *phrases)
    assert not paths_config.database("loan").exists()


def test_a_missing_optuna_is_said_with_the_remedy(own, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)  # what Python does where a package is not there
    refused(command("train", *SEARCH, RADIUS), "pip install -r requirements.txt")


@needs_optuna
def test_a_metric_that_no_run_reports_is_found_after_the_first_trial(own):
    words = (*SEARCH, RADIUS, "hydra.sweeper.study=mine", "hydra.sweeper.trials=4")
    answer = command("train", *words, "hydra.sweeper.objectives={uai_cf:minimize,bayes_accuracy:maximize}")
    refused(answer, "no metric bayes_accuracy")
    assert len(records()) == 1
    assert command("train", *words, "hydra.sweeper.trials=1").code == 0  # the name is free


@needs_optuna
def test_a_search_without_a_single_result_fails(own):
    """The runs finish, but groups so large that the gap is undefined leave nothing to search by."""
    words = ["trainer.lr=0.01,0.02", "hydra.sweeper.objectives=[fnr_gap]", "hydra.sweeper.trials=2"]
    answer = command("train", *SEARCH, *words, "evaluation.metrics.group.groups_min=1000000")
    assert answer.code == 1, answer
    assert "none of its trials has a result" in answer.err


@needs_optuna
def test_a_failed_job_fails_its_trial_and_the_search_goes_on(own):
    """A learning rate so large that the logits overflow."""
    words = [
        "trainer.lr=0.01,1e6",
        "trainer=sgd",
        "model.activation=relu",
        "hydra.sweeper.sampler=random",
        "hydra.sweeper.study=mine",
    ]
    answer = command("train", *SEARCH, *words, "hydra.sweeper.trials=5")
    assert answer.code == 1, answer
    states = {trial.params["trainer.lr"]: trial.state.name for trial in opened("mine").trials}
    assert states == {"0.01": "COMPLETE", "1000000.0": "FAIL"}
    assert len(opened("mine").trials) == 5
    assert answer.out.count(" failed: seed 0: ") == sum(t.state.name == "FAIL" for t in opened("mine").trials)


@needs_optuna
def test_an_undefined_metric_fails_the_trial_and_is_said(own):
    """Groups of a few test rows have no gap."""
    words = ["dataset.rows=60", RADIUS, "hydra.sweeper.objectives=[fnr_gap]", "hydra.sweeper.study=mine"]
    answer = command("train", *SEARCH, *words, "hydra.sweeper.trials=2")
    assert answer.code == 1, answer
    assert "fnr_gap is undefined (null) in record 1" in answer.out
    assert [trial.state.name for trial in opened("mine").trials] == ["FAIL", "FAIL"]
    assert [trial.values for trial in opened("mine").trials] == [None, None]


@needs_optuna
def test_a_search_whose_jobs_leave_no_record_stops_and_a_relaunch_trains_its_trials(own):
    words = [*SEARCH, RADIUS, "regularizer=causal_adv", "hydra.sweeper.trials=2", "hydra.sweeper.study=mine"]
    (own / "weights").write_text("")  # a file where the folder of the weights should be
    answer = command("train", *words)
    assert answer.code == 2, answer
    assert "the search stops" in answer.err
    assert [trial.state.name for trial in opened("mine").trials] == ["RUNNING"]
    (own / "weights").unlink()
    assert command("train", *words).code == 0
    assert [trial.state.name for trial in opened("mine").trials] == ["COMPLETE"] * 2


@needs_optuna
@pytest.mark.slow  # one that is cut off: above
def test_a_search_that_is_killed_is_finished_by_the_same_line(own):
    words = [*SEARCH, "trainer.lr=interval(0.001,0.1)", "hydra.sweeper.trials=5", "hydra.sweeper.batch=4"]
    words += ["hydra.sweeper.study=mine", "hydra.sweeper.sampler=random"]
    with subprocess.Popen(line("train", *words), env=environment(), stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (paths_config.database("loan").exists() and len(records()) >= 2):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert studies.count_unfinished(opened("mine")) > 0
    answer = command("train", *words)
    assert answer.code == 0, answer
    assert [trial.state.name for trial in opened("mine").trials] == ["COMPLETE"] * 5
    rates = [record["params"]["trainer"]["lr"] for record in records()]
    assert sorted(rates) == sorted(trial.params["trainer.lr"] for trial in opened("mine").trials)


# --- causal figures ---------------------------------------------------------------------------------------------

TABLE = ("dataset=csv", "dataset.path=table.csv", "dataset.label=y", "scm=linear")


@needs_optuna
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["scm=independent,linear", "hydra.sweeper.objectives=[accuracy,uai_0.05]"], "tries 2: independent; linear."),
        (["scm=independent,linear", "hydra.sweeper.constraints=['uai_0.05<=0.07']"], "tries 2: independent; linear."),
        (["scm=learned", "scm.hidden=range(4,9)", "hydra.sweeper.objectives=[uai_cf]"], "learned, hidden 4"),
        (
            [*TABLE, "dataset.sensitive=s", "dataset.graph={a:[s]},{b:[s]}", "hydra.sweeper.objectives=[uai_cf]"],
            "linear, graph s -> a; linear",
        ),
        ([*TABLE, "dataset.sensitive=s,b", "hydra.sweeper.objectives=[uai_cf]"], "linear, sensitive s; linear"),
        (["dataset.rows=200,300", "scm=linear", "hydra.sweeper.objectives=[uai_cf]"], "linear, rows 200"),
    ],
)
def test_a_search_is_not_judged_by_causal_figures_of_several_causal_models(tmp_path, words, told):
    with house(tmp_path):
        data = () if "dataset=csv" in words else ("dataset=lin",)
        answer = command("train", *SEARCH, *data, "trainer.lr=0.01,0.02", *words, "hydra.sweeper.trials=2")
        refused(answer, "belongs to its causal model", told)
        assert not list(paths_config.evals().glob("*.json"))


@needs_optuna
@pytest.mark.parametrize("objectives", ["[accuracy]", "[robust_accuracy_0.05]"])
def test_figures_that_no_causal_model_matters_to_may_judge_a_search_that_tries_several(tmp_path, objectives):
    with house(tmp_path):
        words = ("dataset=lin", "dataset.rows=200", "scm=independent,linear", "hydra.sweeper.trials=1")
        assert command("train", *SEARCH, *words, f"hydra.sweeper.objectives={objectives}").code == 0
