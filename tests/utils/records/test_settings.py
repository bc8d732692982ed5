from typing import get_args

import pytest
import yaml

import paths_config
from utils.command_line.checks import TERM_KINDS
from utils.records import settings
from utils.records.settings import LEFT_OUT, Purpose, at, flat, left_out, own_settings, varying, walk, without

PARAMS = {
    "seed": 3,
    "device": "cpu",
    "dataset": {"_target_": "utils.datasets.csv.csv", "path": "a.csv", "split": [0.64, 0.16, 0.2]},
    "model": {"mean": [0.0], "hidden": [8, 8]},
    "attack": {"evasion": {"steps": 20}, "poison": {"workers": 4, "budget": 50}},
    "choices": {"model": "mlp", "device": "none"},
}


def test_every_purpose_of_the_table_is_one():
    assert {purpose for of in LEFT_OUT.values() for purpose in of.split()} == set(get_args(Purpose))


def test_what_a_result_does_not_depend_on_tells_no_settings_apart():
    """So no reader is told of a difference that the group of a run does not have, but of where a file lies."""
    assert left_out("identity") - {"dataset.path", "model.weights"} <= left_out("label") & left_out("page")


def test_a_purpose_leaves_out_its_keys_wherever_they_are_nested():
    kept = without(PARAMS, "identity")
    assert kept == {
        "seed": 3,
        "dataset": {"_target_": "utils.datasets.csv.csv", "split": [0.64, 0.16, 0.2]},
        "model": {"mean": [0.0], "hidden": [8, 8]},
        "attack": {"evasion": {"steps": 20}, "poison": {"budget": 50}},
    }
    assert PARAMS["attack"]["poison"]["workers"] == 4  # what was given is left as it was


def test_flat_settings_are_the_nested_ones():
    """Put back one by one, they are what was flattened."""
    made = {}
    for key, value in flat(PARAMS).items():
        *above, last = key.split(".")
        node = made
        for part in above:
            node = node.setdefault(part, {})
        node[last] = value
    assert made == PARAMS


def test_flat_settings_for_a_purpose_lack_what_it_leaves_out_and_targets():
    assert flat(PARAMS, "label") == {
        "dataset.path": "a.csv",
        "dataset.split": [0.64, 0.16, 0.2],
        "model.hidden": [8, 8],
        "attack.evasion.steps": 20,
        "attack.poison.budget": 50,
    }


def test_a_walk_meets_every_part_parents_first():
    node = {"a": {"b": [1, {"c": 2}]}}
    assert list(walk(node)) == [
        ("", node),
        ("a", {"b": [1, {"c": 2}]}),
        ("a.b", [1, {"c": 2}]),
        ("a.b", 1),
        ("a.b", {"c": 2}),
        ("a.b.c", 2),
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 3),
        ("dataset.split[1]", 0.16),
        ("attack.poison", {"workers": 4, "budget": 50}),
        ("dataset.split[3]", None),
        ("seed.low", None),
        ("attack.poisson.budget", None),
    ],
)
def test_a_value_is_found_by_its_key(key, value):
    assert at(PARAMS, key) == value


def test_settings_vary_where_two_values_differ_each_pattern_once():
    runs = [{"a": 1, "b": 1, "c": "x", "d": [0.1], "e": 5}, {"a": 2, "b": 2, "c": "x", "d": [0.2]}]
    assert varying(runs) == ["a", "d"]  # b has the values of a, c has one value, only one run has e
    assert varying(runs, together=True) == ["a"]  # d changes with a


def test_settings_that_not_all_have_vary_only_where_that_is_asked():
    runs = [{"a": 1}, {"a": 2}, {}]
    assert varying(runs) == ["a"]
    assert varying(runs, everywhere=True) == []


def test_null_is_a_value_and_not_an_absent_setting():
    assert varying([{"a": None}, {"a": 1}], everywhere=True) == ["a"]


def test_terms_say_nothing_beside_their_settings_but_what_is_named():
    """From the yamls: what is neither named here nor an argument would be refused when the term is made."""
    found = set()
    for path in (paths_config.ROOT / "config" / "regularizer").glob("*.yaml"):
        node = yaml.safe_load(path.read_text())[path.stem]
        found |= node.keys() - own_settings(node, settings.TERM_KEYS).keys()
    assert found == set(settings.TERM_KEYS)
    assert {"weight", *TERM_KINDS} == found  # and each is checked
