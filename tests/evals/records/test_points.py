"""Operating points as records, against the metrics of runs that decide so."""

from dataclasses import replace

import pytest

from evals.records.points import describe_fits, describe_limit, fits, with_points
from tests.commands import command
from tests.evals.records.test_query import record, write
from tests.utils.decides.rows import scored
from utils.decides.group_thresholds import GroupThresholds
from utils.metrics.group import group
from utils.runs.operating_points import fit_points, judge_points


def test_true_positive_rates_and_their_gaps_are_those_of_a_run(context):
    """Of rates in the tests' own form, which the record leaves out as false negative rates say them."""
    judging = {"groups_min": 10, "intervals": 50, "level": 0.95}
    z, batch = scored(1100, seed=2)
    fitted = fit_points(*scored(900, seed=1), ("a", "b"), rates=["fnr"], permitted=[0.05], groups_min=10)
    [found] = judge_points([fitted], [(z, batch)], 2, sizes={}, seeds=[0], **judging)
    _, point, _ = with_points([record(1, operating_points=found)])
    ctx = replace(context("loan"), decide=GroupThresholds(found["logits"][0]), groups=2)
    expected = group(lambda x: x, batch._replace(x=z), ctx, **judging)
    for key in ("tpr_group0", "tpr_group1", "tpr_gap", "tpr_signed_gap"):
        assert point["metrics"][key] == pytest.approx(expected[key], abs=1e-12), key
    low, value, high = (point["metrics"][f"tpr_signed_gap{end}"] for end in ("_low", "", "_high"))
    assert low <= value <= high


def test_a_rate_that_is_undefined_stays_so():
    metrics = {"fnr_gap": [None], "fnr_group0": [None], "fnr_signed_gap_low": [None]}
    made = record(1, operating_points={"rates": ["fnr"], "permitted": [None], "logits": [[0, 0]], "metrics": metrics})
    _, point = with_points([made])
    wanted = ("tpr_gap", "tpr_group0", "tpr_signed_gap_high")
    assert {key: point["metrics"][key] for key in wanted} == dict.fromkeys(wanted)


# --- what thresholds were fitted to ------------------------------------------------------------------------------


def fitted_record(test, low, high, *, fitted=0.038, permitted=0.05):
    """A record with one operating point whose gap on the test rows and its interval are given."""
    metrics = {"accuracy": [0.7], "fnr_gap": [test], "fnr_gap_low": [low], "fnr_gap_high": [high]}
    held = {"rates": ["fnr"], "permitted": [permitted], "logits": [[0, 0]], "metrics": metrics, "fit_on": "valid"}
    return record(1, operating_points=held | ({} if fitted is None else {"fitted": {"gap": [fitted]}}))


THERE = "fitted to fnr_gap<=0.05 (0.038 on those rows); test"


@pytest.mark.parametrize(
    ("made", "words", "crossed"),
    [
        ((0.082, 0.04, 0.13), f"{THERE} 0.082 [0.040, 0.130], which exceeds 0.05", True),
        ((0.03, 0.0, 0.07), f"{THERE} 0.030 [0.000, 0.070], whose interval crosses 0.05", True),
        ((0.03, 0.0, 0.05), f"{THERE} 0.030 [0.000, 0.050]", False),
        ((None, None, None), f"{THERE} undefined", False),
    ],
)
def test_a_point_is_named_by_what_it_was_fitted_to_beside_its_test_gap(made, words, crossed):
    _, point = with_points([fitted_record(*made)])
    assert describe_fits(point) == [words]
    assert fits(point)[0].crossed is crossed


def test_an_older_record_does_not_say_what_it_did_not_file():
    _, point = with_points([fitted_record(0.03, 0.0, 0.04, fitted=None)])
    assert describe_fits(point) == ["fitted to fnr_gap<=0.05; test 0.030 [0.000, 0.040]"]


def test_without_a_limit_nothing_was_promised():
    _, point = with_points([fitted_record(0.3, 0.2, 0.4, permitted=None)])
    assert (describe_fits(point), describe_limit(point["policy"])) == ([], "fitted without a limit on fnr_gap")


def test_the_thresholds_of_a_run_of_its_own_are_said_to_be_fitted_too():
    """Equalized odds and acceptance rates have gaps of other names."""
    metrics = {"equalized_odds_difference": 0.2, "demographic_parity_difference": 0.01}
    made = record(1, metrics=metrics, fitted={"gap": 0.02, "confidence": 0.9})
    decide = {"_target_": "utils.decides.group_exact.group_exact", "rate": "equalized_odds", "permitted": 0.05}
    made["params"]["decide"] = decide
    words = "fitted to equalized_odds_difference<=0.05 with a confidence of 0.9 (0.020 on those rows); test 0.2000"
    assert describe_fits(made) == [f"{words}, which exceeds 0.05"]
    made["params"]["decide"] = decide | {"rate": "acceptance_rate"}
    assert [(fit.key, fit.crossed) for fit in fits(made)] == [("demographic_parity_difference", False)]
    made["params"]["decide"] = {"_target_": "utils.decides.fixed.fixed", "probability": 0.5}
    assert fits(made) == []


def test_select_card_and_plot_say_what_was_fitted_and_that_the_test_rows_cross_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.chdir(tmp_path)
    made = fitted_record(0.03, 0.0, 0.07) | {"metrics": {"accuracy": 0.6, "fnr_gap": 0.4}}
    write(tmp_path, "loan", [made])
    words = f"{THERE} 0.030 [0.000, 0.070], whose interval crosses 0.05"
    found = command("evals.select", "dataset=loan", "where=fnr_gap<=0.05", "maximize=accuracy", "card=card.md")
    assert words in found.out
    card = (tmp_path / "card.md").read_text()
    limit = "fitted to fnr_gap<=0.05 on other rows; on test rows its interval exceeds that."
    assert f"- The thresholds were {limit}" in card  # among the known limits
    assert "0.030 [0.000, 0.070] | meets fnr_gap<=0.05, but its interval crosses that |" in card
    assert "| 0.038 | as above | as above | yes |" in card  # where fitted, accuracy, test, beyond
    plane = ("evals.plot", "dataset=loan", "x=error", "y=fnr_gap", "points=true")
    plot = command(*plane, "kind=excluded", "limit=fnr_gap<=0.05")
    assert words in plot.out
    assert "of 1 policy fitted to a limit on a gap 1 reach beyond it on test rows" in plot.out
