"""The range of every number that can be set, read from where its default is: the comments of the yamls.

    steps: 10  # whole number in [1, 1e5]; of the gradient

A comment begins with what the setting may be: perhaps words such as ``null``, then ``number``, ``whole number`` or
``radius`` (a number, or a fraction as text), or a plural of these for a list of them; then the two ends, which belong
to the range in square brackets. Neither torch nor Hydra is imported: help and mistakes need not wait for them.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import paths_config
from utils.words.numbers import read_number

CONFIG = paths_config.ROOT / "config"
STATED = re.compile(
    r"(?P<words>(?:\w+(?:, | or ))*)(?P<kind>whole numbers?|numbers?|radius|radii)"
    r" in (?P<open>[\[(])(?P<low>[^,]+), (?P<high>[^\])]+)(?P<close>[\])])(?=;|$|, or \{)"
)
LINE = re.compile(r"(?P<indent> *)(?P<quote>'?)(?P<key>\w+)(?P=quote):(?: .*?)??(?:\s+# ?(?P<comment>.*))?")
GROUP = re.compile(r" *- (?:/)?(?P<group>[\w/]+):.*")
SAID = {
    "number": "a number",
    "whole number": "a whole number",
    "radius": "a radius such as 0.1 or 8/255",
    "numbers": "a list of numbers",
    "whole numbers": "a list of whole numbers",
    "radii": "a list of radii such as [0.1,8/255]",
}
SEVERAL = re.compile(r"(?P<said>, or \{[^}]+\})")  # behind a range: names and numbers, such as {fpr: 0.01}
ENGINES = ("hydra/launcher", "hydra/sweeper")  # groups that train.yaml need not name


@dataclass(frozen=True)
class Range:
    """The values that a setting may have: words, or numbers from ``low`` to ``high``, an open end left out."""

    words: frozenset[str]
    kind: str
    low: float
    high: float
    ends: str  # the two brackets
    text: str  # as an error says it
    brief: str  # as stated
    several: bool = False  # or a mapping of names to such numbers

    def __str__(self) -> str:
        return self.text

    def accepts(self, value: Any) -> bool:
        """Returns whether a plain value is one of the words or, each of them in a list, in the range."""
        if isinstance(value, str | None) and ("null" if value is None else value) in self.words:
            return True
        if self.several and isinstance(value, Mapping):
            return bool(value) and all(self._holds(one) for one in value.values())
        if SAID[self.kind].startswith("a list"):
            return isinstance(value, list | tuple) and all(self._holds(one) for one in value)
        return self._holds(value)

    def _holds(self, value: Any) -> bool:
        number = _radius(value) if self.kind in ("radius", "radii") else value
        whole = self.kind.startswith("whole")
        if isinstance(number, bool) or not isinstance(number, int if whole else int | float):
            return False
        above = number > self.low or (self.ends[0] == "[" and number == self.low)
        return above and (number < self.high or (self.ends[1] == "]" and number == self.high))


def _radius(value: Any) -> Any:
    """The number that a radius means, None where it means none."""
    if not isinstance(value, str):
        return value
    try:
        return read_number(value)
    except ValueError:
        return None


def stated(comment: str) -> Range | None:
    """The range that the comment of a setting begins with, or None."""
    found = STATED.match(comment)
    if found is None:
        return None
    kind, ends = found["kind"], found["open"] + found["close"]
    words = frozenset(re.split(", | or ", found["words"])) - {""}
    low, high = (_as_typed(found[end], kind) for end in ("low", "high"))
    within = f"in {found['open']}{low}, {high}{found['close']}"
    text, brief = (f"{found['words']}{said} {within}" for said in (SAID[kind], kind))
    several = SEVERAL.match(comment[found.end() :])
    if several:
        text += several["said"]
    return Range(words, kind, float(found["low"]), float(found["high"]), ends, text, brief, several is not None)


def _as_typed(end: str, kind: str) -> str:
    """The end of a range as it can be given: 1e6 is no whole number on the command line, 1000000 is."""
    return f"{float(end):.0f}" if kind.startswith("whole") and math.isfinite(float(end)) else end


def settings(path: Path) -> Iterator[tuple[str, str]]:
    """The dotted keys of a yaml of block style, each with its comment, which may be empty."""
    for _, key, comment in _keyed(path.read_text(encoding="utf-8").splitlines()):
        if key:
            yield key, comment


def _keyed(lines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """The lines of a yaml of block style, each with its dotted key, "" where it begins none, and its comment."""
    above: list[tuple[int, str]] = []
    for line in lines:
        found = LINE.fullmatch(line)
        if found is None:
            yield line, "", ""
            continue
        indent = len(found["indent"])
        above = [*(own for own in above if own[0] < indent), (indent, found["key"])]
        yield line, ".".join(key for _, key in above), found["comment"] or ""


def annotated(text: str, config: str | Path, chosen: Mapping[str, Any]) -> str:
    """The yaml of a command's configuration, behind every setting that has one its range as it is stated.

    Args:
        text: of block style, without comments.
        config: whose ranges: train, evaluate, or its yaml.
        chosen: the names of the options of groups.
    """
    known = ranges(config)

    def with_range(line: str, key: str) -> str:
        return f"{line}  # {_of_option(known[key], chosen.get(key.partition('.')[0])).brief}" if key in known else line

    return "\n".join(with_range(line, key) for line, key, _ in _keyed(text.splitlines())) + "\n"


@cache
def ranges(config: str | Path = "train") -> Mapping[str, Mapping[str, Range]]:
    """Returns by dotted key the range of every setting: by the option that states it, "" outside of groups.

    ``config`` is the command's yaml, or its name.
    """
    found: dict[str, dict[str, Range]] = {}
    main = config if isinstance(config, Path) else CONFIG / f"{config}.yaml"
    for prefix, option, path in [("", "", main), *_options(main)]:
        for key, comment in settings(path):
            if own := stated(comment):
                found.setdefault(f"{prefix}{key}", {})[option] = own
    return found


def _options(main: Path) -> Iterator[tuple[str, str, Path]]:
    """Yields for every option of the groups that a command composes the beginning of its keys, its name, its file."""
    lines = [line for line in main.read_text(encoding="utf-8").splitlines() if "override" not in line]
    groups = [found["group"] for line in lines if (found := GROUP.fullmatch(line))]
    for group in [*groups, *ENGINES] if groups else ():
        for path in sorted((CONFIG / group).rglob("*.yaml")):
            inside = path.parent.relative_to(CONFIG).as_posix().replace("/", ".")
            yield f"{inside}.", path.stem, path


def require_ranges(
    params: Mapping[str, Any], config: str | Path = "train", prefix: str = "", option: str | None = None
) -> None:
    """Refuses a number that is not in its range, or something else in its place; one without a range must be finite.

    Args:
        params: plain values, with the names of the options of groups under ``choices`` where several state a range.
        config: whose ranges: train, evaluate, or a command of evals; or its yaml.
        prefix: keys of ``params`` begin with it.
        option: whose settings they are, if all are one's: what it does not state is free.

    Raises:
        ValueError: the first such setting, with its range.
    """
    known, chosen = ranges(config), params.get("choices", {})

    def check(node: Mapping[str, Any], prefix: str) -> None:
        for name, value in node.items():
            key = f"{prefix}{name}"
            if key in known and option in (None, *known[key]):
                expected = _of_option(known[key], option or chosen.get(key.partition(".")[0]))
                if not expected.accepts(value):
                    raise ValueError(f"{key}={value!r}: expected {expected}")
            elif isinstance(value, Mapping):
                check(value, f"{key}.")
            elif any(isinstance(one, float) and not math.isfinite(one) for one in _listed(value)):
                raise ValueError(f"{key}={value!r}: expected finite numbers")

    check(params, prefix)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def range_of(key: str) -> Range:
    """The range of a setting that all options agree on."""
    return _of_option(ranges("train")[key], None)


def _of_option(by_option: Mapping[str, Range], option: Any) -> Range:
    return by_option.get(option) or next(iter(by_option.values()))
