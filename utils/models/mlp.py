"""Multilayer perceptron for tabular data."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU, "softplus": nn.Softplus}


class MLP(nn.Module):
    """Logits (..., outputs) of x (..., inputs) through hidden layers of the given widths.

    Raises:
        ValueError: an activation that is not known, or no hidden layer.
    """

    def __init__(self, inputs: int, outputs: int, *, hidden: Sequence[int], activation: str) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"model.activation={activation!r} is not known; choose one of {sorted(ACTIVATIONS)}")
        if not hidden or min(hidden) < 1:
            raise ValueError(
                f"model.hidden={list(hidden)} must list at least one positive width; or use model=logistic"
            )
        widths = [inputs, *hidden]
        layers: list[nn.Module] = []
        for width, following in pairwise(widths):
            layers += [nn.Linear(width, following), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., inputs) -> logits (..., outputs)."""
        return self.layers(x)
