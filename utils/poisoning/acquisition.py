"""The choice of points to evaluate next: a function of the outcomes so far."""

from collections.abc import Sequence
from functools import partial

from utils.poisoning.expecting import Expecting
from utils.poisoning.features import Parameter
from utils.poisoning.parzen import ask_parzen, import_optuna
from utils.poisoning.points import Ask, at_random, quasi_random
from utils.seeding import derive

PLAIN = {"random": at_random, "sobol": quasi_random}  # which do not learn


def asker(sampler: str, parameters: Sequence[Parameter], objectives: int) -> Ask:
    """Returns the function that chooses the points of a search.

    ``random`` and ``sobol`` (quasi-random) learn nothing; ``gp`` is a Gaussian process with the logarithm of expected
    improvement, ``tpe`` a tree-structured Parzen estimator (Bergstra et al. 2011) by Optuna, both told what is under
    way. Seeded by the number of a batch, each is a function of what it is told: nothing but the journal is needed to
    go on where a search was killed.

    Raises:
        ValueError: Optuna is needed and not installed.
    """
    if sampler in PLAIN:
        return partial(PLAIN[sampler], parameters)
    if sampler == "gp":
        return Expecting(parameters, objectives)
    import_optuna()
    return partial(ask_parzen, parameters, objectives)


def batch_seed(seed: int, batch: int) -> int:
    """The seed of a batch's sampler."""
    return derive(seed, f"poison batch {batch}")
