"""The space of new rows: every point is a valid row, every row a point, and any numbers have a nearest row."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from sklearn.neighbors import NearestNeighbors

import paths_config
from tests.utils.poisoning.tables import COLUMNS, dataset, space, table
from utils.datasets.tabular import assemble, binary, continuous, group_index, mark
from utils.poisoning.features import Rows, valid
from utils.poisoning.points import drawn
from utils.types import Column

NAMES = [c.name for c in COLUMNS]
FILES = {
    "adult": "adult/adult.data",
    "german": "german/german.data",
    "compas": "compas/compas-scores-two-years.csv",
    "compas_two_years": "compas/compas-scores-two-years.csv",
}
SPACES = ("toy", "fractions", "loan", "lin", *FILES)


@cache
def made(name):
    """A data set by name; those of files skip where there is none."""
    if name in ("toy", "fractions"):
        return dataset(whole=name == "toy")
    if name in FILES and not (paths_config.data() / FILES[name]).is_file():
        pytest.skip(f"no {FILES[name]} in the data folder (TRILEMMA_DATA)")
    config = OmegaConf.load(paths_config.ROOT / f"config/dataset/{name}.yaml")
    del config["defaults"]
    return instantiate(config)(seed=0)


@cache
def space_of(name):
    return space(made(name), copies=20)


@cache
def spread_of(name):
    return space(made(name), copies=20, spread=True)


def value(parameter):
    if parameter.kind == "choice":
        return st.sampled_from(parameter.choices)
    if parameter.kind == "int":
        return st.integers(int(parameter.low), int(parameter.high)).map(float)
    return st.floats(parameter.low, parameter.high)


def points(of):
    return st.fixed_dictionaries({p.name: value(p) for p in of.parameters})


def point(**changes):
    """A point of the space of the small table without copies."""
    return {"sex": 1, "age": 40, "job": 2, "height": 1.7, "origin": 5, "label": 1} | changes


def held(rows, name):
    return rows.natural[:, NAMES.index(name)].tolist()


# --- points and rows -------------------------------------------------------------------------------------------


def test_the_parameters_are_the_free_columns_and_attributes_then_label_and_copies():
    found = {p.name: (p.kind, p.choices, p.log) for p in space_of("toy").parameters}
    assert found == {
        "sex": ("choice", (0, 1), False),
        "age": ("int", (), False),
        "job": ("choice", (0, 1, 2), False),
        "height": ("float", (), False),
        "origin": ("choice", (0, 1, 5), False),
        "label": ("choice", (0, 1), False),
        "copies": ("int", (), True),
    }


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("kind", [space_of, spread_of])
def test_every_point_is_valid_rows(name, kind):
    of = kind(name)

    @given(st.lists(points(of), max_size=3))
    @settings(max_examples=40)
    def check(some):
        assert of.complaints(of.rows(some).natural) == []

    check()


@pytest.mark.parametrize("name", SPACES)
def test_points_and_rows_round_trip(name):
    of = space_of(name)

    @given(points(of))
    @settings(max_examples=40)
    def check(given_point):
        rows = of.rows([given_point])
        assert of.point(rows.natural[0], int(rows.labels[0])) == given_point | {"copies": 1}

    check()


@pytest.mark.parametrize("name", ["toy", "fractions"])
@given(data=st.data())
@settings(max_examples=40)
def test_implied_columns_follow_and_one_indicator_is_one(name, data):
    of = space_of(name)
    row = dict(zip(NAMES, of.rows([data.draw(points(of))]).natural[0].tolist(), strict=True))
    stage = "young" if row["age"] < 30 else "middle" if row["age"] < 50 else "old"
    assert [n for n in ("young", "middle", "old") if row[n]] == [stage]
    assert row["cook"] + row["nurse"] + row["smith"] == 1
    assert row["tall"] == (row["height"] >= 1.75)


def test_an_attribute_is_chosen_by_the_place_of_its_indicator():
    rows = space(made("toy")).rows([point(job=i) for i in range(3)])
    assert [held(rows, name) for name in ("cook", "nurse", "smith")] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_copies_stand_side_by_side():
    rows = space(made("toy"), copies=5).rows([point(age=30, copies=2), point(age=40, copies=3, label=0)])
    assert (held(rows, "age"), rows.labels.tolist()) == ([30, 30, 40, 40, 40], [1, 1, 0, 0, 0])


@pytest.mark.parametrize("name", ["toy", "lin", "compas_two_years"])
def test_spread_a_point_stands_for_the_training_rows_of_its_group_that_are_nearest(name):
    """As scikit-learn finds them in model space; ties may come in any order, so distances are compared."""
    data, of, plain = made(name), spread_of(name), space_of(name)
    natural = plain.snap(data.loc.double() + data.scale.double() * data.train.x.double())  # some are out of bounds
    x = plain.batch(Rows(natural, data.train.y)).x.double().numpy()
    random = np.random.default_rng(0)
    for _ in range(20):
        asked = drawn(of.parameters, random)
        asked["copies"] = 4
        single = plain.batch(plain.rows([asked | {"copies": 1}]))
        own = x[(data.train.s == single.s).numpy()]
        wanted = NearestNeighbors(n_neighbors=4).fit(own).kneighbors(single.x.double().numpy())[0][0]
        found = of.batch(of.rows([asked]))
        assert set(found.s.tolist()) == set(single.s.tolist())
        assert set(found.y.tolist()) == set(single.y.tolist())
        away = (found.x.double() - single.x.double()).norm(dim=1).numpy()
        assert away == pytest.approx(wanted, abs=1e-5)


def test_spread_rows_are_training_rows_as_they_are():
    data, of = made("adult"), spread_of("adult")
    natural = data.loc.double() + data.scale.double() * data.train.x.double()
    known = set(map(tuple, natural.round().tolist()))  # all whole numbers
    asked = drawn(of.parameters, np.random.default_rng(0)) | {"copies": 20}
    assert set(map(tuple, of.rows([asked]).natural.tolist())) <= known


def test_spread_wider_than_its_group_takes_the_nearest_again():
    data = made("toy")
    of = space(data, copies=1000, spread=True)
    rows = of.rows([point(copies=1000)])
    single = of.batch(of.rows([point(copies=1)])).s
    there = int((data.train.s == single).sum())
    assert len(rows.labels) == 1000
    assert torch.equal(rows.natural[:there], rows.natural[there : 2 * there])


def test_spread_rows_keep_to_what_is_fixed_and_bounded():
    of = space(made("toy"), copies=30, spread=True, fixed={"sex": 1, "job": "smith"}, bounds={"age": [30, 40]})
    rows = of.rows([{"age": 35, "height": 1.7, "origin": 5, "label": 1, "copies": 30}])
    assert set(held(rows, "sex")) == set(held(rows, "smith")) == {1}
    assert {30 <= age <= 40 for age in held(rows, "age")} == {True}
    assert of.complaints(rows.natural) == []


def test_whole_numbers_are_rounded_and_all_are_held_within_their_bounds():
    of = space(made("toy"), bounds={"age": [20, 60], "height": [1.5, 1.9]})
    rows = of.rows([point(age=39.6, height=1.4), point(age=99, height=1.95)])
    assert (held(rows, "age"), held(rows, "height")) == ([40, 60], [1.5, 1.9])


def test_a_fixed_label_is_no_parameter():
    of = space(made("toy"), label=1)
    assert "label" not in {p.name for p in of.parameters}
    assert of.rows([point(), point()]).labels.tolist() == [1, 1]


def test_no_points_are_no_rows():
    assert space(made("toy")).rows([]).natural.shape == (0, len(NAMES))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"job": 3}, "job=3.0: expected one of 0, 1, 2"),
        ({"label": 2}, "label=2: expected a class"),
        ({"age": float("nan")}, "age: expected finite numbers, not nan"),
    ],
)
def test_what_is_no_point_is_refused(changed, words):
    with pytest.raises(ValueError, match=words):
        space(made("toy")).rows([point(**changed)])


def test_a_point_that_lacks_a_parameter_is_refused():
    with pytest.raises(ValueError, match="a point lacks age, label"):
        space(made("toy")).rows([{k: v for k, v in point().items() if k not in ("age", "label")}])


def test_a_row_beyond_the_space_is_no_point():
    of = space(made("toy"), label=1, fixed={"sex": 0})
    row = of.rows([point()]).natural[0]
    with pytest.raises(ValueError, match="its class is 0, but all new rows are of 1"):
        of.point(row, 0)
    row[NAMES.index("sex")] = 1
    with pytest.raises(ValueError, match="no row of the space: row 0: attack.poison.fixed rules it out"):
        of.point(row, 1)


# --- batches ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["toy", "fractions"])
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_real_row_is_scaled_and_grouped_to_the_bit_as_the_data_set_has_it(name, part):
    """A tree that splits between a row and its copy would be an artefact."""
    data = made(name)
    own = getattr(data, part)
    frame = table(whole=name == "toy")
    values = torch.from_numpy(np.stack([frame[c] for c in NAMES], 1))[own.index]
    batch = space(data).batch(Rows(values, own.y))
    assert torch.equal(batch.x, own.x)
    assert torch.equal(batch.s, own.s)
    assert torch.equal(batch.y, own.y)


def test_new_rows_weigh_one_and_are_numbered_below_zero():
    batch = space(made("toy")).batch(space(made("toy")).rows([point(), point()]))
    assert (batch.w.tolist(), batch.index.tolist()) == ([1, 1], [-1, -2])
    assert [c.dtype for c in batch] == [c.dtype for c in made("toy").train]


def test_the_group_is_chosen_by_the_sensitive_columns():
    """sex has two levels and origin three."""
    of = space(made("toy"))
    rows = of.rows([point(sex=a, origin=b) for a in (0, 1) for b in (0, 1, 5)])
    assert of.batch(rows).s.tolist() == [0, 1, 2, 3, 4, 5]


# --- nearest rows ----------------------------------------------------------------------------------------------

LEVELS = [("sex", (0, 1)), ("age", range(26, 34)), ("job", (0, 1, 2)), ("height", (1.7,)), ("origin", (0, 1, 5))]


def distance(data, one, other):
    """Squared, of rows (..., d), continuous columns in standard deviations of the training rows by NumPy."""
    own = np.stack([table()[c] for c in NAMES], 1)[data.train.index]
    unit = torch.from_numpy(np.where([c.kind == "continuous" for c in COLUMNS], own.std(0), 1.0))
    return ((one - other) / unit).square().sum(-1)


def anything(of, seed=0, n=200):
    draw = np.random.default_rng(seed)
    real = torch.from_numpy(np.stack([table()[c] for c in NAMES], 1))
    return real[draw.integers(0, len(real), n)] + torch.from_numpy(draw.normal(0, 0.7, (n, real.shape[1])))


def test_the_nearest_row_is_found_of_all_that_there_are():
    """By enumeration of a small space; ages about a cut, so that a farther age may make up for its category."""
    data = made("toy")
    of = space(data, label=1, bounds={"age": [26, 33]}, fixed={"height": 1.7})
    grid = [
        dict(zip([n for n, _ in LEVELS], values, strict=True)) for values in itertools.product(*(v for _, v in LEVELS))
    ]
    every = of.rows(grid).natural
    wanted = anything(of)
    found = distance(data, of.snap(wanted), wanted)
    assert torch.allclose(found, distance(data, every[None], wanted[:, None]).amin(1), rtol=1e-9)


@pytest.mark.parametrize("name", ["toy", "fractions"])
def test_of_random_rows_none_is_nearer(name):
    of, data = space_of(name), made(name)
    draw = np.random.default_rng(1)
    drawn = [
        {p.name: draw.choice(p.choices) if p.choices else draw.uniform(p.low, p.high) for p in of.parameters}
        for _ in range(500)
    ]
    wanted = anything(of)
    others = distance(data, of.rows(drawn).natural[None], wanted[:, None]).amin(1)
    assert (distance(data, of.snap(wanted), wanted) <= others + 1e-9).all()


@pytest.mark.parametrize("name", SPACES)
def test_nearest_rows_are_valid_and_their_own_nearest(name):
    of = space_of(name)
    wanted = made(name).loc + 3 * made(name).scale * torch.randn(50, len(of.columns), dtype=torch.float64)
    found = of.snap(wanted)
    assert of.complaints(found) == []
    assert torch.equal(of.snap(found), found)


def test_a_row_of_the_space_is_its_own_nearest():
    of = space_of("fractions")
    rows = of.rows([{p.name: (p.choices or (p.low,))[0] for p in of.parameters}]).natural
    assert torch.equal(of.snap(rows), rows)


# --- bounds and fixed values -----------------------------------------------------------------------------------


def test_bounds_that_are_asked_for_stand_in_place_of_the_schemas():
    of = space(made("toy"), bounds={"age": [10, 90]})
    assert [(p.low, p.high) for p in of.parameters if p.name == "age"] == [(10, 90)]
    assert held(of.rows([point(age=90)]), "old") == [1]


def test_fractional_bounds_of_whole_numbers_are_those_within():
    of = space(made("toy"), bounds={"age": [20.5, 30.5]})
    assert [(p.low, p.high) for p in of.parameters if p.name == "age"] == [(21, 30)]


@pytest.mark.parametrize(
    ("fixed", "gone", "column", "values"),
    [
        ({"sex": 1}, "sex", "sex", [1]),
        ({"age": 42}, "age", "middle", [1]),
        ({"job": "nurse"}, "job", "nurse", [1]),
        ({"smith": 1}, "job", "smith", [1]),
        ({"smith": 0, "cook": 0}, "job", "nurse", [1]),
        ({"origin": 5}, "origin", "origin", [5]),
    ],
)
def test_what_is_fixed_is_held_and_not_searched(fixed, gone, column, values):
    of = space(made("toy"), fixed=fixed)
    assert gone not in {p.name for p in of.parameters}
    assert held(of.rows([point()]), column) == values
    assert of.complaints(of.snap(anything(of))) == []


def test_an_indicator_fixed_at_zero_leaves_the_others():
    of = space(made("toy"), fixed={"nurse": 0})
    assert [p.choices for p in of.parameters if p.name == "job"] == [(0, 2)]


def test_a_constant_column_is_held_as_it_is():
    frame = table() | {"height": np.full(80, 1.8), "tall": np.ones(80)}
    data = assemble("toy", frame, np.arange(80) // 2 % 2, columns=COLUMNS, split=[0.5, 0.25, 0.25], seed=0)
    of = space(data)
    assert "height" not in {p.name for p in of.parameters}
    assert held(of.rows([point()]), "height") == [1.8]


def test_the_value_of_an_encoded_text_is_enough():
    columns = mark((*binary("sex"), *binary("job=cook", "job=nurse", attribute="job"), *continuous("age")), "sex", None)
    i = np.arange(40)
    frame = {"sex": i % 2.0, "job=cook": i // 2 % 2.0, "job=nurse": 1.0 - i // 2 % 2, "age": i * 1.0}
    data = assemble("toy", frame, i // 4 % 2, columns=columns, split=[0.5, 0.25, 0.25], seed=0)
    assert space(data, fixed={"job": "nurse"}).rows([{"sex": 0, "age": 3, "label": 0}]).natural.tolist() == [
        [0, 0, 1, 3]
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": 2}, r"attack.poison.label=2: expected search, or a class, a whole number from 0 to 1"),
        ({"copies": 0}, r"attack.poison.copies=0: expected a whole number, 1 or more"),
        ({"bounds": {"aeg": [1, 2]}}, r"attack.poison.bounds: there is no column 'aeg'; did you mean age\?"),
        ({"bounds": {"age": [60, 20]}}, r"attack.poison.bounds.age=\[60, 20\]: expected two numbers, the lower one"),
        ({"bounds": {"age": [30, 30]}}, r"for a single one use attack.poison.fixed.age"),
        ({"bounds": {"age": [30]}}, r"attack.poison.bounds.age=\[30\]"),
        ({"bounds": {"age": [30, np.inf]}}, r"attack.poison.bounds.age=\[30, inf\]"),
        ({"bounds": {"age": [30.2, 30.8]}}, r"no whole number is between the bounds 30.2 and 30.8 of 'age'"),
        ({"bounds": {"sex": [0, 1]}}, r"attack.poison.bounds.sex: the column is binary; to hold it, use"),
        ({"fixed": {"jobs": "cook"}}, r"attack.poison.fixed: there is no column 'jobs'; did you mean job\?"),
        ({"fixed": {"job": "nuse"}}, r"attack.poison.fixed.job=nuse: there is no column 'nuse'; did you mean nurse\?"),
        ({"fixed": {"job": "nurse", "cook": 1}}, r"exactly one of the indicators of 'job' \(cook, nurse, smith\)"),
        ({"fixed": {"age": 200}}, r"attack.poison.fixed.age=200: expected a whole number from \d+ to \d+"),
        ({"fixed": {"age": 30.5}}, r"attack.poison.fixed.age=30.5: expected a whole number"),
        ({"fixed": {"age": "old"}}, r"attack.poison.fixed.age='old': expected a number"),
        ({"fixed": {"origin": 2}}, r"attack.poison.fixed.origin=2: the levels of the column are 0, 1, 5"),
        ({"fixed": {"young": 1}}, r"attack.poison.fixed.young: it follows from age; fix or bound that"),
        ({"fixed": {"stage": "young"}}, r"attack.poison.fixed.stage: it follows from age"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        space(made("toy"), **changes)


def test_images_have_no_rows_to_add():
    data = made("toy")
    with pytest.raises(ValueError, match="poisoning adds rows to a table, and images have no columns"):
        space(replace(data, columns=()))


def test_bounds_in_which_no_indicator_is_one_are_refused():
    """Of stages that end at 50, as the rows do."""
    columns = tuple(c for c in COLUMNS if c.name != "old")
    frame = table()
    keep = frame["age"] < 50
    frame = {name: values[keep] for name, values in frame.items()}
    y = np.arange(keep.sum()) // 2 % 2
    data = assemble("toy", frame, y, columns=columns, split=[0.5, 0.25, 0.25], seed=0)
    space(data)
    with pytest.raises(ValueError, match="where age is 50, 0 of the indicators of 'stage' are 1"):
        space(data, bounds={"age": [18, 60]})


def test_a_column_named_as_a_parameter_is_refused():
    columns = mark((*binary("sex"), *continuous("copies")), "sex", None)
    i = np.arange(40)
    frame = {"sex": i % 2.0, "copies": i * 1.0}
    data = assemble("toy", frame, i // 4 % 2, columns=columns, split=[0.5, 0.25, 0.25], seed=0)
    with pytest.raises(ValueError, match="has the name 'copies'"):
        space(data)


def test_what_a_committed_row_breaks_of_the_schema_is_told():
    of = space(made("toy"))
    rows = of.rows([point(), point(age=40)]).natural
    rows[1, NAMES.index("young")] = 1
    assert [c.split(":")[0] for c in valid(of.columns, rows)] == ["row 1", "row 1"]
    assert group_index(of.columns, rows.numpy()).tolist() == [5, 5]


def test_levels_of_other_numbers_than_0_and_1_are_chosen_as_they_are():
    columns = mark((Column("sex", "binary", levels=(1.0, 2.0)), *continuous("age")), "sex", None)
    i = np.arange(40)
    data = assemble(
        "toy", {"sex": 1 + i % 2.0, "age": i / 7}, i // 4 % 2, columns=columns, split=[0.5, 0.25, 0.25], seed=0
    )
    of = space(data)
    assert [p.choices for p in of.parameters if p.name == "sex"] == [(1, 2)]
    assert of.batch(of.rows([{"sex": 2, "age": 1, "label": 0}])).s.tolist() == [1]
