"""The words of a search: which are fixed, which are searched, over which seeds a trial is averaged."""

import math
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

if TYPE_CHECKING:
    from optuna.trial import Trial


class Interval(NamedTuple):
    """Every number from ``low`` to ``high``; whole ones where both are."""

    low: float
    high: float
    log: bool

    def suggest(self, trial: "Trial", key: str) -> str:
        """A value as it stands behind the key of a word."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return str(trial.suggest_int(key, self.low, self.high, log=self.log))
        return repr(trial.suggest_float(key, self.low, self.high, log=self.log))

    def definition(self) -> list[Any]:
        """Returns what tells the interval from other parameters."""
        return ["interval", repr(self.low), repr(self.high), self.log]

    def ends(self) -> list[str]:
        """Values that are tried for their validity before any search: both ends."""
        return [repr(self.low), repr(self.high)]


class Steps(NamedTuple):
    """``number`` numbers, ``step`` > 0 apart from ``low`` on."""

    low: float
    step: float
    number: int

    def suggest(self, trial: "Trial", key: str) -> str:
        """A value as it stands behind the key of a word."""
        low, high = self._value(0), self._value(self.number - 1)
        if isinstance(low, int) and isinstance(high, int) and isinstance(self.step, int):
            return str(trial.suggest_int(key, low, high, step=self.step))
        drawn = trial.suggest_float(key, low, high, step=self.step)
        return repr(self._value(round((drawn - low) / self.step)))

    def definition(self) -> list[Any]:
        """Returns what tells the steps from other parameters."""
        return ["range", repr(self.low), repr(self.step), self.number]

    def ends(self) -> list[str]:
        """The lowest and the highest value."""
        return [repr(self._value(0)), repr(self._value(self.number - 1))]

    def _value(self, i: int) -> float:
        if isinstance(self.low, int) and isinstance(self.step, int):
            return self.low + i * self.step
        return float(Decimal(str(self.low)) + i * Decimal(str(self.step)))  # 0.3, not 0.30000000000000004


class Choice(NamedTuple):
    """Values without an order, as they stand behind the key of a word."""

    values: tuple[str, ...]

    def suggest(self, trial: "Trial", key: str) -> str:
        """One of the values."""
        return trial.suggest_categorical(key, self.values)

    def definition(self) -> list[Any]:
        """Returns what tells the choice from other parameters."""
        return ["choice", *self.values]

    def ends(self) -> list[str]:
        """All of them."""
        return list(self.values)


Parameter = Interval | Steps | Choice


class Line(NamedTuple):
    """A command line of a search: fixed words, parameters and seeds."""

    fixed: dict[str, str]  # key -> whole word
    space: dict[str, Parameter]  # key -> values
    seeds: tuple[str, ...]  # a trial is the mean over these; empty where the line does not sweep the seed

    def probes(self) -> Iterator[dict[str, str]]:
        """Points that show each end of each parameter once: what is wrong with a space, some of these have."""
        base = {key: parameter.ends()[0] for key, parameter in self.space.items()}
        yield base
        for key, parameter in self.space.items():
            yield from (base | {key: end} for end in parameter.ends()[1:])


def read(overrides: Iterable[Override]) -> Line:
    """The words of a search; of several with the same key the last counts.

    Raises:
        ValueError: nothing to search, or values that cannot be meant.
    """
    words = {override.key_or_group: override for override in overrides}
    swept = {o.get_key_element(): o for o in words.values() if o.is_sweep_override()}
    fixed = {o.get_key_element(): str(o.input_line) for o in words.values() if not o.is_sweep_override()}
    repeated = swept.pop("seed", None)
    if not swept:
        raise ValueError(
            "there is nothing to search; give some key several values, such as 'epsilon=interval(0.01,0.2)', "
            "'trainer.lr=tag(log,interval(1e-3,1e-1))' or regularizer=erm,causal_adv"
        )
    return Line(fixed, {key: _parameter(o) for key, o in swept.items()}, _seeds(repeated))


def _seeds(override: Override | None) -> tuple[str, ...]:
    if override is None:
        return ()
    if isinstance(override.value(), IntervalSweep):
        raise ValueError(f"{override.input_line}: seeds are not searched, every trial is the mean over them; list them")
    return tuple(dict.fromkeys(override.sweep_string_iterator()))


def _parameter(override: Override) -> Parameter:
    sweep: Any = override.value()
    tags: set[str] = getattr(sweep, "tags", set())
    if tags - {"log"} or (tags and not isinstance(sweep, IntervalSweep)):
        raise ValueError(f"{override.input_line}: the tag is log, of an interval: tag(log,interval(0.001,0.1))")
    if isinstance(sweep, IntervalSweep):
        return _interval(override, sweep)
    if isinstance(sweep, RangeSweep):
        return _steps(override, sweep)
    values = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if not values:
        raise ValueError(f"{override.input_line} names no value")
    return Choice(values)


def _interval(override: Override, sweep: IntervalSweep) -> Interval:
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    if low is None or high is None or not (low < high and math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{override.input_line}: expected interval(LOW,HIGH) of two numbers, LOW below HIGH")
    if log and low <= 0:
        raise ValueError(f"{override.input_line}: a logarithmic interval begins above 0, not at {low}")
    return Interval(low, high, log)


def _steps(override: Override, sweep: RangeSweep) -> Steps:
    if not sweep.step:
        raise ValueError(f"{override.input_line}: a range needs a step other than 0")
    number = len(list(sweep.range()))
    if not number or sweep.start is None:
        raise ValueError(f"{override.input_line} holds no number; a range runs from its start to before its stop")
    first = sweep.start if sweep.step > 0 else Steps(sweep.start, sweep.step, number)._value(number - 1)
    return Steps(first, abs(sweep.step), number)
