"""Progress of long work: epochs of a training, evaluations of a search, metrics of a judging, jobs of a sweep."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from utils.metrics.directions import direction
from utils.runs.data_sources import is_of_groups
from utils.runs.outcomes import Model, Outcome, now, read_outcome
from utils.system.console import harmless, say, stop_if_interrupted

Watch = Callable[[float, dict[str, float]], None]  # steps done, within an epoch with its share, and figures
SayNow = Callable[[str | None], None]  # hears what is being done, and None when it is done
PAUSE = 30.0  # seconds between two lines within an epoch
SAID = ("dataset", "model", "regularizer", "seed")  # by the name and the end of a run's own line
POLL = 0.5  # seconds between two looks at what jobs have told


@contextmanager
def tell_steps(title: str, steps: int, say_now: SayNow, unit: str = "epoch") -> Iterator[Watch]:
    """Tells the steps of a training or a search to a sweep, which has a bar of its own."""

    def tell(step: float, figures: dict[str, float]) -> None:
        stop_if_interrupted()
        best = f"  {_figures(figures)}" if unit != "epoch" else ""
        say_now(f"{title}: {unit} {step:.3g}/{steps}{best}" if step < steps else f"{title}: judging")

    try:
        yield tell
    finally:
        say_now(None)


@contextmanager
def show_steps(title: str, steps: int, unit: str = "epoch") -> Iterator[Watch]:
    """Shows the steps of a training or a search: a bar with figures and ETA on a terminal, plain lines elsewhere."""
    if sys.stdout.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        text, shown, eta = (
            TextColumn(t, markup=False) for t in ("{task.description}", "{task.fields[figures]}", "eta")
        )
        columns = (text, BarColumn(), MofNCompleteColumn(), shown, eta, TimeRemainingColumn())
        with Progress(*columns, transient=True) as bar:
            job = bar.add_task(harmless(title), total=steps, figures="")

            def update(step: float, figures: dict[str, float]) -> None:
                stop_if_interrupted()
                bar.update(job, completed=step, figures=_figures(figures))

            yield update
    else:
        every, tenths, said = max(1, steps // 10), 0, time.monotonic()

        def line(step: float, figures: dict[str, float]) -> None:
            nonlocal tenths, said
            stop_if_interrupted()
            if step // every > tenths or step == steps or time.monotonic() - said > PAUSE:
                tenths, said = int(step // every), time.monotonic()
                say(f"{title}  {unit} {step:.4g}/{steps}  {_figures(figures)}")

        yield line


@contextmanager
def show_judging(title: str, names: Sequence[str], unit: str = "metric") -> Iterator[Callable[[str], None]]:
    """Shows which metric, or other unit, of how many is computed: a bar on a terminal, a line for each elsewhere."""
    total = len(names)
    if sys.stdout.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        text = TextColumn("{task.description}", markup=False)
        with Progress(text, BarColumn(), MofNCompleteColumn(), transient=True) as bar:
            job = bar.add_task(harmless(title), total=total)

            def update(name: str) -> None:
                stop_if_interrupted()
                bar.update(job, completed=names.index(name), description=harmless(f"{title}: {name}"))

            yield update
    else:

        def line(name: str) -> None:
            stop_if_interrupted()
            say(f"{title}: {unit} {names.index(name) + 1} of {total}, {name}")

        yield line


def _figures(figures: dict[str, float]) -> str:
    return "  ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in figures.items())


# --- sweeps ----------------------------------------------------------------------------------------------------


class Tally:
    """The outcomes of a sweep's jobs so far.

    Args:
        folder: of the sweep.
        numbers: of the jobs.
        watch: metrics whose best value is kept.
        words: those in which a job differs from others, by its number.
    """

    def __init__(
        self, folder: Path, numbers: Sequence[int], watch: Sequence[str], words: Callable[[int], Sequence[str]]
    ):
        self.folder = folder
        self.numbers = numbers
        self.watch = watch
        self.words = words
        self.ended: dict[int, Outcome] = {}
        self.started = time.monotonic()

    def look(self) -> list[int]:
        """Returns the numbers of the jobs that have ended since the last look."""
        news = {n: outcome for n in self.numbers if n not in self.ended and (outcome := read_outcome(self.folder, n))}
        self.ended |= news
        return list(news)

    def row(self, number: int) -> str:
        """Returns a job that has ended in one line."""
        outcome = self.ended[number]
        apart = [word for word in self.words(number) if not outcome.name or word.partition("=")[0] not in SAID]
        return f"#{number:<4} {outcome.status:<9} {' '.join([outcome.name, *apart]).strip():<32} {outcome.detail}"

    def line(self) -> str:
        """Returns jobs done, failed and left, the time left, the best values so far."""
        wrong = sum(o.status in ("failed", "refused") for o in self.ended.values())
        parts = [f"{len(self.ended)}/{len(self.numbers)}", *([f"{wrong} failed"] if wrong else []), *self._eta()]
        return ", ".join([*parts, *self._best()])

    def now(self) -> str:
        """Returns what is being done at the moment, where a launcher says so."""
        return "; ".join(now(self.folder))

    def _eta(self) -> list[str]:
        """Returns the time left by the pace so far of jobs that had to be trained."""
        trained = sum(o.status != "skipped" for o in self.ended.values())
        left = len(self.numbers) - len(self.ended)
        if not trained or not left:
            return []
        seconds = round((time.monotonic() - self.started) / trained * left)
        return [f"ETA {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"]

    def _best(self) -> list[str]:
        return [f"best {key} {', '.join(of)}" for key in self.watch if direction(key) and (of := self._best_of(key))]

    def _best_of(self, key: str) -> list[str]:
        """Returns the best value of a metric; where figures do not compare, that of each data, groups and causal model.

        Values compare of one source of data, of groups about the same attributes, under one causal model.
        """
        own = [(of, value) for of in self.ended.values() if (value := of.metrics.get(key)) is not None]
        outcomes, figures = [of for of, _ in own], [value for _, value in own]
        parts = [[f"of {of.source}" if of.source else "" for of in outcomes]]
        if is_of_groups(key):
            parts.append([f"about {of.sensitive}" if of.sensitive else "" for of in outcomes])
        several = [part for part in parts if len({*part} - {""}) > 1]
        within = list(zip(*several, strict=True)) if several else [()] * len(own)
        fingerprints = [of.models[key]["fingerprint"] if key in of.models else "" for of in outcomes]
        names = _names([model for model in map(self._models(key).get, dict.fromkeys(fingerprints)) if model])
        best: dict[tuple[Any, ...], list[float]] = {}
        for place, fingerprint, value in zip(within, fingerprints, figures, strict=True):
            alone = len({f for p, f in zip(within, fingerprints, strict=True) if p == place}) <= 1
            model = "" if alone else f"under {names.get(fingerprint, 'none')}"
            best.setdefault((*place, model), []).append(value)
        end = max if direction(key) > 0 else min
        return [" ".join(filter(None, (f"{end(of):.4f}", *words))) for words, of in best.items()]

    def _models(self, key: str) -> dict[str, Model]:
        """Returns the causal models that a metric rests on, by fingerprint."""
        return {o.models[key]["fingerprint"]: o.models[key] for o in self.ended.values() if key in o.models}

    def apart(self) -> list[str]:
        """Returns the watched metrics whose values do not compare, in the order of the watched ones."""
        return [key for key in self.watch if len(self._models(key)) > 1 or len(self._best_of(key)) > 1]


def _names(models: Sequence[Model]) -> dict[str, str]:
    """Returns causal models in words, by fingerprint: the option, with what else it takes to distinguish them."""
    several = len({model["dataset"] for model in models}) > 1
    names = [f"{model['option']} of {model['dataset']}" if several else model["option"] for model in models]
    return {
        model["fingerprint"]: f"scm={name}" if names.count(name) == 1 else f"scm={name} ({model['fingerprint'][:6]})"
        for model, name in zip(models, names, strict=True)
    }


@contextmanager
def show_sweep(tally: Tally) -> Iterator[None]:
    """Shows the jobs of a sweep as they end, wherever they run: one bar on a terminal, a line each elsewhere."""
    stop = Event()
    with _bar(tally) as show:

        def follow() -> None:
            while not stop.wait(POLL):
                show(tally.look())

        thread = Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            show(tally.look())


@contextmanager
def _bar(tally: Tally) -> Iterator[Callable[[list[int]], None]]:
    """Yields a function that shows the jobs that have just ended."""
    if sys.stdout.isatty():
        from rich.progress import BarColumn, Progress, TextColumn

        state = TextColumn("{task.fields[line]}  {task.fields[now]}", markup=False)
        columns = (TextColumn("sweep"), BarColumn(), state)
        with Progress(*columns) as bar:
            job = bar.add_task("sweep", total=len(tally.numbers), line="", now="")
            yield lambda _: bar.update(
                job, completed=len(tally.ended), line=harmless(tally.line()), now=harmless(tally.now())
            )
        return

    def lines(news: list[int]) -> None:
        for number in news:
            say(f"{tally.row(number)}  [{tally.line()}]")

    yield lines
