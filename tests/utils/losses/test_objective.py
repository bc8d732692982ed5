"""How logits meet labels, and how terms add up."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from hypothesis import strategies as st

from tests import oracles
from utils.losses.objective import (
    Weighted,
    binary_logit,
    count_classes,
    count_logits,
    cross_entropy,
    likeliest,
    log_odds_against,
    log_probabilities,
    make_objective,
    probabilities,
)
from utils.types import Batch

LOGITS = st.floats(-80, 80, width=32)
THREE = st.lists(LOGITS, min_size=3, max_size=3)


def batch(n=4, w=None):
    x = torch.arange(float(n)).unsqueeze(1)
    return Batch(x, torch.arange(n) % 2, torch.zeros(n).long(), torch.ones(n) if w is None else w, torch.arange(n))


def identity(x):
    return x


# Losses


@pytest.mark.parametrize(("classes", "logits"), [(2, 1), (3, 3), (10, 10)])
def test_two_classes_have_one_logit(classes, logits):
    assert count_logits(classes) == logits
    assert count_classes(torch.zeros(4, logits)) == classes


@given(st.lists(LOGITS, min_size=1, max_size=1) | THREE)
def test_probabilities_are_those_of_the_logarithms(logits):
    z = torch.tensor([logits])
    found = probabilities(z)
    assert found.sum(-1).tolist() == pytest.approx([1.0])
    assert torch.allclose(found, log_probabilities(z).exp(), atol=1e-6)


@given(LOGITS)
def test_the_one_logit_is_that_of_class_1(z):
    """Of two classes with logits 0 and z."""
    one, two = torch.tensor([[z]]), torch.tensor([[0.0, z]])
    assert torch.allclose(probabilities(one), two.softmax(-1), atol=1e-6)
    assert likeliest(one).item() == int(z >= 0)


@given(THREE)
def test_the_likeliest_class_has_the_largest_probability(logits):
    z = torch.tensor([logits])
    assert probabilities(z)[0, likeliest(z)].item() == probabilities(z).max().item()


@given(LOGITS, st.sampled_from([0, 1]))
def test_the_loss_of_two_classes_is_the_log_likelihood_of_the_logit(z, y):
    found = cross_entropy(torch.tensor([[z]]), torch.tensor([y]))
    assert found.item() == pytest.approx(float(oracles.bce(z, y)), rel=1e-5, abs=1e-6)


@given(THREE, st.integers(0, 2))
def test_the_loss_of_three_classes_is_pytorchs(z, y):
    logits, label = torch.tensor([z]), torch.tensor([y])
    assert torch.allclose(cross_entropy(logits, label), F.cross_entropy(logits, label), rtol=1e-5)


@given(LOGITS, st.sampled_from([0, 1]))
def test_one_logit_and_two_with_the_same_difference_lose_the_same(z, y):
    one, two = torch.tensor([[z]]), torch.tensor([[0.0, z]])
    assert torch.allclose(cross_entropy(one, torch.tensor([y])), cross_entropy(two, torch.tensor([y])), atol=1e-5)


@pytest.mark.parametrize("k", [1, 3])
def test_labels_broadcast_over_candidates(k):
    logits, y = torch.randn(5, 4, k, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 1])
    for function in (cross_entropy, log_odds_against):
        alone = torch.stack([function(candidate, y) for candidate in logits])
        assert torch.equal(function(logits, y), alone)


# What attacks ascend


@given(THREE, st.integers(0, 2))
def test_log_odds_against_are_those_of_the_softmax(z, y):
    """log((1 - p) / p), in double precision."""
    logits = torch.tensor([z], dtype=torch.float64)
    p = logits.softmax(-1)[0]
    others = p.sum() - p[y]
    if p[y] > 1e-12 and others > 1e-12:
        assert log_odds_against(logits, torch.tensor([y])).item() == pytest.approx(
            float((others / p[y]).log()), abs=1e-3
        )


@given(THREE, st.integers(0, 2))
def test_log_odds_against_order_points_as_the_cross_entropy_does(z, y):
    """The cross-entropy is softplus of them."""
    logits, label = torch.tensor([z], dtype=torch.float64), torch.tensor([y])
    assert torch.allclose(F.softplus(log_odds_against(logits, label)), cross_entropy(logits, label), atol=1e-9)


@pytest.mark.parametrize("k", [1, 3])
def test_log_odds_against_have_a_gradient_where_the_cross_entropy_saturates(k):
    logits = (torch.tensor([[60.0]]) if k == 1 else torch.tensor([[0.0, 200.0, 0.0]])).requires_grad_()
    y = torch.tensor([1])
    (vanished,) = torch.autograd.grad(cross_entropy(logits, y).sum(), logits)
    (kept,) = torch.autograd.grad(log_odds_against(logits, y).sum(), logits)
    assert vanished.abs().max() <= 1e-26
    assert kept[0, min(1, k - 1)] == -1


def test_a_method_for_two_classes_refuses_three():
    with pytest.raises(ValueError, match="llr is defined for two classes, and this model has 3"):
        binary_logit(torch.zeros(2, 3), "llr")


# The objective


def test_terms_add_up_with_their_weights_and_are_reported_bare():
    terms = {
        "first": Weighted(2.0, lambda predict, rows, ctx: rows.x[:, 0]),
        "second": Weighted(0.5, lambda predict, rows, ctx: torch.tensor(3.0)),
    }
    total, parts = make_objective(1.0, terms)(identity, batch(), None)
    loss = cross_entropy(batch().x, batch().y).mean()
    assert total.item() == pytest.approx(float(loss) + 2 * 1.5 + 0.5 * 3)
    assert {k: pytest.approx(float(v)) for k, v in parts.items()} == {"first": 1.5, "second": 3, "loss": float(loss)}


def test_a_nominal_weight_of_zero_leaves_the_loss_out():
    total, parts = make_objective(0.0, {"one": Weighted(1.0, lambda *_: torch.tensor(7.0))})(identity, batch(), None)
    assert total.item() == 7
    assert set(parts) == {"one"}


def test_a_row_of_weight_two_counts_as_two_rows():
    rows = batch(3, torch.tensor([1.0, 2.0, 1.0]))
    twice = batch(3).rows(torch.tensor([0, 1, 1, 2]))
    terms = {"x": Weighted(1.0, lambda predict, rows, ctx: rows.x[:, 0] ** 2)}
    weighted, repeated = (make_objective(1.0, terms)(identity, r, None)[0] for r in (rows, twice))
    assert weighted.item() == pytest.approx(repeated.item())


def test_a_row_of_weight_zero_does_not_count():
    rows = batch(3, torch.tensor([1.0, 0.0, 1.0]))
    without = batch(3).rows(torch.tensor([0, 2]))
    both = [make_objective(1.0, {})(identity, r, None)[0].item() for r in (rows, without)]
    assert both[0] == pytest.approx(both[1])


def test_the_total_carries_gradient_to_the_model():
    model = torch.nn.Linear(1, 1)
    total, _ = make_objective(1.0, {})(model, batch(), None)
    total.backward()
    assert model.weight.grad.abs().sum() > 0


def test_a_term_sees_the_context_it_is_given(context):
    seen = []
    ctx = replace(context("lin"), progress=0.25)
    term = Weighted(1.0, lambda predict, rows, given: seen.append(given) or rows.w)
    make_objective(1.0, {"term": term})(identity, batch(), ctx)
    assert seen == [ctx]
