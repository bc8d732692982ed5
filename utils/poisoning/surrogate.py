"""Smooth stand-ins of accuracies, rates and gaps: what a gradient can follow where labels only jump."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from utils.metrics.directions import by_attribute, split_some
from utils.types import Batch, Decide

Rate = Callable[[Tensor], Tensor]  # tables (..., 2, 2) -> a rate (...)
Smooth = Callable[[Tensor, Tensor], Tensor]  # tables (g, 2, 2) of soft and of hard labels -> a metric ()


def tables(accepted: Tensor, batch: Batch, groups: int) -> Tensor:
    """Confusion tables (g, 2, 2) of each group, true class by label, from the share (n,) of label 1 of each row."""
    member, true = (one_hot(of, size).to(accepted) for of, size in ((batch.s, groups), (batch.y, 2)))
    return torch.einsum("ng,nt,nl->gtl", member, true, torch.stack([1 - accepted, accepted], -1))


def share(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, nan where the whole is 0."""
    return torch.where(whole > 0, part / torch.where(whole > 0, whole, 1), torch.nan)


RATES: Mapping[str, Rate] = {
    "accuracy": lambda t: share(t[..., 0, 0] + t[..., 1, 1], t.sum((-2, -1))),
    "fnr": lambda t: share(t[..., 1, 0], t[..., 1, :].sum(-1)),
    "fpr": lambda t: share(t[..., 0, 1], t[..., 0, :].sum(-1)),
    "tpr": lambda t: share(t[..., 1, 1], t[..., 1, :].sum(-1)),
    "ppv": lambda t: share(t[..., 1, 1], t[..., 1].sum(-1)),
    "acceptance_rate": lambda t: share(t[..., 1].sum(-1), t.sum((-2, -1))),
}


def mcc(t: Tensor) -> Tensor:
    """Matthews' correlation of a table (..., 2, 2); 0 where labels or classes are all one."""
    down = t[..., 0, 0] * t[..., 1, 1] - t[..., 0, 1] * t[..., 1, 0]
    spread = (t.sum(-1).prod(-1) * t.sum(-2).prod(-1)).clamp_min(0)
    return torch.where(spread > 0, down / torch.where(spread > 0, spread, 1).sqrt(), 0.0)


def gap(rate: Rate) -> Smooth:
    """The rate of the group whose hard rate is largest, less that of the group whose is smallest.

    It has the sign of the hard gap, which a gap of soft rates need not have.
    """

    def smooth(soft: Tensor, hard: Tensor) -> Tensor:
        soft, hard = rate(soft), rate(hard)
        return soft[hard.argmax()] - soft[hard.argmin()]

    return smooth


def larger(one: Smooth, other: Smooth) -> Smooth:
    """The one of two gaps whose hard value is larger."""
    return lambda soft, hard: (one if one(hard, hard) >= other(hard, hard) else other)(soft, hard)


METRICS: Mapping[str, Smooth] = {
    "accuracy": lambda soft, _: RATES["accuracy"](soft.sum(0)),
    "balanced_accuracy": lambda soft, _: (RATES["tpr"](soft.sum(0)) + 1 - RATES["fpr"](soft.sum(0))) / 2,
    "mcc": lambda soft, _: mcc(soft.sum(0)),
    "demographic_parity_difference": gap(RATES["acceptance_rate"]),
    "equalized_odds_difference": larger(gap(RATES["fnr"]), gap(RATES["fpr"])),
    **{f"{name}_gap": gap(rate) for name, rate in RATES.items() if name != "acceptance_rate"},
}


def smooth(name: str, groups: int, sizes: Mapping[str, int]) -> Smooth:
    """A metric by its name: those above, ``<rate>_group<i>`` of group i, and ``<rate>_signed_gap`` of two groups.

    With ``sizes``, the levels of several sensitive attributes, also the gaps of each alone, ``fpr_gap_by_sex``.

    Raises:
        ValueError: a name that has no smooth stand-in.
    """
    if name in METRICS:
        return METRICS[name]
    gap_of, attribute, _ = split_some(name)
    if attribute in sizes and name == f"{gap_of}{by_attribute(attribute)}":
        others = [i for i, key in enumerate(sizes) if key != attribute]
        own = smooth(gap_of, sizes[attribute], {})
        return lambda *two: own(*(of.reshape(*sizes.values(), 2, 2).sum(others) for of in two))
    rate = name.removesuffix("_signed_gap")
    if rate != name and rate in RATES and groups == 2:
        return lambda soft, _: RATES[rate](soft)[1] - RATES[rate](soft)[0]
    rate, _, group = name.rpartition("_group")
    if rate in RATES and group in map(str, range(groups)):
        return lambda soft, _: RATES[rate](soft)[int(group)]
    raise ValueError(
        f"attack.poison: the metric {name!r} has no smooth stand-in whose gradient could be followed; choose one of "
        f"{', '.join(METRICS)}, <rate>_group<i> with a rate of {', '.join(RATES)} and i below {groups}, or "
        "attack=bo_poison"
    )


def surrogate(
    logits: Tensor,
    batch: Batch,
    decide: Decide,
    weights: Mapping[str, float],
    *,
    groups: int,
    sizes: Mapping[str, int],
    temperature: float,
) -> Tensor:
    """The sum of weight * metric, (), with sigmoid(margin / t) as the label of each row.

    ``fpr_gap`` is thus the difference of mean sigmoid(margin / t) over the negatives of two groups. Differentiable in
    the logits (n, 1); the thresholds of ``decide`` stay as they are. Which groups a gap compares is told by the hard
    labels. The smaller t > 0 is, the nearer to the metric of hard labels, and the fewer rows have a gradient.

    Raises:
        ValueError: a metric that has no smooth stand-in.
    """
    margin = decide.margin(logits, batch.s)
    soft = tables(torch.sigmoid(margin / temperature), batch, groups)
    hard = tables((margin >= 0).to(margin), batch, groups)
    parts = [weight * smooth(name, groups, sizes)(soft, hard) for name, weight in weights.items()]
    return torch.stack(parts).sum()
