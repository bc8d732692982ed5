"""Weights of classes in a robust training: what the adaptations to classes share."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from utils.types import Batch, Context, Emphasis

PARTS = ("margin", "natural", "boundary")  # the rows of weights (3, C): of the radius and of the two parts of the loss


class ByClass(nn.Module):
    """The part of an ``Adaptation`` that is the same of all: weights (3, C) in force, which begin alike."""

    weights: Tensor  # (3, C)

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("weights", alike(classes))

    def adapted(self, batch: Batch, ctx: Context) -> Context:
        """Radius and emphasis of the rows times the weights of their classes."""
        return by_class(self.weights, batch, ctx)

    def class_weights(self) -> dict[str, list[float]]:
        """The weights of the classes now in force, by what they multiply."""
        return {part: of.tolist() for part, of in zip(PARTS, self.weights, strict=True)}


def require_seen(counts: Tensor, name: str) -> None:
    """Raises ValueError where no term beside the adaptation made adversarial examples known, counts (C,) of which."""
    if not counts.any():
        raise ValueError(
            f"regularizer={name} learns from the adversarial examples of another term, and none made any known; "
            f"choose one beside it, as in 'regularizer=[trades,{name}]' (or pgd_at, or mart)"
        )


def alike(classes: int) -> Tensor:
    """The weights (3, C) under which no class differs from another, in double precision."""
    return torch.ones(len(PARTS), classes, dtype=torch.float64)


def by_class(weights: Tensor, batch: Batch, ctx: Context) -> Context:
    """The context with radius and emphasis of every row times the weights (3, C) of its class.

    What the context has already is multiplied, so that adaptations compose.
    """
    before, (margin, natural, boundary) = ctx.epsilon, weights.to(batch.w)
    plain = torch.ones_like(batch.w)
    given = Emphasis(plain, plain) if ctx.emphasis is None else ctx.emphasis

    def epsilon(rows: Batch, at: Context) -> Tensor:
        return before(rows, at) * margin[rows.y]

    emphasis = Emphasis(given.natural * natural[batch.y], given.boundary * boundary[batch.y])
    return replace(ctx, epsilon=epsilon, emphasis=emphasis)


def class_sums(values: Tensor, y: Tensor, classes: int) -> Tensor:
    """Sums (C, *) of values (n, *) over the rows of each class y (n,), in double precision."""
    member = y.unsqueeze(-1) == torch.arange(classes, device=y.device)  # (n, C)
    return member.double().T @ values.double()


def warm_epochs(warmup: float, epochs: int) -> int:
    """Returns the number of epochs of a share of the training, at least the first."""
    return max(1, round(warmup * epochs))
