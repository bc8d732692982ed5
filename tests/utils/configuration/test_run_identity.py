"""The identity of a run: what its result depends on, and the hash of that."""

import json
import math
from copy import deepcopy
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands import composed
from utils.build import build_run
from utils.configuration.run_identity import canonical, group_id, identity, identity_of, run_id
from utils.views.row_parts import judge_some


@pytest.fixture
def params():
    return composed()


def run_of(*words, fingerprint="f"):
    return run_id(identity(composed(*words), fingerprint))


# --- identity --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["device=cuda"],
        ["threads=2"],
        ["existing=replace"],
        ["epsilon.radius=0.3"],
        ["epsilon=ramp"],
        ["trainer.lr=0.0100"],
        ["regularizer=[erm]"],
        ["prepare=none"],
    ],
)
def test_what_the_result_does_not_depend_on_is_no_part_of_the_identity(words):
    assert run_of(*words) == run_of()


@pytest.mark.parametrize(
    "words",
    [
        ["seed=1"],
        ["trainer.lr=0.02"],
        ["trainer=sgd"],
        ["model.hidden=[100]"],
        ["model=logistic"],
        ["scm=linear"],
        ["regularizer=llr"],
        ["epsilon.evaluate=[0.05]"],
        ["dataset.rows=61"],
        ["decide=fixed"],
        ["prepare=reweigh"],
        ["objective.nominal=1"],
        ["fit_on=train"],
        ["added=rows.csv"],
    ],
)
def test_what_the_result_depends_on_is_part_of_the_identity(words):
    assert run_of(*words) != run_of()


def test_starts_of_the_gradient_count_where_there_is_one_and_one_start_is_the_name_of_before(dataset, scm):
    """Settings that came later: without them the identity is that of a run of then."""

    def found(*words):
        return identity_of(composed("dataset=lin", *words), dataset("lin"), scm("lin"))

    starts = "evaluation.metrics.unfair_area.restarts"
    one, many = (found(f"{starts}={k}") for k in (1, 4))
    assert "restarts" not in one["evaluation"]["metrics"]["unfair_area"]
    assert run_id(one) != run_id(many) == run_id(found())
    random = {run_id(found(f"{starts}={k}", "evaluation.estimators=random")) for k in (1, 4)}
    assert len(random) == 1


def test_the_most_rows_that_are_judged_count_where_there_are_more(dataset, scm):
    """Else the identity is that of a run from before there was a limit; a data set that is cut says how many."""
    data = dataset("lin")
    there = len(data.test.y)

    def found(rows, data=data):
        return identity_of(composed("dataset=lin", f"evaluation.rows={rows}"), data, scm("lin"))

    assert "rows" not in found("null")["evaluation"]
    assert found(there) == found(20_000) == found("null")
    assert run_id(found(there - 1)) != run_id(found("null"))
    assert found(there - 1, judge_some(data, {"rows": there - 1})) == found(there - 1)


def test_how_binary_columns_are_read_is_part_of_the_identity_where_one_has_parents(dataset, scm):
    """Two readings, two runs, of which the additive one keeps the name that it had."""
    own = {"_target_": "utils.scms.linear.linear", "sampling": "residuals", "radius_unit": "noise"}
    later = {"nodes": {}, "coupling": "gumbel", "draws": 16}
    ids = {}
    for name, reading in (("linear", "anm"), ("threshold", "threshold")):
        params, first = (
            composed("scm=linear") | {"scm": own | of} for of in ({"discrete": reading} | later, {"binary": reading})
        )
        ids[reading] = run_id(identity_of(params, dataset("toy"), scm(name)))
        assert ids[reading] == run_id(identity_of(first, dataset("toy"), scm(name)))
    assert ids["anm"] != ids["threshold"]


@pytest.mark.parametrize("words", [["scm=linear"], ["scm=learned", "scm.steps=10", "scm.hidden=3"]])
def test_without_such_a_column_it_is_not(words, tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))
    readings = ("anm", "threshold", "posterior", "null")
    assert len({build_run(composed("dataset=lin", *words, f"scm.discrete={word}")).run_id for word in readings}) == 1


def test_other_data_are_another_run():
    assert run_of(fingerprint="f") != run_of(fingerprint="g")


def test_the_path_of_a_table_is_no_part_of_the_identity(params):
    """Its content is, by the fingerprint."""
    there, here = deepcopy(params), deepcopy(params)
    there["dataset"]["path"], here["dataset"]["path"] = "/there/t.csv", "t.csv"
    assert identity(there, "f") == identity(here, "f")


@pytest.mark.parametrize("radius", ["0.3", "8/255"])
def test_the_radius_counts_for_a_term_that_reads_it(radius):
    assert run_of("regularizer=adversarial") != run_of("regularizer=adversarial", f"epsilon.radius={radius}")


def test_a_fraction_is_the_number_it_means():
    assert run_of("regularizer=llr", "epsilon.radius=1/20") == run_of("regularizer=llr", "epsilon.radius=0.05")


def test_identity_leaves_the_configuration_as_it_is(params):
    before = deepcopy(params)
    identity(params, "f")
    assert params == before


def test_other_weights_are_another_run():
    words = [("prepare=group_weights", f"prepare.weights=[1,{weight}]") for weight in (1, 2, 2.0)]
    one, two, same = (run_of(*of) for of in words)
    assert one != two
    assert two == same


# --- names of runs ---------------------------------------------------------------------------------------------

SETTINGS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
PARAMS = st.dictionaries(st.text(), SETTINGS, max_size=4)
quick = settings(max_examples=50, deadline=None)


@quick
@given(PARAMS, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_change_the_run_id(params, chance):
    keys = list(params)
    chance.shuffle(keys)
    assert run_id({key: params[key] for key in keys}) == run_id(params)


@quick
@given(PARAMS)
def test_settings_that_went_through_json_keep_their_run_id(params):
    assert run_id(json.loads(json.dumps(params))) == run_id(params)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (0, -0.0),
        (0.1, 0.10),
        ("8/255", 8 / 255),
        (" 8 / 255", 8 / 255),
        ("4/2", 2),
        ((1, 2), [1, 2]),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (PurePosixPath("a/b"), "a/b"),
        (math.inf, "inf"),
    ],
)
def test_equal_settings_share_a_run_id(one, other):
    assert run_id({"x": one}) == run_id({"x": other})


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (0, None), (0.1, 0.1 + 1e-16), ("1/0", "2/0"), ("loan", "Loan"), (math.inf, None), ([1, 2], [2, 1])],
)
def test_different_settings_have_different_run_ids(one, other):
    assert run_id({"x": one}) != run_id({"x": other})


def test_a_run_id_is_the_sha256_of_schema_and_settings():
    """From `printf '1:{"a":0.5,"seed":1}' | sha256sum`."""
    assert run_id({"seed": 1.0, "a": 0.5}) == "09ed3aa426f9e4f6"


@quick
@given(PARAMS, st.integers(), st.integers())
def test_seeds_share_a_group_id(params, one, other):
    assert group_id({**params, "seed": one}) == group_id({**params, "seed": other})


def test_a_nested_seed_separates_groups():
    assert group_id({"data": {"seed": 1}}) != group_id({"data": {"seed": 2}})


@quick
@given(SETTINGS)
def test_canonical_settings_are_json(value):
    json.loads(canonical(value), parse_constant=pytest.fail)


def test_a_search_without_a_limit_on_harm_has_the_identity_that_it_had():
    """``auto`` is .01 where the objective is fair; what permits any harm says nothing of it."""

    def poison(*words):
        return identity(composed("model=random_forest", "attack=bo_poison", *words), "f")["attack"]["poison"]

    assert "harm" not in poison("attack.poison.harm=null")
    assert "harm" not in poison("attack.poison.objective=unfair")
    assert poison() == poison("attack.poison.harm=0.01")
    assert poison()["harm"] == 0.01
