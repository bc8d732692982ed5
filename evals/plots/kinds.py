"""The kinds of plots, the options that each reads, and what its file is named after."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

import paths_config
from evals.plots import compromises, groups, moving, parallel, policy, robustness, seeds, shift, space, style, trace
from evals.plots.frontier import frontier
from evals.plots.picture import Picture
from evals.records import query
from utils.words.near import near

OPTIONS = paths_config.ROOT / "config" / "plot.yaml"
EVERY = {"dataset", "kind", "where", "hue", "title", "out"}
PLANE = {"x", "y", "x_better", "y_better", "seeds", "bars", "points", "hull", "reference"}
SPACE = {"x", "y", "z", "x_better", "y_better", "z_better", "points", "reference"}


class Kind(NamedTuple):
    """A kind of plot: what draws it, the options it reads besides EVERY, those that name its file, and its formats.

    Axes that it is named after, and a list of as many ``metrics``, are chosen from the runs where they are not given.
    """

    draw: Callable[[Sequence[query.Record], DictConfig], Picture]
    reads: set[str]
    named: tuple[str, ...]
    formats: Sequence[str] = style.SUFFIXES
    metrics: int = 0

    @property
    def axes(self) -> tuple[str, ...]:
        """Returns the options of its axes that its file is named after."""
        return tuple(name for name in ("x", "y", "z") if name in self.named)


KINDS: dict[str, Kind] = {
    "frontier": Kind(frontier, PLANE, ("x", "y")),
    "excluded": Kind(policy.exclude, PLANE | {"limit"}, ("kind", "x", "y")),
    "tangent": Kind(policy.tangent, PLANE | {"weights"}, ("kind", "x", "y")),
    "3d": Kind(space.still, SPACE, ("kind", "x", "y", "z")),
    "animation": Kind(space.turn, SPACE | {"frames"}, ("kind", "x", "y", "z"), moving.SUFFIXES),
    "parallel": Kind(parallel.parallel, {"metrics", "points", "reference"}, ("kind",), metrics=4),
    "robustness": Kind(robustness.robustness, {"bars", "reference"}, ("kind",)),
    "groups": Kind(groups.groups, {"metrics", "bars"}, ("kind",)),
    "trace": Kind(trace.trace, set(), ("kind",)),
    "compromises": Kind(compromises.compromises, set(), ("kind",)),
    "shift": Kind(shift.shift, {"x", "y", "x_better", "y_better", "seeds", "split"}, ("kind",)),
    "seeds": Kind(seeds.seeds, {"metrics", "bars", "reference"}, ("kind",), metrics=1),
}


def check(options: DictConfig) -> Kind:
    """Returns the kind of plot. Raises ValueError for an unknown one, and for an option that it does not read."""
    if str(options.kind) not in KINDS:
        raise ValueError(f"kind={options.kind}{near(str(options.kind), KINDS)} Expected {', '.join(KINDS)}")
    kind = KINDS[str(options.kind)]
    defaults: Any = OmegaConf.load(OPTIONS)
    for key in sorted(set(map(str, options)) - EVERY - kind.reads):
        if options[key] != defaults[key]:
            users = ", ".join(name for name, other in KINDS.items() if key in other.reads)
            raise ValueError(f"{key}={options[key]} has no part in kind={options.kind}, only in {users}; leave it out")
    return kind
