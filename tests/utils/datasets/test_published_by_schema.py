"""Published data sets from their raw files by a schema alone: the rows are those of the built-in data sets."""

import pandas as pd
import pytest
import torch

import paths_config
from utils.datasets.adult import HEADER, MARRIED, UNMARRIED, adult
from utils.datasets.compas import compas
from utils.datasets.german import ATTRIBUTES, german
from utils.datasets.table import build_table
from utils.tables.table_schema import from_plain

ADULT = ("sex", "age", "native-country", "marital-status", "education-num", "hours-per-week", "income")
SHARES = (0.64, 0.16, 0.20)


def raw(name):
    path = paths_config.data() / name
    if not path.is_file():
        pytest.skip(f"{name} is not in the data folder")
    return path


def by_schema(path, content):
    whole = {"file": {"path": str(path)}, "split": {"how": "random", "shares": SHARES}} | content
    return build_table(from_plain(whole, path.name), name="mine", where=path.name, folder=None, seed=3)


def equal_rows(ours, built_in, columns=None):
    """Rows, classes, groups and weights of every part, to the bit; ``columns`` of the built-in ones, by default all."""
    places = range(len(built_in.columns)) if columns is None else columns
    for part in ("train", "valid", "test"):
        mine, theirs = getattr(ours, part), getattr(built_in, part)
        assert torch.equal(mine.x, theirs.x[:, list(places)])
        assert torch.equal(mine.y, theirs.y)
        assert torch.equal(mine.s, theirs.s)


def test_adult():
    path = raw("adult/adult.data")
    countries = pd.read_csv(path, header=None, skipinitialspace=True, keep_default_na=False)[13].unique()
    abroad = [country for country in countries if country != "United-States"]
    content = {
        "file": {"path": str(path), "names": HEADER},
        "columns": {
            "sex": {"type": "binary", "levels": ["Female", "Male"]},
            "age": {"type": "continuous"},
            "native-country": {
                "type": "binary",
                "levels": ["abroad", "United-States"],
                "merge": {"abroad": abroad},
            },
            "marital-status": {
                "type": "binary",
                "levels": ["unmarried", "married"],
                "merge": {"unmarried": UNMARRIED, "married": MARRIED},
            },
            "education-num": {"type": "continuous"},
            "hours-per-week": {"type": "continuous"},
        }
        | {name: {"type": "ignore"} for name in HEADER if name not in ADULT},
        "sensitive": ["sex"],
        "label": {"column": "income", "favourable": ">50K"},
        "graph": {"marital-status": ["sex", "age", "native-country"]},
    }
    built_in = adult(name="adult", seed=3, split=SHARES, sensitive=["sex"], actionable=None, test_file=False)
    ours = by_schema(path, content)
    equal_rows(ours, built_in)
    assert ours.groups == ("sex=Female", "sex=Male")
    assert ours.class_names == ("<=50K", ">50K")


def test_compas():
    path = raw("compas/compas-scores-two-years.csv")
    used = {
        "age": {"type": "continuous"},
        "sex": {"type": "binary", "levels": ["Female", "Male"]},
        "race": {
            "type": "binary",
            "levels": ["other", "Caucasian"],
            "merge": {"other": ["African-American", "Asian", "Hispanic", "Native American", "Other"]},
        },
        "priors_count": {"type": "count"},
    }
    header = path.read_text(encoding="utf-8").splitlines()[0].split(",")
    ignored = {name: {"type": "ignore"} for name in header if name not in (*used, "two_year_recid")}
    content = {
        "columns": used | ignored,
        "rows": [
            "days_b_screening_arrest >= -30",
            "days_b_screening_arrest <= 30",
            "is_recid != -1",
            "c_charge_degree != O",
            "score_text != N/A",
        ],
        "sensitive": ["sex", "race"],
        "label": {"column": "two_year_recid", "favourable": "0"},
    }
    built_in = compas(name="compas", seed=3, split=SHARES, sensitive=["sex", "race"], actionable=None)
    equal_rows(by_schema(path, content), built_in)


def test_german_but_for_the_attribute_that_holds_two():
    """Its file codes sex and marital status in one attribute; a schema can make one attribute of it, sex."""
    path = raw("german/german.data")
    columns = {
        name: {"type": "categorical", "levels": codes} if codes else {"type": "continuous"}
        for name, codes in ATTRIBUTES.items()
    }
    columns["personal_status_sex"] = {
        "type": "binary",
        "levels": ["female", "male"],
        "merge": {"male": ["A91", "A93", "A94"], "female": ["A92", "A95"]},
    }
    content = {
        "file": {"path": str(path), "names": [*ATTRIBUTES, "risk"]},
        "columns": columns,
        "sensitive": ["personal_status_sex"],
        "label": {"column": "risk", "favourable": "1"},
    }
    built_in = german(name="german", seed=3, split=SHARES, sensitive=["sex"], actionable=None)
    kept = [i for i, column in enumerate(built_in.columns) if column.name != "single"]
    equal_rows(by_schema(path, content), built_in, kept)
