"""scikit-learn's classifiers through the command line: trained, judged, stored, loaded, judged again."""

import hashlib
import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from hydra import compose, initialize_config_dir
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import paths_config
from evals.database import main as database
from evals.records.reproduce import command as reproduce
from evals.records.stored import dataset_of
from tests.commands import SMALL, command, house, refused
from utils.command_line.overrides import CONFIG
from utils.model_zoo import from_database, predictor
from utils.models.learner import Learner
from utils.run_store import RunStore
from utils.runs.fitting import learner_seed

pytestmark = pytest.mark.e2e

BASE = (
    "dataset=loan",
    "dataset.rows=200",
    "operating_points.groups_min=1",
    "evaluation.metrics.ensemble.intervals=20",
    *SMALL,
)
QUERIES = tuple(f"evaluation.metrics.ensemble.attacks.{k}=10" for k in ("random.samples", "square.queries"))
QUICK = (*BASE, *QUERIES)
SHORT = (*QUICK, "attack.evasion.queries=10")  # of the attack that learners have by default
FOREST = (*SHORT, "model=random_forest", "model.trees=5")
MODELS = {
    "random_forest": ("model.trees=5", partial(RandomForestClassifier, n_estimators=5)),
    "gradient_boosting": ("model.trees=5", partial(GradientBoostingClassifier, n_estimators=5)),
    "hist_gradient_boosting": ("model.iterations=5", partial(HistGradientBoostingClassifier, max_iter=5)),
    "logistic_sklearn": ("model.C=0.5", partial(LogisticRegression, C=0.5, max_iter=1000)),
}
SENTENCE = (
    "model=random_forest has no gradient",
    "attack=square_columns evaluation=black_box",
    "evaluation=black_box_certified with proofs",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Records 1 to 4 of loan are the models, 5 is a forest with thresholds of groups, 6 a network."""
    with house(tmp_path_factory.mktemp("home")) as folder:
        for name, (word, _) in MODELS.items():
            answer = command("train", *SHORT, f"model={name}", word)
            assert answer.code == 0, answer
        assert command("train", *FOREST, "decide=group_exact", "decide.groups_min=1", "prepare=reweigh").code == 0
        assert command("train", *SHORT, "evaluation=black_box", "attack=square_columns").code == 0
        yield folder


def records():
    return RunStore(paths_config.database("loan")).all()


@pytest.fixture
def untouched(home):
    """The test must leave the database as it is."""
    before = paths_config.database("loan").read_bytes()
    yield home
    assert paths_config.database("loan").read_bytes() == before


# --- trained and loaded ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_the_loaded_model_is_scikit_learns_own(home, name):
    """A plain estimator, fitted here on the training rows that the record names."""
    doc_id = 1 + list(MODELS).index(name)
    data = dataset_of(records()[doc_id - 1], "cpu")
    plain = MODELS[name][1]().set_params(random_state=learner_seed(0))
    plain.fit(data.train.x.numpy().astype(np.float64), data.train.y.numpy())
    loaded = from_database(doc_id, "loan")
    chance = loaded(data.test.x).sigmoid()[:, 0].numpy()
    np.testing.assert_allclose(chance, plain.predict_proba(data.test.x.numpy())[:, 1], atol=1e-5)


@pytest.mark.parametrize("doc_id", [1, 2, 3, 4, 5])
def test_the_loaded_model_has_the_accuracy_of_the_record(home, doc_id):
    record = records()[doc_id - 1]
    test = dataset_of(record, "cpu").test
    right = from_database(doc_id, "loan").decide(test.x) == test.y
    assert float(right.float().mean()) == pytest.approx(record["metrics"]["accuracy"])
    assert record["weights"]["path"] == f"loan/{record['run_id']}.skops"


def test_weighted_rows_and_thresholds_of_groups_are_those_of_any_model(home):
    plain, weighed = records()[0], records()[4]
    assert len(set(weighed["decide"]["logits"])) == 2
    assert plain["weights"]["sha256"] != weighed["weights"]["sha256"]
    assert plain["operating_points"]["permitted"] == weighed["operating_points"]["permitted"]


def test_the_figures_are_those_of_any_model(home):
    forest, network = (set(records()[i]["metrics"]) for i in (0, 5))
    assert forest == network
    assert {"robust_accuracy_0.05", "robust_accuracy_worst_group_0.05", "uai_0.05", "uai_ar_0.05"} <= forest


def test_rows_in_natural_units_are_answered(home):
    names = [c.name for c in from_database(1, "loan").columns]
    rows = pd.DataFrame(np.zeros((3, len(names))), columns=names)
    assert predictor(1, "loan")(rows)["probability"].between(0, 1).all()


# --- what makes another run ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [["trainer.epochs=7"], ["trainer=sgd"], ["regularizer=[erm,adversarial]", "regularizer.adversarial.weight=0"]],
    ids=["epochs", "optimizer", "a term of weight 0"],
)
def test_what_gradients_are_taken_for_makes_no_other_run(untouched, words):
    answer = command("train", *FOREST, *words)
    assert (answer.code, "finished before, record 1" in answer.out) == (0, True), answer


@pytest.mark.parametrize("doc_id", [1, 5])
def test_its_command_gives_the_run_again(untouched, doc_id):
    words = reproduce(records()[doc_id - 1]).removeprefix("python train.py ").replace("'", "").split()
    answer = command("train", *words, "device=cpu")
    assert f"finished before, record {doc_id}" in answer.out, (words, answer)


def test_a_sweep_says_why_they_are_trained_one_by_one(home):
    answer = command("train", "-m", "hydra/launcher=batched", "hydra.launcher.workers=1", *FOREST, "seed=0,1")
    assert answer.code == 0, answer
    assert "2 jobs one by one, since scikit-learn trains one model=random_forest at a time" in answer.out
    assert "1 finished, 1 skipped" in answer.out


def test_a_failing_fit_is_recorded_with_its_reason(home, monkeypatch):
    def fail(self, rows, seed, before=Learner.fit):
        if len(rows.y) > 100:  # not the rehearsal's
            raise ValueError("no tree grows here")
        before(self, rows, seed)

    monkeypatch.setattr(Learner, "fit", fail)
    answer = command("train", *FOREST, "seed=9")
    assert (answer.code, records()[-1]["reason"]) == (1, "no tree grows here")


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word", ["attack=pgd", "attack=causal_pgd", "evaluation=tabular", "evaluation.estimators=union"]
)
def test_whatever_asks_for_a_gradient_is_refused_before_any_training(untouched, word):
    words = BASE if word == "evaluation=tabular" else QUICK
    words = [w for w in words if word != "evaluation=tabular" or "ensemble" not in w]
    refused(command("train", *words, "model=random_forest", "seed=5", word), *SENTENCE)


def test_terms_of_an_objective_are_refused(untouched):
    answer = command("train", *FOREST, "regularizer=adversarial")
    refused(answer, "model=random_forest minimises a loss of its own", "regularizer=erm", "prepare", "decide")


def test_images_are_refused(home):
    refused(command("train", "dataset=digits", "model=random_forest"), "model=random_forest is for tables", "small_cnn")


def test_a_table_of_three_classes_is_refused(home):
    (home / "three.csv").write_text("a,s,y\n" + "".join(f"{i},{i % 2},{i % 3}\n" for i in range(60)))
    words = ("dataset.path=three.csv", "dataset.label=y", "dataset.sensitive=s")
    refused(command("train", "dataset=csv", *words, "model=random_forest"), "two classes are needed")


# --- judged again ----------------------------------------------------------------------------------------------

AGAIN = ("dataset=loan", "device=cpu", "epsilon.evaluate=[0.1]")
BLACK_BOX = ("attack=square_columns", "evaluation=black_box", "attack.evasion.queries=10", *QUERIES, *SMALL[2:])


def test_the_default_evaluation_is_refused_with_the_way_out(untouched):
    refused(command("evaluate", *AGAIN, "id=1"), *SENTENCE)


def test_a_black_box_judges_networks_and_learners_alike(home):
    answer = command("evaluate", *AGAIN, "id=[2,6]", *BLACK_BOX)
    assert answer.code == 0, answer
    for i in (1, 5):
        found = records()[i]
        again = found["evaluations"]["black_box@0.1"]["metrics"]
        assert 0 <= again["robust_accuracy_0.1"] <= found["metrics"]["robust_accuracy_0.05"]


@pytest.mark.parametrize("record", [1, 2, *(pytest.param(i, marks=pytest.mark.slow) for i in (3, 4))])
def test_learners_are_certified_by_answers_alone(home, record):
    """Judged again, as any model: proven fair, proven unfair by a filed counterexample, and who is open."""
    words = [word.replace("=black_box", "=black_box_certified") for word in BLACK_BOX]
    words.append("evaluation.metrics.certified.radius_rows=5")
    answer = command("evaluate", *AGAIN, f"id={record}", *words, "~evaluation.metrics.ensemble", "name=proofs")
    assert answer.code == 0, answer
    found = records()[record - 1]["evaluations"]["proofs"]["metrics"]
    shares = [found[f"{key}_0.1"] for key in ("fair_certified", "unfair_certified", "open")]
    assert sum(shares) == pytest.approx(1)
    assert found["uai_0.1"] <= 1 - found["fair_certified_0.1"] + 1e-9
    assert found["open_0.1"] < 0.3
    assert found["proven_radius_p90"] >= found["proven_radius_p10"] >= 0


# --- options ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "attack", "evaluation"),
    [
        (["model=random_forest"], "square_columns", "black_box"),
        (["dataset=compas", "model=gradient_boosting"], "square_columns", "black_box"),
        (["model=random_forest", "attack=causal_random"], "causal_random", "black_box"),
        (["evaluation=tabular", "model=random_forest"], "square_columns", "tabular"),
        (["dataset=digits"], "pgd_pixels", "image"),
        (["dataset=digits", "model=random_forest"], "pgd_pixels", "image"),
        ([], "pgd", "tabular"),
    ],
    ids=" ".join,
)
def test_the_words_then_the_data_then_the_model_choose(words, attack, evaluation):
    with initialize_config_dir(config_dir=str(CONFIG), version_base="1.3"):
        chosen = compose("train", overrides=words, return_hydra_config=True).hydra.runtime.choices
    assert (chosen.attack, chosen.evaluation) == (attack, evaluation)


# --- the file --------------------------------------------------------------------------------------------------


@pytest.fixture
def spoilt(home, tmp_path, monkeypatch):
    """Change the file of record 1, and the SHA-256 that its record states, in a copy of the house."""
    record = records()[0]

    def change(data, *, known):
        for name in ("evals", "weights"):
            monkeypatch.setenv(f"TRILEMMA_{name.upper()}", str(tmp_path / name))
        told = hashlib.sha256(data).hexdigest() if known else record["weights"]["sha256"]
        weights = {"path": record["weights"]["path"], "sha256": told}
        plain = {key: value for key, value in record.items() if key != "doc_id"}
        RunStore(paths_config.database("loan")).add(plain | {"weights": weights})
        path = paths_config.weights_file(weights["path"])
        path.parent.mkdir(parents=True)
        path.write_bytes(data)

    return change


def content():
    return paths_config.weights_file(records()[0]["weights"]["path"]).read_bytes()


def test_an_altered_file_is_refused_by_its_checksum(spoilt):
    spoilt(content() + b" ", known=False)
    with pytest.raises(ValueError, match="were altered.*SHA-256"):
        from_database(1, "loan")


def test_a_file_with_a_foreign_type_is_refused_and_nothing_in_it_runs(spoilt, tmp_path):
    forest = skops.io.loads(content(), trusted=["sklearn.tree._tree.Tree"])
    forest.estimators_ = partial(Path.touch, tmp_path / "ran")
    spoilt(skops.io.dumps(forest), known=True)
    with pytest.raises(ValueError, match=r"the weights of record 1 .* do not fit its model: they hold functools"):
        from_database(1, "loan")
    assert not (tmp_path / "ran").exists()


def test_the_database_is_checked_rebuilt_and_merged_with_the_files(home, tmp_path, monkeypatch, capsys):
    files = {r["weights"]["path"] for r in records() if r["status"] == "finished"}
    theirs, weights = paths_config.database("loan"), paths_config.weights()
    assert database(["check", "dataset=loan"]) == 0
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path / "evals"))
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path / "weights"))
    path = paths_config.weights_file(next(iter(sorted(f for f in files if f.endswith(".skops")))))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"another file of that name")
    assert database(["merge", "dataset=loan", f"from={theirs}", f"weights={weights}"]) == 0, capsys.readouterr()
    assert database(["check", "dataset=loan"]) == 0
    assert from_database(1, "loan")(torch.zeros(1, 7)).isfinite().all()
    assert {Path(r["weights"]["path"]).suffix for r in records() if "weights" in r} == {".skops", ".safetensors"}
    paths_config.database("loan").unlink()
    runs = ",".join(str(folder) for folder in (home / "outputs", home / "multirun") if folder.is_dir())
    assert database(["rebuild", "dataset=loan", f"runs=[{runs}]"]) == 0
    assert {r["weights"]["path"] for r in records() if "weights" in r} == files


def test_its_card_does_not_speak_of_gradients(home, tmp_path):
    question = ("dataset=loan", "where=model==random_forest", "maximize=accuracy", "points=false")
    assert command("evals.select", *question, f"card={tmp_path / 'card.md'}").code == 0
    text = (tmp_path / "card.md").read_text()
    assert "A random forest (Breiman 2001), scikit-learn's RandomForestClassifier (trees 5" in text
    assert "scikit-learn, at once" in text
    assert "Adam" not in text


def test_its_record_is_plain(home):
    assert json.dumps(records()[0], allow_nan=False)
