"""FAIR-TAT: targeted adversarial training for fairness between classes (Medi et al. 2024, arXiv 2410.23142)."""

from dataclasses import replace

import torch
from torch import Tensor

from utils import seeding
from utils.regularizers.by_class import class_sums
from utils.regularizers.cfa import Cfa
from utils.system.processes import sum_over_processes
from utils.types import Batch, Context, Predict


class FairTat(Cfa):
    """Leads the inner attack of each row to a class that many are mistaken for, within a radius as CFA calibrates it.

    The target of a row is drawn anew every epoch, by softmax(sharpness * f) over the classes other than its own, where
    f_c is the share of class c in the false positives on the last epoch's adversarial examples, as the training saw
    them; in the first epoch all are as likely. The term beside it trains on what that attack ends in. From the second
    epoch on a row of class i has (margin_offset + t_i) times its radius, t_i the share of the class that was right at
    its adversarial examples. Of two classes the target is the other one, and the attack that of the term.

    Args:
        classes: C.
        sharpness: of the draw, >= 0; 0: all classes are as likely.
        margin_offset: lambda_1 of CFA, >= 0.

    Raises:
        ValueError: a setting out of range; after the first epoch, that no term made adversarial examples known.
    """

    false_positives: Tensor  # (C,), rows of the epoch that were taken for the class at x'
    shares: Tensor  # (C,), of the classes in those of the last epoch

    def __init__(self, *, classes: int, sharpness: float, margin_offset: float):
        super().__init__(classes=classes, warmup=0.0, margin_offset=margin_offset, weight_offset=0.0, beta=None)
        if not sharpness >= 0:
            raise ValueError(f"regularizer.fair_tat.sharpness={sharpness}: expected a number, 0 or more")
        self.sharpness = sharpness
        self.register_buffer("false_positives", torch.zeros(classes, dtype=torch.float64))
        self.register_buffer("shares", torch.zeros(classes, dtype=torch.float64))

    def acts_from(self, epochs: int) -> int:  # noqa: ARG002
        """The first epoch, since targets are drawn in all."""
        return 0

    def adapted(self, batch: Batch, ctx: Context) -> Context:
        """The calibrated radius of the rows, and the class that their inner attack leads to."""
        return replace(super().adapted(batch, ctx), towards=self._targets(batch, ctx))

    def observed(self, logits: Tensor, batch: Batch, ctx: Context) -> None:
        """Counts what the rows were taken for by their answers (n, k) at x'."""
        super().observed(logits, batch, ctx)
        if ctx.epoch is not None:
            found = ctx.decide(logits, batch.s)
            self.false_positives += class_sums(found != batch.y, found, self.classes)

    def epoch_ended(self, predict: Predict, valid: Batch, ctx: Context) -> None:
        """Takes the shares of the epoch for the next, which begins to count anew."""
        super().epoch_ended(predict, valid, ctx)
        if ctx.epoch is None:
            return
        counts = sum_over_processes(self.false_positives)
        self.false_positives = torch.zeros_like(counts)
        self.shares = counts / counts.sum().clamp_min(1)

    def class_weights(self) -> dict[str, list[float]]:
        """The weights of the classes, and ``target``: how likely each is to be drawn for a row of none of them."""
        return super().class_weights() | {"target": self._chances().tolist()}

    def remarks(self, classes: object) -> list[str]:  # noqa: ARG002
        """Nothing: it acts in every step."""
        return []

    def _chances(self) -> Tensor:
        return (self.sharpness * self.shares).softmax(-1)

    def _targets(self, batch: Batch, ctx: Context) -> Tensor:
        """A class (n,) for each row, other than its own, by numbers of seed, epoch and row alone."""
        own = torch.arange(self.classes, device=batch.y.device) == batch.y.unsqueeze(-1)
        chances = torch.where(own, 0, self._chances()).cumsum(-1)  # (n, C)
        source = seeding.Rows(seeding.derive(ctx.own_seed, f"targets {ctx.epoch}"), batch.index)
        drawn = source.uniform(chances[None, :, :1]).squeeze(0) * chances[:, -1:]
        return (chances <= drawn).sum(-1).clamp_max(self.classes - 1)
