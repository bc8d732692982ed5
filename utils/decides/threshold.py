"""One threshold on the probability of class 1, the same for every group."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor


def logit(probability: float) -> float:
    """log(p / (1 - p)) in double precision; -inf at 0 and +inf at 1."""
    if probability in (0, 1):
        return math.inf if probability else -math.inf
    return math.log(probability / (1 - probability))


@lru_cache(maxsize=4096)
def round_up(exact: float, dtype: torch.dtype) -> float:
    """Smallest number of ``dtype`` not below ``exact``.

    A logit of that type is >= it exactly where it is >= ``exact`` in double precision, so labels do not depend on the
    precision in which they are compared, and no device needs double precision.
    """
    rounded = torch.tensor(exact, dtype=dtype, device="cpu")
    if rounded.item() < exact:
        rounded = torch.nextafter(rounded, torch.full_like(rounded, math.inf))
    return rounded.item()


def smallest_accepted(probability: float, dtype: torch.dtype) -> float:
    """Smallest number of ``dtype`` not below logit(probability); see ``round_up``."""
    return round_up(logit(probability), dtype)


def above(z: Tensor, bound: Tensor | float) -> Tensor:
    """z - bound, of the type of z, and 0 where both are the same infinity: >= 0 exactly where z >= bound."""
    # inf - inf is undefined, yet such a point lies on the threshold
    return torch.where(z.isinf() & (z == bound), torch.zeros_like(z), z - bound)


def of_two_classes(logits: Tensor) -> Tensor:
    """Logits (..., 1) -> z (...). Raises ValueError unless k = 1."""
    if logits.shape[-1] != 1:
        raise ValueError(f"decide: the margin of a threshold needs 1 logit per row, got {logits.shape[-1]}")
    return logits[..., 0]


@dataclass(frozen=True)
class Threshold:
    """Class 1 where z >= logit(probability): a point on the threshold belongs to class 1.

    ``probability`` in [0, 1]: at 0 every row is class 1, at 1 only an infinite logit is. With three logits or more
    the label is the largest logit, whatever the probability. Raises ValueError outside [0, 1].
    """

    monotone: ClassVar[bool] = True
    probability: float

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:  # also catches nan
            raise ValueError(f"decide: a threshold of {self.probability} is not a probability; give one in [0, 1]")

    def __call__(self, logits: Tensor, s: Tensor) -> Tensor:  # noqa: ARG002  one threshold for all groups
        """Logits (..., k), groups (...) -> labels (...) int64. Raises ValueError for k = 2."""
        if logits.shape[-1] == 2:
            raise ValueError("decide: got two logits per row; a two-class model gives one, the logit of class 1")
        if logits.shape[-1] > 2:
            return logits.argmax(-1)
        z = logits[..., 0]
        return (z >= smallest_accepted(self.probability, z.dtype)).long()

    def margin(self, logits: Tensor, s: Tensor) -> Tensor:  # noqa: ARG002
        """Logits (..., 1), groups (...) -> z - logit(probability) (...), >= 0 exactly where the label is 1.

        Of the type of the logits; infinite at the probabilities 0 and 1. Raises ValueError unless k = 1.
        """
        z = of_two_classes(logits)
        return above(z, smallest_accepted(self.probability, z.dtype))

    @staticmethod
    def margins(decides: "Sequence[Threshold]", logits: Tensor) -> Tensor:
        """The margins (..., m, n) of m decisions, each of its own logits (..., m, n, 1). Raises ValueError as above."""
        z = of_two_classes(logits)
        return above(z, z.new_tensor([smallest_accepted(own.probability, z.dtype) for own in decides]).unsqueeze(-1))

    def to_record(self) -> dict[str, str | float]:
        """Returns what a record stores; rebuilt exactly by ``Threshold(probability=...)``."""
        return {"_target_": "utils.decides.threshold.Threshold", "probability": float(self.probability)}
