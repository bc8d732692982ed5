"""Gains and rho: on the published figures themselves, and by hand."""

import math

import pandas as pd
import pytest

from evals import table
from evals.records import rho

FIGURES, SOURCE = table.read_published("dafa")
STATED = FIGURES.dropna(subset="rho_robust_accuracy")


@pytest.mark.parametrize("row", STATED.to_dict("records"), ids=lambda r: f"{r['dataset']} {r['regularizer']}")
def test_rho_is_the_published_one_to_its_two_digits(row):
    """Lee et al. (2024) print averages and worst classes to .01 points, and rho to .01."""
    base = FIGURES.set_index(["dataset", "regularizer"]).loc[row["dataset"], "trades"]
    keys = ("robust_accuracy", "robust_accuracy_worst_class")
    found = rho.rho(*(row[key] for key in keys), *(base[key] for key in keys))
    assert found == pytest.approx(row["rho_robust_accuracy"], abs=0.005)


def test_rho_of_the_base_is_nothing():
    assert rho.rho(0.5, 0.2, 0.5, 0.2) == 0


def test_rho_is_negative_where_both_fall():
    """(.1 - .2) / .2 + (.4 - .5) / .5."""
    assert rho.rho(0.4, 0.1, 0.5, 0.2) == pytest.approx(-0.7)


@pytest.mark.parametrize("base", [(0.5, 0.0), (0.0, 0.0)])
def test_rho_is_undefined_where_an_accuracy_of_the_base_is_nothing(base):
    assert math.isnan(rho.rho(0.5, 0.1, *base))


@pytest.mark.parametrize(
    ("average", "worst"),
    [
        ("accuracy", "worst_class_accuracy"),
        ("robust_accuracy", "robust_accuracy_worst_class"),
        ("robust_accuracy_8/255", "robust_accuracy_worst_class_8/255"),
        ("robust_accuracy_.1", "robust_accuracy_worst_class_.1"),
        ("auto@8/255/robust_accuracy_8/255", "auto@8/255/robust_accuracy_worst_class_8/255"),
        ("audit/accuracy", "audit/worst_class_accuracy"),
    ],
)
def test_an_average_has_a_worst_class(average, worst):
    assert rho.worst_of(average) == worst


@pytest.mark.parametrize("key", ["mcc", "balanced_accuracy", "robust_accuracy_worst_class_8/255", "accuracy_class_3"])
def test_what_is_no_average_has_no_worst_class(key):
    assert rho.worst_of(key) is None


def test_the_gains_stand_before_their_rho():
    keys = ["accuracy", "worst_class_accuracy"]
    shown = [*keys, "gain_accuracy", "gain_worst_class_accuracy", "rho_accuracy"]
    assert rho.columns(keys, every_pair=True) == rho.columns([*keys, "rho_accuracy"], every_pair=False) == shown


def runs(*rows):
    return pd.DataFrame(rows, columns=["dataset", "regularizer", "radius", "seed", "accuracy"])


def gains(table, base=()):
    return rho.beside_base(table, ["accuracy"], base)["gain_accuracy"].tolist()


def test_a_run_is_compared_with_the_base_of_its_data_radius_and_seed():
    found = gains(
        runs(
            ("a", "trades", 0.1, 0, 0.25),
            ("a", "trades", 0.1, 1, 0.5),
            ("a", "trades", 0.2, 0, 0.1),
            ("b", "trades", 0.1, 0, 0.1),
            ("a", "trades+dafa", 0.1, 1, 0.625),
        )
    )
    assert found[-1] == 0.125
    assert all(map(math.isnan, found[:-1]))


def test_the_base_is_the_longest_of_the_names_that_the_own_begins_with():
    rows = [
        (f"{name}", value) for name, value in [("t", 0.125), ("t+a", 0.25), ("t+a+b", 0.5), ("ta", 1.0), ("u", 1.0)]
    ]
    found = gains(runs(*(("a", name, 0.1, 0, value) for name, value in rows)), ["t", "t+a"])
    assert found[2] == 0.25
    assert [math.isnan(gain) for gain in found] == [True, True, False, True, True]


def test_a_single_base_is_that_of_every_row():
    assert gains(runs(("a", "erm", 0.1, 0, 0.5), ("a", "mart", 0.1, 0, 0.75)), ["erm"])[1] == 0.25


def test_a_base_with_several_settings_is_unclear():
    rows = runs(("a", "t", 0.1, 0, 0.5), ("a", "t", 0.1, 0, 0.6), ("a", "t+a", 0.1, 0, 0.7), ("a", "u", 0.1, 0, 0.7))
    assert all(map(math.isnan, gains(rows)))
    assert rho.unclear(rows, ()) == ["t"]
