"""The parts of residual networks, and the initial weights of convolutions.

A convolution and the batch norm right behind it are neighbours in an ``nn.Sequential``, where ``utils.views.fold``
finds them.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from utils.seeding import Rows

MakeBlock = Callable[[int, int, int], nn.Module]  # channels in, channels out, stride


class BasicBlock(nn.Module):
    """relu(F(x) + S(x)), F = bn conv relu bn conv (He et al. 2016, arXiv 1512.03385, figure 2 and section 3.3).

    S is the identity, or bn conv1x1 where the shape changes (their option B).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv3(inputs, outputs, stride),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            conv3(outputs, outputs, 1),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(conv1(inputs, outputs, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, ceil(h / stride), ceil(w / stride))."""
        return F.relu(self.residual(x) + self.shortcut(x))


class PreActBlock(nn.Module):
    """F(a) + S, a = relu bn x, F = conv dropout relu bn conv (He et al. 2016, arXiv 1603.05027, figure 4 e).

    S is x itself, or conv1x1 a where the shape changes. Dropout is that of wide networks (Zagoruyko and Komodakis
    2016, arXiv 1605.07146, figure 1 d).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.activate = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.residual = nn.Sequential(
            conv3(inputs, outputs, stride),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            Dropout(dropout) if dropout else nn.Identity(),
            conv3(outputs, outputs, 1),
        )
        self.shortcut = None if stride == 1 and inputs == outputs else conv1(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, ceil(h / stride), ceil(w / stride))."""
        active = self.activate(x)
        return self.residual(active) + (x if self.shortcut is None else self.shortcut(active))


class DenseLayer(nn.Module):
    """[x, F(x)], F = conv3x3 relu bn conv1x1 relu bn (Huang et al. 2017, arXiv 1608.06993, section 3, DenseNet-B).

    The 1x1 convolution has 4 times ``growth`` channels, the other one ``growth``.
    """

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            conv1(inputs, 4 * growth, 1),
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(),
            conv3(4 * growth, growth, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, inputs + growth, h, w)."""
        return torch.cat([x, self.residual(x)], 1)


class Dropout(nn.Module):
    """Zeroes each number with probability p in training and divides the others by 1 - p (Srivastava et al. 2014).

    The masks come from a stream of its own and not from torch's global one. How far it has got is a buffer, so a
    training that goes on from a checkpoint draws what it would have drawn.
    """

    position: Tensor  # () int64, the next row's place in the stream

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """x (n, *) -> (n, *)."""
        if not self.training:
            return x
        rows = self.position + torch.arange(len(x), device=x.device)
        self.position += len(x)
        chance = Rows(0, rows).uniform(x.new_empty(1, *x.shape, dtype=torch.float32)).squeeze(0)
        return x * (chance >= self.p) / (1 - self.p)


def conv3(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    """3x3 convolution that keeps the size but for its stride; batch norm around it makes a bias redundant."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def conv1(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    """1x1 convolution, without bias."""
    return nn.Conv2d(inputs, outputs, 1, stride, bias=False)


def stages(make_block: MakeBlock, widths: Sequence[int], strides: Sequence[int], blocks: int) -> nn.Sequential:
    """Stages of residual blocks; stage i has widths[i + 1] channels, and its first block the stride.

    Args:
        make_block: makes a block.
        widths: channels before the first stage and of each.
        strides: of each stage.
        blocks: of each stage.
    """
    made: list[nn.Module] = []
    for before, width, stride in zip(widths, widths[1:], strides, strict=False):
        first = make_block(before, width, stride)
        made.append(nn.Sequential(first, *(make_block(width, width, 1) for _ in range(blocks - 1))))
    return nn.Sequential(*made)


def initialise(model: nn.Module) -> None:
    """Initial weights, from torch's global stream, in place.

    Convolutions: N(0, 2 / (outputs * kernel area)), He et al. 2015 (arXiv 1502.01852, equation 14), bias 0. Norms and
    linear layers keep torch's: weight 1 and bias 0; U(-1, 1) / sqrt(inputs).
    """
    if all(parameter.is_meta for parameter in model.parameters()):
        return  # no numbers, and torch imports its compiler to draw none
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for part in model.modules():  # after all weights, so that they are the same with and without dropout
        if isinstance(part, Dropout):
            part.position.random_()


def blocks_of_depth(depth: int) -> int:
    """Returns n of a depth of 6n + 4, how many blocks each of three stages has. Raises ValueError for others."""
    if depth < 10 or depth % 6 != 4:
        below = max(10, depth - (depth - 4) % 6)
        raise ValueError(f"model.depth={depth} must be 6n + 4 and at least 10, such as {below} or {below + 6}")
    return (depth - 4) // 6


def require_width(width: int, key: str) -> None:
    """Raises ValueError where a number of channels is below 1."""
    if width < 1:
        raise ValueError(f"{key}={width} must be at least 1")
