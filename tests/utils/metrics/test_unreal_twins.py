"""Twins that are no people: counted in every record, warned about, and what a training makes of them.

The truth is that of a generated table whose noise is known: its own twins, as the generator would have made them.
"""

import numpy as np
import pandas as pd
import pytest

from evals.records import query
from tests.commands import SMALL, command, house
from utils.datasets.column_rules import outside
from utils.datasets.tabular import assemble, binary, continuous
from utils.metrics.unreal_twins import facts_of_twins, warnings_of
from utils.model_zoo import predictor
from utils.scms.linear import linear
from utils.types import Column

FULL = (*(word for word in SMALL if "epochs" not in word), "operating_points=null")  # of as many epochs as it takes
TWINS_ALONE = ("regularizer=causal_adv", "regularizer.causal_adv.linearity=0", "regularizer.causal_adv.gradient=0")
OWN = ("dataset=csv", "dataset.path=people.csv", "dataset.label=hired", "dataset.sensitive=sex")


# --- the domain ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ((0.0, 1.0, 0.0, 1.0, 0.0, 30.0, 2.0), ()),
        ((0.3, 1.0, 0.0, 1.0, 0.0, 30.0, 2.0), ("b",)),
        ((0.0, 1.0, 1.0, 1.0, 0.0, 30.0, 2.0), ("job",)),
        ((0.0, 0.0, 0.0, 1.0, 0.0, 30.0, 2.0), ("job",)),
        ((0.0, 0.6, 0.4, 1.0, 0.0, 30.0, 2.0), ("job",)),
        ((0.0, 1.0, 0.0, 0.0, 1.0, 30.0, 2.0), ("age_cat",)),
        ((0.0, 1.0, 0.0, 1.0, 0.0, 50.0, 2.0), ("age_cat",)),
        ((0.0, 1.0, 0.0, 1.0, 0.0, 39.5, 2.0), ()),
        ((0.0, 1.0, 0.0, 1.0, 0.0, 30.0, 1.5), ("rank",)),
        ((1.4, 1.0, 1.0, 1.0, 0.0, 30.0, 2.0), ("b", "job")),
        ((1e-6, 1.0, 0.0, 1.0, 0.0, 30.0, 2.0), ()),
    ],
)
def test_what_a_discrete_column_an_attribute_and_a_cut_cannot_hold(row, wrong):
    cuts = [Column(n, "binary", levels=(0.0, 1.0), attribute="age_cat", cut=("age", *ends)) for n, *ends in AGES]
    rank = Column("rank", "categorical", levels=(1.0, 2.0, 3.0))
    columns = (*binary("b"), *binary("job=a", "job=b", attribute="job"), *cuts, *continuous("age"), rank)
    assert {name for name, of in outside(columns, np.array([row])).items() if of[0]} == set(wrong)


AGES = (("young", -np.inf, 40.0), ("old", 40.0, np.inf))


def test_the_share_of_twins_outside_of_their_domain_is_that_of_the_groups_that_an_arrow_moves(dataset, scm):
    """On toy every twin at the other level has b moved by .2 under additive noise; none under a threshold."""
    data = dataset("toy")
    additive, cut = (facts_of_twins(scm(name), data) for name in ("linear", "threshold"))
    assert (additive["twins_outside"], additive["twins_outside_b"]) == (1.0, 1.0)
    assert (cut["twins_outside"], cut["twins_outside_b"]) == (0.0, 0.0)
    assert [len(warnings_of(facts, data.columns)) for facts in (additive, cut)] == [1, 0]
    assert "scm.discrete=posterior" in warnings_of(additive, data.columns)[0]


@pytest.mark.parametrize("name", ["lin", "loan"])
def test_no_twin_of_continuous_columns_leaves_its_domain(dataset, scm, name):
    assert facts_of_twins(scm(name), dataset(name))["twins_outside"] == 0


def test_a_categorical_column_with_parents_is_counted(dataset):
    """Where its equation is additive, its twins are between the levels; with drawn noise they are at one."""
    rng = np.random.default_rng(0)
    s = (rng.random(400) < 0.5).astype(float)
    rank = np.minimum(1 + s + rng.integers(0, 2, 400), 3.0)
    columns = (Column("s", "binary", sensitive=True), Column("rank", "categorical", levels=(1.0, 2.0, 3.0)))
    y = (rng.random(400) < 0.5).astype(np.int64)
    split = {"split": [0.64, 0.16, 0.2], "seed": 0, "parents": {"rank": ("s",)}}
    data = assemble("own", {"s": s, "rank": rank}, y, columns=columns, **split)
    own = {"seed": 0, "nodes": {}, "coupling": "gumbel", "draws": 1, "sampling": "residuals", "radius_unit": "noise"}
    additive, drawn = (facts_of_twins(linear(data, discrete=of, **own), data) for of in ("anm", "posterior"))
    assert additive["twins_outside_rank"] > 0.9
    assert "scm.discrete=posterior keeps discrete columns" in warnings_of(additive, data.columns)[0]
    assert drawn["twins_outside_rank"] == 0.0
    assert drawn["scm_posterior_rank"] == 1.0


# --- records ---------------------------------------------------------------------------------------------------


def people(rows, seed):
    """sex -> job (three texts) -> income; the job is one of three in every row."""
    rng = np.random.default_rng(seed)
    sex = (rng.random(rows) < 0.5).astype(int)
    job = np.where(rng.random(rows) < 0.2 + 0.5 * sex, "tech", np.where(rng.random(rows) < 0.5, "care", "sales"))
    income = (job == "tech") + rng.normal(size=rows)
    hired = (rng.random(rows) < 1 / (1 + np.exp(-income))).astype(int)
    return pd.DataFrame({"sex": sex, "job": job, "income": income, "hired": hired})


@pytest.mark.slow
def test_twins_with_two_jobs_or_none_are_counted_and_table_card_and_page_say_so(tmp_path):
    graph = "dataset.graph={job:[sex],income:[sex,job]}"
    with house(tmp_path):
        people(400, 0).to_csv("people.csv", index=False)
        trained = command("train", *OWN, graph, "scm=linear", "scm.discrete=anm", *SMALL)
        assert trained.code == 0, trained
        (record,) = query.read("csv")
        assert record["scm"]["twins_outside_job"] == record["scm"]["twins_outside"] > 0.01
        (warning,) = [w for w in record["warnings"] if "twins are no people" in w]
        said = f"{record['scm']['twins_outside']:.1%} of the twins are no people (job "
        assert warning.startswith(said)
        assert warning.endswith("scm.discrete=posterior keeps discrete columns at their levels")
        assert warning in " ".join(trained.err.split())
        judged = command("evaluate", "dataset=csv", "id=1", "attack=causal_pgd", *SMALL[2:4])
        assert warning in " ".join(judged.err.split()), judged
        assert warning in next(iter(query.read("csv")[0]["evaluations"].values()))["warnings"]
        assert said in command("evals.table", "dataset=csv", "metrics=accuracy").out
        assert command("evals.select", "dataset=csv", "maximize=accuracy", "card=card.md").code == 0
        assert said.partition("(")[0] in (tmp_path / "card.md").read_text()
        assert command("evals.report", "dataset=csv", "out=page.html").code == 0
        assert said in (tmp_path / "page.html").read_text()


# --- the truth -------------------------------------------------------------------------------------------------


def married(rows, seed):
    """s -> m -> x -> y: the table, and the twin (rows, 3) of each row at the other s, by its own noise."""
    rng = np.random.default_rng(seed)
    s, u, noise = (rng.random(rows) < 0.5).astype(float), rng.random(rows), rng.normal(size=rows)

    def people_at(level):
        m = (u < 1 / (1 + np.exp(1.5 - 3 * level))).astype(float)
        return np.stack([level, m, 2 * m - 1 + noise], 1)

    own = people_at(s)
    y = (rng.random(rows) < 1 / (1 + np.exp(-(2 * own[:, 1] + own[:, 2] - 1)))).astype(int)
    return pd.DataFrame({"sex": s.astype(int), "m": own[:, 1].astype(int), "x": own[:, 2], "hired": y}), people_at(
        1 - s
    )


def filed_and_true(folder, reading):
    """uai_cf as filed and as it is, of a model trained to be fair to its twins, binary columns so read."""
    folder.mkdir()
    with house(folder):
        table, others = married(2000, 0)
        table.to_csv("people.csv", index=False)
        words = ("dataset.graph={m:[sex],x:[m]}", "scm=linear", f"scm.discrete={reading}", *TWINS_ALONE)
        answer = command("train", *OWN, *words, *FULL)
        assert answer.code == 0, answer
        (record,) = query.read("csv")
        decide = predictor(1, "csv")
    own = table.drop(columns="hired")
    twins = pd.DataFrame(others, columns=own.columns)
    return record["metrics"]["uai_cf"], float((decide(own)["decision"] != decide(twins)["decision"]).mean())


@pytest.mark.slow
def test_a_model_learns_to_tell_additive_twins_from_people_and_what_it_files_is_then_false(tmp_path):
    """With drawn noise it gets fairer to the twins that there really are, and its figure is theirs."""
    (additive, truth), (drawn, true) = (filed_and_true(tmp_path / word, word) for word in ("anm", "posterior"))
    assert additive < 0.05
    assert truth > 0.4
    assert true < truth / 2
    assert abs(drawn - true) < 0.04  # 400 test rows
