"""A threshold of its own for each group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from utils.decides.threshold import above, of_two_classes, round_up


@dataclass(frozen=True)
class GroupThresholds:
    """Class 1 where z >= logits[s], s being the row's group: a point on the threshold belongs to class 1.

    Args:
        logits: one threshold a group, on the logit of class 1, compared as in double precision; -inf accepts all, inf
            all but infinite logits.
        warnings: what who fitted them has to say, for the record of the run; no part of the decision.
        fitted: what they were fitted to, see ``utils.decides.fitted``; likewise.

    Raises:
        ValueError: a threshold that is nan, or none at all.
    """

    monotone: ClassVar[bool] = True
    logits: Sequence[float]
    warnings: Sequence[str] = field(default=(), compare=False)
    fitted: Mapping[str, Any] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "logits", tuple(float(z) for z in self.logits))
        if not self.logits or any(z != z for z in self.logits):
            raise ValueError(f"decide: thresholds of {list(self.logits)} are not numbers, one for each group")

    def __call__(self, logits: Tensor, s: Tensor) -> Tensor:
        """Logits (..., 1), groups (...) -> labels (...) int64."""
        return (self.margin(logits, s) >= 0).long()

    def margin(self, logits: Tensor, s: Tensor) -> Tensor:
        """Logits (..., 1), groups (...) -> z - logits[s] (...), >= 0 exactly where the label is 1.

        Raises ValueError unless k = 1.
        """
        z = of_two_classes(logits)
        return above(z, bounds(self.logits, z)[s])

    def to_record(self) -> dict[str, Any]:
        """Returns what a record stores; rebuilt exactly by ``GroupThresholds(logits=...)``."""
        return {"_target_": "utils.decides.group_thresholds.GroupThresholds", "logits": in_json(self.logits)}


def bounds(logits: Sequence[float], like: Tensor) -> Tensor:
    """The thresholds (k,), of the type and device of ``like``, rounded up so that comparisons are exact."""
    return torch.tensor([round_up(z, like.dtype) for z in logits], dtype=like.dtype, device=like.device)


def in_json(logits: Sequence[float]) -> list[float | str]:
    """Thresholds as a record holds them: infinities, which JSON has not, as the text that ``float`` reads."""
    return [str(z) if z in (float("inf"), float("-inf")) else z for z in logits]
