"""Rows that make a learner fairer, by Bayesian optimisation ("Attack4Good: Black-box Data Poisoning for Fairness").

The publication adds one row at a time: a Gaussian process looks for one that lowers the gap in false positive rates
on validation rows, and starts anew on top of it as soon as one does. Here the search goes on instead, with all that
it has seen; see ``utils.poisoning.search``.

One row changes a tree or a forest about as much as another seed does, and what it brings on validation rows is luck.
With ``spread`` a point stands for many training rows like it instead, which changes what the learner says of all such
people, on rows that it has not seen too.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from utils.poisoning.acquisition import asker
from utils.poisoning.history import account
from utils.poisoning.judge import chosen
from utils.poisoning.points import Point
from utils.poisoning.poison_settings import BayesSettings
from utils.poisoning.rows_csv import with_rows
from utils.poisoning.search import Search, joint, sequential, shared
from utils.poisoning.trials import list_steps
from utils.types import Batch, Poisoned, Victim

PLANS = {"sequential": sequential, "joint": joint}
SAMPLERS = ("gp", "tpe", "random")


def bo_poison(
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
    label: int | str,
    bounds: Mapping[str, Sequence[float]] | None,
    fixed: Mapping[str, float | str] | None,
    search: str,
    rows: int | None,
    copies: int,
    spread: bool,
    sampler: str,
    batch: int,
) -> Poisoned:
    """The rows with the best ``metric`` on the validation rows among the sets that a search evaluates.

    Args:
        victim: whose training rows are added to.
        budget: evaluations beside that of the unpoisoned training; 0 adds nothing.
        metric: a gap or rate of ``utils.metrics.group``, accuracy, balanced_accuracy or mcc.
        objective: fair betters it, unfair worsens it.
        penalties: metric -> weight, added to what is minimised.
        accuracy: constraint (at most ``accuracy_loss`` below the unpoisoned one), weight (``accuracy_weight`` times the
            accuracy lost is added), objective (both are searched; what is added is the best within ``accuracy_loss``)
            or ignore.
        accuracy_loss: of constraint and objective, in [0, 1].
        accuracy_weight: of weight.
        harm: the most that the false negative or false positive rate of a group may rise, in [0, 1]; None for any, auto
            for .01 where the objective is fair.
        label: class of the added rows, or search.
        bounds: column -> lowest and highest value of new rows, natural units; see ``utils.poisoning.features``.
        fixed: column or attribute -> the value of all new rows.
        search: sequential (rows are kept as they are found) or joint (``rows`` rows at once).
        rows: of sequential the most points that are kept, None for all that help; of joint their number.
        copies: the most copies of each point, searched on a log scale.
        spread: in place of its copies, as many training rows like it are added, of its group and with its label.
        sampler: gp, tpe or random.
        batch: evaluations that are chosen together.

    Raises:
        ValueError: a setting that cannot be meant, a metric that is undefined without added rows, a training that
            fails without added rows or with every one of the first sets, or the journal of another search.
    """
    settings = BayesSettings(
        budget=budget,
        metric=metric,
        objective=objective,
        penalties=penalties,
        accuracy=accuracy,
        accuracy_loss=accuracy_loss,
        accuracy_weight=accuracy_weight,
        harm=harm,
        label=label,
        bounds=bounds,
        fixed=fixed,
        search=search,
        rows=rows,
        copies=copies,
        spread=spread,
        sampler=sampler,
        batch=batch,
    )
    if not isinstance(spread, bool):
        raise ValueError(f"attack.poison.spread={spread}: expected true or false")
    chosen("search", search, tuple(PLANS))
    chosen("sampler", sampler, SAMPLERS)
    judge, space = settings.judge(victim), settings.space(victim, spread=spread)
    plan = PLANS[search](space.parameters, rows)
    ask = asker(sampler, plan.parameters, judge.objectives)
    journal = settings.journal(victim, partial(shared, budget=budget, batch=batch))

    def train_at(points: Sequence[Point]) -> Batch:
        return with_rows(victim.train, space.batch(space.rows(points)))

    searching = Search(victim, train_at, judge, plan, ask, budget, batch)
    history = searching.run(journal)
    points = history.points(history.best)
    return Poisoned(
        train=train_at(points),
        natural=space.rows(points).natural,
        before=history.baseline.metrics,
        after=history.best.metrics,
        steps=list_steps(history.made, metric),
        facts={"sampler": sampler, "ended": searching.ended(history)} | account(history, judge),
    )
