"""COMPAS: ProPublica's figures on the real file, filters, encodings and errors on small ones."""

import csv

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

import paths_config
from utils.datasets.compas import encode, keep_analysed, label, read
from utils.datasets.tabular import natural

real = pytest.mark.skipif(
    not (paths_config.data() / "compas/compas-scores-two-years.csv").is_file(),
    reason="no compas/compas-scores-two-years.csv in the data folder (TRILEMMA_DATA)",
)
PERSON = {
    "id": "1",
    "sex": "Male",
    "age": "30",
    "race": "Caucasian",
    "priors_count": "2",
    "days_b_screening_arrest": "-1",
    "c_charge_degree": "F",
    "c_charge_desc": "Theft, petit",
    "is_recid": "0",
    "score_text": "Low",
    "two_year_recid": "0",
}


def settings():
    config = OmegaConf.load(paths_config.ROOT / "config/dataset/compas.yaml")
    del config["defaults"]
    return config


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path))
    path = tmp_path / "compas/compas-scores-two-years.csv"
    path.parent.mkdir()

    def table(people, header=tuple(PERSON)):
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows([[person[c] for c in PERSON] for person in people])
        return path

    return table


def small():
    return [
        {**PERSON, "sex": sex, "race": race, "two_year_recid": recid}
        for sex in ("Male", "Female")
        for race in ("Caucasian", "Hispanic")
        for recid in "01"
    ] * 3


def everything(dataset):
    parts = (dataset.train, dataset.valid, dataset.test)
    return natural(dataset, torch.cat([p.x for p in parts])), torch.cat([p.y for p in parts])


@real
def test_rows_and_counts_are_those_of_the_published_analysis():
    """ProPublica's notebook "Compas Analysis": 6,172 rows, 4,997 men, 2,103 Caucasian, 2,809 recidivists."""
    x, y = everything(instantiate(settings())(seed=0))
    assert len(x) == 6172
    assert (int(x[:, 1].sum()), int(x[:, 2].sum()), int((1 - y).sum())) == (4997, 2103, 2809)


@real
def test_the_median_age_is_the_published_one():
    """ProPublica's notebook, summary(df$age): from 18 to 96, median 31, mean 34.53."""
    age = everything(instantiate(settings())(seed=0))[0][:, 0].double()
    assert (round(age.min().item()), round(age.max().item()), round(age.median().item())) == (18, 96, 31)
    assert age.mean().item() == pytest.approx(34.53, abs=0.005)


def test_columns_graph_and_flags_are_the_published_ones(write):
    """Nabi and Shpitser 2018."""
    write(small())
    dataset = instantiate(settings())(seed=0)
    assert dataset.parents == {"race": ("age", "sex"), "priors_count": ("age", "sex", "race")}
    assert [c.name for c in dataset.columns if c.sensitive] == ["sex"]
    assert [c.name for c in dataset.columns if c.actionable] == ["priors_count"]


def test_race_can_be_the_second_sensitive_column(write):
    write(small())
    dataset = instantiate(settings(), sensitive=["sex", "race"])(seed=0)
    assert dataset.groups == ("sex=0,race=0", "sex=0,race=1", "sex=1,race=0", "sex=1,race=1")


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, 1),
        ({"days_b_screening_arrest": "30"}, 1),
        ({"days_b_screening_arrest": "-30"}, 1),
        ({"days_b_screening_arrest": "31"}, 0),
        ({"days_b_screening_arrest": "-31"}, 0),
        ({"days_b_screening_arrest": ""}, 0),
        ({"is_recid": "-1"}, 0),
        ({"c_charge_degree": "O"}, 0),
        ({"score_text": "N/A"}, 0),
        ({"score_text": ""}, 0),
    ],
)
def test_rows_are_kept_as_in_the_published_analysis(write, change, kept):
    assert len(keep_analysed(read(write([{**PERSON, **change}])))) == kept


def test_the_label_is_one_without_recidivism(write):
    assert label(read(write([PERSON, {**PERSON, "two_year_recid": "1"}]))).tolist() == [1, 0]


def test_race_is_caucasian_or_not(write):
    people = [{**PERSON, "race": race} for race in ("Caucasian", "African-American", "Other")]
    assert encode(read(write(people)))["race"].tolist() == [1, 0, 0]


def test_encoded_features_are_in_natural_units(write):
    assert encode(read(write([PERSON]))).to_numpy().tolist() == [[30, 1, 1, 2]]


def test_of_two_columns_of_one_name_the_first_counts(write):
    """The publisher's header has priors_count twice."""
    path = write([PERSON], header=[*list(PERSON)[:-1], "two_year_recid"])
    lines = path.read_text().splitlines()
    path.write_text(f"{lines[0]},priors_count\n{lines[1]},99\n")
    assert encode(read(path))["priors_count"].tolist() == [2]


def test_a_missing_column_is_named_with_the_file(write):
    header = ["prior_count" if c == "priors_count" else c for c in PERSON]
    path = write([PERSON], header=header)
    with pytest.raises(ValueError, match=r"two-years.csv: there is no column 'priors_count'; did you mean prior_count"):
        read(path)


def test_a_row_of_another_length_is_named(write):
    path = write(small())
    path.write_text(path.read_text() + "1,2\n")
    with pytest.raises(ValueError, match=r"two-years.csv, row 24: 2 fields, but its header has 11"):
        read(path)


@pytest.mark.parametrize(("column", "value"), [("sex", "M"), ("race", "Martian"), ("two_year_recid", "2")])
def test_an_unknown_value_is_named_with_file_and_column(write, column, value):
    write([*small(), {**PERSON, column: value}])
    with pytest.raises(ValueError, match=rf"two-years.csv: column '{column}' holds '{value}' in row 24"):
        instantiate(settings())(seed=0)


def test_an_empty_file_is_named(write):
    write([]).write_text("")
    with pytest.raises(ValueError, match=r"two-years.csv is empty"):
        instantiate(settings())(seed=0)


def test_a_header_alone_is_too_few_rows(write):
    write([])
    with pytest.raises(ValueError, match="data set compas: too few rows to split, 0"):
        instantiate(settings())(seed=0)
