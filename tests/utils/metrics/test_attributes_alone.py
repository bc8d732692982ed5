"""Gaps of each of several sensitive attributes alone, and of the groups that are large enough: against fairlearn."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from fairlearn.metrics import MetricFrame, demographic_parity_difference, equalized_odds_difference

from tests.utils.metrics.test_group import ALL_GAPS, RATES, context
from utils.datasets.csv import csv
from utils.datasets.tabular import group_names, indicators
from utils.metrics.directions import by_attribute, describe, direction, headlines, split_some
from utils.metrics.group import group
from utils.metrics.intervals import Measured, at_level
from utils.metrics.undefined import explain_undefined
from utils.runs.rehearsal import warn_of_small_cells
from utils.types import Batch, Column
from utils.words.levels import levels_of, read_group

RACES = ("asian", "black", "other, mixed", "white")
SEX = Column("sex", "binary", sensitive=True, levels=(0.0, 1.0), texts=("female", "male"))
COLUMNS = (SEX, *(replace(c, sensitive=True) for c in indicators("race", RACES)))
NAMES = group_names(COLUMNS)
OTHER = 'race="other, mixed"'
FEW = "fewer than evaluation.metrics.group.groups_min=10"


def people(n: int = 1500, rare: float = 0.1, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    shares = np.array([0.3, 0.3, rare, 0.4 - rare])
    table = pd.DataFrame(
        {"sex": rng.integers(2, size=n), "race": rng.choice(4, n, p=shares), "y": rng.integers(2, size=n)}
    )
    accepted = 0.2 + 0.5 * table["y"] - 0.15 * table["sex"] + 0.1 * (table["race"] == 1)
    return table.assign(label=(rng.random(n) < accepted).astype(int))


def judge(table: pd.DataFrame, columns: tuple[Column, ...] = COLUMNS, **options: Any) -> Measured:
    y, label, s = (torch.tensor(of.to_numpy()) for of in (table["y"], table["label"], 4 * table["sex"] + table["race"]))
    batch = Batch(label[:, None] - 0.5, y, s, torch.ones(len(y)), torch.arange(len(y)))
    ctx = replace(context(8), columns=columns)
    options = {"groups_min": 10, "intervals": 20, "level": 0.95} | options
    return Measured(cast(Any, group(lambda x: x, batch, ctx, **options)))


def of_fairlearn(table: pd.DataFrame, by: Any) -> dict[str, float]:
    """Every gap of these rows between the groups ``by``."""
    y, label = table["y"], table["label"]
    gaps = MetricFrame(metrics=RATES, y_true=y, y_pred=label, sensitive_features=by).difference()
    named = {f"{rate}_gap": float(gap) for rate, gap in gaps.items() if rate != "acceptance_rate"}
    return named | {
        "demographic_parity_difference": demographic_parity_difference(y, label, sensitive_features=by),
        "equalized_odds_difference": equalized_odds_difference(y, label, sensitive_features=by),
    }


@pytest.mark.parametrize("attribute", ["sex", "race"])
def test_gaps_of_one_attribute_alone_are_those_of_fairlearn(attribute):
    table = people()
    found = judge(table)
    expected = of_fairlearn(table, table[attribute])
    assert {key: found[f"{key}_by_{attribute}"] for key in ALL_GAPS} == pytest.approx(expected, abs=1e-12)


def test_gaps_of_the_intersections_are_what_they_were():
    table = people()
    found = judge(table)
    assert {key: found[key] for key in ALL_GAPS} == pytest.approx(of_fairlearn(table, table[["sex", "race"]]))
    assert {key: found[key] for key in judge(table, ())} == judge(table, ())


def test_a_signed_gap_of_one_attribute_is_its_second_level_less_its_first():
    table = people()
    rates = table.assign(wrong=1 - table["label"])[table["y"] == 1].groupby("sex")["wrong"].mean()
    found = judge(table)
    assert found["fnr_signed_gap_by_sex"] == pytest.approx(rates[1] - rates[0], abs=1e-12)
    assert found["fnr_signed_gap_by_sex_low"] < rates[1] - rates[0] < found["fnr_signed_gap_by_sex_high"]
    assert "fnr_signed_gap_by_race" not in found


def test_one_attribute_has_no_gaps_beside_its_own():
    assert not [key for key in judge(people(), COLUMNS[1:]) if split_some(key)[1]]


def test_their_intervals_are_those_of_an_attribute_that_is_the_only_one():
    table = people()
    found, alone = judge(table), judge(table.assign(race=table["sex"], sex=0), ())
    several, single = (
        at_level(key, of, of.shares, {}, 0.9) for key, of in (("fpr_gap_by_sex", found), ("fpr_gap", alone))
    )
    assert (alone["fpr_gap"], single) == (None, (None, None))  # of the eight groups declared two have rows
    assert several == at_level("fpr_gap_rest", alone, alone.shares, {}, 0.9)
    assert (found["fpr_gap_by_sex_low"], found["fpr_gap_by_sex_high"]) != (None, None)


def test_the_gap_of_the_rest_is_that_of_the_groups_which_are_large_enough():
    """Of race=other, mixed there are about ten men and ten women, so few of each class."""
    table = people(rare=0.014)
    found = judge(table)
    support = table.groupby(["sex", "race", "y"]).size().unstack()
    large = support[(support >= 10).all(axis=1)].reset_index()[["sex", "race"]]
    kept = table.merge(large, on=["sex", "race"])
    expected = of_fairlearn(kept, kept[["sex", "race"]])
    assert 2 < len(large) < 8
    assert (found["fnr_gap"], found["equalized_odds_difference"]) == (None, None)
    for key in ("fnr_gap", "fpr_gap", "tpr_gap", "equalized_odds_difference"):
        assert found[f"{key}_rest"] == pytest.approx(expected[key], abs=1e-12)
        assert found[f"{key}_rest_low"] <= expected[key] <= found[f"{key}_rest_high"]


@pytest.mark.slow
def test_what_chance_gives_the_rest_is_that_of_permutations_of_its_rows():
    table = people(n=500, rare=0.004, seed=3)
    found = judge(table, intervals=3000)
    kept = table[table["race"] != 2]
    rng, s = np.random.default_rng(0), (4 * kept["sex"] + kept["race"]).to_numpy()
    draws = [kept.groupby(rng.permutation(s))["label"].mean() for _ in range(1500)]
    expected = np.mean([of.max() - of.min() for of in draws])
    assert found["demographic_parity_difference_rest_null"] == pytest.approx(expected, abs=0.005)


@pytest.mark.slow
def test_what_chance_gives_an_attribute_is_that_of_permutations_of_it():
    table = people(n=500)
    found = judge(table, intervals=3000)
    rng, sex = np.random.default_rng(0), table["sex"].to_numpy()
    draws = [table.groupby(rng.permutation(sex))["label"].mean() for _ in range(1500)]
    expected = np.mean([abs(of[1] - of[0]) for of in draws])
    assert found["demographic_parity_difference_by_sex_null"] == pytest.approx(expected, abs=0.004)


def test_of_two_groups_left_by_none_there_is_no_rest():
    table = people().query("race == 1")
    assert not [key for key in judge(table, groups_min=1000) if key.endswith("_rest")]


def told(table: pd.DataFrame) -> list[str]:
    found = judge(table)
    return explain_undefined(found, found.shares, NAMES, ("no", "yes"), groups_min=10, row="test row")


def test_the_small_groups_of_a_cause_are_named_in_one_sentence():
    table = people(rare=0.006, seed=2)
    rows = table[table["race"] == 2].groupby("sex").size()
    own, *_, alone = told(table)
    assert own == (
        f"every gap is undefined: group sex=female,{OTHER} has {rows[0]} test rows, group sex=male,{OTHER} {rows[1]}, "
        f"{FEW}; <gap>_rest is that of the other groups"
    )
    assert alone == (
        f"every gap by race is undefined: group {OTHER} has {rows.sum()} test rows, {FEW}; <gap>_by_race_rest is that "
        "of the other groups"
    )


def test_what_is_left_out_beside_groups_that_are_small_altogether_is_named():
    table = people(rare=0.014)
    rows = table[table["race"] == 2].groupby(["sex", "y"]).size()
    (_, too, alone), accepted = told(table), table[table["race"] == 2].groupby("sex")["label"].sum()
    assert too == (
        f"left out of some of these gaps too: group sex=male,{OTHER} has {rows[1, 1]} test rows of class yes, "
        f"{rows[1, 0]} of class no, {accepted[1]} that the model gives class yes, {FEW}"
    )
    assert alone == (
        f"some gaps by race are undefined: group {OTHER} has {rows[0, 0] + rows[1, 0]} test rows of class no, "
        f"{accepted.sum()} that the model gives class yes, {FEW}; <gap>_by_race_rest is that of the other groups"
    )


@pytest.mark.parametrize("name", ["sex", "native-country", "Marital Status", "paid_by_x", "größe", "low", "age_0.5"])
@pytest.mark.parametrize("end", ["", "_low", "_null"])
def test_names_of_attributes_are_read_as_they_were(name, end):
    for rest in ("", "_rest"):
        key = f"fnr_gap{by_attribute(name)}{rest}"
        assert split_some(key) == ("fnr_gap", name, bool(rest))
        assert direction(f"{key}{end}") == -1


@pytest.mark.parametrize(
    "name", ["a=b", 'a "b"', "a,b", "x_rest", "wage_gap", "x_signed_gap", "l2", "group1", "8/255", ""]
)
def test_names_that_could_be_misread_are_read_as_they_were(name):
    key = f"demographic_parity_difference{by_attribute(name)}"
    assert split_some(key) == ("demographic_parity_difference", name, False)
    assert direction(key) == -1
    assert direction(f"fnr_signed_gap{by_attribute(name)}") == 0
    assert split_some(f"{key}_null")[1] in ("", f"{name}_null")  # what it is by chance is no gap of the attribute


def test_they_are_described_by_the_levels_of_their_attribute():
    race, rest = describe("fnr_gap_by_race", NAMES), describe("fnr_gap_rest_low", NAMES)
    assert describe("fnr_gap_by_sex", NAMES) == "difference in false negative rate between sex=female and sex=male"
    assert describe("fnr_signed_gap_by_sex", NAMES) == "difference in false negative rate, sex=male minus sex=female"
    assert race == "largest difference in false negative rate between groups of race"
    assert (
        rest
        == "largest difference in false negative rate between groups that have enough rows, lower end of the interval"
    )


def test_they_are_printed_behind_all_others():
    keys = ["fnr_gap_by_sex", "fnr_gap_rest", "fnr_gap", "robust_accuracy", "accuracy", "fnr_gap_by_sex_low"]
    assert headlines(keys) == ["accuracy", "fnr_gap", "robust_accuracy", "fnr_gap_by_sex", "fnr_gap_rest"]


def test_the_levels_of_a_users_table_are_those_of_its_own_columns(tmp_path):
    """Rows and positives of each level among the test rows, by pandas, of names and levels that need quotes."""
    table = people(600).assign(x=range(600))
    names = {"sex": ["f=1", "m"], "race": ["b", "a,c", "z z", "d"]}
    named = {
        "low": [names["sex"][i] for i in table["sex"]],
        "Marital Status": [names["race"][i] for i in table["race"]],
    }
    written = pd.DataFrame({**named, "x": np.random.default_rng(0).normal(size=600), "hired": table["y"]})
    written.to_csv(tmp_path / "people.csv", index=False)
    data = csv(
        name="people", path=str(tmp_path / "people.csv"), label="hired", positive=None, actionable=None, graph=None,
        sensitive=["low", "Marital Status"], ignore=None, seed=0, split=[0.5, 0.1, 0.4],
    )  # fmt: skip
    rows = written.loc[data.test.index.numpy()]
    ctx = replace(context(8), columns=data.columns)
    batch = data.test._replace(x=data.test.y[:, None] - 0.5)
    found = Measured(cast(Any, group(lambda x: x, batch, ctx, groups_min=1, intervals=5, level=0.9)))
    for attribute in ("low", "Marital Status"):
        expected = rows.groupby(attribute)["hired"].agg(["sum", "count"])
        levels = levels_of(data.groups, attribute)
        assert [read_group(level)[attribute] for level in levels] == list(expected.index)
        shares = [found.shares[f"prevalence_group{i}{by_attribute(attribute)}"] for i in range(len(levels))]
        assert [list(share) for share in shares] == expected.to_numpy().tolist()
    assert 'fnr_gap_by_"low"' in found
    assert "fnr_gap_by_Marital Status" in found


@pytest.mark.parametrize(("least", "words"), [(1000, True), (1, False)])
def test_small_cells_are_told_before_a_training(least, words, dataset, capsys):
    data = replace(dataset("lin"), name=f"cells{least}")
    own = [2 * part.s + part.y for part in (data.train, data.valid, data.test)]
    cell = int(own[2].bincount(minlength=4).argmin())
    metrics = {"group": {"groups_min": least}}
    warn_of_small_cells(SimpleNamespace(dataset=data, params={"evaluation": {"metrics": metrics}, "fit_on": "valid"}))
    rows = [int((part == cell).sum()) for part in own]
    told = f"{data.groups[cell // 2]}, class {cell % 2}: {rows[0]} training, {rows[1]} fitting, {rows[2]} test"
    said = capsys.readouterr().err
    assert (told in said) == words
    assert (
        f"4 of 4 cells of group and class have fewer than evaluation.metrics.group.groups_min={least}" in said
    ) == words
