"""Linear structural equations: least squares, and of discrete nodes maximum likelihood with a linear score."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from utils.scms import discrete
from utils.scms.from_data import Node, Sampled, build_scm, nodes_of, refit, require_graph
from utils.scms.identity import Coupling, Reading, choose_reading
from utils.scms.structure import Regression
from utils.types import SCM, Dataset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RIDGE = 1e-4  # on the scores of discrete nodes, so that levels that a line separates have finite ones
STEPS = 200  # of the maximisation, at most


class Line(nn.Module):
    """Expected child (...) given its stacked parents (..., p), or q scores (..., q): linear functions."""

    def __init__(self, slope: Tensor, intercept: Tensor) -> None:
        super().__init__()
        self.linear = nn.Linear(slope.shape[1], len(slope))
        self.linear.weight.data, self.linear.bias.data = slope, intercept

    @property
    def last(self) -> nn.Linear:
        """Returns the layer whose biases shift what it gives."""
        return self.linear

    def forward(self, parents: Tensor) -> Tensor:
        """Parents (..., p) -> (...), or (..., q)."""
        return self.linear(parents).squeeze(-1)


def linear(
    dataset: Dataset,
    *,
    seed: int,
    discrete: Reading | None,
    nodes: Mapping[str, str],
    coupling: Coupling,
    draws: int,
    sampling: Literal["residuals", "published"],
    radius_unit: Literal["noise", "noise_sd"],
) -> SCM:
    """Linear equations of each non-root in its parents, fitted on the training rows.

    Ordinary least squares where noise is additive; discrete nodes are logistic regressions, ordered or multinomial
    where they have more than two levels, and counts negative binomial ones.

    Raises:
        ValueError: the data set has no causal graph.
    """
    require_graph(dataset, "linear")
    reading = choose_reading(discrete, sampling)
    found = nodes_of(dataset, reading, nodes, "additive")
    if flows := [node.name for node in found if node.kind == "flow"]:
        raise ValueError(f"scm.nodes.{flows[0]}=flow is an equation of scm=learned, not of lines; choose that one")
    build = partial(
        build_scm, reading=reading, coupling=coupling, draws=draws, sampling=sampling, radius_unit=radius_unit
    )
    fit = partial(_fit, dataset=dataset)
    with torch.no_grad():
        regressions = fit(list(map(Sampled, found)))
        scm = build(dataset, found, regressions)
    own = dict(zip(found, regressions, strict=True))
    return replace(
        scm,
        refit=partial(
            refit, dataset=dataset, reading=reading, kinds=nodes, noise="additive", fitted=own, fit=fit, build=build
        ),
    )


def _fit(sampled: Sequence[Sampled], *, dataset: Dataset) -> list[Regression]:
    names = [c.name for c in dataset.columns]
    x, found = dataset.train.x, list[Regression]()
    for node, counts in sampled:
        given = x[:, [names.index(p) for p in node.parents]].double().cpu()  # least squares has no driver elsewhere
        weights = None if counts is None else counts.double().cpu()
        if node.kind == "additive":
            f: nn.Module = _least_squares(given, x[:, list(node.columns)].double().cpu(), weights)
        else:
            f = _most_likely(node, given, node.level(x).cpu(), weights)
        found.append(f.requires_grad_(False).to(x))
    return found


def _least_squares(given: Tensor, target: Tensor, weights: Tensor | None) -> Line:
    """The line through parents (n, p) and child (n, 1), of rows with weights (n,)."""
    design = torch.cat([given, torch.ones(len(given), 1, dtype=given.dtype)], 1)
    if weights is not None:
        design, target = (of * weights.sqrt().unsqueeze(1) for of in (design, target))
    solution = torch.linalg.lstsq(design, target, driver="gelsd").solution  # rank may be short
    return Line(solution[:-1].T, solution[-1])


def _most_likely(node: Node, given: Tensor, level: Tensor, weights: Tensor | None) -> nn.Module:
    """The linear scores of a discrete node under which its levels (n,) are most likely, given parents (n, p)."""
    from scipy.optimize import minimize  # most runs need not wait for it

    line = Line(given.new_zeros(node.scores, given.shape[1]), given.new_zeros(node.scores))
    f = discrete.with_cuts(node.kind, line, level, node.levels).double()
    parameters = [p for p in f.parameters() if p.requires_grad]
    seen, columns = level.unsqueeze(1), given.unbind(-1)

    def loss(values: "NDArray[np.float64]") -> tuple[float, "NDArray[np.float64]"]:
        vector_to_parameters(torch.from_numpy(values), parameters)
        with torch.enable_grad():
            chance = discrete.chances(node.head, f, *columns).gather(1, seen)
            surprise = -chance.log() if weights is None else -chance.log() * weights.unsqueeze(1)
            value = surprise.mean() + RIDGE * torch.stack([p.square().sum() for p in parameters]).sum()
            slopes = torch.autograd.grad(value, parameters)
        return float(value), parameters_to_vector(slopes).numpy()

    start = parameters_to_vector(parameters).numpy()
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    vector_to_parameters(torch.from_numpy(found.x), parameters)
    return f
