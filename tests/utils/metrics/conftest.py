"""Splits of images, linear models of their pixels, and a small network that recognises digits."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from utils import seeding
from utils.decides.threshold import Threshold
from utils.models.small_cnn import SmallCNN
from utils.scms.none import none
from utils.threats import everywhere
from utils.types import Batch, Context


@dataclass(frozen=True)
class LinearPixels:
    """Logits (..., n, k) = W x + b of images (..., n, c, h, w)."""

    weight: Tensor  # (k, d)
    bias: Tensor  # (k,)

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(-3) @ self.weight.T + self.bias

    def kept(self, batch: Batch, radius: float) -> Tensor:
        """Which rows (n,) no perturbation under Linf breaks: margins above radius times the dual norm."""
        x = batch.x.double() / 255
        z = x.flatten(1) @ self.weight.double().T + self.bias.double()
        own, others = self.weight[batch.y].unsqueeze(1), self.weight
        slack = z.gather(1, batch.y.unsqueeze(1)) - z - radius * (own - others).double().abs().sum(-1)
        return (slack.scatter(1, batch.y.unsqueeze(1), torch.inf) > 0).all(1)


def rows(x: Tensor, y: Tensor) -> Batch:
    n = len(y)
    return Batch(x, y, torch.zeros(n, dtype=torch.int64), torch.ones(n), torch.arange(n))


@pytest.fixture(scope="session")
def linear_task() -> Callable[..., tuple[LinearPixels, Batch]]:
    """A linear model and a split of random images of bytes, on most of which it is right.

    Pixels are .3 or more from black and white.
    """

    def make(n: int = 90, classes: int = 3, shape: tuple[int, ...] = (1, 2, 3)) -> tuple[LinearPixels, Batch]:
        g = torch.Generator().manual_seed(1)
        x = torch.randint(77, 179, (n, *shape), generator=g, dtype=torch.uint8)
        weight = torch.randn(classes, x[0].numel(), generator=g)
        model = LinearPixels(weight, -weight.sum(1) / 2)
        y = (model(x / 255) + torch.randn(n, classes, generator=g) / 10).argmax(1)
        return model, rows(x, y)

    return make


@pytest.fixture(scope="session")
def image_context() -> Callable[..., Context]:
    """The context of an evaluation of images."""

    def make(batch: Batch, *, radius: float = 0.1, seed: int = 0, attack=None) -> Context:
        return Context(
            scm=none(SimpleNamespace(loc=torch.zeros(1)), seed=0),
            columns=(),
            attack=attack,
            epsilon=everywhere(radius),
            decide=Threshold(0.5),
            seed=seed,
            generator=seeding.Rows(seeding.derive(seed, "attack"), batch.index),
        )

    return make


@pytest.fixture(scope="session")
def digits() -> Callable[[], tuple[nn.Module, Batch]]:
    """A small network trained on scikit-learn's digits in the ordinary way, and 300 digits that it has not seen."""

    @cache
    def make() -> tuple[nn.Module, Batch]:
        data = load_digits()
        every = rows((torch.tensor(data.images) * 15.9).to(torch.uint8).unsqueeze(1), torch.tensor(data.target))
        train, test = (Batch(*(column[keep] for column in every)) for keep in (slice(1200), slice(1200, 1500)))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = SmallCNN((1, 8, 8), 10, [0.3], [0.37], widths=[16, 32], strides=[1, 2], norm="batch")
            optimizer = torch.optim.Adam(model.parameters(), 0.005)
            for _ in range(6):
                for order in torch.randperm(1200).split(100):
                    batch = train.rows(order)
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(model(batch.x), batch.y).backward()
                    optimizer.step()
        return model.eval().requires_grad_(False), test

    return make
