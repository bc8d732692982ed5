"""The effect of adding a row on a trained model, without training it (Koh & Liang 2017, arXiv 1703.04730).

The parameters theta (p,) minimise R, the mean loss of n weighted rows. A row z of small weight w moves them by
-(w / n) H^-1 grad l(z), H the Hessian of R (equation 1), and a figure m of the model, with g its gradient, by

    dm = -(w / n) g^T H^-1 grad l(z)                                        (equation 2)

For the features of z to be improved, this is differentiated by them (equation 5). One solution v = H^-1 g serves all
rows: each costs a derivative along v. Solans, Biggio and Castillo (2020, arXiv 2004.07401, equations 5 to 7) follow the
same gradient to harm fairness.

Derivatives are those of ordinary graphs, through which terms that attack the rows pass as in training; what such a
term finds is fixed.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.func import functional_call

from utils.types import Batch, Predict

Loss = Callable[[Predict, Batch], Tensor]  # mean over weighted rows, ()
TINY = 1e-30


class Trained(NamedTuple):
    """A model as a function of its parameters."""

    theta: Tensor  # (p,), as they were trained
    at: Callable[[Tensor], Predict]  # parameters (p,) -> the model with these


def trained(model: nn.Module) -> Trained:
    """All parameters of a model as one vector; its buffers stay as they are."""
    named = {name: p.detach() for name, p in model.named_parameters()}
    sizes = [p.numel() for p in named.values()]

    def at(theta: Tensor) -> Predict:
        parts = zip(named.items(), theta.split(sizes), strict=True)
        parameters = {name: part.reshape(p.shape) for (name, p), part in parts}
        return lambda x: functional_call(model, parameters, (x,))

    return Trained(torch.cat([p.reshape(-1) for p in named.values()]), at)


@torch.enable_grad()
def gradient(of: Trained, figure: Callable[[Predict], Tensor]) -> Tensor:
    """The derivative (p,) of a figure () of the model by its parameters."""
    theta = of.theta.clone().requires_grad_()
    return grad(figure(of.at(theta)), theta)[0]


@torch.enable_grad()
def hessian_product(of: Trained, loss: Loss, rows: Batch) -> Callable[[Tensor], Tensor]:
    """u (p,) -> H u (p,): the gradient of the loss, differentiated along u. The loss is evaluated once."""
    theta = of.theta.clone().requires_grad_()
    (slope,) = grad(loss(of.at(theta), rows), theta, create_graph=True)
    return lambda u: grad(slope, theta, u, retain_graph=True)[0]


def solved(product: Callable[[Tensor], Tensor], g: Tensor, *, damping: float, steps: int, tolerance: float) -> Tensor:
    """v (p,) with (H + damping I) v = g, by conjugate gradients (Hestenes & Stiefel 1952) from 0.

    Ends after ``steps`` products, once the residual is at most ``tolerance`` |g|, or where a direction has no positive
    curvature, as a network's Hessian may: with what was found before (Steihaug 1983), and with g where that is none.
    """
    v, residual = torch.zeros_like(g), g.clone()
    direction, size = residual, residual @ residual
    enough = size * tolerance**2
    for step in range(steps):
        if size <= enough:
            break
        pushed = product(direction) + damping * direction
        curvature = direction @ pushed
        if curvature <= TINY:
            return v if step else g
        length = size / curvature
        v, residual = v + length * direction, residual - length * pushed
        size, before = residual @ residual, size
        direction = residual + size / before * direction
    return v


def influences(of: Trained, v: Tensor, loss: Loss, rows: Batch, candidates: Batch) -> Tensor:
    """-(1 / n) v^T grad l(z), (c,): what a figure gains for each copy of each candidate z, all at once.

    n is the weight of the rows. The gradient of a row's loss along v is the derivative of the total loss along v by the
    weight of the row, at 0. Terms that compare rows with each other have their influence too.
    """
    return _differentiable(of, v, loss, rows, candidates, candidates.x).detach()


def slopes(of: Trained, v: Tensor, loss: Loss, rows: Batch, candidates: Batch) -> tuple[Tensor, Tensor]:
    """Derivatives (c, d) of the candidates' influences by their own features in model space, and these (c,)."""
    x = candidates.x.clone().requires_grad_()
    found = _differentiable(of, v, loss, rows, candidates, x)
    # a row of weight 0 changes the influence of no other
    (slope,) = grad(found.sum(), x, allow_unused=True, materialize_grads=True)
    return slope, found.detach()


@torch.enable_grad()
def _differentiable(of: Trained, v: Tensor, loss: Loss, rows: Batch, candidates: Batch, x: Tensor) -> Tensor:
    """The influences (c,) of the candidates, with features x (c, d)."""
    theta, w = of.theta.clone().requires_grad_(), torch.zeros_like(candidates.w, requires_grad=True)
    joined = Batch(*(torch.cat(pair) for pair in zip(rows, candidates._replace(x=x, w=w), strict=True)))
    (slope,) = grad(loss(of.at(theta), joined) * joined.w.sum(), theta, create_graph=True)
    (found,) = grad(slope @ v, w, create_graph=x.requires_grad)
    return -found / rows.w.sum()
