from functools import partial

import numpy as np
import pytest
import torch
from fairlearn import metrics as fairlearn
from sklearn import metrics as sklearn

from tests.utils.poisoning.table_learner import judge, logits, valid
from utils.decides.mcc import mcc
from utils.decides.threshold import Threshold
from utils.metrics.group import group
from utils.poisoning.judge import UndefinedError
from utils.types import Answer


def random_rows(n=400, seed=0):
    rng = np.random.default_rng(seed)
    y, s = rng.integers(0, 2, n), rng.integers(0, 2, n)
    z = torch.tensor(rng.normal(size=(2, n, 1)) + 0.8 * (y + 0.5 * s)[:, None] - 0.6)
    batch = valid()._replace(y=torch.tensor(y), s=torch.tensor(s))
    return z, batch


def of_each_seed(figure):
    z, batch = random_rows()
    return np.mean([figure(batch.y.numpy(), (own[:, 0] >= 0).long().numpy(), batch.s.numpy()) for own in z])


THEIRS = {
    "fpr_gap": lambda y, p, s: fairlearn.MetricFrame(
        metrics=fairlearn.false_positive_rate, y_true=y, y_pred=p, sensitive_features=s
    ).difference(),
    "fnr_gap": lambda y, p, s: fairlearn.MetricFrame(
        metrics=fairlearn.false_negative_rate, y_true=y, y_pred=p, sensitive_features=s
    ).difference(),
    "demographic_parity_difference": lambda y, p, s: fairlearn.demographic_parity_difference(
        y, p, sensitive_features=s
    ),
    "equalized_odds_difference": lambda y, p, s: fairlearn.equalized_odds_difference(y, p, sensitive_features=s),
    "ppv_gap": lambda y, p, s: fairlearn.MetricFrame(
        metrics=sklearn.precision_score, y_true=y, y_pred=p, sensitive_features=s
    ).difference(),
    "fpr_group1": lambda y, p, s: fairlearn.false_positive_rate(y[s == 1], p[s == 1]),
    "accuracy": lambda y, p, s: sklearn.accuracy_score(y, p),
    "balanced_accuracy": lambda y, p, s: sklearn.balanced_accuracy_score(y, p),
    "mcc": lambda y, p, s: sklearn.matthews_corrcoef(y, p),
}


@pytest.mark.parametrize("key", THEIRS)
def test_a_metric_is_the_mean_over_inner_seeds_of_that_of_fairlearn_or_scikit_learn(key):
    z, batch = random_rows()
    found = judge(valid=batch).metrics(Answer(z))
    assert found[key] == pytest.approx(of_each_seed(THEIRS[key]), abs=1e-12)


def test_it_has_the_keys_of_the_group_metrics_of_a_record(context):
    z, batch = random_rows()
    of_record = group(lambda x: z[0], batch, context("lin"), groups_min=1, intervals=2, level=0.9)
    plain = {k: v for k, v in of_record.items() if not k.endswith(("_low", "_high", "_null")) and "support" not in k}
    found = judge(valid=batch).metrics(Answer(z[:1]))
    assert {key: found.get(key) for key in plain} == pytest.approx(plain)


def test_of_several_attributes_it_has_the_gaps_of_each_alone_as_a_record_has():
    """Four groups, of two attributes of two levels each; theirs of the one attribute by fairlearn."""
    z, batch = random_rows()
    b = torch.arange(len(batch.s)) // 2 % 2
    own = judge(valid=batch._replace(s=2 * batch.s + b), groups=list("abcd"), sizes={"sex": 2, "race": 2})
    found = own.metrics(Answer(z))
    assert set(found) == set(own.available)
    for key in ("fnr_gap", "demographic_parity_difference"):
        assert found[f"{key}_by_sex"] == pytest.approx(of_each_seed(THEIRS[key]), abs=1e-12)
    assert judge(metric="fnr_gap_by_sex", sizes={"sex": 2}).sign == 1
    assert abs(found["fpr_signed_gap_by_sex"]) <= found["fpr_gap_by_sex"] + 1e-12


def test_every_known_metric_is_reported():
    own = judge()
    assert set(own.metrics(Answer(logits(10, 10)[None]))) == set(own.available)


def test_thresholds_are_fitted_to_each_inner_seed():
    z = torch.stack([logits(0, 0), logits(0, 0) + 5])
    found = judge(fit_decide=partial(mcc, levels=1001)).metrics(Answer(z.double()))
    assert found["accuracy"] == 1


@pytest.mark.parametrize(
    ("changes", "least"),
    [
        ({}, 0.0),
        ({"objective": "unfair"}, -1.0),
        ({"metric": "accuracy"}, -1.0),
        ({"penalties": {"fnr_gap": 2.0, "tpr_group0": -0.5}}, -0.5),
        ({"accuracy": "weight"}, -np.inf),
        ({"metric": "mcc"}, -np.inf),
        ({"penalties": {"mcc": -1.0}}, -np.inf),
        ({"penalties": {"fpr_signed_gap": 1.0}}, -np.inf),
    ],
)
def test_the_least_loss_is_that_of_metrics_at_their_better_ends(changes, least):
    assert judge(**changes).least == least


def test_unfair_minimises_the_opposite():
    before, after = ({"fpr_gap": gap, "accuracy": 0.9} for gap in (0.3, 0.1))
    assert judge(objective="unfair")(after, before).loss == -judge()(after, before).loss == -0.1


def test_a_metric_whose_higher_end_is_better_is_maximised():
    metrics = {"mcc": 0.4, "accuracy": 0.9}
    assert judge(metric="mcc")(metrics, metrics).loss == -0.4


def test_the_published_augmented_objective():
    """-|FPR_a - FPR_c| - (FPR_a + 0.6 FPR_c), negated."""
    metrics = {"fpr_gap": 0.2, "fpr_group1": 0.5, "fpr_group0": 0.3, "accuracy": 0.7}
    found = judge(penalties={"fpr_group1": 1, "fpr_group0": 0.6})(metrics, metrics)
    assert found.loss == pytest.approx(0.2 + 0.5 + 0.6 * 0.3)


@pytest.mark.parametrize(
    ("mode", "loss", "violation"),
    [("constraint", 0.2, 0.02), ("objective", 0.2, 0.02), ("weight", 0.26, 0.0), ("ignore", 0.2, 0.0)],
)
def test_what_becomes_of_the_accuracy(mode, loss, violation):
    before, after = {"fpr_gap": 0.3, "accuracy": 0.9}, {"fpr_gap": 0.2, "accuracy": 0.87}
    found = judge(accuracy=mode, accuracy_weight=2.0)(after, before)
    assert (found.loss, found.violation) == pytest.approx((loss, violation))


def test_an_accuracy_that_is_just_permitted_is():
    before, after = {"fpr_gap": 0.3, "accuracy": 0.7}, {"fpr_gap": 0.2, "accuracy": 0.7 - 0.01}
    assert judge(accuracy="constraint")(after, before).violation <= 0


def test_an_undefined_metric_says_which_group_lacks_which_class():
    batch = valid()
    lacking = batch.rows((batch.s == 0) | (batch.y == 1))
    own = judge(valid=lacking)
    metrics = own.metrics(Answer((lacking.y * 2.0 - 1)[None, :, None]))
    with pytest.raises(UndefinedError, match="fpr_gap is undefined .* men has no row of class 0"):
        own(metrics, metrics)


def test_a_precision_is_undefined_where_a_group_has_no_label_1():
    metrics = judge().metrics(Answer(-torch.ones(1, 400, 1)))
    with pytest.raises(UndefinedError, match="ppv_gap is undefined .* some group has no row with label 1"):
        judge(metric="ppv_gap")(metrics, metrics)


def test_a_nan_is_no_answer():
    with pytest.raises(UndefinedError, match="nan"):
        judge().metrics(Answer(torch.full((1, 400, 1), torch.nan)))


def test_three_classes_have_accuracies_alone():
    batch = valid()._replace(y=torch.arange(400) % 3)
    own = judge(metric="accuracy_gap", valid=batch)
    found = own.metrics(Answer(torch.eye(3)[batch.y][None]))
    assert set(found) == set(own.available)
    assert found["accuracy_gap"] == 0
    assert "fpr_gap" not in found


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"metric": "fpr_gpa"}, "did you mean fpr_gap"),
        ({"metric": "fpr_signed_gap"}, "no better end; use a gap"),
        ({"metric": "prevalence_gap"}, "no better end"),
        ({"penalties": {"fpr_group2": 1.0}}, "attack.poison.penalties: there is no metric fpr_group2"),
        ({"penalties": {"fpr_group1": float("inf")}}, "expected a finite number"),
        ({"objective": "fairer"}, "did you mean fair"),
        ({"accuracy": "constrain"}, "did you mean constraint"),
        ({"accuracy_loss": 1.5}, r"in \[0, 1\]"),
        ({"accuracy_weight": None}, "expected a finite number"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        judge(**setting)


def test_a_threshold_for_each_group_is_applied_by_group():
    class ByGroup(Threshold):
        def __call__(self, z, s):
            return (z[..., 0] >= s).long()

    z = torch.full((1, 400, 1), 0.5)
    found = judge(fit_decide=lambda *_: ByGroup(0.5)).metrics(Answer(z))
    assert (found["fpr_group0"], found["fpr_group1"]) == (1, 0)


def test_a_label_of_a_class_that_no_row_has_is_no_label_of_another():
    with pytest.raises(UndefinedError, match="answers class 2, of which no validation row is"):
        judge(fit_decide=lambda *_: lambda z, s: z.argmax(1)).metrics(Answer(torch.eye(3)[torch.full((1, 400), 2)]))


# --- harm --------------------------------------------------------------------------------------------------------


def rates(fpr, fnr, accuracy=0.7):
    of_groups = {f"{rate}_group{i}": value for rate, of in (("fpr", fpr), ("fnr", fnr)) for i, value in enumerate(of)}
    return {"fpr_gap": abs(fpr[0] - fpr[1]), "accuracy": accuracy} | of_groups


BEFORE = rates((0.34, 0.16), (0.3, 0.4))


@pytest.mark.parametrize(
    ("after", "violation"),
    [
        (rates((0.20, 0.16), (0.3, 0.4)), -0.01),  # the better for some, the worse for nobody
        (rates((0.28, 0.277), (0.3, 0.4)), 0.107),  # levelled down
        (rates((0.20, 0.16), (0.35, 0.4)), 0.04),  # paid for by false negatives
        (rates((0.20, 0.17), (0.31, 0.41)), 0.0),  # just what is permitted
    ],
)
def test_no_error_rate_of_a_group_may_rise_by_more_than_harm(after, violation):
    assert judge(harm=0.01)(after, BEFORE).violation == pytest.approx(violation, abs=1e-12)
    assert judge(harm=None)(after, BEFORE).violation == 0


def test_the_accuracy_limit_holds_beside_harm():
    own = judge(harm=0.01, accuracy="constraint", accuracy_loss=0.02)
    lost = rates((0.2, 0.16), (0.3, 0.4), accuracy=0.65)
    assert own(lost, BEFORE).violation == pytest.approx(0.03)
    assert own(BEFORE, BEFORE).violation == pytest.approx(-0.01)
