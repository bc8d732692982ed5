"""Randomised thresholds: several for each group, between which a coin decides."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from utils.decides.group_thresholds import bounds, in_json
from utils.decides.threshold import above, of_two_classes

STEPS = 2**10  # to a logit: rows on the same step share their coin
FAR = 2.0**20  # logits beyond share theirs too
GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # 2^64 divided by the golden ratio, as a signed number


@dataclass(frozen=True)
class RandomThresholds:
    """Class 1 where z >= t, with t drawn from the thresholds of the row's group by their shares.

    The draw is a function of the logit alone, so that a row is always decided alike: its coin is u = frac(b / phi),
    phi the golden ratio, b = floor(1024 z) the number of its step. Along any run of steps such coins are spread over
    [0, 1) as evenly as can be (Weyl, 1916), hence the shares are met wherever logits take many values; rows on one
    step have one coin, whatever their group, so that of logits with few values some shares are not met. The steps are
    wide enough for the last bits of a logit, which depend on the batch, not to toss another coin.

    Below all thresholds of the group a row is class 0, above all of them class 1, and between them a change of the
    logit tosses another coin: so an attack sees a margin that jumps from step to step, with the right sign.

    Args:
        logits: the thresholds of each group, any number, -inf and inf included.
        shares: the chance of each, adding up to 1 in each group.
        fitted: what they were fitted to, see ``utils.decides.fitted``; no part of the decision.

    Raises:
        ValueError: numbers of another kind.
    """

    monotone: ClassVar[bool] = False
    logits: Sequence[Sequence[float]]
    shares: Sequence[Sequence[float]]
    fitted: Mapping[str, Any] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        logits = tuple(tuple(map(float, of)) for of in self.logits)
        shares = tuple(tuple(map(float, of)) for of in self.shares)
        whole = all(of and min(of) >= 0 and abs(sum(of) - 1) < 1e-6 for of in shares)
        if not logits or list(map(len, logits)) != list(map(len, shares)) or not whole:
            raise ValueError(f"decide: shares {shares} of thresholds {logits} do not add up to 1 for each group")
        if any(z != z or z < before for of in logits for before, z in itertools.pairwise((of[0], *of))):
            raise ValueError(f"decide: thresholds {logits} are not numbers in ascending order")
        object.__setattr__(self, "logits", logits)
        object.__setattr__(self, "shares", shares)

    def __call__(self, logits: Tensor, s: Tensor) -> Tensor:
        """Logits (..., 1), groups (...) -> labels (...) int64."""
        return (self.margin(logits, s) >= 0).long()

    def margin(self, logits: Tensor, s: Tensor) -> Tensor:
        """Logits (..., 1), groups (...) -> z - t (...) with the row's own t, >= 0 exactly where the label is 1.

        Raises ValueError unless k = 1.
        """
        z = of_two_classes(logits)
        thresholds, reached = self._tables(z)
        drawn = (coin(z).unsqueeze(-1) >= reached[s]).sum(-1, keepdim=True)
        return above(z, thresholds[s].expand(*drawn.shape[:-1], -1).gather(-1, drawn).squeeze(-1))

    def probability(self, logits: Tensor, s: Tensor) -> Tensor:
        """Logits (..., 1), groups (...) -> chance of class 1 (...) before the coin is tossed, float32."""
        z = of_two_classes(logits)
        thresholds, reached = self._tables(z)
        shares = reached.diff(dim=-1, prepend=torch.zeros_like(reached[:, :1]))
        return (shares[s] * (z.unsqueeze(-1) >= thresholds[s])).sum(-1)

    def to_record(self) -> dict[str, Any]:
        """Returns what a record stores; rebuilt exactly by ``RandomThresholds(logits=..., shares=...)``."""
        return {
            "_target_": "utils.decides.random_thresholds.RandomThresholds",
            "logits": [in_json(of) for of in self.logits],
            "shares": [list(of) for of in self.shares],
        }

    def _tables(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Thresholds (g, k) of each group and the sum of their shares up to each, float32; filled up by the last."""
        width = max(map(len, self.logits))
        cuts, sums = [], []
        for logits, shares in zip(self.logits, self.shares, strict=True):
            missing = width - len(logits)
            cuts.append(bounds([*logits, *[logits[-1]] * missing], z))
            sums.append([*itertools.accumulate(shares[:-1]), *[1.0] * (missing + 1)])
        return torch.stack(cuts), torch.tensor(sums, dtype=torch.float32, device=z.device)


def coin(z: Tensor) -> Tensor:
    """Logits (...) -> u (...) in [0, 1), float32; see ``RandomThresholds``."""
    step = (z.detach().float().clamp(-FAR, FAR) * STEPS).floor().long()
    return ((step * GOLDEN >> 40) & (2**24 - 1)).float() / 2**24
