"""Settings of runs as plain values: by dotted key, in what they differ, and which of them a purpose leaves out."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal

Settings = Mapping[str, Any]  # a resolved configuration, or a part of one
# identity: the hash that names a run; study: the name of a search; label: what tells settings apart in tables and
# plots; page: the parameters that the report lists; command: the line that trains a run again
Purpose = Literal["identity", "study", "label", "page", "command"]

# By dotted key the purposes that leave a setting out, with all that stands below it. What no result depends on is left
# out everywhere, but that a study keeps the words that it was begun with. The data's fingerprint stands for their path.
LEFT_OUT: Mapping[str, str] = {
    "device": "identity study label page command",
    "threads": "identity study label page command",
    "existing": "identity study label page command",
    "choices": "identity study label page command",
    "watch": "identity study label page command",
    "evaluation.watch": "identity label page command",
    "trainer.compile": "identity label page command",
    "trainer.checkpoint_every": "identity label page command",
    "attack.poison.workers": "identity label page command",
    "operating_points": "identity study label page",  # a record holds as many as were asked for
    "epsilon.rel_step": "identity study label page",  # which the terms say themselves
    "dataset.path": "identity",
    "dataset.schema": "command",  # which names its file
    "dataset.schema.file": "identity label page",
    "seed": "label page command",  # which has a word of its own
    "model.weights": "identity",  # whose content stands for it
    "model.weights_sha256": "command",  # of that content
    "model.mean": "label page command",  # found from the data, as those below
    "model.std": "label page command",
    "model.inputs": "command",
    "model.outputs": "command",
    "name": "label",
    "experiment": "label command",  # words of their own choose presets
    "study": "command",
}
# groups of which a training has one option each
PARTS = ("dataset", "prepare", "scm", "model", "attack", "epsilon", "decide", "trainer", "evaluation")
# what a yaml says beside the settings of its function
TERM_KEYS = ("weight", "own_loss", "perturbs", "adapts", "published_radius")  # of a regularizer
FILE_MODELS = (  # models whose weights a file may give
    "utils.models.resnet18.ResNet18",
    "utils.models.preact_resnet18.PreActResNet18",
    "utils.models.wide_resnet.WideResNet",
)
FILE_KEYS = ("weights", "weights_scaling", "weights_sha256")  # of a model, whose weights are in a file
SEARCH_KEYS = ("inner_seeds", "workers", "baselines", "trivial")  # of a search for rows
HARM = 0.01  # what attack.poison.harm=auto permits a search for a fairer model
LEAVES = (str, float, int, type(None))  # most settings; to ask whether they are mappings is slow
STEP = re.compile(r"[^.\[\]]+")


def permitted_harm(
    harm: float | str | Mapping[str, float] | None, objective: str | None
) -> float | Mapping[str, float] | None:
    """Returns the largest rise of a group's error rates that a search for rows permits, or of each rate; None: any."""
    if harm == "auto":
        return HARM if objective == "fair" else None
    if isinstance(harm, Mapping):
        return {rate: float(most) for rate, most in harm.items()} or None
    return None if harm is None else float(harm)


def seeks_trivial(poison: Settings) -> bool:
    """Returns whether a search for rows tries the trivial attacks too: copies of rows with the other label.

    An attacker who may not add such copies of any rows does not.
    """
    asked = poison.get("trivial")
    may = poison.get("action", "add") == "add" and poison.get("labels", "any") != "own" and not poison.get("cells")
    return may and (poison.get("objective") == "unfair" if asked == "auto" else bool(asked))


@cache
def left_out(purpose: Purpose) -> frozenset[str]:
    """The dotted keys that a purpose leaves out."""
    return frozenset(key for key, purposes in LEFT_OUT.items() if purpose in purposes.split())


@cache
def _above(purpose: Purpose) -> frozenset[str]:
    """The dotted keys of all that holds something that a purpose leaves out."""
    parts = [key.split(".") for key in left_out(purpose)]
    return frozenset(".".join(of[:i]) for of in parts for i in range(1, len(of)))


def without(settings: Settings, purpose: Purpose, prefix: str = "") -> dict[str, Any]:
    """The settings, nested as they are, less those that a purpose leaves out; parts without such are not copied."""
    out, above = left_out(purpose), _above(purpose)
    kept = {key: value for key, value in settings.items() if f"{prefix}{key}" not in out}
    inner = {k: v for k, v in kept.items() if f"{prefix}{k}" in above and isinstance(v, Mapping)}
    return kept | {k: without(v, purpose, f"{prefix}{k}.") for k, v in inner.items()}


def own_settings(node: Settings, beside: Sequence[str]) -> dict[str, Any]:
    """The settings of a part's function: all but those ``beside`` them."""
    return {key: value for key, value in node.items() if key not in beside}


def flat(settings: Settings, purpose: Purpose | None = None, prefix: str = "") -> dict[str, Any]:
    """Settings by dotted key, lists whole; for a purpose less those that it leaves out, ``_target_`` and the like."""
    found: dict[str, Any] = {}
    _flatten(settings, frozenset() if purpose is None else left_out(purpose), purpose is None, prefix, found)
    return found


def _flatten(settings: Settings, out: frozenset[str], private: bool, prefix: str, found: dict[str, Any]) -> None:
    """Adds settings by dotted key to those found, without those left ``out`` and, unless asked for, private ones."""
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if key in out:
            continue
        if not isinstance(value, LEAVES) and isinstance(value, Mapping):
            _flatten(value, out, private, f"{key}.", found)
        elif private or not str(name).startswith("_"):
            found[key] = value


def walk(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every part of a configuration with its dotted key, parents before children; items have the key of their list."""
    left = [(key, node)]
    while left:
        path, part = left.pop()
        yield path, part
        if isinstance(part, LEAVES):
            continue
        if isinstance(part, Mapping):
            below = [(f"{path}.{name}" if path else str(name), value) for name, value in part.items()]
            left += reversed(below)
        elif isinstance(part, list | tuple):
            left += [(path, value) for value in reversed(part)]


def metrics_of(record: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Returns the settings of the metrics that judged a record, by name; none of an imported one, whose are its own."""
    params = {} if record.get("imported") else record.get("params") or {}
    found: Mapping[str, Mapping[str, Any]] = (params.get("evaluation") or {}).get("metrics") or {}
    return found


@cache
def _steps(key: str) -> tuple[str, ...]:
    return tuple(STEP.findall(key))


def at(settings: Any, key: str) -> Any:
    """The value under a key such as ``epsilon.evaluate[0]``; None where there is none."""
    node = settings
    for step in _steps(key):
        if isinstance(node, Mapping):
            node = node.get(step)
        elif isinstance(node, list | tuple) and step.isdecimal() and int(step) < len(node):
            node = node[int(step)]
        else:
            return None
    return node


def varying(settings: Sequence[Settings], *, everywhere: bool = False, together: bool = False) -> list[str]:
    """The keys of flat settings under which at least two values differ, as text; one key for equal rows of values.

    Args:
        settings: flat ones, of each run.
        everywhere: only of keys that all have.
        together: settings that change together, as a radius and what follows from it, count as one, the first.
    """
    patterns: dict[tuple[Any, ...], str] = {}
    for key in dict.fromkeys(key for own in settings for key in own):
        values = tuple(str(own[key]) if key in own else None for own in settings)
        distinct = dict.fromkeys(values)
        if len(distinct.keys() - {None}) > 1 and not (everywhere and None in distinct):
            places = {value: place for place, value in enumerate(distinct)}
            patterns.setdefault(tuple(map(places.__getitem__, values)) if together else values, key)
    return list(patterns.values())
