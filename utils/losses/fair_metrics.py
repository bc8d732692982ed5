"""Fair metrics: how far two people are apart in what should matter (Dwork et al. 2012, arXiv 1104.3913)."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from utils.scms.counterfactual import twins
from utils.threats import Ball, FeatureThreat, Reach, Threat, causal
from utils.types import SCM, Context, Dataset

NEGLIGIBLE = 1e-8  # of the largest singular value; smaller ones are rounding
ITERATIONS = 1000  # of scikit-learn's solvers, which need some tens


class FairMetric(Protocol):
    """A squared distance of a perturbation delta (c, n, d) that some of its directions do not add to."""

    def threat(self, ctx: Context) -> Threat:
        """Returns how perturbations move rows, and the candidates (c, n, d) that a search begins with."""
        ...

    def priced(self, delta: Tensor) -> Tensor:
        """The part of delta whose squared length is the distance; the rest is free."""
        ...

    @property
    def free_moves(self) -> "FreeMoves | None":
        """Returns the long moves along the free directions; None where the candidates are all of them."""
        ...


@dataclass(frozen=True)
class Twins:
    """The causal fair metric: free moves between twins, and the length in the latent coordinates from there.

    delta is in the exogenous noise of the continuous, non-sensitive columns, in the SCM's radius unit.
    """

    free_moves: None = None

    def threat(self, ctx: Context) -> Threat:
        """The causal perturbation set around every twin."""
        return causal(ctx, norm="l2", twins=True)

    def priced(self, delta: Tensor) -> Tensor:
        """All of delta."""
        return delta


class Subspace(nn.Module):
    """delta (I - P) delta in model space, P the orthogonal projection onto the sensitive directions.

    Every column moves as a number, those of 0 and 1 too, as published (Yurochkin et al. 2020, arXiv 1907.00020).

    Args:
        directions: (r, d), may depend on each other.
        rows: (n, d), model space; their range bounds long moves along the directions.
    """

    basis: Tensor  # (d, K), orthonormal columns, and zeros for directions that depend on others
    least: Tensor  # (K,), of the rows along the basis
    width: Tensor  # (K,)

    def __init__(self, directions: NDArray[Any], rows: NDArray[Any]) -> None:
        super().__init__()
        basis = _orthonormal(directions)
        along = rows @ basis
        for name, value in (("basis", basis), ("least", along.min(0)), ("width", np.ptp(along, axis=0))):
            self.register_buffer(name, torch.from_numpy(value).to(torch.get_default_dtype()))

    def threat(self, ctx: Context) -> Threat:
        """All of model space."""
        return FeatureThreat(Ball("l2"), torch.ones_like(ctx.scm.loc))

    def priced(self, delta: Tensor) -> Tensor:
        """(I - P) delta."""
        basis = self.basis.to(delta)
        return delta - (delta @ basis) @ basis.mT

    @property
    def free_moves(self) -> "FreeMoves":
        """Returns the moves along the basis, within the range of the rows."""
        return FreeMoves(self.basis, self.least, self.width)


@dataclass(frozen=True)
class FreeMoves:
    """Moves u (c, n, K) along free directions, each in units of the training rows' range along it, and within it."""

    basis: Tensor  # (d, K)
    least: Tensor  # (K,)
    width: Tensor  # (K,)

    @property
    def ball(self) -> Ball:
        """Each direction by itself."""
        return Ball("linf")

    @property
    def mask(self) -> Tensor:
        """1 at the directions of some range, (K,), of a stack (m, 1, K)."""
        return (self.width > 0).to(self.width).unsqueeze(-2)

    def zero(self, x: Tensor) -> Tensor:
        """(1, n, K) zeros."""
        return x.new_zeros(1, *x.shape[:-1], self.basis.shape[-1])

    def ends(self, x: Tensor) -> Tensor:
        """The row where it is, and moved to either end of each direction, (1 + 2 K, n, K)."""
        zero = self.zero(x)
        axes = torch.eye(zero.shape[-1]).to(x).reshape(-1, *(1,) * (x.ndim - 1), zero.shape[-1])
        return torch.cat([zero, self.legal(x, -axes.expand(-1, *zero.shape[1:])), self.legal(x, axes + zero)])

    def lift(self, u: Tensor) -> Tensor:
        """The perturbation (c, n, d) that a move is."""
        return (u * self.width.to(u).unsqueeze(-2)) @ self.basis.to(u).mT

    def at(self, x: Tensor) -> Reach:
        """Plain addition."""
        return lambda u: x + self.lift(u)

    def legal(self, x: Tensor, delta: Tensor) -> Tensor:
        """Cuts moves where the range of the training rows ends; a row beyond it does not move further."""
        width = torch.where(self.width > 0, self.width, 1).to(x).unsqueeze(-2)
        place = (x @ self.basis.to(x) - self.least.to(x).unsqueeze(-2)) / width  # in [0, 1]
        return torch.minimum(torch.maximum(delta, (-place).clamp_max(0)), (1 - place).clamp_min(0)) * self.mask


def causal_twins(dataset: Dataset, scm: SCM) -> Twins:
    """The causal fair metric, which has nothing to fit beside the SCM."""
    return Twins()


def sensitive_subspace(
    dataset: Dataset,
    scm: SCM,
    *,
    directions: Literal["attribute", "twins"],
    C: float,
    components: int,
) -> Subspace:
    """The metric that ignores some directions, found on the training rows before any ``prepare``, in model space.

    ``directions`` "attribute" are the sensitive columns and the coefficients of a logistic regression of each
    sensitive attribute on the other columns: of two levels with an L1 penalty, of more by softmax with an L2 penalty
    (Yurochkin et al. 2020, arXiv 1907.00020, appendix B.1; inFairness' LogisticRegSensitiveSubspace with
    ``protected_idxs``). "twins" are the first right singular vectors of the twins of every row less their mean
    (appendix B.2; inFairness' SVDSensitiveSubspaceDistance, the twins of a row being comparable).

    Args:
        dataset: gives rows and columns.
        scm: gives the twins; of noise that is drawn, the middle.
        directions: "attribute" or "twins".
        C: of "attribute", how much a row counts against the penalty, > 0; inFairness has 1.
        components: of "twins", directions, from 1 to the number of columns.

    Raises:
        ValueError: no column is sensitive, or a setting is out of range.
    """
    if not dataset.sensitive:
        raise ValueError("the metric ignores what tells of a sensitive attribute, and no column is one; name one")
    if not C > 0:
        raise ValueError(f"metric.C={C}: expected a number above 0")
    x = dataset.train.x
    if not 1 <= components <= x.shape[-1]:
        raise ValueError(f"metric.components={components}: expected a whole number in [1, {x.shape[-1]}], the columns")
    rows = x.double().cpu().numpy()
    if directions == "twins":
        return Subspace(_between_twins(scm, x)[:components], rows)
    return Subspace(_towards_attributes(rows, dataset, C), rows)


def _between_twins(scm: SCM, x: Tensor) -> NDArray[Any]:
    """The directions (d, d) in which the twins of rows (n, d) differ, the one of most difference first."""
    alike = twins(scm, x).double()
    apart = (alike - alike.mean(0)).flatten(0, 1).cpu().numpy()
    return np.linalg.eigh(apart.T @ apart)[1].T[::-1]


def _towards_attributes(rows: NDArray[Any], dataset: Dataset, C: float) -> NDArray[Any]:
    """The sensitive columns, and the coefficients of what tells of them among the others, (r, d)."""
    others = [i for i in range(rows.shape[1]) if i not in dataset.sensitive]
    directions = [np.eye(rows.shape[1])[list(dataset.sensitive)]]
    for columns in _attributes(dataset):
        level = _levels(rows[:, columns])
        if others and level.any():  # at least two
            coefficients = _coefficients(rows[:, others], level, C)
            directions.append(np.zeros((len(coefficients), rows.shape[1])))
            directions[-1][:, others] = coefficients
    return np.concatenate(directions)


def _attributes(dataset: Dataset) -> list[list[int]]:
    """The columns of each sensitive attribute: one, or its indicators."""

    def attribute(i: int) -> str:
        return dataset.columns[i].attribute or dataset.columns[i].name

    return [list(columns) for _, columns in groupby(sorted(dataset.sensitive, key=attribute), attribute)]


def _levels(attribute: NDArray[Any]) -> NDArray[np.int64]:
    """The number (n,) of the level that each row has of an attribute, one column or several indicators (n, k)."""
    return np.unique(attribute, axis=0, return_inverse=True)[1].reshape(-1)


def _coefficients(x: NDArray[Any], level: NDArray[np.int64], C: float) -> NDArray[Any]:
    """The coefficients (1, d), of more than two levels (L, d), of a regression of the level on the columns (n, d)."""
    from sklearn.linear_model import LogisticRegression  # which takes a second, and other runs need none of it

    if level.max() > 1:
        fitted = LogisticRegression(C=C, max_iter=ITERATIONS)
    else:
        lasso = {"l1_ratio": 1.0, "solver": "liblinear", "tol": 1e-6}
        fitted = LogisticRegression(C=C, max_iter=ITERATIONS, random_state=0, **lasso)
    coefficients: NDArray[Any] = fitted.fit(x, level).coef_
    return coefficients


def _orthonormal(directions: NDArray[Any]) -> NDArray[Any]:
    """Columns (d, K) that span the rows of directions (r, d), K = min(r, d); zeros where there are fewer."""
    _, size, basis = np.linalg.svd(directions, full_matrices=False)
    kept = size > NEGLIGIBLE * size.max(initial=0.0)
    return np.ascontiguousarray((basis * kept[:, None]).T)
