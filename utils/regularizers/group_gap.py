"""Differences between groups in a rate as a penalty: smooth demographic parity, equal opportunity, equalised odds."""

import torch
from torch import Tensor

from utils.losses.objective import binary_logit
from utils.regularizers.by_group import Rate, members, weights_among
from utils.system.elementwise import sigmoid
from utils.types import Batch, Context, Predict

TINY = 1e-12


def group_gap(predict: Predict, batch: Batch, ctx: Context, *, rate: Rate, temperature: float) -> Tensor:
    """The variance between groups of a soft rate, () or (m,) of a stack: sum over g of p_g (r_g - r)^2.

    r_g is the mean soft label sigmoid(z / t) of the rows of group g, z the logit, r that of all groups, and p_g the
    share of group g in the rows; means and shares are weighted by w. The rows are all for the acceptance rate, those
    of class 1 for the false negative rate, of class 0 for the false positive rate; equalised odds sums the last two.
    Of two groups it is p_0 p_1 (r_0 - r_1)^2, in [0, 1/4]. A group without such rows in the batch adds nothing.

    The soft label is bounded, so that no single row far from the threshold makes the gap, as it can with a hinge; and
    groups count by their rows, since the mean of a few rows is mostly noise. ``prepare=group_weights`` makes them
    count equally.

    Args:
        ctx: tells how many groups there are.
        rate: acceptance_rate, fnr, fpr or equalized_odds.
        temperature: t > 0; the smaller, the nearer to the rate of hard labels, and the fewer rows have a gradient.

    Raises:
        ValueError: one group, more than two classes, or a setting out of range.
    """
    if not temperature > 0:
        raise ValueError(f"regularizer.group_gap.temperature={temperature}: expected a number above 0")
    member, w = members(batch, ctx, "group_gap"), weights_among(batch, rate)
    soft = sigmoid(binary_logit(predict(batch.x), "group_gap") / temperature)
    mass = torch.einsum("...an,...gn->...ag", w, member)
    accepted = torch.einsum("...an,...gn->...ag", w * soft.unsqueeze(-2), member)
    whole = mass.sum(-1, keepdim=True).clamp_min(TINY)
    departure = accepted / mass.clamp_min(TINY) - accepted.sum(-1, keepdim=True) / whole
    return (mass / whole * departure.square()).sum((-2, -1))
