"""The search for rows to add: ask for points, train on their rows, judge, keep what is better.

Nothing is random but what is seeded by the number of a batch, and nothing is remembered but the journal: a search
that is killed goes on as if it had not been. While a batch is trained, the next one is chosen, knowing the results
up to the batch before; so what is found depends on the size of a batch, but on no timing and no number of processes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from time import thread_time
from typing import NamedTuple

from utils.poisoning.acquisition import batch_seed
from utils.poisoning.features import Parameter
from utils.poisoning.history import Evaluation, History, Plan, Proposal, read_entry, write_entry
from utils.poisoning.journal import Entry, Journal
from utils.poisoning.judge import Judge, UndefinedError
from utils.poisoning.points import Ask, Point, drawn
from utils.poisoning.trials import Trial, accept_best, fail_trial, judge_trial
from utils.seeding import rng
from utils.system.console import count
from utils.types import Answer, Batch, Victim

TRIES = 1000  # points at random in place of one that was evaluated; after these the space is taken for exhausted
PATIENCE = 20  # evaluations; where all of the first so many fail, so will the others


def sequential(parameters: Sequence[Parameter], rows: int | None) -> Plan:
    """One row (and its copies) at a time, on top of those accepted; ``rows`` of them at most, None: all that help."""
    return Plan(tuple(parameters), lambda point: [point], True, rows)


def joint(parameters: Sequence[Parameter], rows: int | None) -> Plan:
    """``rows`` rows together, whose parameters are named ``0/age``, ``1/age``, ... Raises ValueError for None."""
    if rows is None:
        raise ValueError("attack.poison.rows=null: a joint search is of a number of rows; give one, such as 4")
    names = [parameter.name for parameter in parameters]
    return Plan(
        tuple(p._replace(name=f"{i}/{p.name}") for i in range(rows) for p in parameters),
        lambda point: [{name: point[f"{i}/{name}"] for name in names} for i in range(rows)],
        False,
        None,
    )


def shared(entries: Sequence[Entry], *, budget: int, batch: int) -> list[Entry]:
    """The first evaluations that a search makes whatever its budget: whole batches within this one.

    They end before the first that failed, since what it lacked may be there by now.
    """

    def same(entry: Entry) -> bool:
        whole = entry["number"] == 0 or entry["size"] == batch
        return whole and entry["batch"] * batch <= budget and not entry["error"]

    return list(takewhile(same, entries))


class Chosen(NamedTuple):
    """Points of a batch, and the CPU-seconds that choosing each took."""

    points: list[dict[str, float]]
    seconds: float


@dataclass(frozen=True)
class Search:
    """A search for rows, and its parts."""

    victim: Victim
    train_at: Callable[[Sequence[Point]], Batch]  # points -> all training rows once those of the points are added
    judge: Judge
    plan: Plan
    ask: Ask
    budget: int
    batch: int

    def run(self, journal: Journal) -> History:
        """Search until the budget is spent, as many points are accepted as may be, or nothing is left to try or gain.

        Raises:
            ValueError: the unpoisoned training fails or lacks a metric, or all of the first evaluations fail.
        """
        history = self._begun(journal)
        batch = history.complete + 1
        before = history.until(batch - 1)
        asked = self._choose(history, batch, [e.proposal.point for e in before.of(batch - 1) if e.number])
        while asked.points and not self._finished(before):
            chosen = self._new(before, batch, asked.points)
            if not chosen:
                break
            there = history.of(batch)  # of a batch that was interrupted
            kept = before.points(before.base)
            wait = self.victim.refit([self.train_at([*kept, *self.plan.split(p)]) for p in chosen[len(there) :]])
            upcoming = self._choose(before, batch + 1, chosen)
            made = self._judge(before, there, chosen, wait(), batch, asked.seconds)
            made = accept_best([before.best, *there], made)
            journal.add(map(write_entry, made))
            history = before = History(self.plan, (*before.made, *there, *made))
            self._say(history)
            asked, batch = upcoming, batch + 1
        return history

    def ended(self, history: History) -> str:
        """Why a search went no further, in words."""
        spent = len(history.made) > self.budget
        return self._finished(history) or ("the budget is spent" if spent else "nothing new to try")

    def _finished(self, history: History) -> str:
        """Why it needs no further evaluation; empty where it may."""
        if history.ended:
            return "as many rows as may be"
        best = history.best.loss
        perfect = best is not None and best <= self.judge.least and self.judge.objectives == 1
        return "nothing left to gain" if perfect else ""  # of two objectives the other one could be better

    def _begun(self, journal: Journal) -> History:
        """Returns what the journal holds; of a new one the unpoisoned training."""
        if not journal.entries:
            (answer,) = self.victim.refit([self.victim.train])()
            if answer.logits is None:
                raise ValueError(f"the training without added rows fails: {answer.error}")
            metrics = self.judge.metrics(answer)
            judged, seconds = self.judge(metrics, metrics), (0.0, answer.seconds)
            nothing = Proposal(0, 1, 0, {})
            journal.add([write_entry(Trial(0, nothing, metrics, judged.loss, judged.violation, False, "", seconds))])
        history = History(self.plan, tuple(map(read_entry, journal.entries)))
        self._say(history)
        return history

    def _choose(self, history: History, batch: int, pending: Sequence[Point]) -> Chosen:
        """The points of a batch, from what came before those that are ``pending``; none where the budget is spent."""
        known = history.until(batch - 2)
        count = min(self.batch, self.budget - (len(known.made) - 1) - len(pending))
        if count < 1:
            return Chosen([], 0.0)
        started = thread_time()
        points = self.ask(known.tell(self.judge.objectives), pending, count, batch_seed(self.victim.seed, batch))
        return Chosen(points, (thread_time() - started) / count)

    def _new(self, before: History, batch: int, points: Sequence[dict[str, float]]) -> list[dict[str, float]]:
        """The points, and ones at random in place of those that were evaluated on top of the same rows.

        Learners are deterministic: an evaluation made twice would be wasted. Fewer points where no new ones are found.
        """
        seen = {before.key(e.proposal.point) for e in before.made[1:] if e.proposal.onto == before.base.number}
        random = rng(self.victim.seed, f"poison repeats {batch}")
        found = []
        for point in points:
            tries = 0
            while before.key(point) in seen and tries < TRIES:
                point, tries = drawn(self.plan.parameters, random), tries + 1
            if before.key(point) not in seen:
                seen.add(before.key(point))
                found.append(point)
        return found

    def _judge(
        self,
        before: History,
        there: Sequence[Evaluation],
        points: Sequence[Point],
        answers: Sequence[Answer],
        batch: int,
        asking: float,
    ) -> list[Evaluation]:
        """The evaluations of a batch that were not ``there``."""
        number, onto = len(before.made) + len(there), before.base.number
        made = []
        for i, (point, answer) in enumerate(zip(points[len(there) :], answers, strict=True)):
            proposal, seconds = Proposal(batch, len(points), onto, dict(point)), (asking, answer.seconds)
            try:
                metrics = self.judge.metrics(answer)
                made.append(judge_trial(number + i, proposal, seconds, self.judge, metrics, before.baseline.metrics))
            except UndefinedError as error:
                made.append(fail_trial(number + i, proposal, seconds, str(error)))
        return made

    def _say(self, history: History) -> None:
        """Tells whoever watches. Raises ValueError where all of the first evaluations failed."""
        made = history.made[1:]
        if len(made) >= min(PATIENCE, self.budget) and made and all(e.loss is None for e in made[:PATIENCE]):
            raise ValueError(
                f"all of the first {count(min(len(made), PATIENCE), 'evaluation')} fail: {made[0].error}; where the "
                f"cause is no setting, move {self.victim.journal}, which keeps them, away and relaunch"
            )
        metric = self.judge.metric
        now = {metric: history.best.metrics[metric], "unpoisoned": history.baseline.metrics[metric]}
        self.victim.watch(len(made), now)
