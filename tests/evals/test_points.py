"""Operating points as records, against the metrics of runs that decide so."""

from dataclasses import replace

import pytest

from evals.operating_points import operating_points
from evals.points import with_points
from tests.evals.test_query import record
from tests.utils.decides.rows import scored
from utils.decides.group_thresholds import GroupThresholds
from utils.metrics.group import group


def test_true_positive_rates_and_their_gaps_are_those_of_a_run(context):
    """Of rates in the tests' own form, which the record leaves out as false negative rates say them."""
    judging = {"groups_min": 10, "intervals": 50, "level": 0.95}
    z, batch = scored(1100, seed=2)
    found = operating_points(
        scored(900, seed=1), (z, batch), ("a", "b"), rates=["fnr"], permitted=[0.05], **judging, seed=0
    )
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
