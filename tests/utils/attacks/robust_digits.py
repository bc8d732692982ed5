"""Scikit-learn's digits, a small net trained on some of them under attack, and what attacks ask for beside these."""

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from utils import seeding
from utils.decides.threshold import Threshold
from utils.scms.none import none
from utils.threats import everywhere
from utils.types import Batch, Context, Decide

REST = 1000  # rows of which the net sees none
HALF = Threshold(0.5)
PUBLISHED = {"linf": "Linf", "l2": "L2", "l1": "L1"}  # pyautoattack's names


def batch(x: Tensor, y: Tensor) -> Batch:
    """Rows of one group, numbered from 0."""
    n = len(y)
    return Batch(x, y, torch.zeros(n, dtype=torch.int64), torch.ones(n, dtype=x.dtype), torch.arange(n))


@cache
def images() -> Batch:
    """All 1,797 digits (n, 1, 8, 8) in [0, 1], shuffled."""
    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8)[order] / 16
    return batch(x, torch.tensor(labels)[order])


@cache
def robust_net() -> nn.Module:
    """Trained on the digits after the first thousand by five sign steps to Linf radius .1: 73 % are robust there."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, padding=1), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10))
        x, y = images().x[REST:], images().y[REST:]
        optimizer = torch.optim.Adam(model.parameters(), 5e-3)
        for _ in range(10):
            for some in torch.randperm(len(y)).split(64):
                moved = _five_steps(model, x[some], y[some])
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(moved), y[some]).backward()
                optimizer.step()
    return model.eval().requires_grad_(False)


def _five_steps(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    moved = x
    for _ in range(5):
        moved = moved.detach().requires_grad_()
        (slope,) = torch.autograd.grad(nn.functional.cross_entropy(model(moved), y), moved)
        moved = (moved + 0.03 * slope.sign()).clamp(x - 0.1, x + 0.1).clamp(0, 1)
    return moved.detach()


def image_context(
    radius: float | Callable, seed: int = 0, *, decide: Decide = HALF, dtype: torch.dtype = torch.float32
) -> Context:
    """Of an evaluation of images, at one radius or with a schedule of its own."""
    return Context(
        scm=none(SimpleNamespace(loc=torch.zeros(1, dtype=dtype)), seed=0),
        columns=(),
        attack=lambda predict, rows, ctx: rows.x,
        epsilon=radius if callable(radius) else everywhere(radius),
        decide=decide,
        seed=seed,
        generator=seeding.Rows(seeding.derive(seed, "attack"), torch.arange(REST)),
    )


def right(model: Callable, x: Tensor, y: Tensor) -> Tensor:
    """Which rows of k > 2 classes are right."""
    return model(x).argmax(1) == y


def by_chance(ours: Tensor, other: Tensor) -> float:
    """How many rows two runs may differ by: .2 % of them, or two standard errors of the rows that only one has."""
    return 0.002 * len(ours) + 2 * float((ours != other).sum()) ** 0.5
