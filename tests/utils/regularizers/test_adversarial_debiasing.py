"""The best adversary: scikit-learn's fit, finite differences of the solved problem, independence, a smaller gap."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import nn

from utils.losses.objective import Weighted
from utils.metrics.group import group
from utils.regularizers.adversarial_debiasing import adversarial_debiasing
from utils.regularizers.erm import erm
from utils.types import Batch


def rows(n=200, groups=2, seed=0):
    """Logits that tell of the group, classes and weights."""
    rng = np.random.default_rng(seed)
    s = rng.integers(0, groups, n)
    z = 2 * rng.normal(size=(n, 1)) + s[:, None]
    w = rng.uniform(0.5, 2, n)
    return Batch(*map(torch.tensor, (z, rng.integers(0, 2, n), s, w, np.arange(n))))


def learned(batch, rate="acceptance_rate", groups=2, steps=30, ridge=1e-7):
    ctx = type("Groups", (), {"groups": groups})
    return adversarial_debiasing(lambda x: x, batch, ctx, rate=rate, steps=steps, ridge=ridge)


def gain(batch, groups):
    """Entropy of the groups less the loss of scikit-learn's fit on logit and probability, weighted."""
    z, s, w = batch.x.numpy()[:, 0], batch.s.numpy(), batch.w.numpy()
    basis = np.stack([z, 1 / (1 + np.exp(-z))], 1)
    fitted = LogisticRegression(C=1e8, tol=1e-10, max_iter=10_000).fit(basis, s, sample_weight=w)
    share = np.bincount(s, w, groups) / w.sum()
    return -(share * np.log(share)).sum() - log_loss(s, fitted.predict_proba(basis), sample_weight=w)


@pytest.mark.parametrize("groups", [2, 3])
def test_the_adversary_is_the_fit_of_scikit_learn(groups):
    batch = rows(groups=groups)
    assert learned(batch, groups=groups).item() == pytest.approx(gain(batch, groups), abs=1e-5)


def test_for_equalized_odds_there_is_one_for_each_class():
    batch = rows()
    of_class = [gain(batch.rows(batch.y == y), 2) for y in (0, 1)]
    assert learned(batch, "equalized_odds").item() == pytest.approx(sum(of_class), abs=1e-5)


@pytest.mark.parametrize(("rate", "y"), [("fnr", 1), ("fpr", 0)])
def test_for_one_error_rate_the_rows_of_its_class_count(rate, y):
    batch = rows()
    assert learned(batch, rate).item() == pytest.approx(gain(batch.rows(batch.y == y), 2), abs=1e-5)


def test_four_steps_are_enough_where_groups_overlap():
    batch = rows()
    assert learned(batch, steps=4, ridge=1e-3).item() == pytest.approx(learned(batch, ridge=1e-3).item(), abs=1e-8)


@pytest.mark.parametrize("rate", ["acceptance_rate", "equalized_odds"])
def test_the_gradient_is_that_of_the_solved_inner_problem(rate):
    """Danskin: central differences, the adversary fitted anew at each point."""
    batch = rows(30, groups=3)

    def value(z):
        return learned(batch._replace(x=z), rate, groups=3, ridge=0.01)

    z = batch.x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(value(z), z)
    for i in range(0, 30, 5):
        step = torch.zeros_like(batch.x)
        step[i] = 1e-4
        difference = (value(batch.x + step) - value(batch.x - step)) / 2e-4
        assert slope[i].item() == pytest.approx(difference.item(), abs=1e-8)


def test_from_logits_equally_distributed_in_all_groups_nothing_is_learned():
    """The same logits in each of three groups: the optimum is to guess by the shares."""
    z = torch.linspace(-3, 3, 10, dtype=torch.float64).repeat(3).unsqueeze(1).requires_grad_()
    s = torch.arange(3).repeat_interleave(10)
    batch = Batch(z, torch.arange(30) % 2, s, torch.ones(30, dtype=torch.float64), torch.arange(30))
    found = learned(batch, groups=3)
    assert found.item() == pytest.approx(0, abs=1e-12)
    assert torch.autograd.grad(found, z)[0].abs().max() < 1e-12


def test_groups_that_the_logit_tells_apart_give_their_whole_entropy():
    s = torch.arange(40) % 2
    batch = Batch(8.0 * s.unsqueeze(1) - 4, s, s, torch.ones(40), torch.arange(40))
    assert learned(batch, ridge=1e-6).item() == pytest.approx(np.log(2), abs=1e-2)


@given(
    st.lists(st.tuples(st.floats(-60, 60), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=8),
    st.sampled_from(["acceptance_rate", "fnr", "fpr", "equalized_odds"]),
)
def test_value_and_gradient_are_finite_whatever_group_or_class_is_absent(drawn, rate):
    z, y, s = (torch.tensor(column) for column in zip(*drawn, strict=True))
    z = z.float().unsqueeze(1).requires_grad_()
    found = learned(Batch(z, y, s, torch.ones(len(y)), torch.arange(len(y))), rate, groups=4, steps=4, ridge=1e-3)
    (slope,) = torch.autograd.grad(found, z)
    assert -1e-6 <= found.item() <= 2 * np.log(4)
    assert slope.isfinite().all()


def test_a_stack_has_one_adversary_for_each_model():
    batches = [rows(seed=seed) for seed in (0, 1)]
    together = learned(Batch(*map(torch.stack, zip(*batches, strict=True))), "equalized_odds")
    assert torch.allclose(together, torch.stack([learned(batch, "equalized_odds") for batch in batches]))


def test_a_model_trained_against_it_has_a_smaller_gap(dataset, context, train_on):
    data, fresh, found = dataset("loan", 2000), dataset("loan", 2000, seed=1).train, []
    ctx = replace(context("loan"), groups=2)

    def term(predict, batch, at):
        return adversarial_debiasing(predict, batch, at, rate="acceptance_rate", steps=4, ridge=1e-3)

    for weight in (0.0, 3.0):
        torch.manual_seed(0)
        model = nn.Linear(len(data.columns), 1)
        terms = {"erm": Weighted(1.0, erm), "debiasing": Weighted(weight, term)}
        train_on(data, model, ctx, terms, nominal=0.0, epochs=6)
        figures = group(model, fresh, ctx, groups_min=10, intervals=2, level=0.95)
        found.append(figures["demographic_parity_difference"])
    assert found[1] < 0.5 * found[0]


def test_more_than_two_classes_are_refused():
    batch = rows(4)._replace(x=torch.zeros(4, 3))
    with pytest.raises(ValueError, match="adversarial_debiasing is defined for two classes, and this model has 3"):
        learned(batch)


def test_a_ridge_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"adversarial_debiasing\.ridge=0: expected a number above 0"):
        learned(rows(), ridge=0)


def test_an_adversary_that_never_moves_is_refused():
    with pytest.raises(ValueError, match=r"adversarial_debiasing\.steps=0: expected at least 1"):
        learned(rows(), steps=0)
