"""A stored model judged on the rows of another file: its figures there, and which columns moved."""

import hashlib
import json
import re

import numpy as np
import pytest
from scipy.stats import ks_2samp

import paths_config
from evals.database import main
from evals.records.stored import dataset_of
from tests.commands import command, house, refused
from tests.utils.datasets.test_table import FAST, people
from utils.model_zoo import predictor
from utils.run_store import RunStore
from utils.words.numbers import write_estimate

SCHEMA = """\
file: {path: people.csv}
columns: {region: {type: categorical}, age: {type: continuous, bounds: [18, 99]}}
rows: [age >= 20]
sensitive: sex
label: {column: hired, favourable: yes}
"""
JUDGE = ("evaluate", "dataset=people", "id=1", "epsilon.evaluate=[0.05]", "evaluation.metrics.group.intervals=0")

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def at_home(tmp_path_factory):
    """A model of a user's own table, and files of other rows."""
    with house(tmp_path_factory.mktemp("other rows")) as folder:
        people().to_csv(folder / "people.csv", index=False)
        (folder / "people.yaml").write_text(SCHEMA)
        assert command("train", "dataset=people.yaml", "model=logistic", *FAST).code == 0
        yield folder


def record():
    return RunStore(paths_config.database("people")).get(1)


def test_the_figures_are_those_of_the_predictor_on_these_rows(at_home):
    fresh = people(seed=1).assign(pay=lambda frame: frame["pay"] + 10)  # two of its standard deviations
    fresh.to_csv(at_home / "new.csv", index=False)
    answer = command(*JUDGE, "rows=new.csv")
    assert answer.code == 0, answer
    meant = fresh[fresh["age"] >= 20]
    right = predictor(1, "people")(meant)["class"] == meant["hired"]
    sha256 = hashlib.sha256((at_home / "new.csv").read_bytes()).hexdigest()
    filed = record()["evaluations"][f"new-{sha256[:8]}+pgd_l2@0.05"]
    assert filed["metrics"]["accuracy"] == pytest.approx(right.mean())
    assert filed["rows"]["judged"] == len(meant)
    assert filed["rows"]["left_out"] == len(fresh) - len(meant)
    assert filed["rows"]["sha256"] == sha256
    moved = filed["rows"]["moved"]
    trained = people().iloc[dataset_of(record(), "cpu").train.index.numpy()]
    for name in ("age", "pay"):
        assert moved[name]["distance"] == pytest.approx(ks_2samp(trained[name], meant[name]).statistic, abs=1e-6)
    shares = [frame["edu"].value_counts(normalize=True) for frame in (trained, meant)]
    assert moved["edu"]["distance"] == pytest.approx((shares[0] - shares[1]).abs().sum() / 2)
    assert moved["pay"]["shift"] == pytest.approx(2, abs=0.2)
    assert moved["pay"]["distance"] > 0.6
    assert all(of["distance"] < 1.5 * of["chance"] for name, of in moved.items() if name != "pay")
    told = [
        line
        for line in re.split("^record  ", answer.out, flags=re.MULTILINE)[0].splitlines()
        if not line.startswith("record 1")
    ]
    assert max(map(len, told)) <= 80
    assert f"{len(meant)} rows judged, {len(fresh) - len(meant)} rows outside of the schema's rows" in answer.out
    for metrics in (filed["metrics"], record()["metrics"]):
        assert write_estimate(*(metrics[f"accuracy{end}"] for end in ("", "_low", "_high"))) in answer.out
    assert "is there already" in command(*JUDGE, "rows=new.csv").out


def test_the_test_rows_themselves_give_the_test_figures(at_home):
    meant = people().query("age >= 20")
    decided = predictor(1, "people")(meant)["class"] == meant["hired"]
    people().to_csv(at_home / "same.csv", index=False)
    answer = command(*JUDGE, "rows=same.csv", "name=same")
    read = people()[["sex", "age", "edu", "region", "pay", "hired"]].apply(tuple, axis=1)
    trained = read[meant.index].isin(read.iloc[dataset_of(record(), "cpu").train.index.numpy()]).sum()
    assert f"{trained} of {len(meant)} rows of same.csv equal rows that the model was trained on" in answer.err
    assert record()["evaluations"]["same"]["metrics"]["accuracy"] == pytest.approx(decided.mean())


def test_of_one_class_alone_what_needs_both_is_undefined(at_home):
    people(seed=3).query("hired == 'yes'").to_csv(at_home / "hired.csv", index=False)
    answer = command(*JUDGE, "rows=hired.csv", "name=hired")
    assert record()["evaluations"]["hired"]["metrics"]["mcc"] is None
    assert re.search(r"mcc +-?0\.\d+ \[.*\] +undefined\n", answer.out)
    assert "worst_class_accuracy, mcc, auc are undefined: there is no row of class no" in answer.err
    assert "test row" not in answer.err


def test_rows_that_the_schema_does_not_admit_are_refused_left_out_or_mended(at_home):
    fresh = people(n=300, seed=2).astype({"age": float, "region": object})
    fresh.loc[[30, 40], "age"] = 130
    fresh.loc[50, "sex"] = "womann"
    fresh.loc[60, "region"] = 999
    fresh.to_csv(at_home / "odd.csv", index=False)
    refused(
        command(*JUDGE, "rows=odd.csv"),
        "(row of the file 50): column 'sex' holds 'womann'",
        "column 'region' holds '999'",
        "column 'age' holds 130; expected a number from 18 to 99 (1 more row)",
        "4 such cells in 4 of",
    )
    refused(command(*JUDGE, "rows=odd.csv", "unseen=nearest"), "(row of the file 60): column 'region' holds '999'")
    answer = command(*JUDGE, "rows=odd.csv", "unseen=abstain", "name=odd")
    assert answer.code == 0, answer
    assert "4 rows that it does not admit left out" in answer.out
    filed = record()["evaluations"]["odd"]["rows"]
    assert filed["judged"] == (fresh["age"] >= 20).sum() - 4
    assert filed["moved"]["region"]["beyond"] == pytest.approx(1 / (fresh["age"] >= 20).sum())
    fresh.drop(index=60).to_csv(at_home / "odder.csv", index=False)
    assert "3 cells taken as the nearest" in command(*JUDGE, "rows=odder.csv", "unseen=nearest").out


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (("rows=none.csv",), "none.csv; nor is there"),
        (("rows=label.csv",), "the rows lack ['hired']"),
        (("rows=empty.csv",), "no row is left of 3"),
        (("rows=people.csv", "unseen=guess"), "unseen='guess': expected refuse, nearest or abstain"),
        (("rows=people.csv", "id=null"), "say which model to judge on them by id=..."),
        (("rows=third.csv",), "column 'hired' holds 'perhaps', but its levels are 'no', 'yes'"),
    ],
)
def test_a_file_that_cannot_be_judged_on_is_refused(at_home, words, phrase):
    people(3).drop(columns="hired").to_csv(at_home / "label.csv", index=False)
    people(3).assign(age=18).to_csv(at_home / "empty.csv", index=False)
    people(9).assign(hired=["perhaps"] * 3 + ["no", "yes"] * 3, age=30).to_csv(at_home / "third.csv", index=False)
    refused(command(*JUDGE[:2], *(() if "id=null" in words else JUDGE[2:]), *words), phrase)


def test_a_model_of_another_data_set_has_no_schema_to_read_by(at_home):
    assert command("train", "dataset=lin", "dataset.rows=300", "model=logistic", *FAST).code == 0
    refused(command("evaluate", "dataset=lin", "id=1", "rows=people.csv"), "dataset=lin, which has no schema")


def test_distances_are_those_of_scipy():
    from utils.tables.encoding import Block
    from utils.tables.moved import moved
    from utils.tables.table_schema import Rule
    from utils.types import Column

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(400, 1)), rng.normal(0.3, 1, (300, 1))
    number = Block("x", Rule(type="continuous"), (Column("x", "continuous"),))
    levels = Block("g", Rule(type="binary", levels=("a", "b")), (Column("g", "binary"),))
    coins = (rng.random((400, 1)) < 0.5).astype(float), (rng.random((300, 1)) < 0.5).astype(float)
    train, rows = np.hstack([a, coins[0]]), np.hstack([b, coins[1]])
    found = {one.name: one for one in moved([number, levels], train, rows, {}, rng)}
    test = ks_2samp(a[:, 0], b[:, 0])
    assert found["x"].distance == pytest.approx(test.statistic)
    assert found["x"].is_told == (test.pvalue < 0.05)
    assert found["g"].distance == pytest.approx(abs(coins[0].mean() - coins[1].mean()))


def test_chance_moves_a_column_in_one_of_twenty():
    from utils.tables.encoding import Block
    from utils.tables.moved import moved
    from utils.tables.table_schema import Rule
    from utils.types import Column

    rng = np.random.default_rng(1)
    blocks = [
        Block("x", Rule(type="continuous"), (Column("x", "continuous"),)),
        Block("g", Rule(type="categorical", levels=tuple("abcd")), tuple(Column(c, "binary") for c in "abcd")),
    ]
    told = {"x": 0, "g": 0}
    for _ in range(200):
        train, rows = (np.hstack([rng.normal(size=(n, 1)), np.eye(4)[rng.integers(0, 4, n)]]) for n in (300, 200))
        for one in moved(blocks, train, rows, {}, rng):
            told[one.name] += one.is_told
    assert all(2 <= times <= 20 for times in told.values())  # 10 expected, three deviations


POINTED = ("operating_points.groups_min=1",)


@pytest.fixture(scope="module")
def pointed(at_home):
    """The number of a record with operating points, and a file of other rows."""
    fast = [word for word in FAST if not word.startswith("operating_points")]
    assert command("train", "dataset=people.yaml", "model=logistic", "seed=1", *fast, *POINTED).code == 0
    people(seed=2).to_csv(at_home / "later.csv", index=False)
    return 2


def test_an_operating_point_is_judged_by_its_own_thresholds_on_other_rows(at_home, pointed):
    judge = ("evaluate", "dataset=people", f"id={pointed}", "rows=later.csv", "evaluation.metrics.group.intervals=0")
    answer = command(*judge, "point=3")
    assert answer.code == 0, answer
    rows = people(seed=2).query("age >= 20")
    own, at_point = (predictor(pointed, "people", point=point)(rows)["class"] for point in (None, 3))
    assert (own != at_point).any()
    name = f"later-{hashlib.sha256((at_home / 'later.csv').read_bytes()).hexdigest()[:8]}@point3"
    filed = RunStore(paths_config.database("people")).get(pointed)["evaluations"][name]
    assert filed["point"] == 3
    assert filed["metrics"]["accuracy"] == pytest.approx((at_point == rows["hired"]).mean())
    assert "judged at operating point 3, fitted " in answer.out
    test = RunStore(paths_config.database("people")).get(pointed)["operating_points"]["metrics"]["accuracy"][3]
    beside = re.search(r"accuracy +(\d\.\d+) ", answer.out)[1]  # the point's own figure on the test rows
    assert float(beside) == pytest.approx(test, abs=0.005)
    plain = command(*judge)
    assert "judged at the record's own thresholds" in plain.out
    assert "point=... judges one of its operating points, 0 to " in plain.out
    found = RunStore(paths_config.database("people")).get(pointed)["evaluations"][name.removesuffix("@point3")]
    assert found["metrics"]["accuracy"] == pytest.approx((own == rows["hired"]).mean())


def test_an_operating_point_has_the_test_figures_that_are_filed_with_it(at_home, pointed):
    assert command("evaluate", "dataset=people.yaml", f"id={pointed}", "point=1", "attack=fgsm").code == 0
    filed = RunStore(paths_config.database("people")).get(pointed)
    [(name, found)] = [item for item in filed["evaluations"].items() if item[0].startswith("point1+")]
    for key in ("accuracy", "balanced_accuracy"):
        assert found["metrics"][key] == pytest.approx(filed["operating_points"]["metrics"][key][1])
    answer = command("evals.table", "dataset=people.yaml", f"metrics={name}/accuracy")
    assert answer.code == 0, answer
    answer = command("evals.select", "dataset=people", f"maximize={name}/accuracy", "card=null", "format=json")
    assert json.loads(answer.out)["chosen"]["point"] == 1
    words = ("dataset=people", "maximize=accuracy", "card=null", "where=uai_0.05<=1")
    told = command("evals.select", *words).out
    assert re.search("left out: .* operating points without uai_0.05 .*evaluate.py id=... point=... does", told)
    assert "operating point" not in command("evals.select", *words, "points=false").out


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (("id=2", "point=99"), "record 2 has no such operating point; there are"),
        (("id=1", "point=0"), "record 1 has no such operating point; it has none"),
        (("id=2", "point=two"), "expected the number of an operating point"),
        (("point=1",), "say of which model by id="),
    ],
)
def test_an_operating_point_that_is_not_there_is_refused(pointed, words, phrase):
    refused(command("evaluate", "dataset=people", *words), phrase)


def test_a_schema_names_its_database_in_every_command(at_home, pointed):
    assert "2 " in command("evaluate", "dataset=people.yaml", "columns=[accuracy]").out
    for program in ("evals.table", "evals.report"):
        answer = command(program, "dataset=people.yaml")
        assert answer.code == 0, answer
    (at_home / "named.yaml").write_text(f"name: people\n{SCHEMA}")
    assert command("evaluate", "dataset=named.yaml").code == 0
    refused(command("evaluate", "dataset=peopel.yaml"), "did you mean people.yaml?")
    refused(command("evaluate", "dataset=none.yaml"), "there is no file none.yaml", "dataset=none")
    assert main(["check", "dataset=people.yaml"]) == 0
