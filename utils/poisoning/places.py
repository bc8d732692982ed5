"""Points of a search as places in a cube, where lengths can be compared: what a Gaussian process is told."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from utils.poisoning.features import Parameter
from utils.poisoning.points import Point


def places(parameters: Sequence[Parameter], points: Sequence[Point]) -> Tensor:
    """Points (m) -> their places (m, d), the u in [0, 1] by which ``Parameter.at`` gives each number, float64.

    A choice is in the middle of its share of the line.
    """
    values = torch.tensor([[point[p.name] for p in parameters] for point in points], dtype=torch.float64)
    columns = values.reshape(len(points), len(parameters)).T
    return torch.stack([_place(p, column) for p, column in zip(parameters, columns, strict=True)], 1)


def valid(parameters: Sequence[Parameter], cube: Tensor) -> Tensor:
    """Returns the places (m, d) of the points that any places (m, d) stand for."""
    return torch.stack([_place(p, _value(p, u)) for p, u in zip(parameters, cube.T, strict=True)], 1)


def coordinates(parameters: Sequence[Parameter], cube: Tensor) -> Tensor:
    """Places (m, d) -> coordinates (m, e), among which two choices are as far apart as the ends of a line."""
    columns = []
    for p, u in zip(parameters, cube.T, strict=True):
        size = len(p.choices)
        columns.append(one_hot((u * size).long(), size) * math.sqrt(0.5) if p.kind == "choice" else u[:, None])
    return torch.cat(columns, 1)


def owners(parameters: Sequence[Parameter]) -> Tensor:
    """Returns of which parameter each coordinate is, (e,)."""
    widths = torch.tensor([len(p.choices) if p.kind == "choice" else 1 for p in parameters])
    return torch.arange(len(parameters)).repeat_interleave(widths)


def _place(p: Parameter, values: Tensor) -> Tensor:
    if p.kind == "choice":
        return ((values[:, None] == values.new_tensor(p.choices)).double().argmax(1) + 0.5) / len(p.choices)
    low, high = p.line
    return ((values.log() if p.log else values) - low) / (high - low)


def _value(p: Parameter, u: Tensor) -> Tensor:
    if p.kind == "choice":
        return u.new_tensor(p.choices)[(u * len(p.choices)).long()]
    low, high = p.line
    value = low + u * (high - low)
    value = value.exp() if p.log else value
    return value.round().clamp(p.low, p.high) if p.kind == "int" else value
