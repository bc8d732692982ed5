"""The question of a search: its points, and the metrics that judge them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from utils.metrics.directions import direction, names_like, radius_of
from utils.records.settings import left_out
from utils.search.search_words import Line
from utils.words.near import near
from utils.words.numbers import read_number
from utils.words.quoting import write_word

BOUND = re.compile(r"\s*(?P<key>[^<>=\s]+)\s*(?P<sign><=|>=)\s*(?P<value>[^<>=\s]+)\s*")


class Bound(NamedTuple):
    """A condition on a metric: at most ``value``, or at least."""

    key: str
    sign: str
    value: float

    def __str__(self) -> str:
        return f"{self.key}{self.sign}{self.value}"

    def excess(self, metrics: Mapping[str, float]) -> float:
        """Returns by how much the metrics exceed the bound; 0 or less where they meet it."""
        return metrics[self.key] - self.value if self.sign == "<=" else self.value - metrics[self.key]


@dataclass(frozen=True)
class Question:
    """A search: its points, and the metrics that judge them."""

    name: str
    line: Line
    objectives: Mapping[str, str]  # metric -> maximize or minimize
    bounds: tuple[Bound, ...]

    @property
    def metrics(self) -> list[str]:
        """All that a trial is judged by."""
        return list(dict.fromkeys([*self.objectives, *(bound.key for bound in self.bounds)]))

    @property
    def repetitions(self) -> int:
        """Jobs of a trial."""
        return max(1, len(self.line.seeds))

    def jobs(self, point: Mapping[str, str]) -> list[list[str]]:
        """The words of a point's jobs, one for each seed."""
        words = self.line.fixed | {key: f"{key}={value}" for key, value in point.items()}
        presets = [words.pop("+experiment").partition("=")[2]] if "+experiment" in words else []
        words |= {"+experiment": f"+experiment=[{','.join([*presets, 'study'])}]", "study": f"study='{self.name}'"}
        words.setdefault("watch", f"watch=[{','.join(self.objectives)}]")
        seeds = [f"seed={seed}" for seed in self.line.seeds]
        return [[*words.values(), seed] for seed in seeds] or [list(words.values())]


def definition(line: Line, objectives: Mapping[str, str], bounds: Sequence[Bound]) -> dict[str, Any]:
    """Returns what makes two searches the same, in JSON types; where and how fast jobs run is no part of it."""
    return {
        "words": sorted(word for key, word in line.fixed.items() if key not in left_out("study")),
        "space": {key: parameter.definition() for key, parameter in sorted(line.space.items())},
        "seeds": list(line.seeds),
        "objectives": dict(objectives),
        "constraints": [str(bound) for bound in bounds],
    }


def objectives(given: Any) -> dict[str, str]:
    """Metric -> maximize or minimize, from a list of metrics or a mapping to their directions.

    Raises:
        ValueError: no metric, or one whose better end is not known.
    """
    plain: Any = OmegaConf.to_container(given) if OmegaConf.is_config(given) else given
    wanted = plain if isinstance(plain, dict) else dict.fromkeys(plain if isinstance(plain, list) else [plain])
    if not wanted or not all(isinstance(key, str) for key in wanted):
        raise ValueError(
            f"hydra.sweeper.objectives={plain}: expected metrics, [accuracy,uai_0.05], or their directions, "
            "{accuracy: maximize, uai_0.05: minimize}"
        )
    return {key: _better(key, end) for key, end in wanted.items()}


def _better(key: str, end: Any) -> str:
    if end in ("maximize", "minimize"):
        return str(end)
    if end is not None:
        raise ValueError(f"hydra.sweeper.objectives: {key}: {end}: expected maximize or minimize")
    if sign := direction(key):
        return "maximize" if sign > 0 else "minimize"
    raise ValueError(
        f"hydra.sweeper.objectives: it is not known which end of {key} is better{near(key, names_like(key))} "
        f"If it is meant, say {write_word('hydra.sweeper.objectives', {key: 'maximize'})}, or minimize"
    )


def constraints(given: Any) -> tuple[Bound, ...]:
    """Conditions such as ``uai_0.05<=0.1``. Raises ValueError for any other."""
    return tuple(_bound(str(text)) for text in ([given] if isinstance(given, str) else given or []))


def _bound(text: str) -> Bound:
    match = BOUND.fullmatch(text)
    try:
        if match:
            return Bound(match["key"], match["sign"], read_number(match["value"]))
    except ValueError:
        pass  # no number
    raise ValueError(f"hydra.sweeper.constraints: cannot read {text!r}; write METRIC<=NUMBER or METRIC>=NUMBER")


def check_radii(metrics: Iterable[str], evaluated: Iterable[Sequence[Any]]) -> None:
    """Refuses a metric at a radius that is not among those that some job is ``evaluated`` at. Raises ValueError."""
    for radii in {tuple(map(str, given)): None for given in evaluated}:
        for key in metrics:
            if (radius := radius_of(key)) is not None and radius not in radii:
                raise ValueError(
                    f"{key}: the runs are judged at the radii {', '.join(radii)}; "
                    f"add it: 'epsilon.evaluate=[{','.join([*radii, radius])}]'"
                )


def require_one_source(metrics: Iterable[str], configurations: Sequence[Mapping[str, Any]]) -> None:
    """Refuses a search over several data sets, and one over sensitive attributes that is judged by gaps of groups.

    Raises:
        ValueError: trials could not be ranked.
    """
    from utils.runs.data_sources import (
        describe_source,
        is_of_groups,
    )  # imports what mistakes of words need not wait for
    from utils.scms.identity import attributes

    sources = list(dict.fromkeys(describe_source(params["dataset"]) for params in configurations))
    if len(sources) > 1:
        raise ValueError(
            f"this search tries {len(sources)} sources of data: {'; '.join(sources)}. Figures of different ones do not "
            "compare, so no trial could be called better: search each by itself"
        )
    about = list(dict.fromkeys(", ".join(attributes(params["dataset"]) or ()) for params in configurations))
    for key in filter(is_of_groups, metrics if len(about) > 1 else ()):
        raise ValueError(
            f"{key} is about the groups of the sensitive attributes, and this search tries {len(about)} sets of them: "
            f"{'; '.join(about)}. Give one value to dataset.sensitive, or leave {key} out of what the search is judged "
            "by"
        )


def require_one_model(metrics: Iterable[str], configurations: Sequence[Mapping[str, Any]]) -> None:
    """Refuses a causal metric where the causal model differs among the ``configurations`` of a search.

    Raises:
        ValueError: trials could not be ranked by that metric.
    """
    from utils.runs.causal_figures import name, rests  # import pandas, which mistakes of words need not wait for
    from utils.scms.identity import describe_requested

    for key in metrics:
        resting = [params for params in configurations if rests(key, params)]
        models = {model["fingerprint"]: model for model in map(describe_requested, resting) if model is not None}
        if len(models) > 1:
            known = list(models.values())
            several = len({model["option"] for model in known}) > 1
            chosen = f", as by {write_word('scm', known[-1]['option'])}" if several else ""
            raise ValueError(
                f"{key} belongs to its causal model, and this search tries {len(known)}: "
                f"{'; '.join(name(model, known) for model in known)}. Figures of different ones do not compare, so no "
                f"trial could be called better: give one value to what makes them differ{chosen}; or leave {key} out "
                "of what the search is judged by"
            )
