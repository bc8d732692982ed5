"""The command that trains a stored run again, from the record alone.

The options that the record chose are composed anew, and what its settings say otherwise becomes words of the
command line. What no result depends on is left out: device, threads, and what a sweep shows.

A record may come from anybody, and the line is made to be copied into a shell. So it holds nothing but names of options
and of functions that the configuration has, whole numbers as seeds, and values that were quoted and read back; a record
that asks for anything else has no command, and the error says why.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from utils.command_line.overrides import CONFIG, explain, groups, options
from utils.configuration.run_identity import canonical
from utils.records.settings import at, left_out, walk
from utils.records.typed import Record
from utils.scms.identity import settle, upgrade
from utils.words.quoting import copyable, override, quoted, visible

Node = Mapping[str, Any]

PARTS = "evaluation.metrics."  # what stands below may be left out by ~
REFERENCE = re.compile(r"\$\{([\w.\[\]]+)\}")
SPECIAL = re.compile(r"_[a-z]+_")  # keys that Hydra acts on, as _target_
LEAVES = (str, int, float, type(None))
SETTLED = ("_target_", "_partial_")  # those of them that our options have


class Composed(NamedTuple):
    """The configuration that some words compose."""

    raw: Node  # the settings as written
    resolved: Node
    following: frozenset[str]  # dotted keys of those that hold an interpolation, at any depth
    chosen: Mapping[str, Any]  # the options
    mode: str  # Hydra's


def command(record: Record) -> str:
    """One line for a shell that gives the run of a record again, ``python train.py ... seed=0``.

    Raises:
        ValueError: the program did not train it, no longer has an option that it names, or its settings are such that
            no line says them.
    """
    return f"{setting(record)}{alone(record)} {_word('seed', _seed(record))}{remark(record)}"


def setting(record: Record) -> str:
    """Returns the line without the seed, equal for repetitions of one experiment. Raises ValueError as ``command``."""
    params = record["params"]
    if record.get("imported") or "dataset" not in params.get("choices", {}) or not params.get("regularizer"):
        raise ValueError("this program did not train it: no command gives it again")
    _refuse_foreign(params)
    params = params | {"scm": upgrade(params.get("scm") or {})}
    try:
        first, composed = _chosen(params)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(f"no command gives it any more: {explain(error)}") from error
    rest = dict.fromkeys(_inside(composed, composed.raw, composed.resolved, params, "", params))
    radius = (params.get("epsilon") or {}).get("radius")
    if radius is not None and any(node.get("perturbs") for node in params["regularizer"].values()):
        rest = {_word("epsilon.radius", radius): None} | rest  # said even where it is the default
    words = [word.replace("epsilon.radius=", "epsilon=") if word.startswith("epsilon.") else word for word in rest]
    return copyable("python train.py", *first, *words)


def alone(record: Record) -> str:
    """Returns what the line of a single run says beside the setting: that it is no sweep, where its preset is one."""
    params = record["params"]
    return " hydra.mode=RUN" if _composed(_beginning(params)[0]).mode == "MULTIRUN" else ""


def remark(record: Record) -> str:
    """A comment for the end of the line, where the name that the run is filed under can no longer be given."""
    name = record["params"].get("experiment")
    return "" if _preset_is_there(record["params"]) else f"  # filed under {_quoted(f'experiment={name}')}"


def _quoted(text: str) -> str:
    try:
        return quoted(text)
    except ValueError as error:
        raise ValueError(f"no command gives it: {error}") from error


def _preset_is_there(params: Node) -> bool:
    name = params.get("experiment")
    return name is None or "study" in params or name in _options("experiment")


def _seed(record: Record) -> int:
    seed = record["params"].get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ValueError(f"no command gives it: its seed is {visible(seed)}, no whole number")
    return seed


def _refuse_foreign(node: Any, path: str = "") -> None:
    """Refuses settings that name functions which no option names: a line that says them would call whatever they say.

    Raises:
        ValueError: there is one, or a key that Hydra acts on beside those of our options.
    """
    if isinstance(node, list | tuple):
        for value in node:
            _refuse_foreign(value, path)
    elif isinstance(node, Mapping):
        for name, value in node.items():
            below = f"{path}.{name}" if path else str(name)
            if (key := below.rpartition(".")[2]).startswith("_"):
                _refuse_special(key, value, below)
            if not isinstance(value, LEAVES):
                _refuse_foreign(value, below)


def _refuse_special(key: str, value: Any, path: str) -> None:
    if key == "_target_" and (not isinstance(value, str) or value not in _functions()):
        raise ValueError(f"no command gives it: {visible(path)} is {visible(value)}, which no option names")
    if SPECIAL.fullmatch(key) and key not in SETTLED:
        raise ValueError(f"no command gives it: {visible(path)} is no setting")


@lru_cache
def _functions() -> frozenset[str]:
    """Every ``_target_`` of the options."""
    found = (re.findall(r"\b_target_:\s*([\w.]+)", path.read_text("utf-8")) for path in sorted(CONFIG.rglob("*.yaml")))
    return frozenset(name for names in found for name in names)


def _named(group: str, name: Any) -> str:
    """The name of an option. Raises ValueError where the group has none of this name."""
    if not isinstance(name, str) or name not in _options(group):
        raise ValueError(f"no command gives it any more: {group} {visible(name)}: there is no such option")
    return name


def _word(key: str, value: Any) -> str:
    """A word of the line. Raises ValueError where none says it."""
    try:
        return _write_json(key, json.dumps(value))
    except ValueError as error:
        raise ValueError(f"no command gives it: {error}") from error


@lru_cache(maxsize=4096)
def _write_json(key: str, value: str) -> str:
    return override(key, json.loads(value))


def _beginning(params: Node) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words that choose preset, data set and terms, as they are composed and as they are said."""
    terms = [_named("regularizer", term) for term in params["regularizer"]]
    preset: tuple[str, ...] = ()
    if "study" in params:
        preset = ("+experiment=study", _word("study", params["study"]))
    elif params.get("experiment") is not None and _preset_is_there(params):
        preset = (f"+experiment={params['experiment']}",)
    dataset = f"dataset={_named('dataset', params['choices']['dataset'])}"
    term = _word("regularizer", terms if len(terms) > 1 else terms[0])
    # one composition with all terms serves every choice of them; only presets let other settings follow the terms
    composing = term if preset else _word("regularizer", list(_options("regularizer")))
    return (*preset, dataset, composing), (*preset, dataset, term)


def _chosen(params: Node) -> tuple[tuple[str, ...], Composed]:
    """The words that choose options, preset, data set, terms and what these do not choose, and what they compose.

    Raises HydraException or OmegaConfBaseException where they compose nothing, ValueError where an option is not there.
    """
    composing, said = _beginning(params)
    choices = params["choices"]
    other_model = _differing(("model",), choices, _composed(composing))  # which may choose options too
    rest = [group for group in _groups() if group not in ("regularizer", "model")]
    others = tuple(sorted((*other_model, *_differing(rest, choices, _composed((*composing, *other_model))))))
    return (*said, *others), _composed((*composing, *others))


def _differing(groups: Sequence[str], choices: Node, composed: Composed) -> tuple[str, ...]:
    """The words for those of the groups of which another option was chosen than is composed."""
    other = [group for group in groups if group in choices and choices[group] != composed.chosen.get(group)]
    return tuple(f"{group}={_named(group, choices[group])}" for group in other)


@lru_cache
def _groups() -> tuple[str, ...]:
    return tuple(groups())


@lru_cache
def _options(group: str) -> tuple[str, ...]:
    return tuple(options(group))


@lru_cache(maxsize=256)
def _composed(words: tuple[str, ...]) -> Composed:
    """Raises HydraException or OmegaConfBaseException where the words compose nothing."""
    with initialize_config_dir(config_dir=str(CONFIG), version_base="1.3"):
        found = compose("train", overrides=list(words), return_hydra_config=True)
    chosen, mode = found.hydra.runtime.choices, found.hydra.mode
    with open_dict(found):
        del found["hydra"]
    raw, resolved = (_plain(found, resolve=resolve) for resolve in (False, True))
    resolved = {**resolved, "scm": settle(resolved["scm"])}
    return Composed(
        raw,
        resolved,
        frozenset(key for key, value in walk(raw) if "${" in str(value)),
        dict(chosen),
        mode.name if mode else "",
    )


def _plain(found: DictConfig, *, resolve: bool) -> Node:
    plain: Any = OmegaConf.to_container(found, resolve=resolve)
    return plain


def _departures(composed: Composed, raw: Any, base: Any, found: Any, path: str, params: Node) -> Iterator[str]:
    """The words that make of a composed setting the one that was ``found`` in a record."""
    if path in left_out("command") or (base == found and path not in composed.following):
        return
    if isinstance(raw, str) and "${" in raw:  # it follows another key, which has a word of its own if it needs one
        reference = REFERENCE.fullmatch(raw)
        base = at(params, reference[1]) if reference else base
    elif isinstance(base, Mapping) and isinstance(found, Mapping):
        yield from _inside(composed, raw, base, found, path, params)
        return
    if not _same(base, found):
        yield _word(path, found)


def _inside(composed: Composed, raw: Node, base: Node, found: Node, path: str, params: Node) -> Iterator[str]:
    """Yields the same of every key of a part; of another function its settings, and none of the first one's."""
    if base.get("_target_") != found.get("_target_"):
        name, option = _option(found, path)
        if name:
            yield f"{path.replace('.', '/')}={name}"
            raw = base = option
    for key, value in found.items():
        below = f"{path}.{key}" if path else str(key)
        if key in base:
            yield from _departures(composed, raw[key], base[key], value, below, params)
        elif below not in left_out("command"):
            yield _word(f"+{below}", value)
    lost = [key for key in base if key not in found]
    if base.get("_target_") == found.get("_target_"):  # keys that older records lack mean what they meant then
        lost = [key for key in lost if f"{path}.".startswith(PARTS) and isinstance(base[key], Mapping)]
    yield from (f"~{path}.{key}" for key in lost)


def _option(found: Node, path: str) -> tuple[str, Node]:
    """Name and settings of the option below a group, as of trainer/schedule, that is nearest to what was found."""
    contents = _read_options(CONFIG / path.replace(".", "/"))
    fitting = {name: own for name, own in contents.items() if own.get("_target_") == found.get("_target_")}
    if not path or not fitting:
        return "", {}
    return min(fitting.items(), key=lambda pair: sum(found.get(key) != value for key, value in pair[1].items()))


@lru_cache
def _read_options(folder: Path) -> dict[str, Any]:
    """Name and settings of every option of a folder, by name."""
    return {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in sorted(folder.glob("*.yaml"))}


def _same(one: Any, other: Any) -> bool:
    """Returns whether two values are equal as settings: 1 is 1.0, and 8/255 the number."""
    return one == other or canonical(one) == canonical(other)
