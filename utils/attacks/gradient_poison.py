"""Data poisoning for fairness by gradients, for learners that have them: rows to add, chosen by influence functions.

Influence functions predict what each of many rows would do to a smooth stand-in of the metric (Koh & Liang 2017,
arXiv 1703.04730); the best are moved along the prediction's gradient. Solans, Biggio & Castillo (2020, arXiv
2004.07401) harm fairness so, which is ``objective=unfair``; ``fair`` is the other way round. What is predicted only
proposes: whatever is added has been judged by training on it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from utils.attacks.bo_poison import fingerprint
from utils.poisoning.evaluations import Added, Evaluations, Trial, expanded
from utils.poisoning.exchange import changed
from utils.poisoning.journal import Journal
from utils.poisoning.judge import Judge
from utils.poisoning.outlook import Outlook, wanted
from utils.poisoning.proposals import Ranked
from utils.poisoning.space import Space
from utils.poisoning.surrogate import smooth
from utils.types import Poisoned, Victim

PATIENCE = 12  # rounds without a better set
BOLDER = 4.0  # how much larger the first share is each time that even one copy brought nothing
PRESSURE = 0.25  # least weight of the accuracy in what is predicted, where it must be kept
OTHERS = 20  # of the first rows that may be left out, for a set that is new
ACCURACIES = ("constraint", "weight", "ignore")


def gradient_poison(
    victim: Victim,
    *,
    budget: int,
    metric: str,
    objective: str,
    penalties: Mapping[str, float] | None,
    accuracy: str,
    accuracy_loss: float,
    accuracy_weight: float,
    label: str | int,
    rows: int | None,
    copies: int,
    bounds: Mapping[str, Sequence[float]] | None,
    fixed: Mapping[str, float | str] | None,
    batch: int,
    candidates: int,
    steps: int,
    damping: float,
    cg_steps: int,
    temperature: float,
) -> Poisoned:
    """Rows that make the victim fairer on its validation rows, or less fair.

    A round: the model is trained, candidates are ranked by influence, and ``batch`` sets of the best ones judged by
    training: as many copies as the prediction asks for, half of them, a quarter. The best permitted set is kept if it
    improves the loss of the judge; else the next round tries fewer copies and other candidates, and where only the
    accuracy forbade a set, such as spare it. Ends when the budget is used, all rows are found, nothing is left to gain,
    or six rounds bring nothing.

    Args:
        victim: whose model has gradients, of two classes.
        budget: evaluations beside the unpoisoned one.
        metric: what to improve, a gap or rate.
        objective: fair, or unfair to make the metric worse.
        penalties: other metrics -> weight in what is minimised.
        accuracy: constraint, weight or ignore.
        accuracy_loss: of the constraint.
        accuracy_weight: of weight.
        label: class of the rows, or search.
        rows: most distinct rows, or None for as many as are found.
        copies: each is added 1 to so many times.
        bounds: column -> lowest and highest number of new rows.
        fixed: column or attribute -> what all new rows hold.
        batch: sets judged together.
        candidates: feature vectors drawn in a round.
        steps: gradient steps of the best of them.
        damping: added to the Hessian's diagonal, >= 0; the weight decay of the training belongs here.
        cg_steps: Hessian-vector products of a round.
        temperature: of the soft labels.

    Raises:
        ValueError: a learner without gradients, more than two classes, or a setting that cannot be meant.
    """
    settings = {key: value for key, value in locals().items() if key != "victim"}
    _check(victim, settings)
    judge = Judge(
        metric=metric,
        objective=objective,
        penalties=penalties or {},
        accuracy=accuracy,
        accuracy_loss=accuracy_loss,
        accuracy_weight=accuracy_weight,
        valid=victim.valid,
        groups=victim.groups,
        fit_decide=victim.fit_decide,
    )
    for name in (metric, *(penalties or {})):
        smooth(name, len(victim.groups))
    space = Space.of(
        victim.columns,
        victim.train,
        victim.loc,
        victim.scale,
        label=None if label == "search" else int(label),
        classes=2,
        copies=copies,
        bounds=bounds or {},
        fixed=fixed or {},
    )
    definition = settings | {"seed": victim.seed, "data": fingerprint(victim.train, victim.valid)}
    evaluations = Evaluations(victim, space, judge, Journal(victim.journal, definition))
    outlook = Outlook(victim, space, judge, candidates, steps, damping, cg_steps, temperature)
    facts = _search(
        evaluations, outlook, budget=budget, most=len(victim.train.y) if rows is None else rows, batch=batch
    )
    return _poisoned(evaluations, facts)


class _Pace(NamedTuple):
    """How far the next round goes."""

    share: float = 1.0  # of the copies that the prediction asks for
    first: float = 1.0  # what the share was when it began to fall
    pressure: float = PRESSURE  # weight of the accuracy in what is predicted
    near: bool = False  # whether candidates are neighbours of training rows
    failures: int = 0  # rounds since the last better set

    def after(self, trials: Sequence[Trial], best: Trial, sizes: Sequence[int]) -> "_Pace":
        """The pace after a round: as far as went well, or twice as far; else shorter.

        Where even a single copy brought nothing, from the whole prediction on anew, with candidates of the other kind.
        """
        for k, trial in enumerate(trials):
            if trial.accepted:
                return self._replace(share=min(1.0, self.share / 2 ** (k - 1)), first=1.0, failures=0)
        spent = sizes[-1] <= 1
        blocked = any(trial.violation > 0 and _is_better(trial, best) for trial in trials)
        return _Pace(
            BOLDER * self.first if spent else self.share / 2 ** len(sizes),
            BOLDER * self.first if spent else self.first,
            2 * self.pressure if blocked else max(self.pressure / 2, PRESSURE),
            self.near != spent,
            self.failures + 1,
        )


def _search(evaluations: Evaluations, outlook: Outlook, *, budget: int, most: int, batch: int) -> dict[str, Any]:
    """Evaluate until there is a reason to end; the reason, and the rounds and trainings that it took."""
    pace, rounds, fits, model = _Pace(), 0, 0, None
    victim, space, metric = outlook.victim, outlook.space, outlook.judge.metric
    assert victim.fit is not None
    while True:
        best, left = evaluations.best, budget - len(evaluations.made) + 1
        hoped = wanted(outlook.judge, best.metrics)
        for reason, holds in (
            ("budget", left < 1),
            ("nothing left to gain", hoped <= 0),
            ("nothing improves", pace.failures == PATIENCE),
        ):
            if holds:
                return {"ended": reason, "rounds": rounds, "fits": fits}
        added = expanded(best.added, len(victim.columns))
        if model is None:
            model, fits = victim.fit(space.batch(added)), fits + 1
        ranking = outlook.ranked(model, added, pace.pressure, near=pace.near, number=rounds)
        if not ranking.influence[0] < 0:
            return {"ended": "no row is predicted to help", "rounds": rounds, "fits": fits}
        whole = hoped / -float(ranking.influence[0])
        size = min(pace.share * whole, most * space.copies, len(victim.train.y))
        sizes = [max(1, round(size / 2**k)) for k in range(min(batch, left))]
        trials = evaluations.judged(_sets(evaluations, ranking, sizes, most=most, copies=space.copies))
        pace, rounds = pace.after(trials, best, sizes), rounds + 1
        model = model if evaluations.best is best else None
        now, before = evaluations.best.metrics[metric], evaluations.made[0].metrics[metric]
        victim.watch(len(evaluations.made) - 1, {metric: now, "unpoisoned": before})


def _is_better(trial: Trial, than: Trial) -> bool:
    return trial.loss is not None and than.loss is not None and trial.loss < than.loss


def _sets(
    evaluations: Evaluations, ranking: Ranked, sizes: Sequence[int], *, most: int, copies: int
) -> list[tuple[Added, ...]]:
    """For each number of copies the set predicted to be best, of those that have not been judged."""
    sets: list[tuple[Added, ...]] = []
    for size in sizes:
        for skip in range(OTHERS):
            added = changed(evaluations.best.added, ranking, size, most=most, copies=copies, skip=skip)
            if evaluations.is_new(added) and added not in sets:
                sets.append(added)
                break
    return sets


def _poisoned(evaluations: Evaluations, facts: Mapping[str, Any]) -> Poisoned:
    made, best, space = evaluations.made, evaluations.best, evaluations.space
    found, metric = expanded(best.added, len(space.columns)), evaluations.judge.metric
    return Poisoned(
        rows=space.batch(found),
        natural=found.natural,
        before=made[0].metrics,
        after=best.metrics,
        steps=[(trial.number, trial.metrics[metric]) for trial in made if trial.accepted],
        facts={
            "evaluations": len(made) - 1,
            "failed": sum(trial.loss is None for trial in made),
            "accepted": sum(trial.accepted for trial in made[1:]),
            "loss": [made[0].loss, best.loss],
            "seconds": {"learner": math.fsum(trial.seconds for trial in made)},
            **facts,
        },
    )


def _check(victim: Victim, settings: Mapping[str, Any]) -> None:
    """Refuse a victim without gradients, and settings that cannot be meant. Raises ValueError."""
    if victim.fit is None or victim.loss is None:
        raise ValueError(
            "attack=gradient_poison follows the gradients of a network, and this model has none; use attack=bo_poison, "
            "or model=logistic or model=mlp"
        )
    if (classes := 1 + max(int(victim.train.y.max()), int(victim.valid.y.max()))) > 2:
        raise ValueError(f"attack=gradient_poison is for two classes, and there are {classes}; use attack=bo_poison")
    if settings["accuracy"] == "objective":
        raise ValueError(
            "attack.poison.accuracy=objective searches many compromises, which attack=bo_poison does; with "
            f"attack=gradient_poison choose one of {', '.join(ACCURACIES)}"
        )
    least = {"budget": 0, "rows": 1, "copies": 1, "batch": 1, "candidates": 1, "steps": 0, "cg_steps": 1}
    for name, lowest in least.items():
        value = settings[name]
        if not (name == "rows" and value is None) and (not isinstance(value, int) or value < lowest):
            raise ValueError(f"attack.poison.{name}={value}: expected a whole number, {lowest} or more")
    if not settings["temperature"] > 0:
        raise ValueError(f"attack.poison.temperature={settings['temperature']}: expected a number above 0")
    if not settings["damping"] >= 0:
        raise ValueError(f"attack.poison.damping={settings['damping']}: expected a number, 0 or more")
