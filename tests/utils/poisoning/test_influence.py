"""Influence of added rows: against scikit-learn's refits, the explicit Hessian, a loop and finite differences."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.func import grad, hessian

from utils.decides.threshold import Threshold
from utils.losses.objective import cross_entropy
from utils.models.mlp import MLP
from utils.poisoning.influence import gradient, hessian_product, influences, slopes, solved, trained
from utils.poisoning.surrogate import surrogate
from utils.types import Batch

N, C = 200, 0.5  # rows; scikit-learn's inverse penalty, so that |theta|^2 / (2 C N) stands beside the mean loss
DAMPING = 1 / (C * N)


def loss(predict, batch):
    return (cross_entropy(predict(batch.x), batch.y) * batch.w).sum() / batch.w.sum()


def drawn(n, seed):
    """Rows of two groups that differ in the first feature, the label depending on both features."""
    source = torch.Generator().manual_seed(seed)
    s = (torch.rand(n, generator=source) < 0.4).long()
    x = torch.randn(n, 3, generator=source, dtype=torch.float64)
    x[:, 0] += s
    x[:, 2] = 1
    y = (torch.rand(n, generator=source) < torch.sigmoid(x[:, 0] - x[:, 1])).long()
    return Batch(x, y, s, torch.ones(n, dtype=torch.float64), torch.arange(n))


ROWS, VALID, CANDIDATES = drawn(N, 0), drawn(300, 1), drawn(40, 2)


def fitted(rows):
    """scikit-learn's logistic regression, to convergence."""
    learner = LogisticRegression(C=C, fit_intercept=False, tol=1e-12, solver="newton-cholesky", max_iter=1000)
    learner.fit(rows.x.numpy(), rows.y.numpy(), sample_weight=rows.w.numpy())
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(learner.coef_))
    return model


def figure(predict, temperature=1.0):
    """The smooth gap of the false positive rates on the validation rows."""
    weights = {"fpr_gap": 1.0}
    return surrogate(predict(VALID.x), VALID, Threshold(0.5), weights, groups=2, sizes={}, temperature=temperature)


def direction(of, rows=ROWS, damping=DAMPING):
    g = gradient(of, figure)
    return solved(hessian_product(of, loss, rows), g, damping=damping, steps=200, tolerance=1e-12)


def added(rows, candidate, weight):
    return Batch(*(torch.cat(p) for p in zip(rows, candidate._replace(w=candidate.w * weight), strict=True)))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MLP(3, 1, hidden=[5], activation="tanh").double()


def test_it_is_what_refitting_with_a_little_of_the_row_does():
    """Each candidate with weight .01 in a fit of its own: equal to one per cent of the largest, and correlated."""
    model = fitted(ROWS)
    found = influences(of := trained(model), direction(of), loss, ROWS, CANDIDATES)
    with torch.no_grad():
        refitted = [fitted(added(ROWS, CANDIDATES.rows(slice(i, i + 1)), 0.01)) for i in range(len(CANDIDATES.y))]
        exact = torch.stack([figure(m) for m in refitted]).sub(figure(model)) / 0.01
    assert np.corrcoef(found, exact)[0, 1] > 0.9999
    assert torch.allclose(found, exact, atol=0.01 * exact.abs().max().item())


def test_a_whole_row_moves_the_figure_nearly_as_far():
    model = fitted(ROWS)
    found = influences(of := trained(model), direction(of), loss, ROWS, CANDIDATES)
    with torch.no_grad():
        refitted = [fitted(added(ROWS, CANDIDATES.rows(slice(i, i + 1)), 1.0)) for i in range(len(CANDIDATES.y))]
        exact = torch.stack([figure(m) for m in refitted]).sub(figure(model))
    assert np.corrcoef(found, exact)[0, 1] > 0.99
    assert torch.allclose(found, exact, atol=0.1 * exact.abs().max().item())


def test_the_direction_solves_the_explicit_hessian():
    of = trained(model := fitted(ROWS))
    whole = hessian(lambda theta: loss(of.at(theta), ROWS))(of.theta)
    g = grad(lambda theta: figure(of.at(theta)))(of.theta)
    exact = torch.linalg.solve(whole + DAMPING * torch.eye(3, dtype=torch.float64), g)
    assert torch.allclose(direction(of), exact, rtol=1e-8)
    assert len(of.theta) == model.weight.numel()


def test_a_hessian_product_of_a_network_is_that_of_the_explicit_hessian(network):
    of = trained(network)
    whole, u = hessian(lambda theta: loss(of.at(theta), ROWS))(of.theta), torch.randn_like(of.theta)
    assert torch.allclose(hessian_product(of, loss, ROWS)(u), whole @ u, rtol=1e-8, atol=1e-12)


def test_all_candidates_at_once_are_as_one_by_one(network):
    """-(1 / n) v^T grad l(z), written out with the gradient of each row."""
    of, v = trained(network), torch.randn_like(trained(network).theta)
    found = influences(of, v, loss, ROWS, CANDIDATES)
    rows = [CANDIDATES.rows(slice(i, i + 1)) for i in range(len(CANDIDATES.y))]
    each = [-(v @ grad(lambda theta, row=row: loss(of.at(theta), row))(of.theta)) / N for row in rows]
    assert torch.allclose(found, torch.stack(each), rtol=1e-8, atol=1e-12)


def test_a_slope_is_the_finite_difference_of_the_influence(network):
    of, v, h = trained(network), torch.randn_like(trained(network).theta), 1e-6
    slope, at = slopes(of, v, loss, ROWS, CANDIDATES)
    for column in range(3):
        step = torch.zeros_like(CANDIDATES.x).index_fill_(1, torch.tensor([column]), h)
        up, down = (
            influences(of, v, loss, ROWS, CANDIDATES._replace(x=CANDIDATES.x + sign * step)) for sign in (1, -1)
        )
        assert torch.allclose(slope[:, column], (up - down) / (2 * h), rtol=1e-5, atol=1e-9)
    assert torch.allclose(at, influences(of, v, loss, ROWS, CANDIDATES))


def test_a_term_that_compares_rows_has_its_influence_too():
    """The loss is the squared mean logit, so that l_w = 2 mean (z - mean) / n: by a difference in the weight."""

    def squared_mean(predict, batch):
        return ((predict(batch.x).squeeze(-1) * batch.w).sum() / batch.w.sum()).square()

    of, v, h = trained(fitted(ROWS)), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), 1e-6
    found = influences(of, v, squared_mean, ROWS, CANDIDATES)

    def along(rows):
        return v @ grad(lambda theta: squared_mean(of.at(theta), rows) * rows.w.sum())(of.theta)

    base = along(ROWS)
    exact = [-(along(added(ROWS, CANDIDATES.rows(slice(i, i + 1)), h)) - base) / h / N for i in range(5)]
    assert torch.allclose(found[:5], torch.stack(exact), rtol=1e-4, atol=1e-8)


def test_conjugate_gradients_end_where_the_curvature_is_negative():
    bent, g = torch.diag(torch.tensor([2.0, 1.0, -5.0])), torch.tensor([1.0, 1.0, 0.01])
    v = solved(lambda u: bent @ u, g, damping=0.1, steps=50, tolerance=1e-8)
    assert v.isfinite().all()
    assert v @ g > 0
    only = torch.tensor([0.0, 0.0, 1.0])
    assert torch.equal(solved(lambda u: bent @ u, only, damping=0.1, steps=50, tolerance=1e-8), only)


def test_the_model_of_the_vector_is_the_model(network):
    of = trained(network.requires_grad_(False))
    assert len(of.theta) == sum(p.numel() for p in network.parameters())
    assert torch.equal(of.at(of.theta)(VALID.x), network(VALID.x))


def test_a_gradient_of_a_figure_is_that_of_functional_differentiation(network):
    of = trained(network)
    assert torch.allclose(gradient(of, figure), grad(lambda theta: figure(of.at(theta)))(of.theta))


def test_a_term_that_attacks_its_rows_is_followed_with_the_attacked_rows_fixed(network):
    """Loss at x' = x + .1 sign of the slope of z: as with these rows from the beginning."""

    def moved(predict, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return (x + 0.1 * torch.autograd.grad(predict(x).sum(), x)[0].sign()).detach()

    def robust(predict, batch):
        return loss(predict, batch._replace(x=moved(predict, batch.x)))

    of, v = trained(network), torch.randn_like(trained(network).theta)
    fixed = [rows._replace(x=moved(network, rows.x)) for rows in (ROWS, CANDIDATES)]
    assert torch.allclose(influences(of, v, robust, ROWS, CANDIDATES), influences(of, v, loss, *fixed))
    assert torch.allclose(hessian_product(of, robust, ROWS)(v), hessian_product(of, loss, fixed[0])(v))
