"""The rounds of a search by gradients: predict, try a few sets of rows, keep the best.

In a round the model is trained on the best set so far, candidates are ranked by their influence on it, and ``batch``
sets are judged by training: those with as many more copies as the prediction asks for, with half of them, a quarter.
The best permitted one is kept if it is better than all before; else the next round tries fewer copies, down to one,
then more than before, of other candidates. Where only the accuracy forbade a set, the next candidates are such as
spare it. It ends when the budget is used, nothing is left to gain, no row is predicted to help, or twelve rounds bring
nothing.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from utils.poisoning.added_sets import Added, AddedRows, Evaluations, expanded
from utils.poisoning.candidates import Ranked
from utils.poisoning.predicted_effect import PRESSURE, Outlook, wanted
from utils.poisoning.swaps import changed
from utils.poisoning.trials import Trial

PATIENCE = 12  # rounds without a better set
BOLDER = 4.0  # how much larger the first share is each time that even one copy brought nothing
OTHERS = 20  # of the first rows that may be left out, for a set that is new


class Pace(NamedTuple):
    """The reach of the next round."""

    share: float = 1.0  # of the copies that the prediction asks for
    first: float = 1.0  # what the share was when it began to fall
    pressure: float = PRESSURE  # weight of the accuracy in what is predicted
    near: bool = False  # whether candidates are neighbours of training rows
    failures: int = 0  # rounds since the last better set

    def after(self, trials: Sequence[Trial[AddedRows]], best: Trial[AddedRows], sizes: Sequence[int]) -> "Pace":
        """The pace after a round: as far as went well, or twice as far; else shorter.

        Where even a single copy brought nothing, from the whole prediction on anew, with candidates of the other kind.
        """
        for k, trial in enumerate(trials):
            if trial.accepted:
                return self._replace(share=min(1.0, self.share / 2 ** (k - 1)), first=1.0, failures=0)
        spent = sizes[-1] <= 1
        blocked = any(trial.violation > 0 and _is_better(trial, best) for trial in trials)
        return Pace(
            BOLDER * self.first if spent else self.share / 2 ** len(sizes),
            BOLDER * self.first if spent else self.first,
            2 * self.pressure if blocked else max(self.pressure / 2, PRESSURE),
            self.near != spent,
            self.failures + 1,
        )


def searched(
    evaluations: Evaluations[Added], outlook: Outlook, *, budget: int, most: int, batch: int
) -> dict[str, Any]:
    """Evaluates until there is a reason to end; returns the reason, and the rounds and trainings that it took."""
    pace, rounds, fits, model = Pace(), 0, 0, None
    victim, space, metric = outlook.victim, outlook.space, outlook.judge.metric
    assert victim.fit is not None
    while True:
        best, left = evaluations.best, budget - len(evaluations.made) + 1
        hoped = wanted(outlook.judge, best.metrics)
        for reason, holds in (
            ("the budget is spent", left < 1),
            ("nothing left to gain", hoped <= 0),
            ("nothing improves", pace.failures == PATIENCE),
        ):
            if holds:
                return {"ended": reason, "rounds": rounds, "fits": fits}
        added = expanded(best.proposal, len(victim.columns))
        if model is None:
            model, fits = victim.fit(evaluations.train_with(best.proposal)), fits + 1
        ranking = outlook.ranked(model, added, pace.pressure, near=pace.near, number=rounds)
        if not ranking.influence[0] < 0:
            return {"ended": "no row is predicted to help", "rounds": rounds, "fits": fits}
        whole = hoped / -float(ranking.influence[0])
        size = min(pace.share * whole, most * space.copies, len(victim.train.y))
        sizes = [max(1, round(size / 2**k)) for k in range(min(batch, left))]
        trials = evaluations.try_sets(_sets(evaluations, ranking, sizes, most=most, copies=space.copies))
        pace, rounds = pace.after(trials, best, sizes), rounds + 1
        model = model if evaluations.best is best else None
        now, before = evaluations.best.metrics[metric], evaluations.made[0].metrics[metric]
        victim.watch(len(evaluations.made) - 1, {metric: now, "unpoisoned": before})


def _is_better(trial: Trial[AddedRows], than: Trial[AddedRows]) -> bool:
    return trial.loss is not None and than.loss is not None and trial.loss < than.loss


def _sets(
    evaluations: Evaluations[Added], ranking: Ranked, sizes: Sequence[int], *, most: int, copies: int
) -> list[AddedRows]:
    """For each number of copies the set predicted to be best, of those that have not been judged."""
    sets: list[AddedRows] = []
    for size in sizes:
        for skip in range(OTHERS):
            added = changed(evaluations.best.proposal, ranking, size, most=most, copies=copies, skip=skip)
            if evaluations.is_new(added) and added not in sets:
                sets.append(added)
                break
    return sets
