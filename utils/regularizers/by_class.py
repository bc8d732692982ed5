"""Weights of classes in a robust training: what the adaptations to classes share."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from utils.types import Adaptation, Batch, Context, Dataset, Emphasis
from utils.words.quoting import write_word

NAMED = 5  # classes that an error lists
PARTS = ("margin", "natural", "boundary")  # the rows of weights (3, C): of the radius and of the two parts of the loss


class ByClass(nn.Module):
    """The part of an ``Adaptation`` that is the same of all: weights (3, C) in force, which begin alike.

    Args:
        classes: C.
        warmup: share of the epochs before other weights may be in force; at least the first epoch.
    """

    weights: Tensor  # (3, C)
    sets_margins = True

    def __init__(self, classes: int, warmup: float) -> None:
        super().__init__()
        self.classes, self.warmup = classes, warmup
        self.register_buffer("weights", alike(classes))

    @property
    def name(self) -> str:
        """The name of the option, which is that of its file."""
        return type(self).__module__.rpartition(".")[2]

    def acts_from(self, epochs: int) -> int:
        """The first epoch after the warm-up."""
        return warm_epochs(self.warmup, epochs)

    def adapted(self, batch: Batch, ctx: Context) -> Context:
        """Radius and emphasis of the rows times the weights of their classes."""
        return by_class(self.weights, batch, ctx)

    def class_weights(self) -> dict[str, list[float]]:
        """The weights of the classes now in force, by what they multiply."""
        return {part: of.tolist() for part, of in zip(PARTS, self.weights, strict=True)}

    def remarks(self, classes: Sequence[str]) -> list[str]:  # noqa: ARG002
        """Says so where no class was treated other than another, since the training is then that of the other term."""
        if not torch.equal(self.weights, alike(self.classes).to(self.weights)):
            return []
        return [
            f"regularizer={self.name} did not act: every class had the weight 1 in the epoch that was kept, so this is "
            "the term beside it alone"
        ]


def require_seen(counts: Tensor, name: str) -> None:
    """Raises ValueError where no term beside the adaptation made adversarial examples known, counts (C,) of which."""
    if not counts.any():
        raise ValueError(
            f"regularizer={name} learns from the adversarial examples of another term, and none made any known; "
            f"choose one beside it, as in 'regularizer=[trades,{name}]' (or pgd_at, or mart)"
        )


def require_valid(valid: Batch, name: str) -> None:
    """Raises ValueError where there are no validation rows, by which the adaptation measures the classes."""
    if not len(valid.y):
        raise ValueError(
            f"regularizer={name} measures the classes on the validation split, and it is empty; "
            "give it rows with dataset.valid or dataset.split"
        )


def require_robust_terms(nodes: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses adaptations that have nothing to adapt, ``nodes`` the settings of terms and adaptations by name.

    Raises:
        ValueError: there is no other term, all others have a weight of 0, or the plain loss is the only other.
    """
    adapting = [name for name, node in nodes.items() if node.get("adapts")]
    others = {name: node["weight"] for name, node in nodes.items() if name not in adapting and name != "erm"}
    if not adapting or any(others.values()):
        return
    weightless = f", and {' and '.join(others)} beside it has a weight of 0" if others else ""
    raise ValueError(
        f"regularizer={adapting[0]} adapts a robust loss to the classes and is not one itself{weightless}: "
        f"{write_word('regularizer', ['trades', adapting[0]])}"
    )


def require_acting(named: Mapping[str, Adaptation], epochs: int) -> None:
    """Refuses adaptations, by name, that would not act in a training of so many epochs, or not as each is meant to.

    Raises:
        ValueError: no epoch is left for the weights of one, or two set the radius.
    """
    for name, adaptation in named.items():
        if (begins := adaptation.acts_from(epochs)) >= epochs:
            lower = f" or lower regularizer.{name}.warmup" * bool(getattr(adaptation, "warmup", 0))
            raise ValueError(
                f"regularizer={name} would not act: its weights are known after epoch {begins}, and trainer.epochs="
                f"{epochs} leaves none in which they would be used; raise trainer.epochs{lower}"
            )
    margins = [name for name, adaptation in named.items() if adaptation.sets_margins]
    if len(margins) > 1:
        raise ValueError(
            f"regularizer={margins[0]} and {margins[1]} both set the radius of every class; choose one of them"
        )


def require_classes(named: Mapping[str, Adaptation], dataset: Dataset) -> None:
    """Raises ValueError where the split that an adaptation, by name, learns from has rows, and none of some class."""
    for name, adaptation in named.items():
        _require_classes(dataset, "train" if adaptation.listens else "valid", name)


def _require_classes(dataset: Dataset, split: str, name: str) -> None:
    y = getattr(dataset, split).y
    absent = (y.bincount(minlength=dataset.classes) == 0).nonzero().flatten().tolist() if len(y) else []
    if absent:
        called, remedy = {
            "train": ("training", "dataset.rows"),
            "valid": ("validation", "dataset.valid or dataset.split"),
        }[split]
        named = ", ".join(dataset.class_names[c] if dataset.class_names else str(c) for c in absent[:NAMED])
        more = f" and {len(absent) - NAMED} more" * (len(absent) > NAMED)
        raise ValueError(
            f"regularizer={name} learns how hard each class is from the {called} rows, which have none of class "
            f"{named}{more}; give them more rows by {remedy}"
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
