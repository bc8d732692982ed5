"""The end of a sweep in words: its settings with their figures, the best, what was not trained and why, what is next.

A setting is a run without its seed; its figures are means over the seeds of this sweep.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from utils.metrics.directions import direction
from utils.records.typed import Record
from utils.runs.best import best_of
from utils.runs.outcomes import EXIT, WRONG, Outcome
from utils.runs.printed import comparable
from utils.system.console import count
from utils.system.tables import align
from utils.words.numbers import write_estimate, write_spread
from utils.words.quoting import copyable, option

MOST_SETTINGS, MOST_NAMED, MOST_FAILED = 20, 5, 5  # rows of the table; jobs of a sentence; failures told one by one
SAID = ("dataset", "model", "regularizer", "seed")  # by the name and the seeds of a setting

CONSTANT = "nearly constant"  # prediction: one class for nearly every row

Words = Callable[[int], Sequence[str]]


@dataclass(frozen=True)
class Setting:
    """The jobs of a sweep that differ in their seed alone, by number; a run that was given twice counts once."""

    name: str
    jobs: Mapping[int, Outcome]

    @property
    def mean(self) -> Outcome:
        """An outcome with the mean of each figure."""
        of = list(self.jobs.values())
        keys = dict.fromkeys(key for one in of for key in one.metrics)
        means = {key: fmean(known) if (known := self._values(key)) else None for key in keys}
        return replace(of[0], metrics=means, constant=all(one.constant for one in of))

    def write(self, key: str) -> str:
        """The mean of a figure with its standard deviation; of one seed the figure with its interval over test rows."""
        known = self._values(key)
        if len(known) > 1:
            return write_spread(fmean(known), stdev(known))
        for of in self.jobs.values() if known else ():
            if of.metrics.get(key) is not None:
                return write_estimate(known[0], *of.intervals.get(key, (None, None)))
        return "undefined"

    def _values(self, key: str) -> list[float]:
        return [float(value) for of in self.jobs.values() if (value := of.metrics.get(key)) is not None]


def summarise(ended: Mapping[int, Outcome], watch: Sequence[str], words: Words, typed: Words) -> Iterator[str]:
    """Yields the lines on the jobs of a sweep that have ended.

    Args:
        ended: the outcomes by the numbers of their jobs.
        watch: the metrics that are shown.
        words: those of a job, by its number, that tell it from others.
        typed: all words of a job.
    """
    before, same = find_skipped(ended)
    if settings := group(ended, same, words):
        yield f"\n{_table(settings, watch)}"
        yield from _best(settings, watch)
        yield ""
    if before:
        jobs, ids = count(len(before), "job"), [ended[number].record or 0 for number in before]
        yield f"{jobs} had finished before, {_name_records(ids)}; existing=replace trains again."
    yield from _same(same, typed)
    yield from _wrong({number: of for number, of in ended.items() if of.status in WRONG}, words, typed)


def find_skipped(ended: Mapping[int, Outcome]) -> tuple[list[int], dict[int, int]]:
    """Returns the jobs that had finished before the sweep, and those that repeat another one of it, with that one."""
    first: dict[tuple[str | None, int], int] = {}
    for number in sorted(ended, key=lambda n: (ended[n].status == "skipped", n)):
        if ended[number].record is not None:
            first.setdefault((ended[number].dataset, ended[number].record or 0), number)
    skipped = sorted(number for number, of in ended.items() if of.status == "skipped")
    same = {n: first[ended[n].dataset, ended[n].record or 0] for n in skipped}
    return [n for n, of in same.items() if n == of], {n: of for n, of in same.items() if n != of}


def group(ended: Mapping[int, Outcome], same: Mapping[int, int], words: Words) -> list[Setting]:
    """Returns the settings of the jobs that have figures, in the order of their first jobs."""
    jobs: dict[tuple[str | None, str | None], dict[int, Outcome]] = {}
    for number, of in sorted(ended.items()):
        if of.record is not None and of.status not in WRONG and number not in same:
            jobs.setdefault((of.dataset, of.setting), {})[number] = of
    names = [_name(own, words) for own in jobs.values()]
    start = _common_start([name for name, _ in names])
    return [
        Setting(" ".join([name.removeprefix(start), *apart]), own)
        for (name, apart), own in zip(names, jobs.values(), strict=True)
    ]


def _name(jobs: Mapping[int, Outcome], words: Words) -> tuple[str, list[str]]:
    """The name of a setting, and the words beside it that tell it from others."""
    number, outcome = next(iter(jobs.items()))
    return outcome.name, [_shorten(word) for word in words(number) if word.partition("=")[0].lstrip("+") not in SAID]


def _shorten(word: str) -> str:
    """``twins=0.2749`` of ``regularizer.causal_adv.twins=0.27493269``."""
    key, equals, value = word.partition("=")
    with suppress(ValueError):  # a text
        value = f"{float(value):.4g}" if "." in value else value
    return f"{key.rpartition('.')[2]}{equals}{value}"


def _common_start(names: Sequence[str]) -> str:
    """The data set and the model that several names begin with."""
    starts = {"_".join(name.split("_")[:2]) + "_" for name in names}
    return starts.pop() if len(starts) == 1 and len(set(names)) > 1 else ""


def _table(settings: Sequence[Setting], watch: Sequence[str]) -> str:
    """The table of settings, of many the best by the first metric that has a better end."""
    by, below = next((key for key in watch if direction(key)), None), ""
    shown = list(settings)
    if len(settings) > MOST_SETTINGS:
        shown = sorted(settings, key=lambda of: -_worth(of, by))[:MOST_SETTINGS]
        below = f"\nThese are {MOST_SETTINGS} of {len(settings)} settings{f', the best by {by}' if by else ''}."
    columns = {
        "setting": [of.name for of in shown],
        "seeds": [str(len(of.jobs)) for of in shown],
        "records": [_ranges([one.record or 0 for one in of.jobs.values()]) for of in shown],
        **{key: [of.write(key) for of in shown] for key in watch},
    }
    if any(of.mean.constant for of in shown):
        columns[""] = [CONSTANT * of.mean.constant for of in shown]
    return align(list(columns), list(zip(*columns.values(), strict=True)), first=watch).rstrip("\n") + below


def _worth(setting: Setting, key: str | None) -> float:
    value = setting.mean.metrics.get(key or "")
    return float("-inf") if value is None else direction(key or "") * value


def _ranges(numbers: Sequence[int]) -> str:
    """``4-6,9``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number <= runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if run[-1] > run[0] else f"{run[0]}" for run in runs)


def _name_records(numbers: Sequence[int]) -> str:
    return f"record{'s' if len(set(numbers)) > 1 else ''} {_ranges(numbers)}"


def _best(settings: Sequence[Setting], watch: Sequence[str]) -> Iterator[str]:
    """Yields the best setting by each metric, of each part of the settings whose figures compare."""
    means = [of.mean for of in settings]
    for key in filter(direction, watch) if len(settings) > 1 else ():
        said = []
        for best in best_of(key, means):
            own = settings[means.index(best.outcome)]
            alike = sum(of.metrics.get(key) == best.value for of in means) - 1
            more = f" and {count(alike, 'setting')} as good" if alike else ""
            said.append(f"{own.name}, {own.write(key)}{f' {best.where}' if best.where else ''}{more}")
        if said:
            yield f"Best by {key}: {', '.join(said)}."


def _same(same: Mapping[int, int], typed: Words) -> Iterator[str]:
    """Yields which jobs are the same run as another one, by the settings that make no difference to it."""
    by_keys: dict[str, list[str]] = {}
    for number, other in same.items():
        apart = sorted({word.partition("=")[0] for word in {*typed(number)} ^ {*typed(other)}})
        why = f", which {' and '.join(apart)} does not change" if apart else ", typed twice"
        by_keys.setdefault(why, []).append(f"#{number} as #{other}")
    for why, pairs in by_keys.items():
        more = f" and {len(pairs) - MOST_NAMED} more" if len(pairs) > MOST_NAMED else ""
        several = "is the same run as another one" if len(pairs) == 1 else "are the same runs as others"
        yield f"{count(len(pairs), 'job')} {several}{why}: {', '.join(pairs[:MOST_NAMED])}{more}."


def _wrong(ended: Mapping[int, Outcome], words: Words, typed: Words) -> Iterator[str]:
    """Yields why jobs failed, each reason once, and the command that runs the first of them alone."""
    reasons: dict[tuple[str, str], list[int]] = {}
    for number, of in sorted(ended.items()):
        reasons.setdefault((of.status, of.with_record), []).append(number)
    for (status, detail), (number, *others) in [*reasons.items()][:MOST_FAILED]:
        of = ended[number]
        apart = [word for word in words(number) if not of.name or word.partition("=")[0].lstrip("+") not in SAID]
        so = f" (and #{_ranges(others)})" if others else ""
        yield f"#{number}{so} {status}: {' '.join(filter(None, (of.name, *apart)))}, {detail}"
    if left := sum(map(len, [*reasons.values()][MOST_FAILED:])):
        yield f"{count(left, 'job')} more did not end well."
    if ended:
        yield "The first of them alone, with all that it prints:"
        yield f"  {copyable('python train.py', *typed(min(ended)))}"


def count_statuses(statuses: Sequence[str]) -> str:
    """Returns ``5 finished, 1 failed``."""
    counts = {status: statuses.count(status) for status in EXIT}
    return ", ".join(f"{n} {status}" for status, n in counts.items() if n or status == "finished")


def go_on(
    held: Mapping[str, Sequence[Record]], own: Mapping[str, Sequence[Record]], watch: Sequence[str]
) -> Iterator[str]:
    """Yields the commands that go on from a sweep's ``own`` records, for each database, of which all are ``held``."""
    for dataset, records in own.items():
        for record in records[:1]:
            options = comparable(record, held[dataset])
            yield f"Compare: {copyable('python -m evals.report', *options)}"
            goals = [key for key in watch if direction(key) and record["metrics"].get(key) is not None]
            for goal in goals[:1]:
                end = "maximize" if direction(goal) > 0 else "minimize"
                yield f"Choose: {copyable('python -m evals.select', *options, option(end, goal))}"
