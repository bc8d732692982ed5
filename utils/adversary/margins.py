"""Losses of attacks beside the cross-entropy: margins of the logits and their scale-free ratios."""

import torch
from torch import Tensor

from utils.threats import TINY


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """z_y - max over j != y of z_j, (...), of logits (..., k) and labels y (...): < 0 where another class wins.

    For two classes (k = 1) it is the signed logit, z for class 1 and -z for class 0. A logit of 0 is class 1, as a
    decision at one half has it, so the margin of class 0 is then less than 0 by the smallest number. A tie of three
    classes or more is 0; what a tie or another threshold mean is for ``ctx.decide`` to say.
    """
    y = y.expand(logits.shape[:-1])
    if logits.shape[-1] == 1:
        z = logits.squeeze(-1)
        return torch.where(y > 0, z, -z - torch.finfo(z.dtype).tiny * (z == 0))
    chosen = y.unsqueeze(-1)
    return logits.gather(-1, chosen).squeeze(-1) - logits.scatter(-1, chosen, -torch.inf).amax(-1)


def dlr(logits: Tensor, y: Tensor) -> Tensor:
    """The difference of logits ratio, -margin / (z_(1) - z_(3)), (...); z_(i) is the i-th largest logit.

    Shifting and scaling logits (..., k) change nothing (Croce & Hein 2020, arXiv 2003.01690, equation 6). It is at
    least -1, and > 0 where another class wins. Below three classes there is no z_(3), and the loss is -margin.
    """
    if logits.shape[-1] < 3:
        return -margin(logits, y)
    largest = logits.topk(3).values
    own = logits.gather(-1, y.expand(logits.shape[:-1]).unsqueeze(-1)).squeeze(-1)
    other = torch.where(own < largest[..., 0], largest[..., 0], largest[..., 1])
    return (other - own) / (largest[..., 0] - largest[..., 2]).clamp_min(TINY)


def dlr_targeted(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """(z_t - z_y) / (z_(1) - (z_(3) + z_(4)) / 2), (...), of a class t (...) other than y.

    Croce & Hein 2020 (arXiv 2003.01690), equation 7: as ``dlr``, but it grows only towards the target. Below four
    classes there is no z_(4), and the loss is z_t - z_y, of two classes -margin; with the denominator of ``dlr`` it
    would be -1 wherever t is the last of three classes, and have no gradient.
    """
    if logits.shape[-1] == 1:
        return -margin(logits, y)
    pair = torch.stack([y.expand(logits.shape[:-1]), target.expand(logits.shape[:-1])], -1)
    own, wanted = logits.gather(-1, pair).unbind(-1)
    if logits.shape[-1] < 4:
        return wanted - own
    largest = logits.topk(4).values
    return (wanted - own) / (largest[..., 0] - largest[..., 2:].mean(-1)).clamp_min(TINY)
