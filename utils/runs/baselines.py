"""The plain methods beside a search for rows: the same split, learner, seed and limits, judged on the same rows.

Each is an option that anybody can train by itself, whose words the record holds. Where a method has a number (how many
copies, how far to massage), it is swept, and the best permitted one on validation rows is taken, as the search does;
where none is permitted, the one that breaks the limits least, which the record says.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch

from utils import seeding
from utils.build import Run
from utils.decides.group_exact import group_exact
from utils.metrics.directions import ERRORS
from utils.metrics.intervals import Measured
from utils.poisoning.cells import ACTIONS, Move, cells_of, counts_of, table_of
from utils.poisoning.judge import DIGITS, Judge
from utils.poisoning.rows_csv import with_rows
from utils.prepares.duplicate import duplicate
from utils.prepares.massage import massage
from utils.prepares.resample import resample
from utils.prepares.reweigh import reweigh
from utils.runs.fitting import threshold
from utils.runs.refits import fitted
from utils.types import Answer, Batch, FitDecide, Poisoned, Victim

SHARES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)  # of the way to independence
COPIES = (0.125, 0.25, 0.5, 1.0)  # of a cell's rows
DRAWS = 8  # of rows by chance
PERMITTED = (0.0, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15)  # gaps of thresholds
RATES = {  # metric -> the rate whose gap thresholds of groups limit
    "fpr_gap": "fpr",
    "fnr_gap": "fnr",
    "demographic_parity_difference": "acceptance_rate",
    "equalized_odds_difference": "equalized_odds",
}
CROWD = (1 / 32, 1 / 16, 1 / 8)  # of the training rows: copies with another label
GROUPS_MIN = 10  # rows of a group that has a threshold of its own

Figures = Callable[[Run, Any, Batch], Measured]


class Try(NamedTuple):
    """Training rows, or thresholds, that a method might choose."""

    words: tuple[str, ...]  # of the command line
    train: Batch
    decide: FitDecide | None = None  # in place of the run's own


class Tried(NamedTuple):
    """The one that a method chooses, and what it took."""

    method: str
    chosen: Try
    metrics: Mapping[str, float]  # on the validation rows
    violation: float
    broken: Mapping[str, float]  # limits that do not hold: by how much
    trainings: int
    seconds: float  # of the processor


def plain_methods(run: Run, added: int) -> Iterator[tuple[str, Callable[[], list[Try]]]]:
    """Yields the methods by name, each with what makes its tries; ``added`` rows are drawn by chance."""
    train, groups = run.dataset.train, run.dataset.groups

    def prepared(method: Any, *words: str, **settings: Any) -> Try:
        source = seeding.rng(run.seed, "prepare")
        named = [f"prepare.{key}={value}" for key, value in settings.items()]
        return Try((f"prepare={method.__name__}", *named), method(train, groups, source, **settings))

    yield "reweighing", lambda: [prepared(reweigh)]
    yield "massaging", lambda: [prepared(massage, share=1.0)]
    yield "massaging, swept", lambda: [prepared(massage, share=share) for share in SHARES]
    yield "resampling", lambda: [prepared(resample, choice="uniform")]
    yield (
        "duplicates of a cell, swept",
        lambda: [
            prepared(duplicate, group=g, label=y, count=round(share * float(n)))
            for share in COPIES
            for g, of in enumerate(counts_of(train, len(groups)))
            for y, n in enumerate(of)
            if n
        ],
    )
    if added:
        yield "training rows by chance, again", lambda: [_by_chance(run, added, draw) for draw in range(DRAWS)]
    if rate := RATES.get(run.params["attack"]["poison"]["metric"]):
        yield "thresholds of groups, swept", lambda: [_thresholds(run, rate, gap) for gap in PERMITTED]


def _by_chance(run: Run, number: int, draw: int) -> Try:
    """Returns so many training rows once more, drawn evenly; no option does that, so there are no words."""
    train = run.dataset.train
    source = seeding.rng(run.seed, f"rows by chance {draw}")
    again = train.rows(torch.from_numpy(source.integers(0, len(train.y), number)).to(train.y.device))
    return Try((), with_rows(train, again._replace(w=torch.ones_like(again.w))))


def _thresholds(run: Run, rate: str, permitted: float) -> Try:
    settings: Any = {"rate": rate, "permitted": permitted, "confidence": None, "groups_min": GROUPS_MIN}
    words = ("decide=group_exact", f"decide.rate={rate}", f"decide.permitted={permitted}")
    return Try(words, run.dataset.train, partial(group_exact, **settings))


def outdo(run: Run, victim: Victim, judge: Judge, chosen: Poisoned, most: int, share: float) -> Poisoned:
    """Returns the better of what a search found and the trivial attacks, and says in its facts which that is.

    A trivial attack adds copies of the rows of one group and label, all with the other label; of two classes.

    Args:
        run: whose rows are as they were.
        victim: the same, as searches see it.
        judge: of validation rows, that of the search.
        chosen: what the search found.
        most: rows that may be added.
        share: the same, as a share of the rows of the group and label.
    """
    train, table, size = run.dataset.train, table_of(victim), len(run.dataset.train.y)
    sizes = sorted({min(most, max(1, round(share * size))) for share in CROWD} | {min(most, len(chosen.natural))} - {0})
    if run.dataset.classes != 2 or not sizes:
        return chosen
    source = seeding.rng(run.seed, "flipped copies")
    cells = cells_of(train, victim.groups, lambda rows, _: rows[torch.from_numpy(source.permutation(len(rows)))])
    moves = [Move(f"{cell.words} as {1 - cell.label}", cell, 1 - cell.label, most) for cell in cells]
    capped = {move.name: min(most, share * len(move.cell.rows)) for move in moves}
    tries = [(move, number) for number in sizes for move in moves if number <= capped[move.name]]
    if not tries:
        return chosen
    edits = [ACTIONS["add"].edit(table, [move], {move.name: number}) for move, number in tries]
    answers = victim.refit([edited.train for edited in edits])()
    judged = [judge(judge.metrics(answer), chosen.before) for answer in answers]
    permitted = [(of.loss, i) for i, of in enumerate(judged) if of.violation <= 0]
    facts = {"trainings": len(tries), "seconds": sum(answer.seconds for answer in answers)}
    if not permitted or min(permitted)[0] >= judge(chosen.after, chosen.before).loss:
        return replace(chosen, facts={**chosen.facts, "trivial": facts | {"better": False}})
    i = min(permitted)[1]
    move, number = tries[i]
    after, metric = judged[i].metrics, judge.metric
    return replace(
        chosen,
        train=edits[i].train,
        natural=edits[i].natural,
        after=after,
        steps=[*chosen.steps, (chosen.facts["evaluations"] + i + 1, after[metric])],
        facts={
            **{key: value for key, value in chosen.facts.items() if key not in ("numbers", "chosen")},
            "trivial": facts | {"better": True, "rows": number, "of": move.name},
        },
    )


def choose(method: str, tries: Sequence[Try], answers: Sequence[Answer], judge: Judge, before: Answer) -> Tried:
    """The best permitted try on validation rows, else that which breaks the limits least.

    Raises:
        UndefinedError: a training failed, or a metric is undefined.
    """
    baseline = judge.metrics(before)
    found = []
    for own, answer in zip(tries, answers, strict=True):
        metrics = (judge if own.decide is None else replace(judge, fit_decide=own.decide)).metrics(answer)
        found.append((judge(metrics, baseline), own))
    judged, best = min(found, key=lambda of: (max(of[0].violation, 0.0), of[0].loss))
    missed = {key: round(beyond, DIGITS) for key, beyond in judge.beyond(judged.metrics, baseline).items()}
    broken = {key: beyond for key, beyond in missed.items() if beyond > 0}
    seconds = sum(answer.seconds for answer in answers)
    return Tried(method, best, judged.metrics, judged.violation, broken, len(tries), seconds)


def compare(run: Run, victim: Victim, judge: Judge, chosen: Poisoned, figures: Figures) -> list[dict[str, Any]]:
    """Returns what a record holds of each method; of one that cannot be, why.

    Args:
        run: whose rows are as they were.
        victim: the same, as searches see it.
        judge: of validation rows, that of the search.
        chosen: what the search found.
        figures: a trained run, its thresholds and rows -> their metrics.
    """
    names, every, errors = [], [], {}
    for name, make in plain_methods(run, len(chosen.natural)):
        try:
            every.append(make())
        except ValueError as error:
            errors[name] = str(error)
            every.append([])
        names.append(name)
    trained = [own for tries in every for own in tries if own.decide is None]
    before, *answers = victim.refit([run.dataset.train, *(own.train for own in trained)])()
    of = dict(zip(map(id, trained), answers, strict=True))
    found = []
    for name, tries in zip(names, every, strict=True):
        try:
            if name in errors:
                raise ValueError(errors[name])
            own = [of.get(id(one), before) for one in tries]
            found.append(_plain(run, choose(name, tries, own, judge, before), figures))
        except ValueError as error:  # UndefinedError is one
            found.append({"method": name, "error": str(error)})
    return found


def _plain(run: Run, tried: Tried, figures: Figures) -> dict[str, Any]:
    """Returns the entry of a record: the model that the method chooses is trained once more and judged on test rows."""
    own = run if tried.chosen.decide is None else replace(run, fit_decide=tried.chosen.decide)
    own = replace(own, model=fitted(run, tried.chosen.train))
    test = figures(own, threshold(own), run.dataset.test)
    metric = run.params["attack"]["poison"]["metric"]
    keys = [metric, "accuracy", *(f"{rate}_group{i}" for rate in ERRORS for i in range(len(run.dataset.groups)))]
    same = tried.chosen.decide is not None  # thresholds of one model: swept without training anew
    return {
        "method": tried.method,
        "words": list(tried.chosen.words),
        "trainings": 1 if same else tried.trainings,
        "seconds": tried.seconds / (tried.trainings if same else 1),
        "violation": tried.violation,
        "broken": dict(tried.broken),
        "valid": {key: tried.metrics[key] for key in keys if key in tried.metrics},
        "test": {key: test[key] for key in keys if test.get(key) is not None},
    }
