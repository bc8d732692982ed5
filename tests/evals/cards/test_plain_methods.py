"""The plain methods on the card of one run: chosen by its validation rows, shown on test rows."""

import pytest

from evals.cards import added_rows_facts, plain_methods
from evals.cards.document import Table
from evals.records.points import with_points
from tests.evals.poisoned_records import poisoned

GAP = ((0.20, 0.10), (0.22, 0.18))
RATES = {"fpr_group0_unpoisoned": 0.1, "fpr_group1_unpoisoned": 0.32, "fpr_group0": 0.12, "fpr_group1": 0.3}


def plain(method, valid, test, **changes):
    figures = {"fpr_gap": test, "accuracy": 0.6, "fpr_group0": 0.29, "fpr_group1": 0.3}
    found = {"method": method, "words": [f"prepare={method}"], "trainings": 8, "seconds": 2.0, "violation": 0.0}
    return found | {"broken": {}, "valid": {"fpr_gap": valid}, "test": figures} | changes


def run(*methods, **changes):
    made = poisoned(1, gap=GAP, **changes)
    made["poison"]["baselines"] = list(methods)
    return made | {"metrics": made["metrics"] | RATES}


LUCKY = plain("lucky", 0.15, 0.0)  # on the test rows
BROKEN = plain("forbidden", 0.01, 0.01, broken={"accuracy": 0.2})


def test_every_method_has_its_figures_limits_costs_and_words():
    _, table, costs, _ = plain_methods.section(
        run(plain("massage", 0.05, 0.07), BROKEN, {"method": "x", "error": "is for two"})
    )
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert rows["rows as they are"] | {"fpr_gap": "0.220", "fpr Caucasian": "0.100"} == rows["rows as they are"]
    assert rows["this search"] | {"fpr_gap": "0.180", "limits": "kept"} == rows["this search"]
    told = {"fpr_gap": "0.070", "fpr African-American": "0.300", "limits": "kept"}
    assert rows["massage"] | told == rows["massage"]
    assert rows["forbidden"]["limits"] == "breaks accuracy"
    assert rows["x"]["limits"] == "not there: is for two"
    spent = {row[0]: row[1:] for row in costs.rows}
    assert (spent["this search"][0], spent["massage"]) == ("51", ["8", "2", "prepare=massage"])
    assert "x" not in spent


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        (
            [plain("massage", 0.05, 0.07), LUCKY],
            "better on validation rows: massage (prepare=massage), fpr_gap 0.050",
        ),
        ([LUCKY], "no plain method within the limits is better: lucky (prepare=lucky) has fpr_gap 0.150 against 0.100"),
        ([BROKEN], "No plain method keeps to the limits"),
    ],
)
def test_what_is_better_is_decided_on_validation_rows_within_the_limits(methods, words):
    said = plain_methods.section(run(*methods))[-1].text
    assert words in said
    assert "One seed: no interval can be given; python -m evals.poison dataset=compas compares" in said


def test_a_better_method_tells_both_sides():
    said = plain_methods.section(run(plain("massage", 0.05, 0.07)))[-1].text
    assert "on the test rows 0.070 against 0.180" in said
    assert "Caucasian 0.100 → 0.290, African-American 0.320 → 0.300; levelled down: 90%" in said


def test_an_attack_gets_the_table_and_no_advice():
    heading, *tables = plain_methods.section(run(LUCKY, objective="unfair"))
    assert heading.text == "Plain methods beside the search"
    assert all(isinstance(table, Table) for table in tables)


def test_a_search_alone_has_no_section_and_the_page_has_the_methods_in_short():
    assert plain_methods.section(poisoned(1, gap=GAP)) == []
    found = dict(added_rows_facts.facts(run(plain("massage", 0.05, 0.07), BROKEN, {"method": "x", "error": "no"})))
    assert found[added_rows_facts.BESIDE] == (
        "massage: fpr_gap 0.070, accuracy 0.600; forbidden: fpr_gap 0.010, accuracy 0.600, breaks accuracy; x: no"
    )


def test_at_an_operating_point_the_search_keeps_its_own_thresholds_as_the_methods_do():
    points = {"rates": ["fpr"], "permitted": [0.0], "logits": [[0.0, 1.0]], "metrics": {"fpr_gap": [0.0]}}
    _, point = with_points([run(LUCKY) | {"operating_points": points}])
    assert plain_methods.section(point)[1].rows[1][1] == "0.180"
