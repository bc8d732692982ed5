"""Functions of single numbers whose bits do not depend on how many are computed at once.

torch takes numbers by the handful, and the last ones, which fill no hand, one by one. Of ``sigmoid``, ``softplus``,
``gelu``, ``silu``, ``elu`` and fractional powers their last bits are others then, so that a model in a stack would not
be the one that is trained alone.
"""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), with its relative precision and its gradient for large numbers of either sign."""
    return F.logsigmoid(x).exp()
