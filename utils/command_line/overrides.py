"""The meaning of a command line's words: the epsilon rule, keys that exist, errors with near misses."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, Quote, QuotedString, RangeSweep
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from utils.records.settings import PARTS, walk
from utils.records.typed import Params
from utils.scms.identity import settle
from utils.system.missing import describe_missing, find_near
from utils.words.near import ask, near_keys, near_or_all
from utils.words.numbers import is_written
from utils.words.quoting import mapping, quoted, without_dashes, write_word
from utils.words.quoting import override as write_override
from utils.words.ranges import CONFIG

TEXTS = (
    "where",
    "sort",
    "csv",
    "name",
    "rows",
)  # of evaluate: taken as typed, so that where=a<=1 needs no quotes
ESCAPE = re.compile(r"\\([\\()\[\]{}:=,\s])")  # of Hydra's grammar, outside quotes
ENTRY = re.compile(r"\s*(\S[^:]*?)\s*:\s*\[(.*?)\]\s*(?:,|$)")  # [job]: [a, b], of a graph
# Hydra's flags: those alone, those with a value, and one that may have a value
BELONGS = "; it belongs to "  # said of a key that another option has
SWITCHES = (
    *("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m"),
    *("--shell-completion", "-sc"),
)
VALUED = (
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"),
    "--experimental-rerun",
)
SCHEMAS, TABLES = (".yaml", ".yml"), (".csv", ".tsv", ".csv.gz", ".parquet", ".txt")  # files that dataset= may name
INFO = ("--info", "-i")
CONFIGURATIONS = ("job", "hydra", "all")
INFORMATION = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
# mappings that are empty by default, whose keys Hydra cannot know
NAMED_BY_DATA = ("scm.nodes", "hydra.launcher.additional_parameters")
OPEN = ("hydra.", "trainer.optimizer.", "evaluation.metrics.")  # below these, + may add keys of its own


def normalise(words: Sequence[str], config_name: str = "train") -> list[str]:
    """Words as Hydra takes them: numbers given to ``epsilon`` mean ``epsilon.radius``, ``experiment=`` is ``+``.

    Hydra refuses a number for a config group, and ``epsilon`` is one: ``epsilon=0.1``, ``epsilon=8/255`` and sweeps
    of numbers (``0.01,0.05``, ``range``, ``choice``, ``interval``) set the radius, a name chooses the option.

    A key that ``+`` adds must be one that something reads, and a group is given names, so that neither a misspelt
    key nor an empty choice gets as far as a training.

    Raises:
        ValueError: a word without key, a sweep that mixes names and numbers, an unknown key or flag, a group without
            a name or with two.
    """
    known = first_parts(config_name)
    flags, overrides = _split_flags(without_dashes(words, known, (*SWITCHES, *VALUED, *INFO)), known)
    normal = [_normal(word, config_name) for word in _of_tables(overrides, config_name)]
    _refuse_twice(normal)
    if config_name == "evaluate":
        normal = [*_companions(normal), *_of_the_scm(normal)]
    return flags + normal


def _of_tables(words: Sequence[str], config_name: str) -> list[str]:
    """The words, ``dataset=people.yaml`` as the option for tables with a schema, its path and, with a graph, its SCM.

    Raises:
        ValueError: there is no such file, it is no schema, or the word names a table without one.
    """
    found: list[str] = []
    for word in words:
        key, _, value = word.partition("=")
        path = value.strip("'\"")
        if key != "dataset" or config_name != "train" or not path.lower().endswith((*SCHEMAS, *TABLES)):
            found.append(word)
            continue
        if "," in path and not Path(path).is_file():
            raise ValueError(f"{word}: name one schema at a time; start a sweep for each")
        if path.lower().endswith(TABLES):
            raise ValueError(
                f"{word}: a table is trained on by its schema; write one by python -m evals.look {quoted(path)} "
                f"label=... sensitive=..., or name its columns here: dataset=csv {write_word('dataset.path', path)} ..."
            )
        from utils.tables.table_schema import read_schema  # imports pydantic, which other commands need not wait for

        if not Path(path).is_file():
            otherwise = "a schema is written by python -m evals.look TABLE.csv"
            raise ValueError(f"{word}: {describe_missing(path, otherwise)}")
        found += ["dataset=table", write_override("dataset.path", path)]
        if read_schema(path).graph and not any(other.startswith("scm=") for other in words):
            found.append("scm=learned")
    return found


def _split_flags(words: Sequence[str], known: Sequence[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags with their values, and the other words: argparse takes these on one side of a flag only.

    Raises:
        ValueError: no such flag, or one without its value.
    """
    flags: list[str] = []
    others: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            others.append(word)
            continue
        name, equals, value = word.partition("=")
        name = _flag(name, known)
        if name in SWITCHES:
            flags.append(word if equals else name)  # argparse says what is wrong with a value
        elif name in INFO:  # which would take the word behind it for its value
            given = value if equals else left.pop(0) if left and left[0] in INFORMATION else "all"
            flags.append(f"{INFO[0]}={given}")
        elif equals or left:
            flags += [name, value if equals else left.pop(0)]
        else:
            raise ValueError(f"{name} needs a value{_values(name)}")
        _check_flag(name, flags[-1])
    return flags, others


def _flag(name: str, known: Sequence[str]) -> str:
    """The flag of that name, or the only one that begins so. Raises ValueError, near misses may be ``known`` keys."""
    flags = [*SWITCHES, *VALUED, *INFO]
    begins = [flag for flag in flags if flag.startswith(name) and name.startswith("--")]
    if name in flags or len(begins) == 1:
        return name if name in flags else begins[0]
    words = [flag for flag in flags if flag.startswith("--")]
    raise ValueError(
        f"{name}: there is no such flag{near_or_all(name, [*words, *(f'--{key}' for key in known)], words)}"
    )


def _check_flag(name: str, value: str) -> None:
    """Refuses a value that a flag cannot have. Raises ValueError."""
    if name in ("--config-dir", "-cd") and not Path(value).is_dir():
        raise ValueError(f"{name}={value}: there is no such folder")
    if name in ("--cfg", "-c") and value not in CONFIGURATIONS:
        raise ValueError(f"{name} {value}: expected one of {', '.join(CONFIGURATIONS)}")
    if name in INFO and value.partition("=")[2] not in INFORMATION:
        raise ValueError(f"{value}: expected one of {', '.join(INFORMATION)}")


def _values(name: str) -> str:
    return f": {', '.join(CONFIGURATIONS)}" if name in ("--cfg", "-c") else ""


def _refuse_twice(words: Sequence[str]) -> None:
    """Refuses two options of one group, of which the last would win in silence. Raises ValueError."""
    chosen: dict[str, str] = {}
    several = {*groups(), "database"}
    for word in words:
        group = word.partition("=")[0].lstrip("+")
        if group not in several and "/" not in group:
            continue
        if chosen.setdefault(group, word) != word:
            both = f"; for both write '{group}=[a,b]'" if group == "regularizer" else ""
            raise ValueError(f"{group} is chosen twice, {chosen[group]} and {word}; leave one out{both}")


def _of_the_scm(words: Sequence[str]) -> list[str]:
    """The words of an evaluation, settings of the causal model without its option as changes of each record's own."""
    if any(word.startswith("scm=") for word in words):
        return list(words)
    return [f"+{word}" if word.startswith("scm.") else word for word in words]


def _companions(words: Sequence[str]) -> list[str]:
    """The options that the data set's yaml chooses for how a model is judged, where the words choose none.

    A database whose name is no data set's, as of a user's own table, is judged as tables are.
    """
    named = [word.partition("=")[2] for word in words if word.startswith("database=")]
    path = CONFIG / "dataset" / f"{named[-1] if named else ''}.yaml"
    if not path.is_file():
        return []
    chosen: dict[str, str] = {}
    for entry in OmegaConf.to_container(OmegaConf.load(path)).get("defaults", []):  # type: ignore[union-attr]
        for key, option in entry.items():
            chosen[key.removeprefix("override /").partition("@")[0]] = option
    judging = ("attack", "epsilon", "evaluation")
    return [f"{g}={chosen[g]}" for g in judging if g in chosen and not any(w.startswith(f"{g}=") for w in words)]


def _normal(word: str, config_name: str) -> str:
    key = word.partition("=")[0]
    if not key:
        raise ValueError(f"cannot read {word!r}; write GROUP=OPTION or KEY=VALUE")
    if key == "experiment":
        word = f"+{word}"
    if config_name == "evaluate" and key == "dataset":  # there it names a database, which needs no option of its own
        name = word.partition("=")[2]
        return write_override("database", database_of(name)) if is_schema(name) else f"database={name}"
    if config_name == "evaluate" and key == "dataset.graph":
        return _normal(word.removeprefix("dataset."), config_name)
    if config_name == "evaluate" and key in TEXTS:
        return _quote(word)
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        return word  # Hydra says what is wrong with it
    if override.is_add() or override.is_force_add():
        _refuse_unread(override.key_or_group, config_name)
    if key in NAMED_BY_DATA:
        return f"++{word}"
    if override.is_delete() or override.key_or_group not in groups():
        return word
    return _choice(word, override, config_name)


def _quote(word: str) -> str:
    """``where=a<=1`` as ``where='a<=1'``; null and what is quoted already stay as they are."""
    key, _, text = word.partition("=")
    if text in ("", "null") or (text[0] in "'\"" and text[-1] == text[0]):
        return word
    return f"{key}={QuotedString(text, Quote.single).with_quotes()}"


def _choice(word: str, override: Override, config_name: str) -> str:
    """A group's word, checked to name options; for ``epsilon``, numbers are the radius."""
    group, value = override.key_or_group, override.value()
    if isinstance(value, Glob):
        return word
    if isinstance(value, RangeSweep | IntervalSweep):
        values: list[Any] = [0.0]
    else:
        values = value.list if isinstance(value, ChoiceSweep) else [value]
    plain = [v.text if isinstance(v, QuotedString) else v for v in values]
    numeric = [group == "epsilon" and is_written(v) for v in plain]
    if all(numeric):
        if config_name == "evaluate":  # which trains nothing: the radii to judge at
            return f"epsilon.evaluate=[{word.partition('=')[2]}]"
        return word.replace("epsilon=", "epsilon.radius=", 1)
    if any(numeric):
        raise ValueError(f"{word!r} mixes radii and names of options; give one kind")
    for v in plain:
        several = isinstance(v, list) and group == "regularizer"  # the one group whose options add up
        if not all(isinstance(name, str) and name for name in (v if several else [v])) or v == []:
            radius = "a radius such as 0.1 or 8/255, or " if group == "epsilon" else ""
            raise ValueError(f"{word!r}: {group} takes {radius}the name of an option: {', '.join(options(group))}")
    return word


def _refuse_unread(key: str, config_name: str) -> None:
    """A key added by + that no part would read is misspelt."""
    if key in groups() or key.startswith(OPEN):
        return
    known = keys(config_name)
    leaves = [k for k in known if not any(other.startswith(f"{k}.") for other in known)]
    if key not in known and not any(key.startswith(f"{leaf}.") for leaf in leaves):
        raise ValueError(f"{key}: there is no such key{_near_key(key, config_name)}")


def resolve(cfg: DictConfig, chosen: Mapping[str, Any], table: Mapping[str, Any] | None = None) -> Params:
    """A configuration as plain values, with the names of the ``chosen`` options.

    The settings of a user's table are ``table`` where it is given, else read from the file of its schema.

    Raises:
        ValueError: a value or a group that must be given is not.
    """
    try:
        plain: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = str(error.full_key or error).splitlines()[0]
        raise ValueError(f"{key} is required: give {key}=... on the command line") from None
    lost = [group for group in (*PARTS, "regularizer") if group not in (plain if group == "regularizer" else chosen)]
    if lost:
        raise ValueError(f"{lost[0]} is required: give {lost[0]}=OPTION, one of {', '.join(options(lost[0]))}")
    if isinstance(plain["dataset"].get("graph"), str):  # for names that Hydra cannot spell as keys
        plain["dataset"]["graph"] = mapping(plain["dataset"]["graph"])
    if chosen["dataset"] == "table":
        plain["dataset"] |= _read_table_schema(plain["dataset"]) if table is None else dict(table)
    choices = {group: chosen[group] for group in PARTS}
    plain |= {"scm": settle(plain["scm"])}
    whole: Params = plain | {"choices": choices | {"regularizer": "+".join(plain["regularizer"])}}
    return whole


def _read_table_schema(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """The name and the content of the schema of a user's table. Raises ValueError where there is none."""
    from utils.tables.table_schema import read_schema, to_plain

    path = Path(str(dataset["path"]))
    if not path.is_file():
        raise ValueError(f"dataset.path: {describe_missing(path, 'python -m evals.look writes a schema')}")
    schema = read_schema(path)
    return {"schema": to_plain(schema), "name": dataset["name"] or schema.name or name_of_file(path)}


def is_schema(word: str) -> bool:
    """Returns whether ``dataset=`` names the file of a schema, ``people.yaml``, in quotes or not."""
    return word.strip("'\"").lower().endswith(SCHEMAS)


def database_of(word: str) -> str:
    """The name of the database of the runs that ``dataset=people.yaml`` trains.

    Raises:
        ValueError: there is no such file, or it is no schema.
    """
    from utils.tables.table_schema import read_schema  # imports pydantic, which other commands need not wait for

    path = Path(word.strip("'\""))
    if not path.is_file():
        otherwise = f"a database is named without ending, dataset={name_of_file(path)}"
        raise ValueError(f"dataset: {describe_missing(path, otherwise)}")
    return read_schema(path).name or name_of_file(path)


def name_of_file(path: Path) -> str:
    """The name of a database for a file: its own, less what names of files cannot hold."""
    stem = path.name.split(".")[0] if path.name.endswith(".gz") else path.stem
    return re.sub(r"[^\w.+-]+", "_", stem).strip("_.") or "table"


def explain(error: Exception, config_name: str = "train") -> str:
    """Explains a configuration error, with near misses of the word that is wrong."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        word = str(error.override)
        if "=" not in word:
            return f"cannot read {word!r}; write GROUP=OPTION or KEY=VALUE, or --help for both"
        return _misread(word)
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, ValueError):
        return str(error.__cause__)  # of a launcher or sweeper of ours
    missing = re.search(r"Could not (?:find|load) '([\w/]+)/([^/']*)'", text)
    if missing:
        group, option = missing.groups()
        known = getattr(error, "options", None) or options(group)  # Hydra knows those of its own and of plugins too
        if group == "dataset" and Path(f"{option}.yaml").is_file():  # the schema of a table
            return f"dataset={option}: there is no such option, but a file of this name: dataset={option}.yaml"
        if group == "dataset" and (close := find_near(f"{option}.yaml")):
            return f"dataset={option}: there is no such option{ask([f'dataset={name}' for name in close])}"
        if group == "epsilon":
            return (
                f"epsilon={option}: neither a radius, such as 0.1 or 8/255, nor an option{near_or_all(option, known)}"
            )
        return f"{group}={option}: there is no such option{near_or_all(option, known)}"
    extra = re.search(r"Unknown plugin class : 'hydra_plugins\.hydra_([a-z]+)_", text)
    if extra:
        return f"the {extra[1]} launcher is not installed: pip install -r requirements/{extra[1]}.txt"
    override = re.search(r"Could not override '([^']+)'", text)
    if override:
        key = override[1].split("@")[0]
        return f"{key}: there is no such key{_near_key(key, config_name)}"
    append = re.search(r"Could not append to config.*?(?:'([^']+)' is already|already at '([^']+)')", text, re.DOTALL)
    if append:
        return f"+{append[1] or append[2]}: that key exists already; write it without the +"
    sweep = re.search(r"Ambiguous value for argument '(.+)'", text)
    if sweep:
        return _several(sweep[1])
    cause = f" ({str(error.__cause__).splitlines()[0]})" if error.__cause__ else ""
    return f"{text.splitlines()[0]}{cause}"


def _misread(word: str) -> str:
    """A word that Hydra cannot read, and how what was meant is typed: a mapping or a list as such, else a text."""
    key, _, text = word.partition("=")
    try:
        meant = _meant(text)
        if meant is not None:
            return f"cannot read {word!r}; what holds signs or brackets is quoted: {write_word(key, meant)}"
        forms = (quoted(f"{key}=[a,b]"), quoted(f"{key}={{a:b}}"))
        return f"cannot read {word!r}; a list is written {forms[0]}, a mapping {forms[1]}"
    except ValueError as error:
        return f"cannot read {word!r}: {error}"


def _meant(text: str) -> Any:
    """Returns what a value that Hydra cannot read was meant to be; None for a list or mapping beyond repair."""
    if text[:1] not in ("{", "["):
        return ESCAPE.sub(r"\1", text)
    with suppress(yaml.YAMLError):
        return yaml.safe_load(text)
    inner = text.removeprefix("{").removesuffix("}")
    entries = [] if ENTRY.sub("", inner) else ENTRY.findall(inner)
    return {key: [name.strip() for name in names.split(",")] for key, names in entries} or None


def _several(word: str) -> str:
    """A word that looks like a sweep, and how a list or a text with a comma is typed."""
    key, _, values = word.partition("=")
    try:
        listed, text = quoted(f"{key}=[{values}]"), write_word(key, values)
        return f"{word} is several values: add -m to run each, or write a list, {listed}, or a text, {text}"
    except ValueError as error:
        return f"{word} is several values: add -m to run each ({error})"


def _near_key(key: str, config_name: str) -> str:
    """The options a known key belongs to, or the keys like an unknown one, or its neighbours."""
    known = _engine_keys() if key.startswith("hydra.") else keys(config_name)
    if key in known:
        group = key.replace(".", "/", 1).split(".")[0] if key.startswith("hydra.") else key.split(".")[0]
        owners = [name for name in options(group) if key in _keys_of(CONFIG / group / f"{name}.yaml")]
        return f" here{BELONGS}{' or '.join(f'{group}={name}' for name in owners)}" if owners else " here"
    parent = key.rpartition(".")[0]
    inside = [k for k in known if parent and k.startswith(f"{parent}.")]
    if meant := near_keys(key, inside or known):  # where the first part is right, the last one is misspelt
        return meant
    beside = [k for k in inside if k.rpartition(".")[0] == parent]
    return f"; there are {', '.join(beside)}" if beside else "; --cfg job prints all keys"


def groups() -> list[str]:
    """Names of the config groups."""
    return sorted(path.name for path in CONFIG.iterdir() if path.is_dir() and path.name != "hydra")


@cache
def first_parts(config_name: str = "train") -> tuple[str, ...]:
    """The words that a key of the command can begin with: groups, settings outside of them, and Hydra's own."""
    own = yaml.safe_load((CONFIG / f"{config_name}.yaml").read_text(encoding="utf-8"))
    return tuple(sorted({*groups(), *own, "hydra"} - {"defaults"}))


def options(group: str) -> list[str]:
    """Names of the options of a config group."""
    return sorted(path.stem for path in (CONFIG / group).glob("*.yaml"))


def keys(config_name: str = "train") -> list[str]:
    """Returns every dotted key that some option of the command's groups defines, and the groups themselves."""
    own: Any = OmegaConf.to_container(OmegaConf.load(CONFIG / f"{config_name}.yaml"), resolve=False)
    listed = [g for entry in own.pop("defaults") if isinstance(entry, dict) for g in entry]
    used = [g for g in listed if not g.startswith("override ")]
    found = dict.fromkeys([*used, *(k for k, _ in walk(own) if k and not k.startswith("hydra"))])
    for group in used:
        for path in sorted((CONFIG / group).rglob("*.yaml")):
            found |= dict.fromkeys(_keys_of(path))
    return list(found)


def _engine_keys() -> list[str]:
    """Returns every dotted key that some launcher or sweeper defines."""
    paths = [path for group in ("launcher", "sweeper") for path in sorted((CONFIG / "hydra" / group).glob("*.yaml"))]
    return list(dict.fromkeys(key for path in paths for key in _keys_of(path)))


@cache
def _keys_of(path: Path) -> tuple[str, ...]:
    """The dotted keys that an option defines, below its group."""
    content: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    content.pop("defaults", None)
    group = path.parent.relative_to(CONFIG).as_posix().replace("/", ".")
    return tuple(f"{group}.{k}" for k, _ in walk(content) if k and "_target_" not in k and "_partial_" not in k)
