"""A threshold of its own for each group."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class GroupThresholds:
    """Class 1 where z >= logits[s], s being the row's group: a point on the threshold belongs to class 1.

    Args:
        logits: one threshold a group, on the logit of class 1; -inf accepts all, inf all but infinite logits.

    Raises:
        ValueError: a threshold that is nan, or none at all.
    """

    logits: Sequence[float]

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
        if logits.shape[-1] != 1:
            raise ValueError(f"decide: thresholds of groups need 1 logit a row, got {logits.shape[-1]}")
        z = logits[..., 0]
        bound = torch.tensor(self.logits, dtype=z.dtype, device=z.device)[s]
        return torch.where(z.isinf() & (z == bound), torch.zeros_like(z), z - bound)

    def to_record(self) -> dict[str, Any]:
        """What a record stores; rebuilt exactly by ``GroupThresholds(logits=...)``."""
        return {"_target_": "utils.decides.group_thresholds.GroupThresholds", "logits": list(self.logits)}
