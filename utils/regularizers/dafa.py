"""DAFA: distance-aware fair adversarial training (Lee et al. 2024, ICLR, arXiv 2401.12532)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from utils.losses.objective import log_probabilities
from utils.regularizers.by_class import ByClass, class_sums, require_seen
from utils.system.processes import sum_over_processes
from utils.types import Batch, Context, Predict


class Dafa(ByClass):
    """Gives hard classes more margin and weight, and takes it from the easy ones that they are mistaken for.

    In the last epoch of the warm-up it gathers P[i, j], the mean probability of class j over the training adversarial
    examples of class i, as the training sees them (batch statistics, weights of the moment). From then on a row of
    class y has w_y times its radius, so also times the steps of its inner attack, and w_y times its natural loss; the
    divergence of TRADES is untouched but for the radius. See ``class_weights`` for w, which is computed once.

    Args:
        classes: C.
        warmup: share of the epochs before weights are used, in (0, 1); at least the first epoch.
        strength: lambda of the paper, >= 0.
        floor: least weight of a class, in (0, 1]; what lies below is raised to it, which the others do not pay for, so
            that the sum then exceeds C.

    Raises:
        ValueError: a setting out of range; after the warm-up, that no term made adversarial examples known.
    """

    sums: Tensor  # (C, C), row i: probabilities summed over the rows of class i
    counts: Tensor  # (C,), rows
    unfloored: Tensor  # (C,), the weights without a floor
    listens = True

    def __init__(self, *, classes: int, warmup: float, strength: float, floor: float):
        super().__init__(classes, warmup)
        if not 0 < warmup < 1:
            raise ValueError(f"regularizer.dafa.warmup={warmup}: expected a share of the epochs in (0, 1)")
        if not strength >= 0:
            raise ValueError(f"regularizer.dafa.strength={strength}: expected a number, 0 or more")
        if not 0 < floor <= 1:
            raise ValueError(f"regularizer.dafa.floor={floor}: expected a weight in (0, 1], which no class falls below")
        self.strength, self.floor = strength, floor
        self.register_buffer("sums", torch.zeros(classes, classes, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.float64))
        self.register_buffer("unfloored", torch.ones(classes, dtype=torch.float64))

    def observed(self, logits: Tensor, batch: Batch, ctx: Context) -> None:
        """Gathers the answers (n, k) at x' in the last epoch of the warm-up."""
        if self._ends_warmup(ctx):
            self.sums += class_sums(log_probabilities(logits.double()).exp(), batch.y, self.classes)
            self.counts += class_sums(torch.ones_like(batch.y), batch.y, self.classes)

    def epoch_ended(self, predict: Predict, valid: Batch, ctx: Context) -> None:  # noqa: ARG002
        """Sets the weights after the last epoch of the warm-up."""
        if not self._ends_warmup(ctx):
            return
        sums, counts = sum_over_processes(self.sums), sum_over_processes(self.counts)
        require_seen(counts, self.name)
        self.unfloored = class_weights(sums / counts.unsqueeze(-1), self.strength)
        w = self.unfloored.clamp_min(self.floor)
        self.weights = torch.stack([w, w, torch.ones_like(w)])

    def remarks(self, classes: Sequence[str]) -> list[str]:
        """Says also which weights the floor raised."""
        raised = (self.unfloored < self.floor).nonzero().flatten().tolist()
        named = [f"{classes[i] if classes else f'class {i}'} ({float(self.unfloored[i]):.2f})" for i in raised]
        if not named:
            return super().remarks(classes)
        total = float(self.unfloored.clamp_min(self.floor).sum())
        return [
            f"regularizer.dafa.floor={self.floor:g} raised the weight of {', '.join(named)}, which gave away more than "
            f"it had: the weights sum to {total:.2f}, not to {self.classes}; a smaller regularizer.dafa.strength needs "
            "no floor"
        ]

    def _ends_warmup(self, ctx: Context) -> bool:
        return ctx.epoch is not None and ctx.epoch + 1 == self.acts_from(ctx.epochs)


def class_weights(similarity: Tensor, strength: float) -> Tensor:
    """Weights (C,) from P (C, C), whose row i is the mean answer to class i; NaN where a class has no rows.

    All start at 1. Of every two classes the harder, i with P[i, i] < P[j, j], gets strength * P[i, j] * P[j, j] from
    the easier (algorithm 2 of the paper), so that they sum to C. Equally hard ones give each other nothing, and a
    class without rows keeps 1. With many classes or much strength a class can give more than it has.
    """
    own = similarity.diagonal()
    harder = own.unsqueeze(-1) < own  # (i, j): i than j; never where one is NaN
    gift = torch.where(harder, strength * similarity * own, 0)  # (i, j): what j gives to i
    return 1 + gift.sum(1) - gift.sum(0)
