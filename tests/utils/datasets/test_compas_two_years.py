"""OpenML's compas-two-years: its counts on ProPublica's file, filters, encodings and categories on a small one."""

import csv

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

import paths_config
from utils.datasets.compas_two_years import encode, label, read
from utils.datasets.tabular import natural
from utils.scms.linear import linear

real = pytest.mark.skipif(
    not (paths_config.data() / "compas/compas-scores-two-years.csv").is_file(),
    reason="no compas/compas-scores-two-years.csv in the data folder (TRILEMMA_DATA)",
)
PERSON = {
    "sex": "Male",
    "age": "30",
    "age_cat": "25 - 45",
    "race": "Caucasian",
    "juv_fel_count": "1",
    "juv_misd_count": "2",
    "juv_other_count": "3",
    "priors_count": "4",
    "days_b_screening_arrest": "-1",
    "c_charge_degree": "F",
    "is_recid": "0",
    "score_text": "Low",
    "two_year_recid": "0",
}
OPENML = (
    *("sex", "age", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count"),
    *("age_cat_25_45", "age_cat_greater_than_45", "age_cat_less_than_25"),
    *("race_african_american", "race_caucasian", "c_charge_degree_f", "c_charge_degree_m"),
)


def settings():
    config = OmegaConf.load(paths_config.ROOT / "config/dataset/compas_two_years.yaml")
    del config["defaults"]
    return config


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path))
    path = tmp_path / "compas/compas-scores-two-years.csv"
    path.parent.mkdir()

    def table(*people):
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(PERSON)
            writer.writerows([{**PERSON, **person}.values() for person in people])
        return path

    return table


def small():
    return [
        {"race": race, "two_year_recid": recid, "age": age, "age_cat": category}
        for race in ("Caucasian", "African-American")
        for recid in "01"
        for age, category in (("20", "Less than 25"), ("30", "25 - 45"), ("45", "Greater than 45"))
    ] * 3


def everything(dataset):
    parts = (dataset.train, dataset.valid, dataset.test)
    x = natural(dataset, torch.cat([p.x for p in parts])).round()
    return dict(zip([c.name for c in dataset.columns], x.T, strict=True)), *(
        torch.cat([getattr(p, key) for p in parts]) for key in ("y", "s")
    )


# --- the real file ---------------------------------------------------------------------------------------------


@real
def test_rows_groups_and_labels_are_those_of_openml():
    """OpenML's compas-two-years: 5,278 rows, 3,175 African-American, 2,103 Caucasian, 2,483 of class 1."""
    dataset = instantiate(settings())(seed=0)
    _, y, s = everything(dataset)
    assert (len(y), int(y.sum()), s.bincount().tolist()) == (5278, 2483, [2103, 3175])
    assert dataset.groups == ("race_african_american=0", "race_african_american=1")


@real
def test_the_categories_of_age_are_those_of_the_file_and_follow_from_age():
    """By the file's own column 3,026, 1,096 and 1,156; 45 is "Greater than 45" (``assemble`` checks every row)."""
    x, _, _ = everything(instantiate(settings())(seed=0))
    assert [int(x[name].sum()) for name in OPENML[6:9]] == [3026, 1096, 1156]
    assert x["age_cat_greater_than_45"][x["age"] == 45].unique().tolist() == [1]


@real
def test_the_validation_rows_are_as_many_as_published():
    """1,320, to one."""
    dataset = instantiate(settings())(seed=0)
    assert [len(part.y) for part in (dataset.train, dataset.valid, dataset.test)] == [2639, 1319, 1320]


# --- a small one -----------------------------------------------------------------------------------------------


def test_the_columns_are_openmls_in_its_order(write):
    write(*small())
    assert tuple(c.name for c in instantiate(settings())(seed=0).columns) == OPENML


def test_encoded_features_are_in_natural_units(write):
    path = write({}, {"race": "African-American", "c_charge_degree": "M", "sex": "Female"})
    assert encode(read(path)).to_numpy().tolist() == [
        [1, 30, 1, 2, 3, 4, 1, 0, 0, 0, 1, 1, 0],
        [0, 30, 1, 2, 3, 4, 1, 0, 0, 1, 0, 0, 1],
    ]


@pytest.mark.parametrize(
    ("change", "kept"),
    [({}, 1), ({"race": "Hispanic"}, 0), ({"race": "Other"}, 0), ({"is_recid": "-1"}, 0), ({"score_text": "N/A"}, 0)],
)
def test_rows_are_those_that_propublica_analysed_of_two_races(write, change, kept):
    assert len(read(write(change))) == kept


def test_class_one_has_reoffended(write):
    assert label(read(write({}, {"two_year_recid": "1"}))).tolist() == [0, 1]


def test_bounds_of_new_rows_are_the_published_ones(write):
    """The box of the published search: ages 18-80, juvenile counts 0-10, priors 0-25."""
    write(*small())
    bounds = {c.name: c.bounds for c in instantiate(settings())(seed=0).columns if c.bounds}
    assert list(bounds.values()) == [(18, 80), (0, 10), (0, 10), (0, 10), (0, 25)]


def test_a_category_that_does_not_follow_from_the_age_is_refused(write):
    write(*small(), {"age": "44", "age_cat": "Greater than 45"})
    with pytest.raises(ValueError, match=r"compas_two_years, row 36: column 'age_cat_25_45' holds 0 where age is 44"):
        instantiate(settings())(seed=0)


def test_an_unknown_category_is_named(write):
    write(*small(), {"age_cat": "45 - 65"})
    with pytest.raises(ValueError, match=r"two-years.csv: column 'age_cat' holds '45 - 65' in row 36"):
        instantiate(settings())(seed=0)


def test_counterfactuals_of_the_default_causal_model_are_of_one_race(write):
    write(*small())
    dataset = instantiate(settings())(seed=0)
    scm = linear(
        dataset, seed=0, discrete="anm", nodes={}, coupling="gumbel", draws=1, sampling="residuals", radius_unit="noise"
    )
    first, second = OPENML.index("race_african_american"), OPENML.index("race_caucasian")
    v = scm.own(dataset.test.x)
    other = scm.to_features(scm.to_noise(v), {first: 1 - v[:, first]})
    assert torch.allclose(other[:, second], v[:, first], atol=1e-6)
