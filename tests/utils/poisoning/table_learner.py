"""A learner that looks up what rows do, and the space of its rows: searches on it take no time."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from utils.decides.threshold import Threshold
from utils.poisoning.features import Parameter, Rows
from utils.poisoning.judge import Judge
from utils.types import Answer, Batch, Victim

N = 100  # rows of each group and class
WRONG = 40  # false positives of group 1 without added rows
Change = Callable[[float, float], tuple[int, int]]  # a row (a, b) -> false positives avoided, false negatives added


class Grid:
    """Rows (a, b) with a in {0, 1} and b in 0..``most``."""

    def __init__(self, most: int = 7):
        self.parameters = (Parameter("a", "choice", 0, 1, (0.0, 1.0)), Parameter("b", "int", 0, most))

    def rows(self, points: Sequence[Mapping[str, float]]) -> Rows:
        natural = torch.tensor([[point["a"], point["b"]] for point in points], dtype=torch.float64).reshape(-1, 2)
        return Rows(natural, torch.ones(len(points), dtype=torch.int64))

    def batch(self, rows: Rows) -> Batch:
        m = len(rows.labels)
        return Batch(rows.natural.float(), rows.labels, rows.labels * 0, torch.ones(m), -1 - torch.arange(m))


def valid() -> Batch:
    """N rows of each of two groups and classes; of each the rows of class 0 first."""
    s = torch.arange(2).repeat_interleave(2 * N)
    y = torch.arange(2).repeat_interleave(N).repeat(2)
    return Batch(torch.zeros(4 * N, 1), y, s, torch.ones(4 * N), torch.arange(4 * N))


def logits(false_positives: int, false_negatives: int) -> Tensor:
    """Logits (n, 1) with so many mistakes in group 1."""
    z = (valid().y * 2.0 - 1).reshape(2, 2, N)
    z[1, 0, :false_positives] = 1.0
    z[1, 1, :false_negatives] = -1.0
    return z.reshape(-1, 1)


def helps(a: float, b: float) -> tuple[int, int]:
    """At most 9 false positives fewer, at (1, 5), where 1 false negative is more."""
    return int(2 + 5 * a - abs(b - 5) + (2 if b == 5 else 0)), int(a)


def costs(a: float, b: float) -> tuple[int, int]:
    """Of b so many false positives fewer, and of a 2 b false negatives more."""
    return int(b), int(2 * a * b)


class Table:
    """A ``Refit`` that sums what rows do; ``asked`` are the sets that it was trained on."""

    def __init__(self, change: Change, fails: Callable[[list[list[float]]], str] = lambda rows: ""):
        self.change, self.fails = change, fails
        self.asked: list[list[list[float]]] = []

    def __call__(self, sets: Sequence[Batch]) -> Callable[[], list[Answer]]:
        rows = [added.x.tolist() if len(added.y) else [] for added in sets]
        self.asked += rows
        return lambda: [self.answer(own) for own in rows]

    def answer(self, rows: list[list[float]]) -> Answer:
        if error := self.fails(rows):
            return Answer(None, error, 0.5)
        avoided, more = (sum(part) for part in zip((0, 0), *(self.change(*row) for row in rows), strict=True))
        return Answer(logits(min(max(WRONG - avoided, 0), N), min(max(more, 0), N))[None], "", 0.5)


def victim(table: object, journal: Path, seed: int = 0, **changes: object) -> Victim:
    """Whoever trains by a table."""
    told: list[tuple[int, Mapping[str, float]]] = []
    parts = {
        "columns": (),
        "groups": ("women", "men"),
        "loc": torch.zeros(2),
        "scale": torch.ones(2),
        "train": Grid().batch(Grid().rows([])),
        "valid": valid(),
        "refit": table,
        "fit": None,
        "loss": None,
        "fit_decide": lambda z, batch, groups: Threshold(0.5),
        "seed": seed,
        "run": "of a table",
        "journal": journal,
        "earlier": (),
        "watch": lambda n, figures: told.append((n, figures)),
    }
    return Victim(**(parts | changes))  # type: ignore[arg-type]


def judge(**changes: object) -> Judge:
    """Of the gap in false positive rates, at any accuracy."""
    parts = {
        "metric": "fpr_gap",
        "objective": "fair",
        "penalties": {},
        "accuracy": "ignore",
        "accuracy_loss": 0.01,
        "accuracy_weight": 1.0,
        "valid": valid(),
        "groups": ("women", "men"),
        "fit_decide": lambda z, batch, groups: Threshold(0.5),
    }
    return Judge(**(parts | changes))  # type: ignore[arg-type]
