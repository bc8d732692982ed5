"""Training rows that go, or get another label or weight, chosen by their predicted effect on the loss of a search.

In a round the model is trained on the rows as changed so far, the effect of changing each other row is predicted by
influence functions, and sets of the most helpful ones are judged by training; the best permitted set is kept. The first
round's sets are a ladder: how much of the metric the k most influential rows carry, by retraining and not by promise.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from utils.poisoning.added_sets import Evaluations
from utils.poisoning.cells import Edited
from utils.poisoning.predicted_effect import Outlook, wanted
from utils.types import Batch, Victim

LADDER = (0.01, 0.02, 0.05, 0.1, 0.2)  # of the rows that may change
LIGHT, HEAVY = 0.5, 2.0  # factors of weights

Change = tuple[int, float]  # place of a training row, and what it gets: a label, or a factor of its weight
Effects = Callable[[Batch], Tensor]  # rows (n,) -> what a copy of each adds to the loss


class Doing(NamedTuple):
    """An action on single rows."""

    # effects of copies, training rows -> predicted change of the loss (n,) and what each row gets (n,)
    predict: Callable[[Effects, Batch], tuple[Tensor, Tensor]]
    edit: Callable[[Batch, Tensor, Tensor], Batch]  # training rows, places, what they get -> changed rows
    words: str


def _remove_effect(effects: Effects, train: Batch) -> tuple[Tensor, Tensor]:
    return -effects(train) * train.w, torch.zeros_like(train.w)


def _relabel_effect(effects: Effects, train: Batch) -> tuple[Tensor, Tensor]:
    other = 1 - train.y
    return (effects(train._replace(y=other)) - effects(train)) * train.w, other.to(train.w)


def _reweigh_effect(effects: Effects, train: Batch) -> tuple[Tensor, Tensor]:
    of_copy = effects(train) * train.w
    heavier = of_copy < 0
    change = torch.where(heavier, (HEAVY - 1) * of_copy, (LIGHT - 1) * of_copy)
    return change, torch.where(heavier, HEAVY, LIGHT).to(train.w)


def _removed(train: Batch, places: Tensor, values: Tensor) -> Batch:
    keep = torch.ones_like(train.y, dtype=torch.bool)
    keep[places] = False
    return train.rows(keep)


def _relabelled(train: Batch, places: Tensor, values: Tensor) -> Batch:
    return train._replace(y=train.y.index_copy(0, places, values.to(train.y)))


def _reweighed(train: Batch, places: Tensor, values: Tensor) -> Batch:
    return train._replace(w=train.w.index_copy(0, places, train.w[places] * values.to(train.w)))


ACTIONS: Mapping[str, Doing] = {
    "remove": Doing(_remove_effect, _removed, "without it"),
    "relabel": Doing(_relabel_effect, _relabelled, "with the other label"),
    "reweigh": Doing(_reweigh_effect, _reweighed, "with the new weight"),
}


class Influential(NamedTuple):
    """A search for rows to change."""

    victim: Victim
    outlook: Outlook
    doing: Doing
    most: int  # rows that may change

    def train_with(self, changes: Sequence[Sequence[float]]) -> Batch:
        """Returns the training rows, some changed."""
        train = self.victim.train
        if not changes:
            return train
        places, values = zip(*changes, strict=True)
        device = train.y.device
        where = torch.tensor(places, dtype=torch.long, device=device)
        return self.doing.edit(train, where, torch.tensor(values, dtype=torch.float64, device=device))

    def edited(self, changes: Sequence[Change], effects: Mapping[int, float]) -> Edited:
        """Returns what is done in the end, each row with its predicted effect."""
        train = self.victim.train
        order = {place: i for i, (place, _) in enumerate(changes, 1)}
        reasons = {
            int(train.index[place]): f"number {i} of {len(changes)}: {self.doing.words} the loss of the search is "
            f"predicted to change by {effects[place]:+.2e}"
            for place, i in order.items()
            if place in effects
        }
        return Edited(self.train_with(changes), torch.empty(0, train.x.shape[1], dtype=torch.float64), reasons)

    def run(self, evaluations: Evaluations[Change], budget: int, batch: int) -> tuple[dict[str, Any], dict[int, float]]:
        """Evaluates until there is a reason to end; returns facts of it, and the predicted effects of changed rows."""
        share, told, carried, rounds = 1.0, dict[int, float](), list[list[float]](), 0
        metric, judge = self.outlook.judge.metric, self.outlook.judge
        while True:
            best, left = evaluations.best, budget - len(evaluations.made) + 1
            order, effects, values = self._ranked(best.proposal) if left > 0 else (torch.empty(0), None, None)
            if left < 1 or not len(order):
                ended = "the budget is spent" if left < 1 else "no change is predicted to help"
                return {"ended": ended, "rounds": rounds, "carried": carried}, told
            assert effects is not None
            assert values is not None
            room = min(len(order), self.most - len(best.proposal))
            gains = (-effects[order]).cumsum(0)
            whole = 1 + int((gains < wanted(judge, best.metrics)).sum())
            sizes = [share * min(whole, room) / 2**k for k in range(batch)] if rounds else [of * room for of in LADDER]
            sets = [
                (*best.proposal, *((int(i), float(values[i])) for i in order[:k]))
                for k in sorted({max(1, round(size)) for size in sizes})[:left]
            ]
            told |= {int(i): float(effects[i]) for i in order[:room] if int(i) not in told}
            trials = evaluations.try_sets(sets)
            if not rounds:
                first = evaluations.made[0].metrics[metric]
                carried = [[0, first], *([len(t.proposal), t.metrics[metric]] for t in trials if t.metrics)]
            rounds += 1
            better = any(trial.accepted for trial in trials)
            now = {metric: evaluations.best.metrics[metric], "unpoisoned": evaluations.made[0].metrics[metric]}
            self.victim.watch(len(evaluations.made) - 1, now)
            if not better and len(sets[0]) - len(best.proposal) <= 1:
                return {"ended": "nothing improves", "rounds": rounds, "carried": carried}, told
            share = 1.0 if better else share / 2 ** len(sets)

    def _ranked(self, changes: Sequence[Change]) -> tuple[Tensor, Tensor, Tensor]:
        """Returns places that are predicted to help, the best first, the effect of all places and what they get."""
        rows = self.train_with(changes)
        effects, values = self.doing.predict(self.outlook.effects(rows), self.victim.train)
        effects = effects.detach().cpu().double()
        left = torch.ones_like(effects, dtype=torch.bool)
        left[[place for place, _ in changes]] = False
        order = effects.argsort(stable=True)
        return order[(left & (effects < 0))[order]], effects, values.cpu()
