import pytest

from utils.scms.facts import HEAD, dependent, describe_support, names_of, row_of, share_explained

FACTS = {
    "scm_r2_income": 0.25,
    "scm_r2_of_reference_income": 0.5,
    "scm_dependence_p_income": 0.004,
    "scm_log_loss_job": 0.6,
    "scm_log_loss_of_shares_job": 0.8,
    "scm_log_loss_of_reference_job": 0.4,
    "scm_dependence_p_job": 0.006,
    "scm_twins_off_support": 0.031,
}


def test_what_is_explained_is_a_share_of_variance_or_of_log_loss():
    assert [share_explained(FACTS, name) for name in ("income", "job", "age")] == [0.25, pytest.approx(0.25), None]
    assert [share_explained(FACTS, name, reference=True) for name in ("income", "job")] == [0.5, 0.5]


def test_dependence_is_judged_after_holm():
    """Of two the smaller p has to be below .005, then the other below .01; where the first is not, none is."""
    assert dependent(["income", "job"], FACTS) == ["income", "job"]
    assert dependent(["income", "job"], FACTS | {"scm_dependence_p_income": 0.0055}) == []
    assert dependent(["job"], FACTS) == ["job"]


def test_an_equation_is_a_row():
    assert names_of(FACTS) == ["income", "job"]
    assert dict(zip(HEAD, row_of(FACTS, "job"), strict=True)) == {
        "measure": "log-loss",
        "none": "0.800",
        "this": "0.600",
        "trees": "0.400",
        "p": "0.006",
    }
    assert row_of({"scm_r2_x": -0.5}, "x") == ["R2", "0.000", "-0.500", "-", "-"]


def test_twins_off_support_are_a_sentence():
    assert "3.1%" in describe_support(FACTS)
    assert describe_support({}) == ""
