"""The command that trains a stored run again, from the record alone.

The options that the record chose are composed anew, and what its settings say otherwise becomes words of the
command line. What no result depends on is left out: device, threads, and what a sweep shows.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from utils.overrides import CONFIG, explain, groups, options
from utils.run_store import canonical
from utils.scms.identity import settled

Record = Mapping[str, Any]
Node = Mapping[str, Any]

# not of the command: of the machine, found from the data, or said by words of their own
BESIDE = (
    *("seed", "device", "threads", "existing", "choices", "watch", "experiment", "study", "evaluation.watch"),
    *("model.inputs", "model.outputs", "model.mean", "model.std", "trainer.compile", "trainer.checkpoint_every"),
    "attack.poison.workers",
)
REFERENCE = re.compile(r"\$\{([\w.\[\]]+)\}")
STEP = re.compile(r"[^.\[\]]+")
BARE = re.compile(r"(?!(?:null|true|false|inf|nan)$)[a-z_][\w./-]*|\d+(\.\d+)?/\d+(\.\d+)?", re.IGNORECASE)


class Composed(NamedTuple):
    """What some words compose."""

    raw: Node  # the settings as written
    resolved: Node
    following: frozenset[str]  # dotted keys of those that hold an interpolation, at any depth
    chosen: Mapping[str, Any]  # the options
    mode: str  # Hydra's


def command(record: Record) -> str:
    """One line for a shell that gives the run of a record again, ``python train.py ... seed=0``.

    Raises:
        ValueError: the program did not train it, or no longer has an option that it names.
    """
    return f"{setting(record)} seed={record['params']['seed']}{remark(record)}"


def remark(record: Record) -> str:
    """A comment for the end of the line, where the name that the run is filed under can no longer be given."""
    params = record["params"]
    return "" if _preset_is_there(params) else f"  # filed under experiment={params['experiment']}"


def setting(record: Record) -> str:
    """The same without the seed: equal for the repetitions of one experiment. Raises ValueError as ``command``."""
    params = record["params"]
    if record.get("imported") or "dataset" not in params.get("choices", {}) or not params.get("regularizer"):
        raise ValueError("this program did not train it: no command gives it again")
    try:
        first, composed = _chosen(params)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(f"no command gives it any more: {explain(error)}") from error
    rest = dict.fromkeys(_inside(composed, composed.raw, composed.resolved, params, "", params))
    if any(node.get("perturbs") for node in params["regularizer"].values()):  # said even where it is the default
        rest = {f"epsilon.radius={_written(params['epsilon']['radius'])}": None} | rest
    words = [word.replace("epsilon.radius=", "epsilon=") if word.startswith("epsilon.") else word for word in rest]
    return " ".join(["python train.py", *map(shlex.quote, [*first, *words])])


def _preset_is_there(params: Node) -> bool:
    name = params.get("experiment")
    return name is None or "study" in params or name in options("experiment")


def _chosen(params: Node) -> tuple[tuple[str, ...], Composed]:
    """The words that choose options, preset, data set, terms and what these do not choose, and what they compose.

    Raises HydraException or OmegaConfBaseException where one is not there.
    """
    choices, terms = params["choices"], list(params["regularizer"])
    preset: tuple[str, ...] = ()
    if "study" in params:
        preset = ("+experiment=study", f"study={_written(params['study'])}")
    elif params.get("experiment") is not None and _preset_is_there(params):
        preset = (f"+experiment={params['experiment']}",)
    dataset, term = f"dataset={choices['dataset']}", f"regularizer={_written(terms if len(terms) > 1 else terms[0])}"
    # one composition with all terms serves every choice of them; only presets let other settings follow the terms
    composing = term if preset or not set(terms) <= set(_options()) else f"regularizer={_written(list(_options()))}"
    alone = _composed((*preset, dataset, composing))
    mode = ("hydra.mode=RUN",) if alone.mode == "MULTIRUN" else ()
    other_model = _differing(("model",), choices, alone)  # which may choose options too
    alone = _composed((*preset, dataset, composing, *other_model))
    groups = [group for group in _groups() if group not in ("regularizer", "model")]
    others = tuple(sorted((*other_model, *_differing(groups, choices, alone))))
    return (*preset, dataset, term, *mode, *others), _composed((*preset, dataset, composing, *others))


def _differing(groups: Sequence[str], choices: Node, composed: Composed) -> tuple[str, ...]:
    """The words for those of the groups of which another option was chosen than is composed."""
    return tuple(f"{g}={choices[g]}" for g in groups if g in choices and choices[g] != composed.chosen.get(g))


@lru_cache
def _groups() -> tuple[str, ...]:
    return tuple(groups())


@lru_cache
def _options() -> tuple[str, ...]:
    return tuple(options("regularizer"))


@lru_cache(maxsize=256)
def _composed(words: tuple[str, ...]) -> Composed:
    """Raises HydraException or OmegaConfBaseException where the words compose nothing."""
    with initialize_config_dir(config_dir=str(CONFIG), version_base="1.3"):
        found = compose("train", overrides=list(words), return_hydra_config=True)
    chosen, mode = found.hydra.runtime.choices, found.hydra.mode
    with open_dict(found):
        del found["hydra"]
    raw, resolved = (_plain(found, resolve=resolve) for resolve in (False, True))
    resolved = {**resolved, "scm": settled(resolved["scm"])}
    return Composed(raw, resolved, frozenset(_following(raw)), dict(chosen), mode.name if mode else "")


def _plain(found: DictConfig, *, resolve: bool) -> Node:
    plain: Any = OmegaConf.to_container(found, resolve=resolve)
    return plain


def _following(raw: Any, path: str = "") -> Iterator[str]:
    """The dotted keys of settings that hold an interpolation, and of all that they stand in."""
    if isinstance(raw, Mapping):
        below = [
            key for name, value in raw.items() for key in _following(value, f"{path}.{name}" if path else str(name))
        ]
        yield from [*below, path] if below else []
    elif "${" in str(raw):
        yield path


def _departures(composed: Composed, raw: Any, base: Any, found: Any, path: str, params: Node) -> Iterator[str]:
    """The words that make of a composed setting the one that was ``found`` in a record."""
    if path in BESIDE or (base == found and path not in composed.following):
        return
    if isinstance(raw, str) and "${" in raw:  # it follows another key, which has a word of its own if it needs one
        reference = REFERENCE.fullmatch(raw)
        base = _at(params, reference[1]) if reference else base
    elif isinstance(base, Mapping) and isinstance(found, Mapping):
        yield from _inside(composed, raw, base, found, path, params)
        return
    if not _same(base, found):
        yield f"{path}={_written(found)}"


def _inside(composed: Composed, raw: Node, base: Node, found: Node, path: str, params: Node) -> Iterator[str]:
    """The same of every key of a part; of another function its settings, and none of the first one's."""
    if base.get("_target_") != found.get("_target_"):
        name, option = _option(found, path)
        if name:
            yield f"{path.replace('.', '/')}={name}"
            raw = base = option
    for key, value in found.items():
        below = f"{path}.{key}" if path else str(key)
        if key in base:
            yield from _departures(composed, raw[key], base[key], value, below, params)
        elif below not in BESIDE:
            yield f"+{below}={_written(value)}"
    if base.get("_target_") != found.get("_target_"):
        yield from (f"~{path}.{key}" for key in base if key not in found)


def _option(found: Node, path: str) -> tuple[str, Node]:
    """Name and settings of the option below a group, as of trainer/schedule, that is nearest to what was found."""
    folder = CONFIG / path.replace(".", "/")
    contents: dict[str, Any] = {p.stem: OmegaConf.to_container(OmegaConf.load(p)) for p in folder.glob("*.yaml")}
    fitting = {name: own for name, own in sorted(contents.items()) if own.get("_target_") == found.get("_target_")}
    if not path or not fitting:
        return "", {}
    return min(fitting.items(), key=lambda pair: sum(found.get(key) != value for key, value in pair[1].items()))


def _at(params: Node, reference: str) -> Any:
    """What stands at ``epsilon.evaluate[0]``; None where nothing does."""
    node: Any = params
    for step in STEP.findall(reference):
        if isinstance(node, Mapping):
            node = node.get(step)
        elif isinstance(node, Sequence) and step.isdecimal() and int(step) < len(node):
            node = node[int(step)]
        else:
            return None
    return node


def _same(one: Any, other: Any) -> bool:
    """Equal as settings: 1 is 1.0, and 8/255 the number."""
    return one == other or canonical(one) == canonical(other)


def _written(value: Any) -> str:
    """A value as Hydra reads it from a command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, str):
        return value if BARE.fullmatch(value) else QuotedString(value, Quote.single).with_quotes()
    return repr(value)
