"""The help of train.py and evaluate.py: two screens, the options of one group, one setting, or, by Hydra, everything.

All is read from the yamls: what a group is for from the comment beside it in the command's own, an option's sentence
from the head of its file, a setting's from the comment behind it. Neither torch nor a configuration is made for it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from utils.records.settings import at
from utils.words.near import near_or_all
from utils.words.quoting import HELP
from utils.words.ranges import CONFIG, settings, stated
from utils.words.wrapping import reflow, wrap

ALL = "all"
GROUP = re.compile(r"  - (?:override )?(?P<group>[\w/]+): (?P<chosen>.*?)  # (?P<purpose>[^;]*).*")
SENTENCE = re.compile(r".*?(?<! al)\.(?= [A-Z\d]|$)")
# groups that a command reads and does not list among its defaults
BESIDE = {
    "train": {
        "experiment": "whole studies, each of many words",
        "trainer/schedule": "the learning rate over epochs",
        "hydra/launcher": "what runs the jobs of a sweep",
    },
    "evaluate": {},
}
MANY = ("experiment", "trainer/schedule")  # groups whose options the two screens leave to their own help
# the keys that people set most
MOST_SET = {
    "train": ("seed", "epsilon.radius", "trainer.epochs", "trainer.lr", "device", "existing"),
    "evaluate": ("database", "id", "where", "sort", "columns", "csv", "name", "rows", "point", "replace", "device"),
}


def take_topic(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Returns what help is asked for, "" for the two screens and None for no help, and the words without its name."""
    for i, word in enumerate(words):
        flag, equals, topic = word.partition("=")
        if flag not in HELP:
            continue
        named = [] if equals else [one for one in words[i + 1 : i + 2] if "=" not in one or _names_option(one)]
        named = [one for one in named if not one.startswith("-")]
        return topic or "".join(named), [*words[:i], flag, *words[i + 1 + len(named) :]]
    return None, list(words)


def _names_option(word: str) -> bool:
    """Returns whether a word is ``GROUP=OPTION``, in place of a value that the help is to show."""
    group, _, name = word.partition("=")
    return (CONFIG / group / f"{name}.yaml").is_file()


def explain_topic(topic: str, config_name: str) -> str:
    """The help of a command, or of the group, the option or the setting that ``topic`` names.

    Raises:
        ValueError: the command has no such group, option or setting.
    """
    groups = purposes(config_name)
    if not topic:
        return _two_screens(config_name, groups)
    if topic in groups:
        shown = [_option(topic, path) for path in sorted((CONFIG / topic).glob("*.yaml"))]
        return "\n".join([wrap(f"{topic}: {groups[topic][0]}. Its options, each with its own settings:"), *shown, ""])
    if named := [_option(group, path) for group, path in _options_named(topic, list(groups))]:
        return "\n".join([*named, ""]).lstrip("\n")
    return _explain_setting(topic, config_name, list(groups))


def _options_named(topic: str, groups: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Yields the options that ``OPTION`` or ``GROUP=OPTION`` names: their groups and files."""
    group, equals, name = topic.rpartition("=")
    for one in groups:
        path = CONFIG / one / f"{name}.yaml"
        if (not equals or one == group) and name.isidentifier() and path.is_file():
            yield one, path


def purposes(config_name: str) -> dict[str, tuple[str, str]]:
    """Each group of a command with its purpose and the option by default, "" where there is none."""
    lines = (CONFIG / f"{config_name}.yaml").read_text(encoding="utf-8").splitlines()
    found = [match for line in lines if (match := GROUP.fullmatch(line))]
    return {match["group"]: (match["purpose"], match["chosen"].strip("[]")) for match in found} | {
        group: (purpose, "") for group, purpose in BESIDE[config_name].items()
    }


def describe(path: Path) -> str:
    """The sentence that the comment at the head of an option's file begins with, "" where there is none."""
    comments = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            comments.append(line.removeprefix("#").strip())
    found = SENTENCE.match(" ".join(comments))
    return found[0] if found else ""


def _explain_setting(topic: str, config_name: str, groups: Sequence[str]) -> str:
    """A setting, by its dotted key or the end of it: its value and what is said of it, by the options that have it.

    Raises:
        ValueError: there is none.
    """
    found: dict[str, list[str]] = {}
    known: set[str] = set()
    for option, key, value, comment in settings_of(config_name, groups):
        known |= {key, key.rpartition(".")[2]}
        if key == topic or key.endswith(f".{topic}"):
            said = wrap(_as_typed(comment), f"{key}={_text(value)}  ", "    ") if comment else f"{key}={_text(value)}"
            found.setdefault(said, []).extend([option] if option else [])
    if not found:
        options = {path.stem for group in groups for path in (CONFIG / group).glob("*.yaml")}
        there = [*groups, ALL, *sorted((known | options) - {*groups})]
        raise ValueError(f"--help {topic}: no group, option or setting{near_or_all(topic, there, [*groups, ALL])}")
    of = ["\n" + wrap(f"with {', '.join(options)}", "    ", "      ") if options else "" for options in found.values()]
    return "\n".join(f"{said}{options}\n" for said, options in zip(found, of, strict=True))


def settings_of(config_name: str, groups: Sequence[str]) -> Iterator[tuple[str, str, Any, str]]:
    """Yields every setting of a command: the option that has it, "" outside of groups, key, default and comment."""
    main = CONFIG / f"{config_name}.yaml"
    own = {key: value for key, value in _content(main).items() if key not in ("defaults", "hydra")}
    parts = [("", "", own, main)]
    for group in (group for group in groups if group != "experiment"):  # which only sets what others have
        for path in sorted((CONFIG / group).glob("*.yaml")):
            parts.append((f"{group}={path.stem}", _prefix(group, path), _own(path), path))
            for inside, part in _parts(group, path):
                parts.append((f"{group}={path.stem}", _prefix(inside, part), _own(part), part))
    for option, prefix, content, path in parts:
        comments = dict(settings(path))
        for key, value in _leaves(content):
            yield option, f"{prefix}{key}", value, comments.get(key, "")


def _two_screens(config_name: str, groups: Mapping[str, tuple[str, str]]) -> str:
    own = yaml.safe_load((CONFIG / "hydra" / "help" / f"{config_name}.yaml").read_text(encoding="utf-8"))
    wide = max(map(len, MOST_SET[config_name])) + 2
    options = [wrap(f"{group}, {_listed(group, *of)}", "  ", "    ") for group, of in groups.items()]
    values = [wrap(_of_default(key, config_name), f"  {key:{wide}}", " " * (wide + 2)) for key in MOST_SET[config_name]]
    return "\n".join(
        [
            *(reflow(own["header"]), "", wrap("Options, as GROUP=OPTION, the usual one in brackets:"), "", *options),
            *("", "Values most often set, as KEY=VALUE:", "", *values, ""),
            *(wrap(line, "", "  ") for line in own["footer"].splitlines()),
            wrap("--help NAME explains a group, an option or a setting, --help all prints all."),
            "",
        ]
    )


def _listed(group: str, purpose: str, chosen: str) -> str:
    """The purpose of a group and its options, the usual one in brackets; where to find those of a group beside."""
    if group in MANY:
        return f"{purpose}: see --help {group}"
    options = [path.stem for path in sorted((CONFIG / group).glob("*.yaml"))]
    return f"{purpose}: {', '.join(f'[{one}]' if one == chosen else one for one in options)}"


def _of_default(key: str, config_name: str) -> str:
    """The default of a key and what is said of it, in the command's yaml or in that of the group's usual option."""
    group, _, inner = key.partition(".")
    usual = purposes(config_name).get(group, ("", ""))[1]
    path = CONFIG / group / f"{usual}.yaml" if inner else CONFIG / f"{config_name}.yaml"
    said, default = _beyond_range(dict(settings(path))[inner or key]), at(_content(path), inner or key)
    return said if default is None or isinstance(default, list) else f"{said} [{_text(default)}]"


def _beyond_range(comment: str) -> str:
    """The first clause of a comment behind the range that it begins with, or that range where nothing follows."""
    said = comment.partition("; ")[2] if stated(comment) else ""
    return (said or comment).partition("; ")[0]


def _option(group: str, path: Path) -> str:
    """The name of an option, its sentence, what it builds on, and its own settings."""
    lines = ["", f"{group}={path.stem}", *([wrap(said, "  ", "  ")] if (said := describe(path)) else [])]
    if base := [entry for entry in _bases(path) if "/" not in entry]:
        lines.append(wrap(f"It takes its settings from {' and '.join(base)}, but for:", "  ", "  "))
    for inside, part in [*_parts(group, path), (group, path)]:
        lines += _own_lines(inside, part)
    return "\n".join(lines)


def _bases(path: Path) -> list[str]:
    """The other yamls that an option takes settings from."""
    return [entry for entry in _content(path).get("defaults") or [] if isinstance(entry, str) and entry != "_self_"]


def _parts(group: str, path: Path) -> Iterator[tuple[str, Path]]:
    """Yields the yamls in folders of its group whose settings are an option's own, as of others, and their groups."""
    for entry in _bases(path):
        folder, _, _ = entry.rpartition("/")
        if folder:
            yield f"{group}/{folder}", path.parent / f"{entry}.yaml"


def _own(path: Path) -> dict[str, Any]:
    """The settings that stand in a yaml."""
    return {key: value for key, value in _content(path).items() if key != "defaults"}


def _prefix(group: str, path: Path) -> str:
    """The beginning of the keys of a yaml."""
    whole = path.read_text(encoding="utf-8").startswith("# @package _global_")
    return "" if whole else f"{group}.".replace("/", ".")


def _own_lines(group: str, path: Path) -> list[str]:
    """The settings of a yaml as they are typed, each with its comment."""
    lines: list[str] = []
    prefix, comments = _prefix(group, path), dict(settings(path))
    for key, value in _leaves(_own(path)):
        word = f"{prefix}{key}={_text(value)}"
        said = _as_typed(comments.get(key, ""))
        *above, last = wrap(word, "    ", "        ").split("\n")
        lines += [*above, wrap(said, f"{last}  ", "        ") if said else last]
    return lines


def _as_typed(comment: str) -> str:
    """A comment whose range, where it begins with one, says numbers as the command line takes them."""
    found = stated(comment)
    return "; ".join(part for part in (found.brief, comment.partition("; ")[2]) if part) if found else comment


def _content(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of the settings in a yaml, with their values; not those that name what is called."""
    for name, value in node.items():
        if name in ("_target_", "_partial_"):
            continue
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    """A value as it is typed: a text without quotes, everything else as YAML on one line."""
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
