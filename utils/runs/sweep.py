"""A sweep: its jobs composed and checked before any is run, shown as they end, summed up in a table."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from utils.command_line.overrides import BELONGS, explain, groups, resolve
from utils.records.typed import Params, Record
from utils.records.warned import list_warnings
from utils.run_store import store_of
from utils.runs.causal_figures import tell_trained_against
from utils.runs.filing import file_delivered, number_records
from utils.runs.outcomes import WRONG, Outcome, at_work, ended, explanations, outcome_file
from utils.runs.progress import Tally, show_sweep
from utils.runs.summary import count_statuses, go_on, summarise
from utils.system.console import complain, count, format_error, say
from utils.system.interrupts import stop_if_interrupted
from utils.words.ranges import require_ranges

Words = Sequence[str]  # the overrides of one job
Place = tuple[Any, ...]  # keys and indices that lead to a value
MARK = 1234567.125  # a number that no configuration holds, nor those above it by whole ones
SHOWN = 3  # jobs of a kind that an error names
NUMBER = re.compile(
    r"(?P<key>[a-z_]\w*(\.\w+)*)=(?P<value>[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)(e[+-]?\d+)?)", re.IGNORECASE
)
DIED = Outcome("", "failed", "left no word: killed (out of memory?), still running, or not started")


class Job(NamedTuple):
    """One job of a sweep: its configuration, and where its own files go."""

    number: int
    words: tuple[str, ...]
    params: Params
    folder: Path


class Composed:
    """A configuration as Hydra composed it, Hydra's own part among it, for jobs that differ in numbers of some keys."""

    def __init__(self, config: DictConfig, numbers: Mapping[str, int | float]):
        self._chosen: Any = OmegaConf.to_container(config.hydra.runtime.choices)
        self._cfg = composed = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        OmegaConf.copy_cache(config, composed)
        self._base = self._resolved(numbers)
        self._checked: set[tuple[tuple[type, bool], ...]] = set()
        marks = {key: MARK + i for i, key in enumerate(numbers)}
        marked = list(_differing(self._base, self._resolved(marks)))
        self._places: dict[str, list[Place]] | None = {
            key: [place for place, value in marked if value == mark] for key, mark in marks.items()
        }
        if any(value not in marks.values() for _, value in marked):
            self._places = None  # a number is worked into a text: then all is resolved anew every time

    def params(self, numbers: Mapping[str, int | float]) -> Params:
        """Returns the resolved and checked configuration with these numbers, wherever interpolations take them.

        Raises:
            ValueError: one that cannot be meant.
        """
        from utils.command_line.checks import (  # import torch, which mistakes of words need not
            check_adaptations,
            validate,
            validate_numbers,
            validate_settings,
        )

        params = self._with(numbers)
        kinds = tuple((type(number), number < 0) for number in numbers.values())
        if kinds in self._checked and self._places is not None:
            validate_numbers(params, _part_of(params, chain.from_iterable(self._places.values())))
            check_adaptations(params)  # of which a number of epochs may leave none
            return params
        validate(params)
        if kinds not in self._checked:  # settings are checked by their kinds
            validate_settings(params)
            self._checked.add(kinds)
        return params

    def _with(self, numbers: Mapping[str, int | float]) -> Params:
        if self._places is None:
            return self._resolved(numbers)
        params = _copied(self._base)
        for key, number in numbers.items():
            for *above, last in self._places[key]:
                node: Any = params
                for step in above:
                    node = node[step]
                node[last] = number
        return params

    def _resolved(self, numbers: Mapping[str, int | float]) -> Params:
        for key, number in numbers.items():
            OmegaConf.update(self._cfg, key, number)
        return resolve(self._cfg, self._chosen)


def _differing(one: Any, other: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yields places where two configurations of one shape differ, and the other's value there."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one:
            yield from _differing(one[key], other[key], (*place, key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _differing(a, b, (*place, i))
    elif one != other:
        yield place, other


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(v) for key, v in value.items()}
    return [_copied(v) for v in value] if isinstance(value, list) else value


def _part_of(params: Any, places: Iterable[Place]) -> dict[str, Any]:
    """Returns the part of a configuration that holds these places; a list is held whole."""
    found: dict[str, Any] = {}
    for place in places:
        node, part = found, params
        for step in place:
            if not isinstance(part[step], dict):
                node[step] = part[step]
                break
            node, part = node.setdefault(step, {}), part[step]
    return found


class Planner:
    """Makes the configurations of jobs from their words; jobs that differ in numbers alone are composed once."""

    def __init__(self, hydra_context: HydraContext, config: DictConfig):
        self._load = hydra_context.config_loader.load_sweep_config
        self._config = config
        self._groups = groups()
        self._composed: dict[tuple[str, ...], Composed] = {}
        self._planned: dict[tuple[int, tuple[str, ...]], Job] = {}
        self._words: dict[int, tuple[str, ...]] = {}  # of planned jobs
        self._times: Counter[str] = Counter()  # how many of these have a word
        own = OmegaConf.to_container(config.hydra.sweep, resolve=False)
        self._by_number = isinstance(own, dict) and own["subdir"] == "${hydra.job.num}"

    def plan(self, jobs: Sequence[Words], first: int, *, probing: bool = False) -> list[Job]:
        """Returns the jobs, numbered from ``first``, their configurations checked.

        Args:
            jobs: the words of each.
            first: the number of the first.
            probing: they are none that will be run, so that their words tell no job from others.

        Raises:
            ValueError: naming the jobs whose configurations cannot be meant.
        """
        planned: list[Job] = []
        wrong: dict[str, list[str]] = {}
        for number, words in enumerate(map(tuple, jobs), start=first):
            try:
                if (number, words) not in self._planned:
                    self._planned[number, words] = Job(number, words, self._params(words), self._folder(number, words))
                if not probing and self._words.get(number) != words:
                    self._times.subtract(self._words.get(number, ()))
                    self._times.update(words)
                    self._words[number] = words
                planned.append(self._planned[number, words])
            except (ValueError, HydraException, OmegaConfBaseException) as error:
                what = (
                    explain(error)
                    if isinstance(error, HydraException | OmegaConfBaseException)
                    else format_error(error)
                )
                wrong.setdefault(what, []).append(f"#{number} {' '.join(words)}")
        if wrong:
            raise ValueError(_all_wrong(wrong, len(jobs)))
        return planned

    def words(self, number: int) -> Words:
        """Returns the words, as typed, that distinguish a planned job from the others."""
        return [word for word in self._words.get(number, ()) if self._times[word] < len(self._words)]

    def list_words(self, number: int) -> Words:
        """Returns all words of a planned job."""
        return self._words.get(number, ())

    def _params(self, words: tuple[str, ...]) -> Params:
        """Returns the checked configuration that the words of a job mean."""
        matches = [m for word in words if (m := NUMBER.fullmatch(word)) and self._sets(m["key"])]
        numbers = {m["key"]: _number(m["value"]) for m in matches}
        structure = (*(w for w in words if w.partition("=")[0] not in numbers), "", *numbers)
        if structure not in self._composed:
            config = self._config if self._is_composed(words, numbers) else self._load(self._config, list(words))
            self._composed[structure] = Composed(config, numbers)
        return self._composed[structure].params(numbers)

    def _is_composed(self, words: Sequence[str], numbers: Mapping[str, Any]) -> bool:
        """Returns whether the sweep's own configuration is that of the words but for the numbers of some keys."""
        given = {word.partition("=")[0]: word for word in self._config.hydra.overrides.task}
        own = {word.partition("=")[0]: word for word in words}
        return given.keys() == own.keys() and all(given[key] == own[key] for key in own if key not in numbers)

    def _sets(self, key: str) -> bool:
        """Returns whether a word sets a value of the program's own, rather than choose an option or speak to Hydra."""
        return key not in self._groups and not key.startswith("hydra.")

    def _folder(self, number: int, words: tuple[str, ...]) -> Path:
        """Returns the folder of a job's own files, as Hydra names it."""
        if self._by_number:
            return Path(self._config.hydra.sweep.dir).absolute() / str(number)
        cfg = self._load(self._config, list(words))  # the name may be made of the job's own values
        with open_dict(cfg.hydra.job):
            cfg.hydra.job.num = number
            cfg.hydra.job.id = str(number)
        return Path(cfg.hydra.sweep.dir).absolute() / str(cfg.hydra.sweep.subdir)


def _all_wrong(wrong: Mapping[str, Sequence[str]], total: int) -> str:
    """Returns the mistakes and their jobs, a few of each kind named."""
    kinds = [
        f"{what} ({', '.join(jobs[:SHOWN])}{f' and {len(jobs) - SHOWN} more' if len(jobs) > SHOWN else ''})"
        for what, jobs in wrong.items()
    ]
    number = sum(map(len, wrong.values()))
    said = f"{number} of {count(total, 'job')} cannot be run, so none was: {'; '.join(kinds)}"
    if number < total and all(BELONGS in what for what in wrong):
        said += "; sweep that option in a line of its own, both lines file into one database"
    return said


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)


class Planned(Sweeper):
    """A sweeper of ours: a planner, a launcher, and the words of the preset before those of the command line."""

    config: DictConfig

    def __init__(self, params: Mapping[str, Any] | None):
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra."""
        self.config = config
        for part in ("sweeper", "launcher"):
            own: Any = OmegaConf.to_container(config.hydra[part], resolve=True)
            # joblib's launcher declares batch_size as text, and makes one of a number
            numbers = {k: int(v) if isinstance(v, str) and v.isdigit() else v for k, v in own.items()}
            require_ranges(numbers, prefix=f"hydra.{part}.", option=config.hydra.runtime.choices[f"hydra/{part}"])
        self.parser = OverridesParser.create(config_loader=hydra_context.config_loader)
        self.launcher = launcher_of(hydra_context, task_function, config)
        self.planner = Planner(hydra_context, config)

    def words(self, arguments: list[str]) -> list[Override]:
        """Returns the words of the sweep. The last of a key counts. Raises ValueError for an empty range."""
        given = [f"{key}={values}" for key, values in self.params.items()]
        read = self.parser.parse_overrides([*given, *arguments])
        for override in read:
            if override.is_range_sweep() and not any(True for _ in override.sweep_iterator()):
                raise ValueError(f"{override.input_line}: no number is in this range, so there is nothing to run")
        return read


class Grid(Planned):
    """Runs every combination of the values that are given, ``max_batch_size`` of them at a time."""

    def __init__(self, max_batch_size: int | None, params: Mapping[str, Any] | None):
        super().__init__(params)
        self.max_batch_size = max_batch_size

    def sweep(self, arguments: list[str]) -> None:
        """Checks all jobs, launches them, shows how they end."""
        batches = BasicSweeper.split_arguments(self.words(arguments), self.max_batch_size)
        jobs = [job for batch in batches for job in batch]
        self.planner.plan(jobs, 0)
        with swept(self.config, range(len(jobs)), self.planner) as tally:
            first, tally.queued = 0, getattr(self.launcher, "queued", set())
            for batch in batches:
                launch(self.launcher, self.planner, batch, first)
                first += len(batch)


def launcher_of(hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> Launcher:
    """Returns the launcher of a sweep, whose folder is fixed here: its workers may run elsewhere, at another time.

    Raises:
        ValueError: the launcher is not installed.
    """
    folder = str(Path(config.hydra.sweep.dir).absolute())
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.sweep.dir = folder
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir={QuotedString(folder, Quote.single).with_quotes()}")
    try:
        return Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
    except RuntimeError as error:  # of a class that Hydra cannot find
        raise ValueError(explain(error)) from None


@contextmanager
def swept(config: DictConfig, numbers: Sequence[int], planner: Planner) -> Iterator[Tally]:
    """Shows the jobs of a sweep as they end and, in the end, a table of what became of them."""
    folder = Path(config.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "multirun.yaml")
    for number in numbers:
        outcome_file(folder, number).unlink(missing_ok=True)  # of an earlier sweep in this folder
        at_work(folder, number, None)
    tally = Tally(folder, numbers, config.watch, planner.words)
    complete = False
    try:
        with show_sweep(tally):
            yield tally
        complete = True
    finally:
        if complete:  # a job without a word has died, unless it was left to a cluster
            tally.ended = {n: DIED for n in tally.numbers if n not in tally.queued} | tally.ended
        for number in tally.numbers:
            at_work(folder, number, None)
        file_delivered()
        tally.ended = dict(zip(tally.ended, number_records(list(tally.ended.values())), strict=True))
        _sum_up(tally, planner)


def _sum_up(tally: Tally, planner: Planner) -> None:
    """Prints what became of the jobs: their number, settings, the best, what failed, and the commands that go on."""
    ended[:] = tally.ended.values()
    queued = len(tally.queued - tally.ended.keys())
    left = len(tally.numbers) - len(ended) - queued
    counted = [count_statuses([of.status for of in ended]), *([f"{queued:,} queued or running"] if queued else [])]
    say(f"\n{count(len(tally.numbers), 'job')}: {', '.join(counted)}{f', {left} not run' if left else ''}")
    for line in summarise(tally.ended, tally.watch, planner.words, planner.list_words):
        say(line)
    keys = tally.apart()
    if left and not keys:
        return
    held, own = _filed(tally)
    for line in (*_apart(keys, own), *([] if left else [*_doubts(tally, own), *go_on(held, own, tally.watch)])):
        say(line)


def _filed(tally: Tally) -> tuple[dict[str, list[Record]], dict[str, list[Record]]]:
    """Returns all records of the databases of the jobs that ended well, and those of these jobs."""
    ids: dict[str, set[int | None]] = {}
    for outcome in tally.ended.values():
        if outcome.dataset is not None and outcome.status not in WRONG:
            ids.setdefault(outcome.dataset, set()).add(outcome.record)
    held = {dataset: store_of(dataset).all() for dataset in ids}
    return held, {dataset: [r for r in records if r["doc_id"] in ids[dataset]] for dataset, records in held.items()}


def _apart(keys: Sequence[str], own: Mapping[str, Sequence[Record]]) -> list[str]:
    """Returns why watched figures do not compare, of other data or causal models, and the command that changes it."""
    if not keys:
        return []
    return [s for explain in explanations for name, records in own.items() for s in explain(records, keys, name)]


def _doubts(tally: Tally, own: Mapping[str, Sequence[Record]]) -> list[str]:
    """Returns what the records warn of, each kind once, and which models the equations that judge have trained."""
    records = [record for of in own.values() for record in of]
    return [f"{said}." for said in (*list_warnings(records), *tell_trained_against(records, tally.watch))]


def launch(launcher: Any, planner: Planner, jobs: Sequence[Words], first: int) -> None:
    """Runs jobs on a launcher; prints what stops the launcher itself, whose other jobs stay to be run."""
    if hasattr(launcher, "planner"):
        launcher.planner = planner  # ours: it need not compose them again
    try:
        launcher.launch(jobs, initial_job_idx=first)
    except Exception as error:  # whatever an engine of others raises must not lose what has ended
        stop_if_interrupted()
        if isinstance(error, ValueError) and hasattr(launcher, "planner"):  # ours refuses jobs before any is run
            raise
        complain(f"the launcher stopped: {type(error).__name__}: {format_error(error).splitlines()[0]}")
