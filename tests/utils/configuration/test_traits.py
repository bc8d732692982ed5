"""Names of runs and the weight of the plain loss, from a configuration alone."""

import pytest

from tests.commands import composed
from utils.configuration.traits import nominal_weight, run_name


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "loan_mlp_erm"),
        (["model=logistic", "regularizer=llr"], "loan_logistic_llr"),
        (["regularizer=[causal_adv,adversarial]"], "loan_mlp_causal_adv+adversarial"),
        (["dataset.name=mine"], "mine_mlp_erm"),
    ],
)
def test_a_run_is_named_by_its_options(words, name):
    assert run_name(composed(*words)) == name


@pytest.mark.parametrize(
    ("words", "weight"),
    [
        (["regularizer=erm"], 0.0),  # it is the loss itself
        (["regularizer=adversarial"], 0.0),
        (["regularizer=causal_al"], 0.0),
        (["regularizer=causal_adv"], 1.0),
        (["regularizer=llr"], 1.0),
        (["regularizer=ross"], 1.0),
        (["regularizer=[llr,adversarial]"], 0.0),
        (["regularizer=adversarial", "objective.nominal=0.5"], 0.5),
        (["regularizer=llr", "objective.nominal=0"], 0.0),
    ],
)
def test_the_plain_loss_is_left_out_beside_a_term_that_has_its_own(words, weight):
    assert nominal_weight(composed(*words)) == weight


def test_a_term_of_weight_zero_does_not_replace_the_plain_loss():
    params = composed()
    term = params["regularizer"]["erm"] | {"weight": 0}
    assert nominal_weight(params | {"regularizer": {"erm": term}}) == 1.0
