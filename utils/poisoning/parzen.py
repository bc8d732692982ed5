"""Points of a search by Optuna. Only the functions import it: it need not be installed for anything else."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from utils.poisoning.features import Parameter
from utils.poisoning.points import Known, Point

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study

WIDE = 5  # whole numbers of so many values and more are searched as real ones, and rounded


def ask_parzen(
    parameters: Sequence[Parameter],
    objectives: int,
    known: Known,
    pending: Sequence[Point],
    count: int,
    seed: int,
) -> list[dict[str, float]]:
    """Chooses points by a tree-structured Parzen estimator (Bergstra et al. 2011), each knowing those before it."""
    from optuna.trial import TrialState

    with _quiet():
        distributions = {p.name: _distribution(p) for p in parameters}
        study = _study(known, pending, distributions, _sampler(seed), objectives)
        points = []
        for _ in range(count):
            trial = study.ask(distributions)
            points.append({p.name: p.valid(trial.params[p.name]) for p in parameters})
            study.tell(trial, state=TrialState.FAIL)  # what is under way is the rounded point
            study.add_trial(_trial(TrialState.RUNNING, points[-1], distributions))
        return points


def _study(
    known: Known,
    pending: Sequence[Point],
    distributions: "dict[str, BaseDistribution]",
    sampler: "BaseSampler",
    objectives: int,
) -> "Study":
    """All that is known, in memory. The constraint is told once it was broken."""
    import optuna
    from optuna.trial import TrialState

    study = optuna.create_study(sampler=sampler, directions=["minimize"] * objectives)
    broken = any(violation > known.permitted for _, values, violation in known.outcomes if values)
    for point, values, violation in known.outcomes:
        if values is None:
            study.add_trial(_trial(TrialState.FAIL, point, distributions))
        else:
            bounds = {"accuracy": violation - known.permitted} if broken else None
            study.add_trial(_trial(TrialState.COMPLETE, point, distributions, values=list(values), constraints=bounds))
    for point in pending:
        study.add_trial(_trial(TrialState.RUNNING, point, distributions))
    return study


def _trial(state: Any, point: Point, distributions: "dict[str, BaseDistribution]", **more: Any) -> Any:
    from optuna.trial import create_trial

    return create_trial(state=state, params=dict(point), distributions=distributions, **more)


def _distribution(p: Parameter) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if p.kind == "choice":
        return CategoricalDistribution(p.choices)
    if p.kind == "int" and p.high - p.low + 1 < WIDE:
        return IntDistribution(int(p.low), int(p.high), log=p.log)
    return FloatDistribution(p.low, p.high, log=p.log)


def _sampler(seed: int) -> "BaseSampler":
    return import_optuna().samplers.TPESampler(seed=seed % 2**32, constant_liar=True, multivariate=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences warnings of what Optuna calls experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", import_optuna().exceptions.ExperimentalWarning)
        yield


def import_optuna() -> Any:
    """Optuna, told to be quiet. Raises ValueError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise ValueError(
            "attack.poison.sampler needs Optuna, which is not installed: pip install -r requirements.txt, or "
            "take attack.poison.sampler=sobol"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
