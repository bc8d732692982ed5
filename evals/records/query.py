"""Records of a database as a table: read, select, order, average over seeds; and the words of the commands.

Every ``python -m evals.<command>`` reads ``key=value`` words onto ``config/<command>.yaml``, whose comments are
the command's help.
"""

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from omegaconf import DictConfig, OmegaConf
from pandas.api.types import is_numeric_dtype

import paths_config
from evals.records.seed_intervals import by_setting
from utils.command_line.evals_help import answer
from utils.metrics.directions import bounds, split_some
from utils.records import given_weights
from utils.records.later import Record
from utils.records.settings import at, flat, varying
from utils.run_store import RunStore
from utils.runs.data_sources import sensitive_of, source_of
from utils.scms.identity import upgrade
from utils.system.console import begin, complain, format_error, show_everything, unread
from utils.words.near import ask, near
from utils.words.numbers import read_number
from utils.words.quoting import HELP, copyable, literal, override, read_option, without_dashes
from utils.words.ranges import require_ranges

FACTS = (
    *("doc_id", "name", "dataset", "experiment", "regularizer", "prepare", "model", "scm", "attack", "decide"),
    *("source", "sensitive", "seed", "radius", "run_id", "group_id", "status", "created"),
    *("poison_metric", "poison_objective", "params"),
)
PER_RUN = ("dataset", "group_id", "doc_id", "seed", "run_id", "created")  # keys of a group, or facts of a run alone
CHOICES = ("regularizer", "prepare", "model", "scm", "attack", "decide")
ABSENT = {"prepare": "none"}  # choices of records from before there was one
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}
DETAILS = ("_low", "_high", "_null")  # of metrics, too many to list in an error
# the same, later evaluations, and what poisoned runs were before and on validation rows
DETAIL = re.compile(r"/\D|_group\d+$|_class_\d+|_after_|^check_|^support_|_(unpoisoned|valid|under_poisoning)$")
# a key may hold a single =, as those of the evaluation scm=learned do, and a name of an attribute in quotes
COMPARISON = re.compile(
    r"\s*((?:\"(?:[^\"\\]|\\.)*\"|[^<>=!]|(?<![<>=!])=(?!=))+?)\s*(<=|>=|==|!=|<|>)\s*([^<>=!]+?)\s*"
)
BETWEEN = re.compile(r",(?![^\[\]]*\])(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)")  # commas outside brackets and quotes
NAME = re.compile(r"[\w+-][\w.+-]*")  # of a data set, as it names files


# --- records ---------------------------------------------------------------------------------------------------


def read(dataset: str) -> list[Record]:
    """The finished records of one data set. Raises ValueError where there is no database or no finished record."""
    if not dataset or "/" in dataset or "\\" in dataset:
        there = ", ".join(paths_config.databases())
        raise ValueError(f"dataset={dataset!r} is no name of a data set; databases there are: {there}")
    path = paths_config.database(dataset)
    if not paths_config.is_database(path):
        present = paths_config.databases()
        raise ValueError(
            f"no database for dataset={dataset}: {path} does not exist{near(dataset, present)} {training(dataset)}; "
            f"databases in that folder: {', '.join(present) or 'none'}"
        )
    records = RunStore(path).all()
    done = [record for record in records if record["status"] == "finished"]
    if not done:
        raise ValueError(f"{path} holds no finished run ({len(records)} failed). {training(dataset)}")
    return done


def training(dataset: str) -> str:
    """Says how to train a model on a data set: the line to copy, of a table of one's own as far as its name says it."""
    from utils.command_line.overrides import options as there  # imports Hydra, which answers need not wait for

    if dataset in there("dataset"):
        return f"Train a model with `{copyable('python train.py', f'dataset={dataset}')}`"
    known = f"Data sets are {', '.join(there('dataset'))}"
    if not NAME.fullmatch(dataset):
        return f"{known}; the name of a table of your own has letters, digits and . _ + -"
    own = (
        override("dataset.name", dataset),
        "dataset.path=FILE.csv",
        "dataset.label=COLUMN",
        "dataset.sensitive=COLUMN",
    )
    return f"{known}; train on a table of your own with `{copyable('python train.py', 'dataset=csv', *own)}`"


def stored(dataset: str) -> list[Record]:
    """The finished records in the database of one data set, maybe none."""
    return [record for record in RunStore(paths_config.database(dataset)).all() if record["status"] == "finished"]


def frame(records: Sequence[Record]) -> pd.DataFrame:
    """One row per record: the columns FACTS, every metric, and ``<evaluation>/<key>`` for later evaluations.

    A metric that is null or absent in a record is NaN there.
    """
    rows = [_facts(record) for record in records]
    measured = [_metrics(record) for record in records]
    columns = {key: None for metrics in measured for key in metrics}
    metrics = pd.DataFrame(measured, index=range(len(rows)), columns=list(columns), dtype=float)
    return pd.concat([pd.DataFrame(rows, columns=list(FACTS)), metrics], axis=1)


def _facts(record: Record) -> dict[str, Any]:
    params = given_weights.without_training(record["params"])
    choices = params.get("choices", {})
    radius = (params.get("epsilon") or {}).get("radius")
    taken = {key: record.get(key) for key in FACTS}
    taken |= {key: _joined(choices.get(key, ABSENT.get(key))) for key in CHOICES}
    if named := given_weights.name_file(params):
        taken["regularizer"] = Path(named).stem  # a file, trained by whatever its name says
    taken |= {f"poison_{key}": (record.get("poison") or {}).get(key) for key in ("metric", "objective")}
    taken |= {"params": params, "source": source_of(record), "sensitive": sensitive_of(record)}
    return taken | {
        "experiment": params.get("experiment"),
        "radius": math.nan if radius is None else read_number(radius),
    }


def _joined(choice: Any) -> str | None:
    """An option's name as it stands in the names of records: several joined by ``+``."""
    if choice is None or isinstance(choice, str):
        return choice
    return "+".join(str(c) for c in choice)


def _metrics(record: Record) -> dict[str, float | None]:
    metrics = dict(record.get("metrics") or {})
    for name, evaluation in (record.get("evaluations") or {}).items():
        found = evaluation.get("metrics", evaluation)
        metrics |= {f"{name}/{key}": v for key, v in found.items() if v is None or isinstance(v, int | float)}
    return metrics


def metrics(table: pd.DataFrame) -> list[str]:
    """The metric columns of a frame."""
    return [str(c) for c in table.columns if c not in FACTS and is_numeric_dtype(table[c])]


def group_names(records: Sequence[Record]) -> tuple[str, ...]:
    """The names of the sensitive groups where all records have the same, else none."""
    return _names(records, "groups")


def class_names(records: Sequence[Record]) -> tuple[str, ...]:
    """The names of the classes, likewise."""
    return _names(records, "class_names")


def _names(records: Sequence[Record], kind: str) -> tuple[str, ...]:
    named = {tuple((record.get("preprocessing") or {}).get(kind) or ()) for record in records}
    return next(iter(named)) if len(named) == 1 else ()


# --- select, order, average ------------------------------------------------------------------------------------


def where(table: pd.DataFrame, conditions: str | None) -> pd.DataFrame:
    """The rows that meet every condition: ``"uai_0.05<=0.1, regularizer==erm, attack.poison.copies>1"``.

    Beside columns it knows settings by their dotted keys. A row that lacks a value meets no condition on it, ``!=``
    included. Raises ValueError for an unknown column, a condition that is no comparison, a value of the wrong type, or
    ``==`` with a name that no row has.
    """
    kept = pd.Series(True, index=table.index)
    for condition in split_conditions(str(conditions or "")):
        kept &= _meets(table, condition)
    return table[kept]


def split_conditions(text: str) -> list[str]:
    """Returns the conditions between commas; those within brackets are of a list: ``dataset.sensitive==[sex,race]``."""
    return [condition for condition in BETWEEN.split(text) if condition.strip()]


def _meets(table: pd.DataFrame, condition: str) -> pd.Series:
    match = COMPARISON.fullmatch(condition)
    if match is None:
        raise ValueError(
            f"where: {condition.strip()!r} is no comparison; write `column<=value` with one of "
            f"{' '.join(COMPARE)}, several separated by commas"
        )
    key, sign, text = match.groups()
    if key.endswith("="):
        raise ValueError(f"where: {condition.strip()!r} is no comparison; write {key[:-1]}{sign}={text}")
    column = values(key, table)
    if not is_numeric_dtype(column):
        if sign not in ("==", "!="):
            raise ValueError(f"where: {key} holds names, so {condition.strip()!r} is undefined; compare by == or !=")
        if text.startswith("["):
            text = re.sub(r"\s*,\s*", ",", text)
        if sign == "==" and not (column == text).any():
            names = sorted(column.dropna().astype(str).unique())
            raise ValueError(
                f"where: no run has {key}=={text}{near(text, names)} There is {', '.join(names) or 'none'}"
            )
        return column.notna() & COMPARE[sign](column, text)
    try:
        value = read_number(text)
    except ValueError as error:
        raise ValueError(f"where: {key} holds numbers, but {condition.strip()!r} compares it with {text!r}") from error
    return column.notna() & COMPARE[sign](column, value)


def sort(table: pd.DataFrame, keys: str | None) -> pd.DataFrame:
    """Rows ordered by comma-separated columns or settings, ``-`` for falling: ``"-accuracy,model.C"``; NaN last."""
    words = [word.strip() for word in str(keys or "").split(",") if word.strip()]
    for word in reversed(words):  # stable: the first key is sorted last
        column = values(word.removeprefix("-"), table)
        order = column.sort_values(ascending=not word.startswith("-"), kind="stable", na_position="last")
        table = table.loc[order.index]
    return table


def values(key: str, table: pd.DataFrame) -> pd.Series:
    """Returns a column, or the setting ``model.C``: numbers where all are, else text; raises as ``find_column``.

    ``record`` and ``id`` are the number of a record.
    """
    if key in ("record", "id") and "doc_id" in table.columns:
        key = "doc_id"
    if key in table.columns or "params" not in table.columns:
        return table[find_column(key, table)]
    found = [_setting(params, key) for params in table["params"]]
    if all(value is None for value in found):
        find_column(key, table)
    return _convert(found, table.index)


def _setting(params: Mapping[str, Any] | None, key: str) -> Any:
    value = at(params, key)
    if value is None and key.startswith("scm.") and isinstance(node := at(params, "scm"), Mapping):
        value = at({"scm": upgrade(node)}, key)  # what older records call otherwise, or mean without saying it
    return None if isinstance(value, Mapping) else value


def _convert(found: Sequence[Any], index: pd.Index) -> pd.Series:
    """Returns numbers, ``8/255`` too, where every value is one; else as the command line writes them."""
    try:
        if not any(isinstance(value, bool) for value in found):
            return pd.Series([math.nan if value is None else read_number(value) for value in found], index, dtype=float)
    except ValueError:
        pass
    return pd.Series([None if value is None else _text(value) for value in found], index, dtype=object)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def aggregate(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """One row per data set and ``group_id``: of every key the mean and four columns more, the facts, the doc_ids.

    ``<key>_sd`` is the standard deviation of the sample (n - 1), ``<key>_n`` the number of seeds, ``<key>_low`` and
    ``<key>_high`` the 95 % interval of the mean over seeds by Student's t, cut at the range of the metric; NaN for one
    seed, or where all give the same figure. A seed without the metric does not count.

    A metric's own interval over test rows (``accuracy_low`` among the keys) comes as the mean of its ends instead.
    """
    if len(lost := table[table["group_id"].isna()]):
        raise ValueError(f"records {', '.join(map(str, lost['doc_id']))} have no group_id; train them again")
    groups = table.groupby(["dataset", "group_id"], sort=False, dropna=False)
    columns: dict[str, Any] = {fact: groups[fact].first() for fact in FACTS if fact not in PER_RUN}
    columns["doc_ids"] = groups["doc_id"].agg(tuple)
    setting = groups.ngroup().to_numpy()
    for key in keys:
        values = groups[find_column(key, table)]
        columns |= {key: values.mean(), f"{key}_sd": values.std(), f"{key}_n": values.count()}
        ends = by_setting(table[key].to_numpy(float), setting, len(groups))
        least, most = bounds(key)
        for end, of in zip(("_low", "_high"), ends, strict=True):
            if key + end not in keys:
                columns[key + end] = np.clip(of, np.fmin(values.mean(), least), np.fmax(values.mean(), most))
    return pd.DataFrame(columns).reset_index()


def differences(records: Iterable[Record], groups: pd.DataFrame, within: str) -> list[str]:
    """A short label per row of ``groups``: in what it differs from the rows of equal ``within``.

    Two things are named at most, or as many more as tell all rows of a kind apart: options (``causal_adv``), then
    settings (``radius 0.1``). The only row of its kind is named by its kind.
    """
    settings = {(record["dataset"], record["group_id"]): record["params"] for record in records}
    labels = pd.Series("", index=groups.index)
    for kind, rows in groups.groupby(within, dropna=False):
        keys = zip(rows.index, rows["dataset"], rows["group_id"], strict=True)
        own = _alike({i: _tell_settings(settings[dataset, group]) for i, dataset, group in keys})
        options = [option for option in CHOICES if rows[option].nunique() > 1]
        # what an option brings along, as a model its sizes, says no more than its name
        common = [k for k in _varying(list(own.values())) if k.partition(".")[0] not in options]
        words = {}
        for _, alike in rows.groupby(options, dropna=False) if options else [(kind, rows)]:
            # of an option such as a prepare, settings that other rows of the kind do not have
            further = [k for k in _varying([own[i] for i in alike.index]) if k not in common]
            for i in alike.index:
                words[i] = [str(rows.at[i, option]) for option in options]
                words[i] += [f"{key.rpartition('.')[2]} {_short(own[i][key])}" for key in (*common, *further)]
        few = _telling(list(words.values()))
        for i in words:
            labels[i] = ", ".join(words[i][:few]) or str(kind)
    return list(labels)


def _tell_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the flat settings of a run; that no node has an equation of its own is one, to compare it with others."""
    nodes = (params.get("scm") or {}).get("nodes")
    found = given_weights.tell_settings(params)
    return found if nodes is None or nodes else {**found, "scm.nodes": "none"}


def _varying(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the keys that all have and that differ; those of the judging, which tells no training apart, last."""
    return sorted(varying(settings, everywhere=True), key=lambda key: key.startswith("evaluation."))


def _alike(own: Mapping[Any, Mapping[str, Any]]) -> dict[Any, dict[str, Any]]:
    """Returns settings of which none is a value in some and a mapping in others, as a limit or one for each rate."""
    leaves = {key for settings in own.values() for key in settings}
    wholes = {up for key in leaves if (up := key.rpartition(".")[0]) in leaves}
    found = {}
    for i, settings in own.items():
        parts = {up: {k: v for k, v in settings.items() if k.rpartition(".")[0] == up} for up in wholes}
        inside = {key for part in parts.values() for key in part}
        found[i] = {key: value for key, value in settings.items() if key not in inside}
        for up, part in parts.items():
            if part:
                found[i][up] = ", ".join(f"{key.rpartition('.')[2]} {_short(value)}" for key, value in part.items())
    return found


def _telling(words: Sequence[Sequence[str]]) -> int:
    """Returns the smallest number of words of each, at least 2, that tell as many apart as all of them do."""
    apart = len(set(map(tuple, words)))
    counts = range(2, max(2, *map(len, words)) + 1)
    return next(few for few in counts if len({tuple(own[:few]) for own in words}) == apart)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


# --- words -----------------------------------------------------------------------------------------------------


def find_column(key: str, table: pd.DataFrame) -> str:
    """The column ``key``; ValueError with near misses and the metrics, or settings, where the frame has none."""
    if key in table.columns:
        return key
    settings, part = _settings(table), key.partition(".")[0]
    ends = [setting for setting in settings if setting.endswith(f".{key}")]
    named = [c for c in table.columns.drop("params", "ignore") if key.endswith(DETAILS) or not c.endswith(DETAILS)]
    meant = ask(ends) or near(key, [*named, *settings])
    alike = [setting for setting in settings if "." in key and setting.startswith(f"{part}.")]
    plain = [m for m in metrics(table) if not m.endswith(DETAILS) and not DETAIL.search(m)]
    there = f"Settings of {part}: {', '.join(alike)}" if alike else f"Metrics here: {', '.join(plain) or 'none'}"
    raise ValueError(f"no column {key!r}{meant} {there}")


def of_the_rest(keys: Sequence[str], table: pd.DataFrame) -> str:
    """Names the gaps by an attribute, and those of the groups with rows enough, that are known where these are not."""
    defined = [column for column in table.columns if column not in FACTS and table[column].notna().any()]
    parts = [(column, *split_some(column)) for column in defined if not column.endswith(DETAILS)]
    ways = {
        "by an attribute": [column for column, gap, by, rest in parts if gap in keys and by and not rest],
        "of the groups that have rows enough": [column for column, gap, by, rest in parts if gap in keys and not by],
    }
    told = [f"{', '.join(columns)}, {what}" for what, columns in ways.items() if columns]
    return f"; {' and '.join(told)}, can be asked for" if told else ""


def _settings(table: pd.DataFrame) -> list[str]:
    """The dotted keys of all settings of a frame."""
    return list(dict.fromkeys(key for params in table.get("params", ()) for key in flat(params or {}, "label")))


def options(words: Sequence[str], path: Path) -> DictConfig:
    """The defaults in ``path`` with the ``key=value`` words of a command line on top.

    Raises ValueError for a word without ``=``, an unknown key or a required one that is missing.
    """
    defaults = OmegaConf.load(path)
    assert isinstance(defaults, DictConfig)
    mappings = [key for key in defaults if not OmegaConf.is_missing(defaults, key) and OmegaConf.is_dict(defaults[key])]
    given: dict[str, Any] = {}
    for key, text in read_words(words, list(map(str, defaults))).items():
        value = _read_texts(key, text) if key in mappings else read_option(f"{key}={text}")
        if key == "dataset":
            value = [database(one) for one in value] if isinstance(value, list) else database(value)
        given[key] = literal(value) if isinstance(value, str) else value
    OmegaConf.set_struct(defaults, True)
    for mapping in mappings:  # whose keys are the user's
        OmegaConf.set_struct(defaults[mapping], False)
    merged = OmegaConf.merge(defaults, given)
    assert isinstance(merged, DictConfig)
    required = [str(key) for key in defaults if OmegaConf.is_missing(defaults, key)]
    for missing in sorted({key for key in required if OmegaConf.is_missing(merged, key) or merged[key] is None}):
        raise ValueError(f"{missing} is required: give {missing}=..., or --help for the list")
    require_ranges({str(key): value for key, value in merged.items()}, path)
    for name in set(map(str, defaults)) - set(required):
        if isinstance(defaults[name], bool) and not isinstance(merged[name], bool):
            raise ValueError(f"{name}={merged[name]}: expected true or false")
    return merged


def _read_texts(key: str, text: str) -> dict[str, str]:
    """``{name: value, ...}`` with every value as the text that was typed: ``no`` and ``01004`` are what they are."""
    try:
        found = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{key}={text}: cannot be read, {getattr(error, 'problem', error)}") from None
    texts = isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
    if not texts or any(":" in str(name) and not value for name, value in found.items()):  # {age:30} is one name
        raise ValueError(f"{key}={text}: expected {{name: value, name: value}}, with a blank behind each colon")
    return {str(name): literal(value) for name, value in found.items()}


def read_words(words: Sequence[str], keys: Sequence[str], of: str = "") -> dict[str, str]:
    """The texts of ``key=value`` words by key, the last of one key; ``of`` names what has these options.

    Raises ValueError for a word without ``=`` and an unknown key.
    """
    found: dict[str, str] = {}
    for word in without_dashes(words, keys):
        key, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"cannot read {word!r}; write options as key=value, or --help for the list")
        if key not in keys:
            raise ValueError(f"unknown option {key!r}{near(key, keys)} Options{of}: {', '.join(keys)}")
        found[key] = text
    return found


def database(name: Any) -> Any:
    """The name of a database; ``people.yaml``, a schema, that of the runs that it trains."""
    if not isinstance(name, str) or not name.lower().endswith((".yaml", ".yml")):
        return name
    from utils.command_line.overrides import database_of  # imports Hydra, which answers need not wait for

    return database_of(name)


def to_text(option: object) -> str | None:
    """Returns an option as text, None where it is not given."""
    return None if option is None else str(option)


def command(work: Callable[[DictConfig], int | None], path: Path, words: Sequence[str]) -> int:
    """Runs a command on its words; returns its exit code.

    That is its own, 0 where it has none, 2 after one ``error:`` line, 141 where the reader left.
    """
    show_everything()
    if set(HELP) & set(words):
        return answer(path.stem, words)
    begin()
    try:
        code = work(options(words, path)) or 0
        sys.stdout.flush()
    except BrokenPipeError:
        return unread()
    except (ValueError, OSError) as error:
        complain(format_error(error))
        return 2
    return code
