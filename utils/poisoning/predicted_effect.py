"""The predicted effect of rows on the loss of a search, by the influence functions of the trained model."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from utils import seeding
from utils.datasets.tabular import natural
from utils.poisoning.candidates import Ranked, ranked
from utils.poisoning.features import Rows, Space
from utils.poisoning.influence import (
    Loss,
    Trained,
    gradient,
    hessian_product,
    influences,
    slopes,
    solved,
    trained,
)
from utils.poisoning.judge import Judge
from utils.poisoning.rows_csv import with_rows
from utils.poisoning.surrogate import surrogate
from utils.types import Batch, Predict, Victim

PRESSURE = 0.25  # least weight of the accuracy in what is predicted, where it must be kept
TOLERANCE = 1e-4  # of the residual of a solution, as a share of the gradient


class Outlook(NamedTuple):
    """The predictor: the victim and how its influences are computed."""

    victim: Victim
    space: Space
    judge: Judge
    candidates: int
    steps: int
    damping: float
    cg_steps: int
    temperature: float

    def ranked(self, model: nn.Module, added: Rows, pressure: float, *, near: bool, number: int) -> Ranked:
        """Candidates of a round by their influence on the model that was trained on the added rows too.

        Those of largest influence are far from all data, where a prediction fails first: for many copies of such a
        row, the model soon fits it. With ``near`` all candidates are neighbours of training rows, as they are.
        """
        victim = self.victim
        rows = with_rows(victim.train, self.space.batch(added))
        loss, of, v = self._solved(model, rows, pressure)
        return ranked(
            self.space,
            natural(victim, victim.train.x.double()).cpu(),
            added,
            partial(influences, of, v, loss, rows),
            partial(slopes, of, v, loss, rows),
            near=self.candidates if near else self.candidates // 2,
            anywhere=0 if near else self.candidates - self.candidates // 2,
            steps=0 if near else self.steps,
            source=seeding.rng(victim.seed, f"poison candidates {number}"),
        )

    def effects(self, rows: Batch) -> Callable[[Batch], Tensor]:
        """Returns what predicts the change of the loss by a copy of each row, for a victim trained on ``rows``."""
        assert self.victim.fit is not None
        loss, of, v = self._solved(self.victim.fit(rows), rows, PRESSURE)
        return partial(influences, of, v, loss, rows)

    def _solved(self, model: nn.Module, rows: Batch, pressure: float) -> tuple[Loss, Trained, Tensor]:
        """Returns the loss of the training, the model as it depends on its parameters, and v of the influences."""
        victim = self.victim
        assert victim.loss is not None
        weights = loss_weights(self.judge, pressure)
        of = trained(model.eval())
        with torch.no_grad():
            decide = victim.fit_decide(model(victim.valid.x), victim.valid, victim.groups)

        def figure(predict: Predict) -> Tensor:
            logits, groups = predict(victim.valid.x), len(victim.groups)
            sizes = self.judge.sizes
            return surrogate(
                logits, victim.valid, decide, weights, groups=groups, sizes=sizes, temperature=self.temperature
            )

        product = hessian_product(of, victim.loss, rows)
        g = gradient(of, figure)
        return victim.loss, of, solved(product, g, damping=self.damping, steps=self.cg_steps, tolerance=TOLERANCE)


def loss_weights(judge: Judge, pressure: float) -> dict[str, float]:
    """Returns the parts of the judge's loss, metric -> weight, with the accuracy where it must be spared."""
    spared = {"weight": judge.accuracy_weight, "constraint": pressure}.get(judge.accuracy, 0.0)
    found: dict[str, float] = {}
    for name, weight in ((judge.metric, judge.sign), *judge.penalties.items(), ("accuracy", -spared)):
        found[name] = found.get(name, 0.0) + weight
    return {name: weight for name, weight in found.items() if weight}


def wanted(judge: Judge, metrics: Mapping[str, float]) -> float:
    """Returns the most that the loss could fall, were each metric at the better end of its range, 0 or 1."""
    weights = loss_weights(judge, 0.0)
    return sum(abs(w) * (metrics[name] if w > 0 else 1 - metrics[name]) for name, w in weights.items())
