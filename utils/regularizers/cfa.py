"""CFA: class-wise calibrated fair adversarial training (Wei et al. 2023, CVPR, arXiv 2303.14460)."""

import torch
from torch import Tensor

from utils.regularizers.by_class import ByClass, class_sums, require_seen
from utils.system.processes import sum_over_processes
from utils.types import Batch, Context, Predict


class Cfa(ByClass):
    """Calibrates radius and regularisation of each class by how robust it was in the last epoch of the training.

    With t_i the share of class i that was right at its training adversarial examples, as the training saw them, a row
    of class i has radius (margin_offset + t_i) * radius, and in place of beta it has
    beta_i = (weight_offset + t_i) * beta in the calibrated loss of the paper,

        natural loss / (1 + beta_i) + beta_i / (1 + beta_i) * divergence.

    The terms here are natural loss + beta * divergence, which is 1 + beta times that at beta_i = beta. So their parts
    are weighted by (1 + beta) / (1 + beta_i) and (1 + beta) / (1 + beta_i) * beta_i / beta, and before any statistics
    by 1. Beside a loss of one part (``pgd_at``) the published method calibrates the radius alone: ``beta`` None. The
    published steps of the inner attack are alike for all classes; here they are a share of the radius.

    The third part of the method, weights averaged only while the worst class is robust enough, is the trainer's
    (``trainer.ema`` with ``trainer.ema_floor``); its decay is .85 in the paper and .88 in the published code.

    Args:
        classes: C.
        warmup: share of the epochs before the calibration, in [0, 1); at least the first epoch.
        margin_offset: lambda_1 of the paper, >= 0.
        weight_offset: lambda_2, >= 0.
        beta: that of the term beside it, or None to calibrate the radius alone.

    Raises:
        ValueError: a setting out of range; after the warm-up, that no term made adversarial examples known.
    """

    right: Tensor  # (C,), rows of the epoch that were right at x'
    counts: Tensor  # (C,), rows of the epoch
    listens = True

    def __init__(self, *, classes: int, warmup: float, margin_offset: float, weight_offset: float, beta: float | None):
        super().__init__(classes, warmup)
        if not 0 <= warmup < 1:
            raise ValueError(f"regularizer.cfa.warmup={warmup}: expected a share of the epochs in [0, 1)")
        for name, value in (("margin_offset", margin_offset), ("weight_offset", weight_offset)):
            if not value >= 0:
                raise ValueError(f"regularizer.cfa.{name}={value}: expected a number, 0 or more")
        if beta is not None and not beta >= 0:
            raise ValueError(f"regularizer.cfa.beta={beta}: expected a number, 0 or more, or null")
        self.margin_offset, self.weight_offset, self.beta = margin_offset, weight_offset, beta
        self.register_buffer("right", torch.zeros(classes, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.float64))

    def observed(self, logits: Tensor, batch: Batch, ctx: Context) -> None:
        """Counts the rows whose answer (n, k) at x' is right."""
        if ctx.epoch is not None:
            self.right += class_sums(ctx.decide(logits, batch.s) == batch.y, batch.y, self.classes)
            self.counts += class_sums(torch.ones_like(batch.y), batch.y, self.classes)

    def epoch_ended(self, predict: Predict, valid: Batch, ctx: Context) -> None:  # noqa: ARG002
        """Calibrates by the epoch and forgets it; a class that it had no rows of keeps its weights."""
        if ctx.epoch is None:
            return
        right, counts = sum_over_processes(self.right), sum_over_processes(self.counts)
        self.right, self.counts = torch.zeros_like(right), torch.zeros_like(counts)
        if ctx.epoch + 1 < self.acts_from(ctx.epochs):
            return
        require_seen(counts, self.name)
        fresh = calibrate(right / counts, self.margin_offset, self.weight_offset, self.beta)
        self.weights = torch.where(counts > 0, fresh, self.weights)


def calibrate(robust: Tensor, margin_offset: float, weight_offset: float, beta: float | None) -> Tensor:
    """Weights (3, C) of margin, natural and boundary part from the robust accuracies t (C,)."""
    margin = margin_offset + robust
    if beta is None:
        return torch.stack([margin, torch.ones_like(margin), torch.ones_like(margin)])
    share = weight_offset + robust  # beta_i / beta
    natural = (1 + beta) / (1 + beta * share)
    return torch.stack([margin, natural, natural * share])
