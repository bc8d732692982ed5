"""A classifier for scikit-learn: its own checks, its tools and fairlearn's, and the bits of ``train.py``."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import paths_config
from tests.commands import command, house
from tests.utils.datasets.test_table import people
from utils.estimator import TrilemmaClassifier
from utils.model_zoo import predictor
from utils.run_store import RunStore

NOT_OURS = {
    "check_sample_weight_equivalence_on_dense_data": "columns are scaled by all rows, and batches hold whole rows: "
    "a weight of 2 is not a row twice",
}
LEAST = {"evaluation.metrics.group.intervals=0", "~evaluation.metrics.unfair_area", "~evaluation.metrics.robust"}


@parametrize_with_checks([TrilemmaClassifier(epochs=40)], expected_failed_checks=lambda _: NOT_OURS)
def test_it_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def logistic(n=300, seed=0):
    """Rows with log-odds 2 a - b, and a group that moves nothing."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": rng.normal(3, 2, n), "b": rng.normal(0, 1, n), "sex": rng.choice(["man", "woman"], n)})
    chance = 1 / (1 + np.exp(-(2 * (frame["a"] - 3) - frame["b"])))
    return frame, np.where(rng.random(n) < chance, "yes", "no")


def test_logistic_regression_is_that_of_scikit_learn():
    frame, y = logistic()
    ours = TrilemmaClassifier(model="logistic_sklearn").fit(frame[["a", "b"]], y)
    theirs = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame[["a", "b"]], y)
    assert np.allclose(ours.predict_proba(frame[["a", "b"]]), theirs.predict_proba(frame[["a", "b"]]), atol=1e-3)
    assert (ours.predict(frame[["a", "b"]]) == theirs.predict(frame[["a", "b"]])).mean() > 0.99


def test_the_tools_of_scikit_learn_take_it():
    frame, y = logistic()
    ours = TrilemmaClassifier("sex", model="logistic_sklearn")
    assert cross_val_score(ours, frame, y, cv=3).mean() > 0.75
    grid = GridSearchCV(ours, {"epsilon": [0.05, np.float64(0.1)], "model": ["logistic_sklearn"]}, cv=2).fit(frame, y)
    assert grid.best_score_ > 0.75
    calibrated = CalibratedClassifierCV(ours, cv=2).fit(frame, y)
    assert np.allclose(calibrated.predict_proba(frame).sum(1), 1)
    assert clone(ours).set_params(seed=3).get_params()["seed"] == 3


def test_fairlearn_reads_its_groups():
    frame, y = logistic()
    fitted = TrilemmaClassifier("sex", model="logistic_sklearn").fit(frame, y)
    found = MetricFrame(metrics=accuracy_score, y_true=y, y_pred=fitted.predict(frame), sensitive_features=frame["sex"])
    right = pd.Series(fitted.predict(frame) == y).groupby(frame["sex"]).mean()
    assert found.by_group.to_dict() == pytest.approx(right.to_dict())


@pytest.mark.parametrize("as_column", [True, False])
def test_a_penalty_on_the_gap_closes_it(as_column):
    """The label is the group with some noise: without the penalty only members of one group are accepted."""
    rng = np.random.default_rng(0)
    sex = rng.choice(["man", "woman"], 400)
    frame = pd.DataFrame({"likeness": (sex == "woman") + rng.normal(0, 0.4, 400), "skill": rng.normal(size=400)})
    y = ((sex == "woman") + 0.7 * frame["skill"] + rng.normal(0, 0.3, 400) > 0.5).astype(int)
    how = {"sensitive_features": sex}
    if as_column:
        frame, how = frame.assign(sex=sex), {}

    def gap(*penalty, **settings):
        overrides = [f"regularizer.group_gap.{word}" for word in penalty]
        fitted = TrilemmaClassifier("sex" if as_column else None, epochs=30, overrides=overrides, **settings)
        chance = fitted.fit(frame, y, **how).predict_proba(frame)[:, 1]
        return abs(chance[sex == "man"].mean() - chance[sex == "woman"].mean())

    assert gap() > 0.25
    assert gap("rate=acceptance_rate", "weight=30", regularizer=["erm", "group_gap"]) < 0.08


def test_texts_are_categories_and_new_ones_are_refused_or_taken_for_the_nearest():
    frame, y = logistic()
    fitted = TrilemmaClassifier("sex", model="logistic_sklearn").fit(frame, y)
    strange = frame.head(2).assign(sex=["Woman", "man"])
    with pytest.raises(ValueError, match="row 0: column 'sex' holds 'Woman'"):
        fitted.predict(strange)
    assert (
        fitted.set_params(unseen="nearest").predict_proba(strange)
        == fitted.predict_proba(strange.assign(sex=["woman", "man"]))
    ).all()


def test_a_missing_number_is_the_median_where_its_rule_says_so():
    frame, y = logistic()
    holes = frame[["a", "b"]].copy()
    holes.loc[::7, "a"] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        TrilemmaClassifier(model="logistic_sklearn").fit(holes, y)
    rules = {name: {"type": "continuous", "missing": "median"} for name in holes}
    fitted = TrilemmaClassifier(model="logistic_sklearn", columns=rules).fit(holes, y)
    filled = fitted.predict_proba(holes.fillna(holes.median()))
    assert np.allclose(fitted.predict_proba(holes), filled)


def test_thresholds_of_groups_need_rows_that_tell_their_group():
    frame, y = logistic(100)
    found = TrilemmaClassifier("sex", model="logistic_sklearn", decide="group_exact").fit(frame, y).predict(frame)
    assert set(found) == {"no", "yes"}
    with pytest.raises(ValueError, match="decide=group_exact has a threshold for each group"):
        TrilemmaClassifier(model="logistic_sklearn", decide="group_exact").fit(
            frame[["a", "b"]], y, sensitive_features=frame["sex"]
        )


def test_a_row_of_weight_0_counts_for_nothing():
    frame, y = logistic()
    wrong = np.where(y == "yes", "no", "yes")
    twice, labels = pd.concat([frame, frame]), np.concatenate([y, wrong])
    ours = TrilemmaClassifier("sex", model="logistic_sklearn")
    weighted = ours.fit(twice, labels, sample_weight=np.repeat([1, 0], len(y))).predict_proba(frame)
    assert np.allclose(weighted, clone(ours).fit(frame, y).predict_proba(frame))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"regularizer": "group_gap"}, "compares groups, and these data have one only"),
        ({"regularizer": "causal_adv"}, "twins differ in a sensitive attribute"),
        ({"regularizer": "group_gapp"}, "regularizer=group_gapp: there is no such option; did you mean group_gap"),
        ({"overrides": ["trainer.epoch=3"]}, "trainer.epoch: there is no such key"),
        ({"epochs": 0}, "trainer.epochs=0"),
        ({"sensitive": "gender"}, "there is no column 'gender'"),
        ({"name": "mine"}, "a run that is filed is judged by groups"),
        ({"unseen": "abstain"}, "unseen='abstain'"),
        ({"sensitive": "a"}, r"say where its groups end, columns: \{a: \{type: continuous, bins: "),
        ({"overrides": "dataset=loan"}, "overrides='dataset=loan': the data are X and y"),
    ],
)
def test_what_does_not_fit_is_refused(settings, words):
    frame, y = logistic(60)
    with pytest.raises(ValueError, match=words):
        TrilemmaClassifier(**settings).fit(frame[["a", "b"]], y).predict(frame[["a", "b"]])


def test_a_schema_says_what_the_columns_are(tmp_path):
    """Its levels, sensitive columns and rows; the label that it names is no feature, though it is there."""
    frame = people(200)
    frame["region"] = frame["region"].where(frame["region"] != 309, 0)
    schema = tmp_path / "people.yaml"
    schema.write_text(
        "file: {path: people.csv}\nlabel: hired\nsensitive: sex\nrows: [region > 0]\n"
        "columns: {region: {type: categorical}, visit: {type: ignore},\n"
        "          edu: {type: ordered, levels: [school, college, phd]}}"
    )
    fitted = TrilemmaClassifier(columns=str(schema), epochs=1).fit(frame, frame["hired"])
    names = [column.name for column in fitted.predictor_.model.columns]
    assert names == ["sex=man", "sex=other", "sex=woman", "age", "edu", "region", "pay"]
    assert [c.name for c in fitted.predictor_.model.columns if c.sensitive] == names[:3]
    assert fitted.predict_proba(frame[frame["region"] > 0].drop(columns="hired")).shape == (
        int((frame["region"] > 0).sum()),
        2,
    )
    with pytest.raises(ValueError, match="outside of the rows of the schema, region > 0"):
        fitted.predict(frame)
    with pytest.raises(ValueError, match=r"X lacks \['edu'\], of which the schema speaks"):
        clone(fitted).fit(frame.drop(columns="edu"), frame["hired"])


def test_its_errors_offer_what_it_has():
    frame, y = logistic(60)
    rules = {name: {"type": "continuous"} for name in "ab"}
    fitted = TrilemmaClassifier(columns=rules, model="logistic_sklearn").fit(frame[["a", "b"]], y)
    holes = frame[["a", "b"]].assign(a=np.nan)
    for ask in (fitted.predict, lambda rows: clone(fitted).fit(rows, y)):
        with pytest.raises(ValueError, match="missing") as error:
            ask(holes)
        assert not {"unseen", "schema"} & set(re.findall(r"\w+", str(error.value)))


def test_texts_that_differ_by_blanks_are_one_level_and_it_is_said(capsys):
    frame, y = logistic(60)
    frame.loc[3, "sex"] = " man"
    TrilemmaClassifier("sex", model="logistic_sklearn").fit(frame, y)
    assert "X, sex: blanks around texts were removed: ' man'" in capsys.readouterr().err


@pytest.mark.e2e
def test_its_bits_are_those_of_the_command_line(tmp_path):
    """The same rows through a file and its schema, filed by name, and in memory."""
    with house(tmp_path):
        frame = people(300).drop(columns="visit")
        y = frame.pop("hired")
        frame.assign(hired=y).to_csv("people.csv", index=False)
        rules = {"region": {"type": "categorical"}}
        (tmp_path / "people.yaml").write_text(
            "file: {path: people.csv}\n"
            "columns: {sex: {type: categorical}, age: {type: continuous}, edu: {type: categorical},\n"
            "  region: {type: categorical}, pay: {type: continuous}}\n"
            "sensitive: sex\nlabel: hired\n"
        )
        words = ["epsilon.evaluate=[0.05]", *LEAST]
        options = ("regularizer=causal_adv", "epsilon=0.1", "trainer.epochs=3", "decide=fixed", "device=cpu", *words)
        assert command("train", "dataset=people.yaml", *options).code == 0
        settings = {"regularizer": "causal_adv", "epsilon": 0.1, "epochs": 3, "columns": rules, "overrides": words}
        filed = TrilemmaClassifier("sex", name="mine", **settings).fit(frame, y)
        held = TrilemmaClassifier("sex", split=(0.64, 0.16, 0.2), **settings).fit(frame, y)
        chance = predictor(1, "people").predict_proba(frame)
        assert np.array_equal(filed.predict_proba(frame), chance)
        assert np.array_equal(held.predict_proba(frame), chance)
        assert filed.record_ == 1
        assert held.predictor_.classes_.tolist() == held.classes_.tolist() == ["no", "yes"]
        [record] = RunStore(paths_config.database("mine")).all()
        assert record["metrics"] == RunStore(paths_config.database("people")).get(1)["metrics"]
        assert np.array_equal(pickle.loads(pickle.dumps(filed)).predict_proba(frame), chance)
        again = TrilemmaClassifier("sex", name="mine", **settings).fit(frame, y)  # finished before
        assert again.record_ == 1
        assert "were handed over in Python" in command("evaluate", "dataset=mine", "id=1", "device=cpu").err
