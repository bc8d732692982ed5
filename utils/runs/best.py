"""The best of the jobs of a sweep, by each metric that it watches, as far as their figures compare."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from utils.metrics.directions import direction
from utils.runs.data_sources import is_of_groups
from utils.runs.outcomes import Model, Outcome

OF_CONSTANT = ("worst_class_accuracy", "prevalence")  # metrics that tell a constant prediction; the second is of two
NEARLY = 0.05  # of the rows of a class, which a nearly constant prediction gets right


def nearly_constant(metrics: Mapping[Any, Any]) -> bool:
    """Returns whether a model of two classes predicts one for at least 95 % of the rows of the other."""
    recall, of_two = (metrics.get(key) for key in OF_CONSTANT)
    return recall is not None and of_two is not None and bool(recall <= NEARLY and of_two == of_two)


class Best(NamedTuple):
    """The best value of a metric among outcomes that compare."""

    outcome: Outcome
    value: float
    where: str  # the source of data, the groups and the causal model that they share, where others have another

    @property
    def words(self) -> str:
        """``0.8460 under scm=linear``."""
        return f"{self.value:.4f} {self.where}".rstrip()


def best_of(key: str, ended: Sequence[Outcome]) -> list[Best]:
    """Returns the best value of a metric; where figures do not compare, that of each data, groups and causal model.

    Values compare of one source of data, of groups about the same attributes, under one causal model. Models that
    predict one class for nearly every row are the best only where there is no other.
    """
    having = [of for of in ended if of.metrics.get(key) is not None]
    outcomes = [of for of in having if not of.constant] or having
    parts = [[f"of {of.source}" if of.source else "" for of in outcomes]]
    if is_of_groups(key):
        parts.append([f"about {of.sensitive}" if of.sensitive else "" for of in outcomes])
    several = [part for part in parts if len({*part} - {""}) > 1]
    within = list(zip(*several, strict=True)) if several else [()] * len(outcomes)
    fingerprints = [of.models[key]["fingerprint"] if key in of.models else "" for of in outcomes]
    names = _names(list(_models(key, outcomes).values()))
    under: dict[tuple[str, ...], set[str]] = {}
    for place, fingerprint in zip(within, fingerprints, strict=True):
        under.setdefault(place, set()).add(fingerprint)
    alike: dict[tuple[str, ...], list[Outcome]] = {}
    for place, fingerprint, outcome in zip(within, fingerprints, outcomes, strict=True):
        model = f"under {names.get(fingerprint, 'none')}" if len(under[place]) > 1 else ""
        alike.setdefault((*place, model), []).append(outcome)

    def better(outcome: Outcome) -> float:
        return direction(key) * float(outcome.metrics[key] or 0)

    best = {words: max(of, key=better) for words, of in alike.items()}
    return [Best(of, float(of.metrics[key] or 0), " ".join(filter(None, words))) for words, of in best.items()]


def is_apart(key: str, ended: Sequence[Outcome]) -> bool:
    """Returns whether some values of a metric do not compare with others."""
    return len(_models(key, ended)) > 1 or len(best_of(key, ended)) > 1


def _models(key: str, ended: Iterable[Outcome]) -> dict[str, Model]:
    """Returns the causal models that a metric rests on, by fingerprint."""
    return {of.models[key]["fingerprint"]: of.models[key] for of in ended if key in of.models}


def _names(models: Sequence[Model]) -> dict[str, str]:
    """Returns causal models in words, by fingerprint: the option, with what else it takes to distinguish them."""
    several = len({model["dataset"] for model in models}) > 1
    names = [f"{model['option']} of {model['dataset']}" if several else model["option"] for model in models]
    return {
        model["fingerprint"]: f"scm={name}" if names.count(name) == 1 else f"scm={name} ({model['fingerprint'][:6]})"
        for model, name in zip(models, names, strict=True)
    }
