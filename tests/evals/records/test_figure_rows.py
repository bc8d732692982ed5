"""Of how many rows a figure is, by the counts that are filed with it."""

import math

import numpy as np
import pytest

from evals import table
from evals.records import judged_rows, query, rho
from tests.evals.given import robust

AVERAGE, WORST = "robust_accuracy_8/255", "robust_accuracy_worst_class_8/255"
FEW = robust(1, "trades", 10)
ALL = robust(2, "trades", 359)


@pytest.mark.parametrize("key", [AVERAGE, WORST, "robust_accuracy_class_1_8/255"])
def test_a_class_is_of_the_rows_that_it_was_taken_from(key):
    assert judged_rows.count_fewer(FEW, key) == 10
    assert judged_rows.count_fewer(ALL, key) is None


def test_a_class_of_radius_1_is_none_of_class_1():
    shares = {"robust_accuracy": [1, 20], "robust_accuracy_1": [1, 10]}
    assert judged_rows.count_fewer(FEW | {"shares": shares}, "robust_accuracy_worst_class_1") == 10
    assert judged_rows.count_fewer(FEW | {"shares": shares}, "robust_accuracy_class_1") == 20


def test_the_other_figures_of_the_record_are_of_all_rows():
    assert [judged_rows.count_fewer(FEW, key) for key in ("accuracy", "worst_class_accuracy", "mcc")] == [None] * 3


def test_rows_that_the_evaluation_left_out_count():
    limited = ALL | {"rows": {"train": 100, "test": 359, "unjudged": 641}}
    assert judged_rows.count_fewer(limited, "mcc") == 359


def test_a_later_evaluation_has_counts_of_its_own():
    later = {"metrics": {AVERAGE: 0.5}, "shares": {AVERAGE: [10, 20]}}
    other_file = {"metrics": {"accuracy": 0.5}, "rows": {"judged": 50}, "shares": {"accuracy": [25, 50]}}
    held = ALL | {"evaluations": {"strong@8/255": later, "file": other_file}}
    assert judged_rows.count_fewer(held, f"strong@8/255/{WORST}") == 20
    assert judged_rows.count_fewer(held, "file/accuracy") is None
    assert judged_rows.count_fewer(held, WORST) is None


def judged_by(individuals, of_proofs="rows"):
    metrics = {
        "unfair_area": {"_target_": "utils.metrics.unfair_area.unfair_area", "individuals": individuals},
        "mine": {"_target_": "utils.metrics.proofs.proofs", "individuals": of_proofs},
        "group": {"_target_": "utils.metrics.group.group"},
    }
    return {"evaluation": {"metrics": metrics}}


def test_individuals_of_a_causal_model_are_no_rows():
    shares = {"shares": {"uai_0.05": [1, 20], "robust_accuracy": [1, 20], "fair_certified_0.05": [1, 20]}}
    drawn = judged_by("scm")
    held = ALL | shares | {"params": drawn, "evaluations": {"again": {"metrics": {}, **shares, "settings": drawn}}}
    for key in ("uai_0.05", "again/uai_0.05", "counterfactual_flip_rate"):
        assert judged_rows.count_fewer(held, key) is None
        assert judged_rows.count_rows(held, key) == judged_rows.DRAWN
    assert [judged_rows.count_rows(held, key) for key in ("robust_accuracy", "fair_certified_0.05")] == [20, 20]
    assert judged_rows.count_rows(ALL | shares, "uai_0.05") == 20
    assert judged_rows.count_fewer(ALL | shares | {"params": judged_by("rows", "scm")}, "uai_0.05") == 20
    assert judged_rows.count_fewer(ALL | shares | {"params": judged_by("rows", "scm")}, "open_0.05") is None


def test_figures_of_rows_do_not_compare_with_those_of_drawn_individuals():
    shares = {"shares": {"uai_0.05": [1, 359]}, "metrics": {"uai_0.05": 0.1}}
    drawn, of_rows = ({**ALL, **shares, "params": judged_by(word)} for word in ("scm", "rows"))
    (said,) = judged_rows.tell_differing([drawn, of_rows | {"doc_id": 9}], ["uai_0.05"])
    assert "individuals of the causal model in record 2; of all test rows in record 9" in said
    assert judged_rows.find_fewer([drawn, of_rows], ["uai_0.05"]).which.tolist() == [True, False]
    assert judged_rows.find_fewer([drawn, drawn], ["uai_0.05"]).which.tolist() == [False, False]


def test_a_table_tells_rows_from_drawn_individuals():
    shares = {"shares": {"uai_0.05": [1, 359]}, "metrics": {"uai_0.05": 0.1}}
    drawn, of_rows = ({**ALL, **shares, "params": judged_by(word)} for word in ("scm", "rows"))
    few = {**of_rows, "shares": {"uai_0.05": [1, 20]}}
    (said,) = judged_rows.tell_drawn([drawn, of_rows], ["uai_0.05"])
    assert said.startswith(f"{ALL['dataset']}: uai_0.05: of ")
    assert "of individuals of the causal model in record 2" in said
    assert judged_rows.tell_drawn([drawn, drawn], ["uai_0.05"]) == []
    assert judged_rows.tell_drawn([few, of_rows], ["uai_0.05"]) == []  # which the cells say
    assert judged_rows.tell_drawn([drawn, {**of_rows, "dataset": "other"}], ["uai_0.05"]) == []


@pytest.mark.parametrize("params", [{"evaluation": "full"}, {"evaluation": {"metrics": ["acc"]}}])
def test_settings_of_imported_records_are_theirs(params):
    assert judged_rows.count_rows(ALL | {"imported": "f.json", "params": params}, "uai_0.05") == math.inf


def test_records_without_counts_are_taken_to_be_of_all_rows():
    bare = {key: value for key, value in ALL.items() if key not in ("shares", "rows")}
    assert judged_rows.count_fewer(bare, AVERAGE) is None


def test_a_line_names_the_records_of_other_rows():
    records = [FEW, ALL, robust(3, "trades", 359), robust(4, "llr", 359)]
    (said,) = judged_rows.tell_differing(records, [AVERAGE, WORST, "accuracy"])
    assert said.startswith(f"{AVERAGE}, {WORST}: of 10 rows in record 1; of all test rows in records 2, 3, 4.")
    assert judged_rows.tell_differing(records[1:], [AVERAGE]) == []


def test_those_of_most_rows_stay():
    found = judged_rows.find_fewer([FEW, ALL, robust(3, "llr", 30)], [AVERAGE])
    assert found.which.tolist() == [True, False, True]
    assert "2 runs whose robust_accuracy_8/255 is of 10 rows or 30 rows" in found.why[0]
    assert "records 1, 3" in found.why[0]
    assert judged_rows.find_fewer([FEW, FEW], [AVERAGE, WORST]).why == []


# --- gains -----------------------------------------------------------------------------------------------------


def gains(*records):
    runs = judged_rows.with_rows(query.frame(records), records, [AVERAGE])
    return rho.beside_base(runs, [AVERAGE], ())


def test_a_gain_is_of_figures_of_the_same_rows():
    found = gains(ALL, robust(3, "trades+dafa", 359, accuracy=0.75), robust(4, "trades+cfa", 10, accuracy=1.0))
    assert found[f"gain_{AVERAGE}"].tolist()[1:2] == [0.25]
    assert np.isnan(found[f"gain_{AVERAGE}"][2])
    assert np.isnan(found[f"base_{AVERAGE}"][2])
    assert rho.tell_other_rows(found, [AVERAGE]) == [
        f"No gain of {AVERAGE} in record 4: of 10 rows, the base's of all test rows"
    ]


def test_of_few_rows_both_a_gain_is_one():
    found = gains(FEW, robust(4, "trades+cfa", 10, accuracy=1.0))
    assert found[f"gain_{AVERAGE}"][1] == 0.5
    assert rho.tell_other_rows(found, [AVERAGE]) == []


def test_the_table_says_of_how_many_rows_and_why_a_gain_is_missing():
    records = [ALL, robust(4, "trades+cfa", 10, accuracy=1.0)]
    built = table.build(records, [AVERAGE, f"gain_{AVERAGE}"], table.read_published("dafa")[0].head(0), "")
    text = table.markdown(built)
    assert "| loan | trades+cfa | 1 | 1.000 of 10 rows | – |" in text
    assert "| loan | trades | 1 | 0.500 | – |" in text
    assert "No gain of robust_accuracy_8/255 in record 4: of 10 rows, the base's of all test rows." in text
    assert ",10\n" in table.to_csv(built)
    assert "$1.000$ of 10 rows" in table.latex(built)


def test_who_pays_is_not_told_of_other_rows():
    pair, records = [AVERAGE, WORST], [ALL, robust(4, "trades+cfa", 10, worst=0.75), robust(5, "trades+dafa", 359)]
    built = table.build(records, pair, table.read_published("dafa")[0].head(0), "")
    assert [row[1] for row in built.pays] == ["trades+dafa"]
    assert all(math.isfinite(cell.mean) for cells in built.rows.values() for cell in cells)
