"""Plain references: one row, one twin, one point at a time, written from the formulas. Nothing here calls utils.

Rows are lists in natural units unless a name says model space; the sensitive attribute is column 0 of every set, and
the columns are in topological order. The structural equations take Python floats or torch scalars. Source of the
equations: Karimi et al. 2020 (arXiv 2006.06831) and Ehyaei et al. 2024 (arXiv 2308.08938), appendix.
"""

import math

import numpy as np
import torch


def exp(v):
    return v.exp() if isinstance(v, torch.Tensor) else math.exp(v)


def positive(v):
    return v.clamp_min(0) if isinstance(v, torch.Tensor) else max(v, 0.0)


def sigmoid(v):
    return 1 / (1 + exp(-v))


# x_i from u_i and the columns before it
PUSH = {
    "lin": [lambda u: u, lambda u, x1: 2 * x1 + u, lambda u, x1, x2: x1 - x2 + u],
    "nlm": [lambda u: u, lambda u, x1: 2 * x1**2 + u, lambda u, x1, x2: x1 - x2**2 + u],
    "imf": [lambda u: u, lambda u, x1: u, lambda u, x1, x2: u],
    "loan": [
        lambda u: u,
        lambda u, g: u,
        lambda u, g, a: -0.5 + 1 / (1 + exp(1 - 0.5 * g - sigmoid(0.1 * a) - u)),
        lambda u, g, a, e: 1 - 0.01 * (a - 5) ** 2 + g + u,
        lambda u, g, a, e, loan: -1 + 0.1 * a + 2 * g + loan + u,
        lambda u, g, a, e, loan, d: -4 + 0.1 * (a + 35) + 2 * g + g * e + u,
        lambda u, g, a, e, loan, d, i: -4 + 1.5 * positive(i) + u,
    ],
}
# u_i from the columns up to x_i
PULL = {
    "lin": [lambda x1: x1, lambda x1, x2: x2 - 2 * x1, lambda x1, x2, x3: x3 - x1 + x2],
    "nlm": [lambda x1: x1, lambda x1, x2: x2 - 2 * x1**2, lambda x1, x2, x3: x3 - x1 + x2**2],
    "imf": [lambda x1: x1, lambda x1, x2: x2, lambda x1, x2, x3: x3],
    "loan": [
        lambda g: g,
        lambda g, a: a,
        lambda g, a, e: 1 - 0.5 * g - sigmoid(0.1 * a) - math.log(1 / (e + 0.5) - 1),
        lambda g, a, e, loan: loan - 1 + 0.01 * (a - 5) ** 2 - g,
        lambda g, a, e, loan, d: d + 1 - 0.1 * a - 2 * g - loan,
        lambda g, a, e, loan, d, i: i + 4 - 0.1 * (a + 35) - 2 * g - g * e,
        lambda g, a, e, loan, d, i, s: s + 4 - 1.5 * positive(i),
    ],
}
# x = J u of the linear sets
JACOBIAN = {"lin": np.array([[1, 0, 0], [2, 1, 0], [-1, -1, 1]], float), "imf": np.eye(3)}


def noise(name, x):
    return [pull(*x[: i + 1]) for i, pull in enumerate(PULL[name])]


def features(name, u, do=None):
    x = []
    for i, push in enumerate(PUSH[name]):
        x.append(do[i] if do and i in do else push(u[i], *x))
    return x


def twins(name, x, levels=(0.0, 1.0)):
    u = noise(name, x)
    return [features(name, u, {0: level}) for level in levels]


def mlp_logit(layers, x):
    """One row in model space through linear layers [(weight, bias), ...] with tanh between them, float64."""
    for i, (weight, bias) in enumerate(layers):
        x = weight @ (np.tanh(x) if i else x) + bias
    return x[0]


def slack(name, logit, x, radius, directions, cut, levels=(0.0, 1.0), around=None):
    """How far the decision of x is from changing at the worst of the points tried: unfair if negative.

    ``logit`` of one row in natural units; class 1 from ``cut`` on; the points are x itself, its twins, and each twin
    moved by radius * direction in the noise of the columns but the first. ``around`` limits the twins to one level.
    """
    own = logit(x) - cut
    sign = 1 if own >= 0 else -1
    u, worst = noise(name, x), sign * own
    for level in levels:
        if around is not None and level != around:
            continue
        worst = min(worst, sign * (logit(features(name, u, {0: level})) - cut))
        for direction in directions:
            moved = [u[0], *(v + radius * d for v, d in zip(u[1:], direction[1:], strict=True))]
            worst = min(worst, sign * (logit(features(name, moved, {0: level})) - cut))
    return worst


def linear_slack(name, w, b, x, radius, cut, levels=(0.0, 1.0)):
    """``slack`` over the whole ball in closed form, for the logit w.x + b on a linear set, natural units."""
    sign = 1 if np.dot(w, x) + b - cut >= 0 else -1
    reach = radius * np.linalg.norm((JACOBIAN[name].T @ w)[1:])
    return min(sign * (np.dot(w, t) + b - cut) for t in twins(name, x, levels)) - reach


def bce(z, y):
    """-log of the probability that the logit z gives to the class y."""
    z = torch.as_tensor(z, dtype=torch.float64)
    return torch.log1p(torch.exp(-z.abs())) + torch.relu(-z if y else z)


def causal_adv(name, logit, x, y, start, *, radius, steps, rel_step, mask):
    """Equation 18 of Ehyaei et al. 2024 in latent space with unit weights, one row, without the nominal loss.

    ``logit`` of a row (d,) in natural units, differentiable in the model; ``start`` (d,) as drawn from N(0, I);
    ``mask`` 1 at the columns whose gradient is penalised. The ascent is the documented one: steps of rel_step * radius
    along the normalised gradient, projected to the ball, the best point visited.
    """
    u = noise(name, x)

    def loss(d):
        moved = [u[0], *(v + d[i] for i, v in enumerate(u[1:], start=1))]
        row = features(name, moved, {0: x[0]})
        return bce(logit(torch.stack([torch.as_tensor(v, dtype=torch.float64) for v in row])), y)

    def projected(d):
        return d * min(1.0, radius / max(float(d.norm()), 1e-12))

    zero = torch.zeros(len(x), dtype=torch.float64, requires_grad=True)
    base = loss(zero)
    (slope,) = torch.autograd.grad(base, zero, create_graph=True)

    def gamma(d):
        return (loss(d) - base - (d * slope).sum()).abs()

    d = start.double().clone()
    d[0] = 0.0
    d = projected(d)
    best, value = d, -math.inf
    for step in range(steps + 1):
        at = d.clone().requires_grad_()
        found = gamma(at)
        if float(found.detach()) > value:
            best, value = d, float(found.detach())
        if step < steps:
            (g,) = torch.autograd.grad(found, at)
            g[0] = 0.0
            d = projected(d + rel_step * radius * g / max(float(g.norm()), 1e-12))
    worst_twin = max(
        (bce(logit(torch.tensor(t, dtype=torch.float64)), y) for t in twins(name, x)), key=lambda v: float(v.detach())
    )
    return gamma(best) + (slope * torch.tensor(mask, dtype=torch.float64)).square().sum() + worst_twin
