"""Logistic regression."""

from torch import Tensor, nn


class Logistic(nn.Module):
    """Logits (..., outputs) linear in x (..., inputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., inputs) -> logits (..., outputs)."""
        return self.linear(x)
