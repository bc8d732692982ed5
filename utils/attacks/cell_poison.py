"""Training rows changed for fairness by a few numbers: how many rows of each group with each label.

A gap between groups is mostly moved by how many rows of a group have a label, whatever these rows are; so that is
searched first, in as many dimensions as there are cells, before any features are (``bo_poison``). A search begins with
points that are known to be good: the way to independence of group and label (Kamiran and Calders 2012), half of it and
more, then each cell by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from utils import seeding
from utils.datasets.ranking import rank
from utils.poisoning import designs
from utils.poisoning.acquisition import asker
from utils.poisoning.cells import ACTIONS, Edited, Move, cells_of, chosen_cells, table_of
from utils.poisoning.history import Plan, account
from utils.poisoning.judge import chosen
from utils.poisoning.points import Ask, Point
from utils.poisoning.poison_settings import CellSettings, count_classes
from utils.poisoning.search import Search, shared
from utils.poisoning.trials import list_steps
from utils.types import Poisoned, Victim

DESIGNS = ("line", "each")  # which try what they are made of, and search nothing
SAMPLERS = ("gp", "tpe", "sobol", "random", *DESIGNS)
ORDERS = ("auto", "border", "chance")
ONTO = ("auto", "own", "other", "any")


def cell_poison(
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
    cells: Sequence[Sequence[object]] | None,
    labels: str,
    order: str,
    most: Mapping[str, float],
    slack: float,
    sampler: str,
    batch: int,
) -> Poisoned:
    """The training rows with the best ``metric`` on the validation rows among the changes that a search evaluates.

    Args:
        victim: whose training rows are changed.
        budget: evaluations beside that of the rows as they are; 0 changes nothing.
        metric: a gap or rate of ``utils.metrics.group``, accuracy, balanced_accuracy or mcc.
        objective: fair betters it, unfair worsens it.
        penalties: metric -> weight, added to what is minimised.
        accuracy: constraint, weight, objective or ignore, as of ``bo_poison``.
        accuracy_loss: of constraint and objective, in [0, 1].
        accuracy_weight: of weight.
        harm: the most that an error rate of a group may rise, as of ``bo_poison``.
        action: add (copies), remove, relabel or reweigh.
        cells: pairs of a group and a label whose rows are changed; None for all.
        labels: of copies that are added: own, other, or any of both; auto: own where the objective is fair, else any.
        order: in which the rows of a cell are taken: border, those nearest to the other class first, by a logistic
            regression; chance; auto: border where labels change, chance where they stay.
        most: action -> the largest share of a cell's rows; of reweigh the largest factor.
        slack: of permitted sets whose loss is at most so much above the least, the most accurate is taken: validation
            rows cannot tell such losses apart.
        sampler: gp, tpe, sobol, random; or, without a search, line (shares of the way to independence) or each (cell
            by itself).
        batch: evaluations that are chosen together.

    Raises:
        ValueError: a setting that cannot be meant, a cell without rows, a metric that is undefined without changes, or
            the journal of another search.
    """
    settings = CellSettings(
        budget=budget,
        metric=metric,
        objective=objective,
        penalties=penalties,
        accuracy=accuracy,
        accuracy_loss=accuracy_loss,
        accuracy_weight=accuracy_weight,
        harm=harm,
        action=action,
        cells=cells,
        labels=labels,
        order=order,
        most=most,
        slack=slack,
        sampler=sampler,
        batch=batch,
    )
    for name, value, known in (
        ("action", action, tuple(ACTIONS)),
        ("labels", labels, ONTO),
        ("order", order, ORDERS),
        ("sampler", sampler, SAMPLERS),
    ):
        chosen(name, value, known)
    judge, moves, doing, table = settings.judge(victim), _moves(victim, settings), ACTIONS[action], table_of(victim)
    parameters = tuple(map(doing.parameter, moves))
    plan = Plan(parameters, lambda point: [point], False, None)
    ask = _ask(victim, settings, moves, judge.objectives)

    def edited(points: Sequence[Point]) -> Edited:
        return doing.edit(table, moves, points[0] if points else {})

    searching = Search(victim, lambda points: edited(points).train, judge, plan, ask, budget, batch)
    same = partial(shared, budget=0 if sampler in DESIGNS else budget, batch=batch)
    history = searching.run(settings.journal(victim, same))
    best = history.most_accurate(slack if objective == "fair" else 0.0)  # an attacker's is a bound: the largest
    points = history.points(best)
    found = edited(points)
    facts = {"sampler": sampler, "action": action, "ended": searching.ended(history)} | account(history, judge)
    if best.number != history.best.number:
        facts["ended"] += f"; of changes within attack.poison.slack={slack:g} of the best, the most accurate is taken"
    return Poisoned(
        train=found.train,
        natural=found.natural,
        before=history.baseline.metrics,
        after=best.metrics,
        steps=list_steps(history.made, metric),
        facts=facts | {"chosen": best.number, "numbers": dict(points[0]) if points else {}},
        reasons=found.reasons,
    )


def _moves(victim: Victim, settings: CellSettings) -> list[Move]:
    """Returns the numbers of a search. Raises ValueError for cells, labels or shares that cannot be meant."""
    action, classes = ACTIONS[settings.action], count_classes(victim)
    onto = {"auto": "own" if settings.objective == "fair" else "any"}.get(settings.labels, settings.labels)
    others = action.relabels or (settings.action == "add" and onto != "own")
    if others and classes > 2:
        raise ValueError(
            f"attack.poison.action={settings.action}: another label is for two classes, and there are {classes}; "
            "use action=add labels=own, action=remove or action=reweigh"
        )
    most = settings.most[settings.action]
    cells = cells_of(victim.train, victim.groups, _order(victim, settings))
    found = []
    for cell in chosen_cells(cells, settings.cells, victim.groups):
        name = f"{victim.groups[cell.group]}/{cell.label}"
        reach = most if settings.action == "reweigh" else most * len(cell.rows)
        if reach < 1:
            continue
        if not action.relabels and (settings.action != "add" or onto != "other"):
            found.append(Move(name, cell, cell.label, reach))
        if others:
            found.append(Move(f"{name} as {1 - cell.label}", cell, 1 - cell.label, reach))
    if not found:
        raise ValueError(
            f"attack.poison.most.{settings.action}={most:g} leaves no row of attack.poison.cells to {settings.action}; "
            "permit more"
        )
    return found


def _order(victim: Victim, settings: CellSettings) -> Callable[[Tensor, int], Tensor]:
    """Returns the order in which the rows of a cell are taken: places (c,) and label -> places."""
    near = {"auto": settings.action == "relabel", "border": True, "chance": False}[settings.order]
    if near:
        scores = rank(victim.train, "attack.poison.order=border")
        return lambda rows, label: rows[(scores[rows] * (1 - 2 * label)).argsort(descending=True, stable=True)]
    source = seeding.rng(victim.seed, "poison order of rows")
    return lambda rows, _: rows[torch.from_numpy(source.permutation(len(rows))).to(rows.device)]


def _ask(victim: Victim, settings: CellSettings, moves: Sequence[Move], objectives: int) -> Ask:
    """Returns what chooses the points: a design, or what is likely to be good and then a sampler."""
    action, budget, sampler = ACTIONS[settings.action], settings.budget, settings.sampler
    ready = partial(designs.on_the_way, action, moves, victim.train, len(victim.groups))
    if sampler == "line":
        return designs.led_by(designs.distinct(action, moves, ready(designs.even(budget))), None)
    if sampler == "each":
        return designs.led_by(designs.each(action, moves, budget), None)
    points = designs.distinct(action, moves, ready(designs.WAY) + designs.alone(action, moves, designs.ALONE))
    return designs.led_by(points, asker(sampler, [action.parameter(move) for move in moves], objectives))
