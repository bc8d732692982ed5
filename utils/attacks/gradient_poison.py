"""Data poisoning for fairness by gradients, for learners that have them: rows to add, chosen by influence functions.

Influence functions predict what each of many rows would do to a smooth stand-in of the metric (Koh & Liang 2017,
arXiv 1703.04730); the best are moved along the prediction's gradient. Solans, Biggio & Castillo (2020, arXiv
2004.07401) harm fairness so, which is ``objective=unfair``; ``fair`` is the other way round. What is predicted only
proposes: whatever is added has been judged by training on it.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from utils.poisoning.added_sets import Added, Evaluations, expanded, shared
from utils.poisoning.cells import Edited
from utils.poisoning.influence import Trained, hessian_product
from utils.poisoning.influential import ACTIONS, Change, Influential
from utils.poisoning.journal import Journal
from utils.poisoning.judge import chosen
from utils.poisoning.poison_settings import GradientSettings, count_classes
from utils.poisoning.predicted_effect import Outlook
from utils.poisoning.rounds import searched
from utils.poisoning.rows_csv import with_rows
from utils.poisoning.surrogate import smooth
from utils.poisoning.trials import find_nearest, list_steps, summarise
from utils.types import Batch, Poisoned, Victim

FEW = 4  # rows that the loss is tried on
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
    harm: float | str | Mapping[str, float] | None,
    action: str,
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

    The set with the best loss of the judge among those that it permits, of all that rounds of prediction and training
    try; see ``utils.poisoning.rounds``. Every set that is tried is trained on, and counts as an evaluation.

    Args:
        victim: whose model has gradients, of two classes.
        budget: evaluations beside the unpoisoned one.
        metric: what to improve, a gap or rate.
        objective: fair, or unfair to make the metric worse.
        penalties: other metrics -> weight in what is minimised.
        accuracy: constraint, weight or ignore.
        accuracy_loss: of the constraint.
        accuracy_weight: of weight.
        harm: the most that the false negative or false positive rate of a group may rise, in [0, 1]; None for any, auto
            for .01 where the objective is fair.
        action: add, or remove, relabel or reweigh training rows, by the influence of each.
        label: class of the rows that are added, or search.
        rows: most distinct rows that are added, or None for as many as help.
        copies: the most copies of each row; of other actions ``rows`` times ``copies`` rows change at most.
        bounds: column -> lowest and highest value of new rows, natural units; see ``utils.poisoning.features``.
        fixed: column or attribute -> the value of all new rows.
        batch: sets judged together.
        candidates: feature vectors drawn in a round.
        steps: gradient steps of the best of them.
        damping: added to the Hessian's diagonal, >= 0; the weight decay of the training belongs here.
        cg_steps: Hessian-vector products of a round.
        temperature: of the soft labels sigmoid(margin / t), > 0.

    Raises:
        ValueError: a learner without gradients, more than two classes, a setting that cannot be meant, a training that
            fails without added rows, or the journal of another search.
    """
    settings = GradientSettings(
        budget=budget,
        metric=metric,
        objective=objective,
        penalties=penalties,
        accuracy=accuracy,
        accuracy_loss=accuracy_loss,
        accuracy_weight=accuracy_weight,
        harm=harm,
        action=action,
        label=label,
        rows=rows,
        copies=copies,
        bounds=bounds,
        fixed=fixed,
        batch=batch,
        candidates=candidates,
        steps=steps,
        damping=damping,
        cg_steps=cg_steps,
        temperature=temperature,
    )
    _check(victim, settings)
    chosen("action", action, ("add", *ACTIONS))
    judge = settings.judge(victim)
    for name in (metric, *(penalties or {})):
        smooth(name, len(victim.groups), judge.sizes)
    space = settings.space(victim)
    journal = settings.journal(victim, partial(shared, budget=budget))
    outlook = Outlook(victim, space, judge, candidates, steps, damping, cg_steps, temperature)
    if action == "add":
        return _add(outlook, journal, settings)
    most = len(victim.train.y) if rows is None else rows * copies
    search = Influential(victim, outlook, ACTIONS[action], most)
    evaluations: Evaluations[Change] = Evaluations(victim, search.train_with, judge, journal, "changed")
    facts, effects = search.run(evaluations, budget, batch)
    return _to_poisoned(evaluations, search.edited(evaluations.best.proposal, effects), {"action": action, **facts})


def _add(outlook: Outlook, journal: Journal, settings: GradientSettings) -> Poisoned:
    """Returns the rows to add."""
    victim, space = outlook.victim, outlook.space

    def train_with(added: Sequence[Added]) -> Batch:
        return with_rows(victim.train, space.batch(expanded(added, len(space.columns))))

    evaluations = Evaluations(victim, train_with, outlook.judge, journal, "added")
    most = len(victim.train.y) if settings.rows is None else settings.rows
    facts = searched(evaluations, outlook, budget=settings.budget, most=most, batch=settings.batch)
    best = evaluations.best.proposal
    natural = expanded(best, len(space.columns)).natural
    return _to_poisoned(evaluations, Edited(train_with(best), natural, {}), facts)


def _to_poisoned(evaluations: Evaluations[Any], found: Edited, facts: Mapping[str, Any]) -> Poisoned:
    made, best = evaluations.made, evaluations.best
    return Poisoned(
        train=found.train,
        natural=found.natural,
        before=made[0].metrics,
        after=best.metrics,
        steps=list_steps(made, evaluations.judge.metric),
        facts={
            **summarise(made),
            **find_nearest(made, evaluations.judge),
            "seconds": {"learner": math.fsum(trial.seconds[1] for trial in made)},
            **facts,
        },
        reasons=found.reasons,
    )


def _check_loss(victim: Victim) -> None:
    """Refuses a loss that cannot be differentiated twice, tried on a linear model. Raises ValueError."""
    assert victim.loss is not None
    linear = Trained(victim.train.x.new_zeros(victim.train.x.shape[1]), lambda theta: lambda x: x @ theta[:, None])
    try:
        hessian_product(linear, victim.loss, victim.train.rows(slice(0, FEW)))(linear.theta)
    except RuntimeError:
        raise ValueError(
            "attack=gradient_poison needs second derivatives of the training loss, which this one does not give; "
            "leave regularizer=erm, or use attack=bo_poison"
        ) from None


def _check(victim: Victim, settings: GradientSettings) -> None:
    """Refuses a victim without gradients, and settings that cannot be meant. Raises ValueError."""
    if victim.fit is None or victim.loss is None:
        raise ValueError(
            "attack=gradient_poison follows the gradients of a network, and this model has none; use attack=bo_poison, "
            "or model=logistic or model=mlp"
        )
    if (found := count_classes(victim)) > 2:
        raise ValueError(f"attack=gradient_poison is for two classes, and there are {found}; use attack=bo_poison")
    _check_loss(victim)
    if settings.accuracy == "objective":
        raise ValueError(
            "attack.poison.accuracy=objective searches many compromises, which attack=bo_poison does; with "
            f"attack=gradient_poison choose one of {', '.join(ACCURACIES)}"
        )
    if not settings.temperature > 0:
        raise ValueError(f"attack.poison.temperature={settings.temperature}: expected a number above 0")
    if not settings.damping >= 0:
        raise ValueError(f"attack.poison.damping={settings.damping}: expected a number, 0 or more")
