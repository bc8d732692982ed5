"""The gap between groups as a penalty: a table by hand, finite everywhere, and a smaller true gap."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from utils.losses.objective import Weighted
from utils.metrics.group import group
from utils.regularizers.erm import erm
from utils.regularizers.group_gap import group_gap
from utils.types import Batch

# soft labels .5, .75, .25 and .9 of the logits
LOGITS = torch.tensor([0.5, 0.75, 0.25, 0.9], dtype=torch.float64).logit().unsqueeze(1)
S, Y = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 0])


def gap(logits, y, s, rate, groups=2, temperature=1.0, w=None):
    ctx = type("Groups", (), {"groups": groups})
    n = len(y)
    batch = Batch(logits, y, s, torch.ones(n, dtype=logits.dtype) if w is None else w, torch.arange(n))
    return group_gap(lambda x: x, batch, ctx, rate=rate, temperature=temperature)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ("acceptance_rate", 0.25 * (0.625 - 0.575) ** 2),  # p_0 p_1 (r_0 - r_1)^2
        ("fnr", 0.25 * (0.75 - 0.25) ** 2),
        ("fpr", 0.25 * (0.5 - 0.9) ** 2),
        ("equalized_odds", 0.25 * (0.5**2 + 0.4**2)),
    ],
)
def test_it_is_the_variance_of_the_groups_soft_rates(rate, expected):
    assert gap(LOGITS, Y, S, rate).item() == pytest.approx(expected)


def test_of_three_groups_it_is_the_variance_of_the_three_means():
    """Acceptance .5, .75 and (.25 + .9) / 2 with shares 1/4, 1/4 and 1/2; mean .6."""
    found = gap(LOGITS, Y, torch.tensor([0, 1, 2, 2]), "acceptance_rate", groups=3)
    assert found.item() == pytest.approx(0.25 * 0.1**2 + 0.25 * 0.15**2 + 0.5 * 0.025**2)


def test_a_row_of_weight_two_counts_as_two_rows():
    w = torch.tensor([1.0, 2.0, 1.0, 1.0], dtype=torch.float64)
    twice = torch.tensor([0, 1, 1, 2, 3])
    found = gap(LOGITS, Y, S, "equalized_odds", w=w)
    assert torch.allclose(found, gap(LOGITS[twice], Y[twice], S[twice], "equalized_odds"))


def test_at_a_small_temperature_it_is_that_of_hard_labels():
    """Acceptances: 1 of 1 (the .75; .5 stays a half) and .9 of (.25, .9): (.5 + 1) / 2 and 1 / 2."""
    found = gap(LOGITS, Y, S, "acceptance_rate", temperature=1e-3)
    assert found.item() == pytest.approx(0.25 * (0.75 - 0.5) ** 2)


@given(
    st.lists(
        st.tuples(st.floats(-60, 60), st.integers(0, 1), st.integers(0, 3)),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["acceptance_rate", "fnr", "fpr", "equalized_odds"]),
)
def test_value_and_gradient_are_finite_whatever_group_or_class_is_absent(rows, rate):
    z, y, s = (torch.tensor(column) for column in zip(*rows, strict=True))
    z = z.float().unsqueeze(1).requires_grad_()
    found = gap(z, y, s, rate, groups=4)
    (slope,) = torch.autograd.grad(found, z)
    assert 0 <= found.item() <= 0.5
    assert slope.isfinite().all()


def test_a_group_without_such_rows_adds_nothing():
    """Of group 1 there are no positives: no gap, no gradient."""
    y = torch.tensor([0, 1, 0, 0])
    z = LOGITS.clone().requires_grad_()
    found = gap(z, y, S, "fnr")
    assert found.item() == 0
    assert torch.autograd.grad(found, z)[0].abs().max() == 0


def test_a_stack_has_one_gap_for_each_model():
    stacked = torch.stack([LOGITS, LOGITS.flip(0)])
    batch = Batch(stacked, Y.expand(2, -1), S.expand(2, -1), torch.ones(2, 4).double(), torch.arange(4).expand(2, -1))
    ctx = type("Groups", (), {"groups": 2})
    found = group_gap(lambda x: x, batch, ctx, rate="fnr", temperature=1.0)
    alone = [gap(logits, Y, S, "fnr") for logits in stacked]
    assert torch.allclose(found, torch.stack(alone))


@pytest.mark.parametrize("rate", ["fnr", "acceptance_rate"])
def test_the_larger_the_weight_the_smaller_the_true_gap_on_fresh_rows(dataset, context, train_on, rate):
    data, found = dataset("loan", 2000), []
    ctx = replace(context("loan"), groups=2)
    term = Weighted(1.0, lambda predict, batch, at: group_gap(predict, batch, at, rate=rate, temperature=1.0))
    for weight in (0.0, 3.0, 30.0):
        torch.manual_seed(0)
        model = nn.Linear(len(data.columns), 1)
        terms = {"erm": Weighted(1.0, erm), "gap": term._replace(weight=weight)}
        train_on(data, model, ctx, terms, nominal=0.0, epochs=6)
        figures = group(model, data.test, ctx, groups_min=10, intervals=2, level=0.95)
        found.append(figures["fnr_gap" if rate == "fnr" else "demographic_parity_difference"])
    assert found[0] > found[1] > found[2]
    assert found[2] < 0.5 * found[0]


def test_more_than_two_classes_are_refused():
    with pytest.raises(ValueError, match="group_gap is defined for two classes, and this model has 3"):
        gap(torch.zeros(4, 3), Y, S, "fnr")


def test_a_temperature_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"group_gap\.temperature=0: expected a number above 0"):
        gap(LOGITS, Y, S, "fnr", temperature=0)
