"""``hydra/sweeper=optuna``: trials asked in batches, trained as ordinary jobs, told from their records."""

import hashlib
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.metrics.directions import require_metric
from utils.records.typed import Record
from utils.run_store import store_of
from utils.runs.outcomes import Outcome, ended, read_outcome
from utils.runs.sweep import Job, Planned, launch, swept
from utils.search.conductors import Alone, conducted
from utils.search.question import (
    Question,
    check_radii,
    constraints,
    definition,
    objectives,
    require_one_model,
    require_one_source,
)
from utils.search.results import NoResultError, UnreportedError, describe, judge
from utils.search.search_words import Line, read
from utils.search.study import (
    SAMPLERS,
    Point,
    count_begun,
    count_unfinished,
    import_optuna,
    storage_errors,
)
from utils.system.console import complain, say
from utils.words.near import near

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial

NAME = re.compile(r"[A-Za-z][\w-]*")  # of a study: a file, a word of Hydra's, a value of where=


class Search(Planned):
    """A sweeper that searches the given values for the best trade-offs; the settings are those of its yaml."""

    def __init__(
        self,
        trials: int,
        batch: int,
        objectives: Any,
        constraints: Any,
        sampler: str,
        sampler_seed: int,
        study: str | None,
        storage: str | None,
        params: Mapping[str, Any] | None,
    ):
        super().__init__(params)
        self.trials, self.batch = trials, batch
        self.objectives, self.constraints = objectives, constraints
        self.sampler, self.sampler_seed = sampler, sampler_seed
        self.study, self.storage = study, storage

    def sweep(self, arguments: list[str]) -> None:
        """Checks the space, searches it, shows what was found."""
        optuna = import_optuna()
        self._check()
        if getattr(self.launcher, "wait", True) is False:
            raise ValueError(
                "hydra.launcher.wait=false leaves before its jobs have ended, and a search asks by how they did: leave "
                "it out, and let the search run in tmux or screen"
            )
        question = self._question(read(self.words(arguments)))
        at_ends = [words for at in question.line.probes() for words in question.jobs(at)]
        probes = self.planner.plan(at_ends, 0, probing=True)
        check_radii(question.metrics, (job.params["epsilon"]["evaluate"] for job in probes))
        require_one_model(question.metrics, [job.params for job in probes])
        require_one_source(question.metrics, [job.params for job in probes])
        with warnings.catch_warnings(), storage_errors(self.storage, question.name):
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            with conducted(question, self.storage) as conductor:
                try:
                    self._search(conductor, question)
                except UnreportedError:
                    conductor.forget()
                    raise
                for line in describe(conductor.study, question):
                    say(line)
                _require_result(conductor.study)

    def _check(self) -> None:
        if self.sampler not in SAMPLERS:
            close = near(self.sampler, SAMPLERS, "")
            raise ValueError(f"hydra.sweeper.sampler={self.sampler}: expected one of {', '.join(SAMPLERS)}{close}")
        if self.study is not None and not NAME.fullmatch(str(self.study)):
            raise ValueError(f"hydra.sweeper.study={self.study}: expected letters, digits, _ and -, a letter first")

    def _question(self, line: Line) -> Question:
        """Returns the question of a line, under the name that is given or one that only this question has."""
        goals, bounds = objectives(self.objectives), constraints(self.constraints)
        for key in goals:
            require_metric(key, "hydra.sweeper.objectives")
        for bound in bounds:
            require_metric(bound.key, "hydra.sweeper.constraints")
        text = json.dumps(definition(line, goals, bounds), sort_keys=True)
        name = self.study or f"search_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        return Question(name, line, goals, bounds)

    def _search(self, conductor: Alone, question: Question) -> None:
        """Asks, launches and tells batches, until the study has its trials or none of a batch could be trained.

        Raises:
            UnreportedError: no run so far reports a metric that is asked for.
        """
        study = conductor.study
        if not (left := self._count_left(study)):
            return
        config = deepcopy(self.config)
        if "watch" not in question.line.fixed:
            config.watch = list(question.objectives)
        first, asking = 0, (question.line, self.trials, self.sampler, self.sampler_seed)
        with swept(config, range(left * question.repetitions), self.planner) as tally:
            try:
                # a single trial before all batches: what is wrong with every trial shows there
                while batch := conductor.ask(
                    self.batch if count_begun(study) > count_unfinished(study) else 1, *asking
                ):
                    tally.numbers = range(first + self._count_left(study) * question.repetitions)
                    planned = self._plan(study, question, batch, first)
                    jobs = [job for own in planned for job in own]
                    first += len(jobs)
                    launch(self.launcher, self.planner, [job.words for job in jobs], jobs[0].number)
                    ended = self._collect(tally.folder, planned)
                    for (trial, _), ends in zip(batch, ended, strict=True):
                        if not ends:
                            conductor.leave(trial)
                            continue
                        with conductor.telling(trial) as mine:
                            if mine:
                                _tell(study, question, trial, ends)
                    if not any(ended):
                        complain("no trial of this batch has its records, so the search stops; relaunch it to go on")
                        break
            finally:
                tally.numbers = range(first)  # of a search that stops, only those that were begun

    def _count_left(self, study: "Study") -> int:
        """Counts the trials that are not begun, or begun and without a result."""
        return count_unfinished(study) + max(0, self.trials - count_begun(study))

    def _plan(self, study: "Study", question: Question, batch: Sequence[Point], first: int) -> list[list[Job]]:
        """The jobs of each trial. Raises ValueError where one cannot be run, whose trial is not tried again."""
        from optuna.trial import TrialState

        planned: list[list[Job]] = []
        for point in batch:
            try:
                planned.append(self.planner.plan(question.jobs(point.values), first))
            except ValueError:
                study.tell(point.trial, state=TrialState.FAIL)
                raise
            first += question.repetitions
        return planned

    def _collect(self, folder: Path, planned: Sequence[Sequence[Job]]) -> list[list[tuple[Outcome, Record]] | None]:
        """Returns how the jobs of each trial ended, with records; None where one left none: the trial stays open."""
        jobs = [job for own in planned for job in own]
        left = {job.number: end for job in jobs if (end := read_outcome(folder, job.number)) and end.run_id}
        runs: dict[str, list[str]] = {}
        for end in left.values():
            runs.setdefault(str(end.dataset), []).append(str(end.run_id))
        found = {dataset: store_of(dataset).find_many(own, status=None) for dataset, own in runs.items()}
        records = {number: found[str(end.dataset)].get(str(end.run_id)) for number, end in left.items()}
        return [
            [(left[job.number], record) for job in own if (record := records[job.number])]
            if all(records.get(job.number) for job in own)
            else None
            for own in planned
        ]


def _require_result(study: "Study") -> None:
    """Lets the command fail where not a single trial has a result."""
    from optuna.trial import TrialState

    if not study.get_trials(states=(TrialState.COMPLETE,)):
        reason = "the search has found nothing: none of its trials has a result"
        complain(reason)
        ended.append(Outcome("", "failed", reason))


def _tell(study: "Study", question: Question, trial: "Trial", ends: Sequence[tuple[Outcome, Record]]) -> None:
    """Tells the study how a trial ended.

    Raises:
        UnreportedError: its runs do not report a metric that is asked for, and no others did.
    """
    from optuna.trial import TrialState

    try:
        for outcome, _ in ends:
            if outcome.status == "failed":
                raise NoResultError(outcome.with_record)
        judge(study, trial, question, [record for _, record in ends])
    except NoResultError as error:
        if isinstance(error, UnreportedError) and not study.get_trials(states=(TrialState.COMPLETE,)):
            raise
        say(f"trial {trial.number} failed: {error}")
        study.tell(trial, state=TrialState.FAIL)
