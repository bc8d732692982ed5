"""WAT: worst-class adversarial training (Li and Liu 2023, AAAI, arXiv 2302.04025)."""

import torch
from torch import Tensor

from utils.losses.objective import cross_entropy, divergence
from utils.regularizers.by_class import ByClass, class_sums, require_valid
from utils.system.processes import sum_over_processes
from utils.types import Attack, Batch, Context, Predict
from utils.views.row_parts import parts


class Wat(ByClass):
    """Weighs each class by what it lost on the validation rows so far, as Hedge weighs experts.

    After every epoch L_i is the mean robust loss of class i there: l(h(x), y) + beta KL(p(x), p(x')), or l(h(x'), y)
    beside a loss of one part; the mean of all L_i is one more expert. With the sums of these losses over the epochs so
    far, each of the C + 1 experts k has

        q_k = C exp(rate * sum of L_k) / sum over all of exp(rate * sum of L),

    and both parts of the loss of a row of class i are weighted by q_i + q_mean, divided by 2 C / (C + 1), which it is
    while all experts are equal; the published loss is not divided. Radii are as they were.

    Args:
        classes: C.
        rate: eta of the paper, >= 0.
        beta: that of the term beside it, or None beside a loss of one part.
        attack: gives x' on the validation rows.

    Raises:
        ValueError: a setting out of range; after an epoch, that there are no validation rows.
    """

    losses: Tensor  # (C + 1,), of classes and their mean, summed over epochs
    listens = False
    sets_margins = False

    def __init__(self, *, classes: int, rate: float, beta: float | None, attack: Attack):
        super().__init__(classes, warmup=0.0)
        if not rate >= 0:
            raise ValueError(f"regularizer.wat.rate={rate}: expected a number, 0 or more")
        if beta is not None and not beta >= 0:
            raise ValueError(f"regularizer.wat.beta={beta}: expected a number, 0 or more, or null")
        self.rate, self.beta, self.attack = rate, beta, attack
        self.register_buffer("losses", torch.zeros(classes + 1, dtype=torch.float64))

    def observed(self, logits: Tensor, batch: Batch, ctx: Context) -> None:
        """Learns nothing: the training rows do not count."""

    def epoch_ended(self, predict: Predict, valid: Batch, ctx: Context) -> None:
        """Adds the losses of the epoch to those before; after the last epoch no weights are needed."""
        require_valid(valid, self.name)
        if ctx.epoch is None or ctx.epoch + 1 == ctx.epochs:
            return
        own = self.class_losses(predict, valid, ctx)
        self.losses = self.losses + torch.cat([own, own.mean().unsqueeze(0)])
        w = hedge(self.losses, self.rate)
        self.weights = torch.stack([torch.ones_like(w), w, w])

    def class_losses(self, predict: Predict, valid: Batch, ctx: Context) -> Tensor:
        """Returns the mean robust loss (C,) of each class on the rows; 0 without rows."""
        found = [self._sums(predict, rows, ctx) for rows in parts(valid)]
        losses, rows = sum_over_processes(torch.stack(found).sum(0)).unbind(-1)  # the same in all of them, to the bit
        return losses / rows.clamp_min(1)

    def _sums(self, predict: Predict, rows: Batch, ctx: Context) -> Tensor:
        """Robust loss and number of the rows of each class, (C, 2)."""
        moved = self.attack(predict, rows, ctx.on(rows))
        with torch.no_grad():
            attacked = predict(moved)
            if self.beta is None:
                loss = cross_entropy(attacked, rows.y)
            else:
                clean = predict(rows.x)
                loss = cross_entropy(clean, rows.y) + self.beta * divergence(clean, attacked)
        return class_sums(torch.stack([loss.double(), torch.ones_like(loss).double()], -1), rows.y, self.classes)


def hedge(losses: Tensor, rate: float) -> Tensor:
    """The weights (C,) of the classes from the summed losses (C + 1,) of classes and their mean; 1 where all are 0."""
    share = (rate * losses).softmax(-1)  # q / C
    return (share[:-1] + share[-1]) * len(losses) / 2
