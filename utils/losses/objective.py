"""The loss of a model: nominal loss plus weighted terms. The one place that knows how logits meet labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from utils.system.elementwise import log_sigmoid
from utils.types import Adaptation, Batch, Context, Predict, Scalar, Term

Objective = Callable[[Predict, Batch, Context], tuple[Tensor, dict[str, Tensor]]]


class Weighted(NamedTuple):
    """A term and its weight in the objective, (m,) of a stack."""

    weight: Scalar
    term: Term


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Negative log-likelihood (...) of logits (..., k); y (...) broadcasts from the right. k = 1 is two classes."""
    return surprise_at(y)(logits)


def surprise_at(y: Tensor) -> Callable[[Tensor], Tensor]:
    """Returns the cross-entropy (...) of logits (..., k) with labels y (...), as a function to be asked many times.

    Of two classes it is -log sigmoid((2y - 1) z), whose bits and those of its gradients do not depend on the number of
    rows and models.
    """
    towards = 2.0 * y - 1.0

    def surprise(logits: Tensor) -> Tensor:
        if logits.shape[-1] == 1:
            return -log_sigmoid(logits.squeeze(-1) * towards.to(logits.dtype))
        classes = y.expand(logits.shape[:-1]).unsqueeze(-1)
        return -logits.log_softmax(-1).gather(-1, classes).squeeze(-1)

    return surprise


def log_odds_against(logits: Tensor, y: Tensor) -> Tensor:
    """log((1 - p_y) / p_y), (...), of logits (..., k) and labels y (...): what attacks ascend.

    It grows with the cross-entropy, -log p_y, and so has the same maxima and the same normalised gradient, but its
    gradient does not vanish in floating point where the model is sure. For two classes it is (1 - 2y) z.
    """
    y = y.expand(logits.shape[:-1])
    if logits.shape[-1] == 1:
        return torch.where(y > 0, -logits.squeeze(-1), logits.squeeze(-1))
    chosen = y.unsqueeze(-1)
    others = logits.scatter(-1, chosen, -torch.inf).logsumexp(-1)
    return others - logits.gather(-1, chosen).squeeze(-1)


def count_logits(classes: int) -> int:
    """Returns how many logits a model of so many classes gives: 1 of two, that of class 1."""
    return 1 if classes == 2 else classes


def count_classes(logits: Tensor | NDArray[Any]) -> int:
    """Returns how many classes logits (..., k) tell apart."""
    return 2 if logits.shape[-1] == 1 else logits.shape[-1]


def likeliest(logits: Tensor) -> Tensor:
    """Returns the label (...) of largest probability, of logits (..., k); class 1 of two that are equal."""
    return (logits.squeeze(-1) >= 0).long() if logits.shape[-1] == 1 else logits.argmax(-1)


def probabilities(logits: Tensor) -> Tensor:
    """Returns the probability of every class, (..., 2) for logits (..., 1), else (..., k)."""
    if logits.shape[-1] == 1:
        return torch.cat([(-logits).sigmoid(), logits.sigmoid()], -1)
    return logits.softmax(-1)


def log_probabilities(logits: Tensor) -> Tensor:
    """Returns the log-probability of every class, (..., 2) for logits (..., 1), else (..., k)."""
    if logits.shape[-1] == 1:
        return F.logsigmoid(torch.cat([-logits, logits], -1))
    return logits.log_softmax(-1)


def divergence(from_logits: Tensor, to_logits: Tensor) -> Tensor:
    """Kullback and Leibler's divergence (...) of the answers p from q: sum of p (log p - log q); logits (..., k)."""
    log_p, log_q = log_probabilities(from_logits), log_probabilities(to_logits)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def binary_logit(logits: Tensor, method: str) -> Tensor:
    """The logit (...) of class 1 of a two-class model (..., 1).

    Raises:
        ValueError: the model has more classes.
    """
    if logits.shape[-1] != 1:
        raise ValueError(f"{method} is defined for two classes, and this model has {logits.shape[-1]}")
    return logits.squeeze(-1)


def is_zero(weight: Scalar) -> bool:
    """Returns whether what a weight multiplies can be left out; weights that differ in a stack are all other than 0."""
    return not isinstance(weight, Tensor) and weight == 0


def find_states(terms: Mapping[str, Weighted]) -> list[nn.Module]:
    """Returns the settings of the terms that have a state, in their buffers, which a checkpoint keeps."""
    settings = [value for of in terms.values() for value in getattr(of.term, "keywords", {}).values()]
    return [value for value in settings if isinstance(value, nn.Module)]


def make_objective(nominal: Scalar, terms: Mapping[str, Weighted], adaptations: Sequence[Adaptation] = ()) -> Objective:
    """Total = nominal * loss + sum of weight * term, rows weighted by ``batch.w``; also each part by name.

    The total is a scalar, or (m,) of a stack. Adaptations set radius and emphasis of the rows for the terms and hear
    the logits that these observe.
    """

    def objective(predict: Predict, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        for adaptation in adaptations:
            ctx = _adapt(adaptation, batch, ctx)
        parts = {name: _mean(t.term(predict, batch, ctx), batch.w) for name, t in terms.items()}
        total = sum((t.weight * parts[name] for name, t in terms.items()), start=torch.zeros(()).to(batch.x))
        if not is_zero(nominal):
            parts["loss"] = _mean(cross_entropy(predict(batch.x), batch.y), batch.w)
            total = total + nominal * parts["loss"]
        return total, parts

    return objective


def _adapt(adaptation: Adaptation, batch: Batch, ctx: Context) -> Context:
    """The context for the terms under one more adaptation."""
    before = ctx.observe

    def observe(logits: Tensor, rows: Batch) -> None:
        before(logits, rows)
        adaptation.observed(logits, rows, ctx)

    return replace(adaptation.adapted(batch, ctx), observe=observe)


def emphasise(natural: Tensor | None, boundary: Tensor | None, ctx: Context) -> Tensor:
    """The sum (n,) of the two parts of a robust loss, each times its emphasis; a part that is None is left out."""
    weights: Sequence[Scalar] = (1.0, 1.0) if ctx.emphasis is None else ctx.emphasis
    parts = [weight * part for weight, part in zip(weights, (natural, boundary), strict=True) if part is not None]
    return torch.stack(parts).sum(0)


def _mean(value: Tensor, w: Tensor) -> Tensor:
    """Weighted mean over the rows of a loss (..., n); a loss without rows as it is."""
    return value if value.ndim < w.ndim else (value * w).sum(-1) / w.sum(-1)
