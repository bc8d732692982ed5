"""Declarations of columns: what is filled in, and what is refused, of the schema and of rows."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from utils.datasets.column_rules import check, complaints
from utils.datasets.tabular import assemble, binary, continuous, mark
from utils.scms.structure import attributes
from utils.types import Column

YOUNG = Column("young", "binary", levels=(0.0, 1.0), attribute="stage", cut=("age", -np.inf, 30.0))
OLD = replace(YOUNG, name="old", cut=("age", 30.0, np.inf))
COLUMNS = mark(
    (*binary("sex"), *continuous("age", "height"), YOUNG, OLD, *binary("cook", "nurse", "smith", attribute="job")),
    "sex",
    None,
)


def frame(n=60, seed=0):
    draw = np.random.default_rng(seed)
    age, job = draw.integers(20, 60, n).astype(float), draw.integers(0, 3, n)
    jobs = {name: (job == i).astype(float) for i, name in enumerate(("cook", "nurse", "smith"))}
    stages = {"young": (age < 30).astype(float), "old": (age >= 30).astype(float)}
    return {"sex": np.arange(n) % 2.0, "age": age, "height": 1.7 + 0.1 * draw.normal(size=n), **stages, **jobs}


def made(table=None, columns=COLUMNS, seed=0):
    table = frame() if table is None else table
    y = np.arange(len(table["age"])) // 2 % 2
    return assemble("toy", table, y, columns=columns, split=[0.5, 0.25, 0.25], seed=seed)


def with_column(name, **changes):
    return tuple(replace(c, **changes) if c.name == name else c for c in COLUMNS)


def of(columns, name):
    return next(c for c in columns if c.name == name)


def row(**changes):
    values = {"sex": 0, "age": 40, "height": 1.7, "young": 0, "old": 1, "cook": 1, "nurse": 0, "smith": 0} | changes
    return np.array([[float(values[c.name]) for c in COLUMNS]])


# --- filled in -------------------------------------------------------------------------------------------------


def test_a_continuous_column_of_whole_numbers_is_found_so():
    columns = made().columns
    assert {c.name: c.integer for c in columns if c.kind == "continuous"} == {"age": True, "height": False}


@pytest.mark.parametrize("name", ["age", "height"])
def test_bounds_are_those_of_the_training_rows_in_natural_units(name):
    table = frame()
    dataset = made(table)
    own = table[name][dataset.train.index]
    assert of(dataset.columns, name).bounds == (own.min(), own.max())


def test_the_rows_of_other_splits_do_not_move_the_bounds():
    table = frame()
    table["height"][made(table).test.index[0]] = 9.0
    assert of(made(table).columns, "height").bounds[1] < 9


def test_declared_bounds_stay_though_rows_exceed_them():
    assert of(made(columns=with_column("age", bounds=(30.0, 40.0))).columns, "age").bounds == (30, 40)


def test_what_is_declared_changes_no_row_and_no_fingerprint():
    plain = mark([Column(c.name, c.kind, levels=c.levels) for c in COLUMNS], "sex", None)
    declared, without = made(), made(columns=plain)
    assert declared.fingerprint == without.fingerprint
    assert torch.equal(declared.train.x, without.train.x)


def test_attributes_are_found_with_the_places_of_their_indicators():
    assert attributes(COLUMNS) == {"stage": (3, 4), "job": (5, 6, 7)}


# --- rows that break the declarations --------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["train", "valid", "test"])
def test_two_indicators_in_a_row_are_refused_in_every_split(place):
    table = frame()
    at = int(getattr(made(table), place).index[0])
    table["cook"][at] = table["nurse"][at] = 1.0
    with pytest.raises(
        ValueError, match=rf"data set toy, row {at}: \d of the indicators of 'job' \(cook, nurse, smith"
    ):
        made(table)


def test_a_cut_that_does_not_follow_is_refused_with_its_row():
    table = frame()
    table["young"][7], table["old"][7] = table["old"][7], table["young"][7]
    with pytest.raises(ValueError, match=r"data set toy, row 7: column 'young' holds . where age is \d+"):
        made(table)


def test_fractions_in_a_column_declared_whole_are_refused():
    with pytest.raises(ValueError, match="row 0: column 'height' holds .*, but its values are whole numbers"):
        made(columns=with_column("height", integer=True))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({}, ""),
        ({"sex": 0.5}, "row 0: column 'sex' holds 0.5, but its levels are 0, 1."),
        ({"age": 61}, "row 0: column 'age' holds 61, outside of 20 to 60."),
        ({"age": 29}, "row 0: column 'young' holds 0 where age is 29, but it is 1 exactly where -inf <= age < 30."),
        ({"age": 30}, ""),
        ({"cook": 0}, "row 0: 0 of the indicators of 'job' (cook, nurse, smith) are 1; expected exactly one."),
        ({"height": np.nan}, "row 0: column 'height' holds nan, not a finite number."),
    ],
)
def test_a_row_is_told_what_is_wrong_with_it(changes, complaint):
    columns = with_column("age", bounds=(20.0, 60.0))
    assert next(complaints(columns, row(**changes), bounded=True), "") == complaint


# --- declarations that contradict each other -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (with_column("age", bounds=(5.0, 2.0)), "column 'age' declares the bounds 5 and 2"),
        (with_column("age", bounds=(0.0, np.inf)), "column 'age' declares the bounds 0 and inf"),
        (with_column("sex", integer=True), "column 'sex' is binary: integer and bounds are of continuous columns"),
        (with_column("age", attribute="job"), "column 'age' has an attribute or a cut, so it must be binary"),
        (with_column("old", cut=("ages", 30.0, 60.0)), "column 'old' declares the cut ('ages', 30.0, 60.0)"),
        (with_column("old", cut=("age", 60.0, 30.0)), "column 'old' declares the cut"),
        (with_column("old", cut=None), "the indicators of 'stage' must all be cuts of one column, or none a cut"),
        (with_column("old", attribute="age"), "'age' names an attribute and a column"),
    ],
)
def test_contradictions_are_refused(columns, words):
    with pytest.raises(ValueError, match=f"toy: .*{re.escape(words)}|toy: {re.escape(words)}"):
        check("toy", columns)
