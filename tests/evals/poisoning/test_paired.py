"""Before and after, paired by seed: scipy's paired t-test, and what may not be mixed."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evals.poisoning.paired import change, ends, list_paired, metric_of, select_poisoned, settings_of
from evals.records import query
from evals.records.advice import Asked
from tests.evals.poisoned_records import poisoned as run
from tests.evals.records.test_query import record

BEFORE, AFTER = [0.12, 0.10, 0.15, 0.09, 0.11], [0.10, 0.11, 0.12, 0.07, 0.10]


def runs(before, after):
    return pd.DataFrame({"before": before, "after": after}, dtype=float)


def test_the_interval_is_that_of_the_paired_t_test():
    found = change(runs(BEFORE, AFTER), "before", "after")
    expected = stats.ttest_rel(AFTER, BEFORE).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_means_and_deviations_are_those_of_the_sample():
    found = change(runs(BEFORE, AFTER), "before", "after")
    assert (found.before, found.after) == pytest.approx((np.mean(BEFORE), np.mean(AFTER)))
    assert (found.before_sd, found.after_sd) == pytest.approx((stats.tstd(BEFORE), stats.tstd(AFTER)))
    assert found.mean == pytest.approx(np.mean(AFTER) - np.mean(BEFORE))


def test_a_seed_without_one_of_the_two_does_not_count():
    found = change(runs([*BEFORE, 0.9, None], [*AFTER, None, 0.9]), "before", "after")
    assert found == change(runs(BEFORE, AFTER), "before", "after")


def test_one_seed_has_a_change_but_no_interval():
    found = change(runs([0.3], [0.1]), "before", "after")
    assert (found.n, found.mean) == (1, pytest.approx(-0.2))
    assert np.isnan([found.before_sd, found.after_sd, found.low, found.high]).all()


def test_what_no_run_has_is_no_change():
    assert change(runs([None], [0.1]), "before", "after").n == 0
    assert change(runs([0.1], [0.1]), "before", "lost").n == 0


@pytest.mark.parametrize(
    ("split", "expected"),
    [("valid", ("fpr_gap_valid_unpoisoned", "fpr_gap_valid")), ("test", ("fpr_gap_unpoisoned", "fpr_gap"))],
)
def test_both_ends_of_a_split(split, expected):
    assert ends("fpr_gap", split) == expected


def test_metrics_known_before_and_after_are_those_of_test_rows():
    table = query.frame([run(1, gap=((0.2, 0.1), (0.2, 0.2)), objective="unfair")])
    assert list_paired(query.metrics(table)) == ["accuracy", "fpr_gap"]


def test_runs_for_several_metrics_are_told_how_to_choose():
    table = query.frame([run(i, gap=((0.2, 0.1), (0.2, 0.2)), metric=m) for i, m in enumerate(("fnr_gap", "fpr_gap"))])
    with pytest.raises(ValueError, match='where="poison_metric==fnr_gap"'):
        metric_of(table, Asked("mine"))
    assert metric_of(query.where(table, "poison_metric==fpr_gap"), Asked("mine")) == "fpr_gap"


def test_runs_as_they_were_are_left_out():
    assert select_poisoned([record(1), run(2, gap=((0.2, 0.1), (0.2, 0.2)))])[0]["doc_id"] == 2
    with pytest.raises(ValueError, match="attack=bo_poison"):
        select_poisoned([record(1)])


def test_settings_are_named_by_what_differs_and_costs_are_an_evaluation():
    records = [run(i, model, gap=((0.2, 0.1), (0.2, 0.2))) for i, model in ((1, "random_forest"), (2, "mlp"))]
    forest, network = settings_of([record(3), *records], None)
    assert (forest.label, network.label) == ("random_forest", "mlp")
    assert (forest.mean("rows"), forest.seconds("learner"), forest.seconds("optimiser")) == (31, 1.0, 0.5)


def test_a_search_of_no_evaluation_costs_nothing_an_evaluation():
    (setting,) = settings_of([run(1, gap=((0.2, 0.2), (0.2, 0.2)), budget=0, steps=[[0, 0.2]])], None)
    assert np.isnan(setting.seconds("learner"))
