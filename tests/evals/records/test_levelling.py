"""Both sides of a gap, and whether it closed at somebody's cost."""

import math

import pytest

from evals.records.levelling import describe, sides
from utils.metrics.directions import ERRORS

NAMES = ("African-American", "Caucasian")


def test_a_gap_that_closes_by_the_rise_of_the_better_off_is_levelled_down():
    """The search for rows on COMPAS: .117 of the .175 that the gap closes by are people of the other group."""
    said = describe("false positive rate", NAMES, (0.338, 0.160), (0.280, 0.277))
    assert said == (
        "false positive rate: African-American 0.338 → 0.280, Caucasian 0.160 → 0.277; "
        "levelled down: 67% of the closing is the rise of Caucasian"
    )


@pytest.mark.parametrize(
    "after",
    [
        (0.16, 0.16),  # for the good of the worse off
        (0.20, 0.18),  # mostly so
        (0.45, 0.30),  # both rise, and the gap closes by less than the rise: said below
        (0.40, 0.10),  # it grows
        (0.15, 0.24),  # they change places, and the worse off gain more than the others lose
    ],
)
def test_other_gaps_are_not(after):
    said = describe("false positive rate", NAMES, (0.338, 0.160), after)
    assert ("levelled down" in said) == (after == (0.45, 0.30))


def test_a_rise_beyond_the_closing_is_all_of_it():
    assert "levelled down: 100% of" in describe("fnr", NAMES, (0.3, 0.1), (0.35, 0.25))


def test_a_group_that_becomes_the_worst_while_another_becomes_the_best_levels_nothing_down():
    """Six groups, whose difference closes by .011 of .262, all of it at the top."""
    before, after = (0.077, 0.208, 0.339), (0.292, 0.042, 0.226)
    assert "levelled down" not in describe("fpr", ("a", "b", "c"), before, after)
    said = describe("fpr", ("a", "b", "c"), (0.1, 0.2, 0.3), (0.29, 0.18, 0.28))
    assert said.endswith("; levelled down: 89% of the closing is the rise of the lowest rate, of a before and of b now")


@pytest.mark.parametrize(
    ("rate", "favourable", "told"), [("fpr", "yes", False), ("fpr", None, True), ("fnr", "yes", True)]
)
def test_an_error_that_is_good_for_the_person_is_no_cost_of_theirs(rate, favourable, told):
    rates = {f"{rate}_group0": (0.338, 0.28), f"{rate}_group1": (0.16, 0.277)}
    record = {"params": {}, "preprocessing": {"schema": {"label": {"column": "hired", "favourable": favourable}}}}
    (said,) = sides([rate], NAMES, rates.__getitem__, [record])
    assert ("levelled down" in said) == told


def test_what_is_not_known_is_not_said():
    assert describe("fnr", NAMES, (0.3, math.nan), (0.2, 0.2)) == ""
    assert describe("fnr", ("all",), (0.3,), (0.2,)) == ""


def test_both_sides_of_each_error_rate_that_is_known():
    fine, unknown = (0.1, 0.1), (0.2, math.nan)
    rates = {"fnr_group0": (0.3, 0.2), "fnr_group1": fine, "fpr_group0": unknown, "fpr_group1": fine}
    found = sides(ERRORS, ["women", "men"], rates.__getitem__, [])
    assert found == ["false negative rate: women 0.300 → 0.200, men 0.100 → 0.100"]
    assert sides(ERRORS, [], rates.__getitem__, []) == []


@pytest.mark.parametrize(("rows", "told"), [([50, 50, 5], False), ([50, 50, 10], True), ([50, 5, 5], None)])
def test_a_group_of_fewer_rows_than_gaps_take_is_left_out(rows, told):
    """One of five islanders more or less is 20 points."""
    rates = {"fpr_group0": (0.3, 0.25), "fpr_group1": (0.2, 0.2), "fpr_group2": (0.0, 0.2)}
    group = {"groups_min": 10, "level": 0.95}
    shares = {key: [1, n] for key, n in zip(rates, rows, strict=True)}
    record = {"params": {"evaluation": {"metrics": {"group": group}}}, "shares": shares}
    found = sides(["fpr"], ["men", "women", "islanders"], rates.__getitem__, [record])
    assert len(found) == (told is not None)
    assert ("islanders" in "".join(found)) == bool(told)
    assert ("levelled down" in "".join(found)) == bool(told)
