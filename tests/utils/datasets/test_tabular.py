"""Assembling a data set: splits, scaling, groups, fingerprints, and the data that are refused."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from utils.datasets.tabular import (
    Scaling,
    assemble,
    binary,
    continuous,
    mark,
    model_space,
    names,
    natural,
)
from utils.scms.structure import levels_product
from utils.types import SCM, Column, Mechanism

SPLIT = [0.64, 0.16, 0.20]
COLUMNS = mark((*binary("sex"), *continuous("age"), *binary("race"), *continuous("hours")), ["sex", "race"], "hours")
THREE = Column("origin", "categorical", sensitive=True, levels=(0.0, 1.0, 2.0))


def rows(n=100, seed=0):
    draw = np.random.default_rng(seed)
    frame = {
        "sex": draw.integers(0, 2, n).astype(float),
        "age": 40 + 10 * draw.normal(size=n),
        "race": draw.integers(0, 2, n).astype(float),
        "hours": draw.gamma(2, 5, n),
    }
    return frame, draw.integers(0, 2, n)


def made(frame=None, y=None, *, n=100, columns=COLUMNS, split=SPLIT, seed=0, **more):
    default_frame, default_y = rows(n)
    frame, y = default_frame if frame is None else frame, default_y if y is None else y
    return assemble("toy", frame, y, columns=columns, split=split, seed=seed, **more)


def whole(dataset):
    """All rows of a data set, in the order of the frame."""
    parts = (dataset.train, dataset.valid, dataset.test)
    x, index = torch.cat([p.x for p in parts]), torch.cat([p.index for p in parts])
    return x[index.argsort()]


# Splits


@given(n=st.integers(12, 400), seed=st.integers(0, 9), split=st.sampled_from([SPLIT, [0.8, 0, 0.2], [0.5, 0.25, 0.25]]))
@settings(max_examples=30, deadline=None)
def test_every_row_is_in_exactly_one_split(n, seed, split):
    frame, _ = rows(n)
    frame["sex"][:2] = frame["race"][:2] = [0, 1]
    dataset = made(frame, np.arange(n) % 2, split=split, seed=seed)
    index = torch.cat([dataset.train.index, dataset.valid.index, dataset.test.index])
    assert sorted(index.tolist()) == list(range(n))


def test_split_sizes_are_the_fractions_rounded():
    dataset = made(n=1003)
    assert [len(b.x) for b in (dataset.train, dataset.valid, dataset.test)] == [642, 160, 201]


def test_a_validation_share_of_zero_gives_an_empty_batch():
    assert made(split=[0.8, 0.0, 0.2]).valid.x.shape == (0, 4)


def test_the_seed_moves_the_split():
    assert not torch.equal(made(seed=0).train.index, made(seed=1).train.index)


def test_the_same_seed_gives_the_same_data_set():
    first, second = made(), made()
    assert torch.equal(first.train.x, second.train.x)
    assert torch.equal(first.train.index, second.train.index)


def test_index_is_the_row_of_the_frame():
    frame, y = rows()
    dataset = made(frame, y)
    assert np.array_equal(dataset.test.y, y[dataset.test.index])
    assert np.array_equal(dataset.test.x[:, 0], frame["sex"][dataset.test.index])


@pytest.mark.parametrize("split", [[0.5, 0.2, 0.2], [0.8, 0.2], [1.2, -0.4, 0.2]])
def test_fractions_that_are_no_split_are_refused(split):
    with pytest.raises(ValueError, match=r"toy: split=.*summing to 1"):
        made(split=split)


@pytest.mark.parametrize(("split", "what"), [([0, 0.5, 0.5], "training"), ([0.8, 0.2, 0], "test")])
def test_training_and_test_must_have_rows(split, what):
    with pytest.raises(ValueError, match=f"leaves no {what} row of 100"):
        made(split=split)


# Scaling


def test_continuous_columns_are_standardised_as_scikit_learn_does_on_the_training_rows():
    frame, _ = rows()
    dataset = made(frame)
    raw = np.stack([frame["age"], frame["hours"]], 1)
    oracle = StandardScaler().fit(raw[dataset.train.index])
    assert np.allclose(dataset.test.x[:, [1, 3]], oracle.transform(raw[dataset.test.index]), atol=1e-6)


def test_binary_columns_stay_zero_and_one():
    dataset = made()
    assert set(whole(dataset)[:, 0].tolist()) == {0.0, 1.0}
    assert (dataset.loc[0], dataset.scale[0]) == (0, 1)


def test_a_constant_column_is_centred_and_not_blown_up():
    frame, _ = rows()
    frame["age"] = np.full(100, 0.1)
    dataset = made(frame)
    assert dataset.scale[1] == 1
    assert (whole(dataset)[:, 1] == 0).all()


def test_a_column_constant_on_the_training_rows_alone_keeps_its_unit():
    frame, _ = rows()
    test = made(frame).test.index
    frame["age"] = np.full(100, 5.0)
    frame["age"][test[0]] = 8.0
    assert whole(made(frame))[test[0], 1] == 3.0


def test_model_space_is_float32():
    assert made().train.x.dtype == torch.float32


def test_natural_units_give_the_frame_back():
    frame, _ = rows()
    dataset = made(frame)
    back = natural(dataset, whole(dataset))
    assert np.allclose(back, np.stack([frame[c.name] for c in COLUMNS], 1), rtol=1e-6, atol=1e-5)


def test_scaling_is_mean_and_deviation_of_the_training_rows_in_double_precision():
    frame, _ = rows()
    dataset = made(frame)
    own = frame["age"][dataset.train.index]
    assert (dataset.loc.dtype, dataset.scale.dtype) == (torch.float64, torch.float64)
    assert (dataset.loc[1].item(), dataset.scale[1].item()) == pytest.approx((own.mean(), own.std()), rel=1e-14)


def test_levels_that_are_one_number_in_single_precision_are_refused():
    frame, _ = rows()
    frame["race"] += 2.0**24
    origin = Column("race", "categorical", sensitive=True, levels=(2.0**24, 2.0**24 + 1))
    with pytest.raises(ValueError, match=r"levels 16777216.0 and 16777217.0 of column 'race' are one number"):
        made(frame, columns=(*COLUMNS[:2], origin, *COLUMNS[3:]))


def test_an_scm_in_natural_units_too_far_from_zero_is_refused():
    frame, _ = rows()
    frame["hours"] += 1e6
    with pytest.raises(ValueError, match=r"'hours' has a mean of .* deviations, and .* another origin"):
        made(frame, scm=independent([c.name for c in COLUMNS]))


def test_model_space_inverts_natural_units_for_any_scaling():
    scaling = Scaling(torch.tensor([3.0, -1.0]), torch.tensor([2.0, 0.5]))
    x = torch.tensor([[[1.5, -2.0]]])
    assert torch.equal(model_space(scaling, natural(scaling, x)), x)


def test_scaling_does_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = made(n=5000)
        torch.set_num_threads(2)
        two = made(n=5000)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one.train.x, two.train.x)


def test_a_column_is_scaled_alike_whatever_stands_beside_it():
    alone = made(columns=(COLUMNS[0], COLUMNS[3]))
    assert torch.equal(whole(alone)[:, 1], whole(made())[:, 3])


# Sensitive groups


def test_s_is_the_index_in_the_product_of_the_sensitive_levels():
    frame, _ = rows()
    dataset = made(frame)
    expected = 2 * frame["sex"] + frame["race"]
    assert np.array_equal(dataset.test.s, expected[dataset.test.index])


def test_groups_are_named_by_their_levels():
    assert made().groups == ("sex=0,race=0", "sex=0,race=1", "sex=1,race=0", "sex=1,race=1")


def test_s_points_at_the_levels_of_the_row():
    frame, _ = rows()
    frame["origin"] = np.arange(100) % 3.0
    columns = (*COLUMNS[:3], THREE)
    dataset = made(frame, columns=columns)
    assert torch.equal(levels_product(columns)[dataset.train.s], dataset.train.x[:, [0, 2, 3]])


def test_levels_are_those_declared_even_where_a_row_lacks_one():
    frame, _ = rows()
    frame["origin"] = np.arange(100) % 2.0
    assert made(frame, columns=(THREE, COLUMNS[1])).groups == ("origin=0", "origin=1", "origin=2")


def test_a_binary_column_without_levels_has_zero_and_one():
    bare = Column("sex", "binary", sensitive=True)
    assert made(columns=(bare, COLUMNS[1])).groups == ("sex=0", "sex=1")


def test_without_a_sensitive_column_there_are_no_groups_to_compare():
    with pytest.raises(ValueError, match="no column is sensitive; name at least one of sex, age"):
        made(columns=mark(COLUMNS, [], []))


def test_a_continuous_sensitive_column_is_refused():
    with pytest.raises(ValueError, match=r"sensitive column 'age' is continuous.*discretise it or choose another"):
        made(columns=mark(COLUMNS, ["age"], []))


def test_a_sensitive_column_of_one_level_is_refused():
    frame, _ = rows()
    frame["race"] = np.ones(100)
    with pytest.raises(ValueError, match="toy: the sensitive column 'race' is 1 in every row"):
        made(frame)


def test_marking_sets_and_clears_flags():
    marked = mark(COLUMNS, "race", ["age"])
    assert [c.name for c in marked if c.sensitive] == ["race"]
    assert [c.name for c in marked if c.actionable] == ["age"]


@pytest.mark.parametrize("flags", [(["sexx"], []), (["sex"], ["sexx"])])
def test_marking_an_unknown_column_names_near_misses_and_all_columns(flags):
    with pytest.raises(ValueError, match=r"'sexx'; did you mean sex\? The columns are: sex, age, race, hours."):
        mark(COLUMNS, *flags)


def test_one_name_is_a_list_of_one_and_null_an_empty_one():
    assert (names("sex"), names(None), names(["a", "b"])) == (("sex",), (), ("a", "b"))


# What is refused


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_missing_and_infinite_values_are_counted_and_located(value):
    frame, _ = rows()
    frame["hours"][[17, 40]] = value
    with pytest.raises(ValueError, match=r"toy: column 'hours' has 2 missing or infinite value\(s\).*row 17"):
        made(frame)


def test_a_value_outside_the_declared_levels_is_refused():
    frame, _ = rows()
    frame["sex"][3] = 2
    with pytest.raises(ValueError, match="column 'sex' holds 2 in row 3, but its levels are 0, 1"):
        made(frame)


def test_text_is_refused():
    frame, _ = rows()
    with pytest.raises(ValueError, match="column 'age' does not hold numbers"):
        made({**frame, "age": ["old"] * 100})


def test_a_missing_column_is_named_with_near_misses():
    frame, _ = rows()
    frame["hour"] = frame.pop("hours")
    with pytest.raises(ValueError, match=r"no column 'hours'; did you mean hour\?"):
        made(frame)


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match="toy: every row has the label 1"):
        made(y=np.ones(100, dtype=int))


def test_a_single_class_among_the_training_rows_is_refused():
    y = np.zeros(100, dtype=int)
    y[made().test.index[0]] = 1
    with pytest.raises(ValueError, match="the training split holds one class only"):
        made(y=y)


@pytest.mark.parametrize("wrong", [2, -1, 0.5])
def test_labels_outside_the_classes_are_refused(wrong):
    y = np.where(np.arange(100) == 5, wrong, np.arange(100) % 2)
    with pytest.raises(ValueError, match="whole numbers from 0 to 1"):
        made(y=y)


def test_three_classes_are_possible():
    assert made(y=np.arange(100) % 3, classes=3).classes == 3


def test_fewer_than_ten_rows_are_refused():
    with pytest.raises(ValueError, match="too few rows to split, 9"):
        made(n=9)


def test_labels_of_another_length_are_refused():
    with pytest.raises(ValueError, match="100 rows but 7 labels"):
        made(y=np.arange(7) % 2)


# Graph and structural model


def test_the_graph_leaves_roots_out_and_follows_the_columns():
    graph = made(parents={"hours": ["sex", "age"], "sex": [], "age": "sex"}).parents
    assert list(graph.items()) == [("age", ("sex",)), ("hours", ("sex", "age"))]


def test_a_cycle_is_refused():
    with pytest.raises(ValueError, match=r"the graph has the cycle (age -> hours -> age|hours -> age -> hours)"):
        made(parents={"age": ["hours"], "hours": ["age"]})


@pytest.mark.parametrize("graph", [{"hours": ["agee"]}, {"agee": ["hours"]}])
def test_an_unknown_name_in_the_graph_is_refused(graph):
    with pytest.raises(ValueError, match=r"no column 'agee'; did you mean age\?"):
        made(parents=graph)


def independent(listed):
    """Features are their own noise; natural units."""
    d = len(listed)
    return SCM(
        names=tuple(listed),
        mechanisms=tuple(Mechanism((i,), (), lambda u: u, lambda x: x) for i in range(d)),
        sensitive=(0, 2),
        levels=levels_product(COLUMNS),
        loc=torch.zeros(d),
        scale=torch.ones(d),
        unit=torch.ones(d),
        sample_noise=lambda n, _: torch.zeros(n, d),
    )


def test_a_true_scm_crosses_from_model_space_to_natural_units():
    frame, _ = rows()
    dataset = made(frame, scm=independent([c.name for c in COLUMNS]))
    own = dataset.scm.own(dataset.test.x)
    assert np.allclose(own[:, 3], frame["hours"][dataset.test.index], rtol=1e-5, atol=1e-5)


def test_an_scm_over_other_columns_is_refused():
    with pytest.raises(ValueError, match="toy: its SCM is over"):
        made(scm=independent(["a", "b", "c", "d"]))


# Fingerprint


def test_the_fingerprint_is_sixteen_hex_digits():
    assert re.fullmatch("[0-9a-f]{16}", made().fingerprint)


def test_the_fingerprint_does_not_depend_on_split_or_seed():
    assert made(split=[0.8, 0, 0.2], seed=5).fingerprint == made().fingerprint


def test_one_changed_value_changes_the_fingerprint():
    frame, _ = rows()
    frame["age"][99] = np.nextafter(frame["age"][99], 1e9)
    assert made(frame).fingerprint != made().fingerprint


def test_one_changed_label_changes_the_fingerprint():
    _, y = rows()
    y[0] = 1 - y[0]
    assert made(y=y).fingerprint != made().fingerprint


def test_another_column_name_changes_the_fingerprint():
    frame, _ = rows()
    frame["years"] = frame["age"]
    renamed = (COLUMNS[0], replace(COLUMNS[1], name="years"), *COLUMNS[2:])
    assert made(frame, columns=renamed).fingerprint != made().fingerprint
