"""Databases of the face-scoring study (Carovano and Meinke) among ours; by hand."""

import pytest

from evals.keeping.face_study import rename_metrics
from evals.keeping.foreign import convert

RECORD = {
    "name": "DenseNet_plain",
    "args": {"model": "densenet", "seed": 3},
    "results": {
        "acc": 0.68,
        "MMC": 0.71,
        "Fairness": {
            "Group A": {"acc": 0.66, "fnr": 0.5, "acceptance_rate": 0.2},
            "Group B": {"acc": 0.7, "fnr": 0.3, "acceptance_rate": None},
            "Difference": {"acc": -0.04, "fnr": 0.2, "acceptance_rate": None},
        },
        "Adversarial": {"Linf_0.01": 0.4, "L2_1.0": 0.3},
    },
}


@pytest.fixture
def metrics():
    return convert(RECORD, "faces", "_default", {})["metrics"]


def test_rates_of_groups_get_the_number_of_the_group(metrics):
    assert (metrics["fnr_group0"], metrics["fnr_group1"], metrics["accuracy_group1"]) == (0.5, 0.3, 0.7)


def test_gaps_follow_from_the_rates(metrics):
    assert metrics["fnr_signed_gap"] == pytest.approx(-0.2)
    assert (metrics["fnr_gap"], metrics["accuracy_gap"]) == (pytest.approx(0.2), pytest.approx(0.04))


def test_a_gap_with_an_undefined_rate_is_undefined(metrics):
    assert metrics["demographic_parity_difference"] is None


def test_attacks_are_named_by_norm_and_radius(metrics):
    assert (metrics["robust_accuracy_linf_0.01"], metrics["robust_accuracy_l2_1.0"]) == (0.4, 0.3)


def test_the_mean_confidence_is_no_correlation(metrics):
    assert metrics["mean_max_confidence"] == 0.71
    assert "mcc" not in metrics


def test_other_metrics_stay_as_they_are():
    assert rename_metrics({"mcc": 0.3, "loss.train": 1.0}) == {"mcc": 0.3, "loss.train": 1.0}
