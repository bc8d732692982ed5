"""Optuna's part of a search: the study in its storage, and the trials that it lacks.

Only the functions import Optuna, which need not be installed for anything else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import paths_config
from utils.search.question import Question, definition
from utils.search.search_words import Line
from utils.system.locks import hold

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

SAMPLERS = {"tpe": "TPESampler", "gp": "GPSampler", "nsga2": "NSGAIISampler", "random": "RandomSampler"}


def import_optuna() -> Any:
    """Optuna, told to be quiet. Raises ValueError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise ValueError(
            "hydra/sweeper=optuna needs Optuna, which is not installed: pip install -r requirements.txt"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextmanager
def one_at_a_time(name: str) -> Iterator[Path]:
    """Lets one process at a time conduct a study; yields the folder of the studies."""
    folder = paths_config.evals() / "studies"
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder / f"{name}.lock", f"another process conducts the study {name}"):
        yield folder


@contextmanager
def storage_errors(storage: str | None, study: str) -> Iterator[None]:
    """Turns an error of the storage of a study into one sentence. Raises ValueError."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OptunaError, SQLAlchemyError, ImportError, JSONDecodeError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        storage = storage or f"sqlite:///{paths_config.evals() / 'studies' / study}.db"
        raise ValueError(
            f"Optuna's storage {storage} cannot be used: {reason}. The runs so far are in the database; repair the "
            "storage, or give another (hydra.sweeper.storage=...), and relaunch the same line"
        ) from error


def open_study(question: Question, storage: Any) -> "Study":
    """The study of a question, made where there is none.

    Raises:
        ValueError: the study of that name asks another question.
    """
    import optuna

    directions: list[Any] = list(question.objectives.values())
    study = optuna.create_study(storage=storage, study_name=question.name, directions=directions, load_if_exists=True)
    wanted = definition(question.line, question.objectives, question.bounds)
    there = study.user_attrs.get("definition", {})
    if not there and not study.trials:
        study.set_user_attr("definition", wanted)
    elif there != wanted:
        changes = [
            f"{part}={there.get(part)}, now {wanted[part]}" for part in wanted if there.get(part) != wanted[part]
        ]
        raise ValueError(
            f"the study {question.name} is another search: {'; '.join(changes)}. Give this one another name "
            "(hydra.sweeper.study=...), or none, and it gets one of its own"
        )
    return study


class Point(NamedTuple):
    """A trial and the values it has drawn, as words have them."""

    trial: "Trial"
    values: dict[str, str]


def points(study: "Study", line: Line, trials: int, sampler: str, seed: int) -> Iterator[Point]:
    """The points that a study lacks: those that a kill left without a result, then new ones up to ``trials`` in all.

    Every trial is drawn by a sampler of its own, seeded by the trial's number, so that a search that is killed and
    resumed goes on with the random numbers that it would have had.
    """
    from optuna.trial import TrialState

    for left in study.get_trials(states=(TrialState.RUNNING,)):
        yield draw(study, left, line, sampler, seed)
    for number in range(count_begun(study), trials):
        study.sampler = _sampler(sampler, seed, number)
        yield _draw(study.ask(), line)


def draw(study: "Study", asked: "FrozenTrial", line: Line, sampler: str, seed: int) -> Point:
    """Draws what a trial tries that was asked before; what was drawn of it then stays."""
    from optuna.trial import Trial

    study.sampler = _sampler(sampler, seed, asked.number)
    return _draw(Trial(study, asked._trial_id), line)


def _draw(trial: "Trial", line: Line) -> Point:
    return Point(trial, {key: parameter.suggest(trial, key) for key, parameter in line.space.items()})


def count_begun(study: "Study") -> int:
    """Counts the trials that have been asked."""
    from optuna.trial import TrialState

    return sum(trial.state != TrialState.WAITING for trial in study.get_trials(deepcopy=False))


def count_unfinished(study: "Study") -> int:
    """Counts the trials without a result, good or bad."""
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))


def _sampler(name: str, seed: int, number: int) -> "BaseSampler":
    import optuna

    from utils.seeding import derive  # imports torch

    sampler: BaseSampler = getattr(optuna.samplers, SAMPLERS[name])(seed=derive(seed, f"trial {number}") % 2**32)
    return sampler
