"""Progress of long work: epochs of a training, evaluations of a search, metrics of a judging, jobs of a sweep."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread, Timer
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len

from utils.metrics.directions import direction
from utils.runs.best import best_of, is_apart
from utils.runs.outcomes import WRONG, Outcome, ended_jobs, now, read_outcome
from utils.runs.time_left import Kind, estimate_left, kind_of, untimed
from utils.system.console import can_redraw, harmless, say
from utils.system.interrupts import end_if_asked, stop_if_interrupted
from utils.words.wrapping import columns

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

Watch = Callable[[float, dict[str, float]], None]  # steps done, within an epoch with its share, and figures
Judged = Callable[[str, int, int], None]  # the metric that is computed, its place from 0, and of how many
SayNow = Callable[[str | None], None]  # hears what is being done, and None when it is done
PAUSE = 30.0  # seconds between two lines within an epoch, or where no job of a sweep ends
PAUSE_JUDGING = 5.0  # before a metric is told, and between two lines of a judging of more than FEW steps
FEW = 12
SAID = ("dataset", "model", "regularizer", "seed")  # by the name and the end of a run's own line
LEAST_BAR = 24  # columns of a bar, the blanks beside it, and the time that is left
POLL = 0.5  # seconds between two looks at what jobs have told


class Steps(NamedTuple):
    """Hears of the life of a run: the steps of its training or search, then the metrics that judge it."""

    step: Watch
    judge: Judged

    def judging(self, names: Sequence[str]) -> Callable[[str], None]:
        """Returns what hears of each of these metrics before it is computed."""
        return lambda name: self.judge(name, names.index(name), len(names))


UNHEARD = Steps(lambda *_: None, lambda *_: None)


@contextmanager
def tell_steps(title: str, steps: int, say_now: SayNow, unit: str = "epoch") -> Iterator[Steps]:
    """Tells the steps of a training or a search to a sweep, which has a bar of its own."""

    def tell(step: float, figures: dict[str, float]) -> None:
        _heed_signals(step)
        best = f"  {_figures(figures)}" if unit != "epoch" else ""
        say_now(f"{title}: {unit} {step:.3g}/{steps}{best}" if step < steps else f"{title}: judging")

    def judge(name: str, place: int, total: int) -> None:
        _heed_signals()
        say_now(f"{title}: judging, {name} {place + 1}/{total}")

    try:
        yield Steps(tell, judge)
    finally:
        say_now(None)


def _heed_signals(step: float = 0) -> None:
    """Ends what a signal asked to end: at once, or as a step is over, whose checkpoint is written by then."""
    stop_if_interrupted()
    if step == int(step):
        end_if_asked()


@contextmanager
def show_steps(title: str, steps: int, unit: str = "epoch") -> Iterator[Steps]:
    """Shows the steps of a training or a search: a bar with figures and ETA on a terminal, plain lines elsewhere.

    A metric that judges the model then is told elsewhere as soon as it has taken a few seconds.
    """
    if can_redraw():
        from rich.progress import TimeRemainingColumn

        with _bar(TimeRemainingColumn()) as bar:
            job = bar.add_task(harmless(title), total=steps, said="")
            beside = cell_len(harmless(title)) + 2 * len(f"{steps}") + LEAST_BAR

            def update(step: float, figures: dict[str, float]) -> None:
                _heed_signals(step)
                bar.update(job, completed=step, said=_as_fits(_figures(figures).split("  "), beside))

            def judge(name: str, place: int, total: int) -> None:
                _heed_signals()
                bar.update(job, completed=place, total=total, said=harmless(f"judging, {name}"))

            yield Steps(update, judge)
    else:
        every, tenths, said = max(1, steps // 10), 0, time.monotonic()

        def line(step: float, figures: dict[str, float]) -> None:
            nonlocal tenths, said
            _heed_signals(step)
            if step // every > tenths or step == steps or time.monotonic() - said > PAUSE:
                tenths, said = int(step // every), time.monotonic()
                say(f"{title}  {unit} {step:.4g}/{steps}  {_figures(figures)}")

        late: list[Timer] = []

        def judge_late(name: str, place: int, total: int) -> None:
            _heed_signals()
            for timer in late:
                timer.cancel()
            late[:] = [Timer(PAUSE_JUDGING, say, [f"{title}  judging, {name} {place + 1}/{total}"])]
            late[0].daemon = True
            late[0].start()

        try:
            yield Steps(line, judge_late)
        finally:
            for timer in late:
                timer.cancel()


@contextmanager
def show_judging(title: str, names: Sequence[str], unit: str = "metric") -> Iterator[Callable[[str], None]]:
    """Shows which metric, or other unit, of how many is computed: a bar on a terminal, lines elsewhere.

    Of more than FEW a line is said now and then.
    """
    total = len(names)
    if can_redraw():
        with _bar() as bar:
            job = bar.add_task(harmless(title), total=total, said="")

            def update(name: str) -> None:
                stop_if_interrupted()
                bar.update(job, completed=names.index(name), said=harmless(name))

            yield update
    else:
        said = float("-inf")

        def line(name: str) -> None:
            nonlocal said
            stop_if_interrupted()
            if total <= FEW or time.monotonic() - said >= PAUSE_JUDGING:
                said = time.monotonic()
                say(f"{title}: {unit} {names.index(name) + 1} of {total}, {name}")

        yield line


def _bar(*columns: "ProgressColumn") -> "Progress":
    """A bar as wide as there is room, between the name of the work and what is said of it; it is gone in the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    title, said = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[said]}"))
    shown = (title, BarColumn(bar_width=None), MofNCompleteColumn(), said, *columns)
    return Progress(*shown, console=Console(), transient=True)


def _as_fits(parts: Sequence[str], beside: int) -> str:
    """As many of the parts as find room on a line, none of them cut, beside what takes so many columns."""
    shown = ""
    for part in map(harmless, parts):
        longer = f"{shown}  {part}" if shown else part
        if cell_len(longer) + beside > columns():
            break
        shown = longer
    return shown


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
        self.queued: set[int] = set()  # left to a cluster by a command that does not wait
        self.started = time.monotonic()
        self._kinds: dict[int, Kind] = {}  # of jobs that are planned
        self._told: dict[str, int] = {}  # what kept jobs from being trained, and of which it was said

    def look(self) -> list[int]:
        """Returns the numbers of the jobs that have ended since the last look."""
        there = ended_jobs(self.folder) - self.ended.keys()
        news = {n: outcome for n in self.numbers if n in there and (outcome := read_outcome(self.folder, n))}
        self.ended |= news
        return list(news)

    def row(self, number: int) -> str:
        """Returns a job that has ended in one line."""
        outcome = self.ended[number]
        apart = [word for word in self.words(number) if not outcome.name or word.partition("=")[0] not in SAID]
        detail = outcome.with_record
        if outcome.status in WRONG and (first := self._told.setdefault(detail, number)) != number:
            detail = f"as #{first}"
        return f"#{number:<4} {outcome.status:<9} {' '.join([outcome.name, *apart]).strip():<32} {detail}"

    def line(self) -> str:
        """Returns jobs done, failed and left, the time left, the best values so far."""
        return ", ".join(self.parts())

    def parts(self) -> list[str]:
        """Returns the same one by one."""
        wrong = sum(o.status in WRONG for o in self.ended.values())
        done = [f"{len(self.ended)}/{len(self.numbers)}", *([f"{wrong} failed"] if wrong else [])]
        return [*done, *self._eta(), *self._best()]

    def now(self) -> str:
        """Returns what is being done at the moment, where a launcher says so."""
        return "; ".join(now(self.folder))

    def _eta(self) -> list[str]:
        """Returns the time left by the pace so far of jobs that had to be trained, and the first choice without any."""
        spent = [(self._kind(n), o.seconds) for n, o in self.ended.items() if o.status != "skipped"]
        left = Counter(self._kind(n) for n in self.numbers if n not in self.ended)
        if not spent or not left:
            return []
        seconds = round((time.monotonic() - self.started) * estimate_left(spent, left))
        eta = f"ETA {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        unknown = untimed((kind for kind, _ in spent), left)
        return [eta, *(f"{word} not timed yet" for word in unknown[:1])]

    def _kind(self, number: int) -> Kind:
        """Returns the kind of a job; that of all where it is not planned yet."""
        if number not in self._kinds and (words := self.words(number)):
            self._kinds[number] = kind_of(words)
        return self._kinds.get(number, kind_of(()))

    def _best(self) -> list[str]:
        """Returns the best value so far of each metric, of each part of the jobs whose values compare."""
        watched = [key for key in self.watch if direction(key)]
        found = {key: best_of(key, list(self.ended.values())) for key in watched}
        return [f"best {key} {', '.join(of.words for of in best)}" for key, best in found.items() if best]

    def apart(self) -> list[str]:
        """Returns the watched metrics whose values do not compare, in the order of the watched ones."""
        outcomes = list(self.ended.values())
        return [key for key in self.watch if is_apart(key, outcomes)]


@contextmanager
def show_sweep(tally: Tally) -> Iterator[None]:
    """Shows the jobs of a sweep as they end, wherever they run: one bar on a terminal, a line each elsewhere.

    Elsewhere a line says what is being done, too, where none has ended for half a minute.
    """
    stop = Event()
    with _showing(tally) as show:

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
def _showing(tally: Tally) -> Iterator[Callable[[list[int]], None]]:
    """Yields a function that shows the jobs that have just ended."""
    if can_redraw():
        with _bar() as bar:
            job = bar.add_task("sweep", total=len(tally.numbers), said="")
            beside = len("sweep") + 2 * len(f"{len(tally.numbers)}") + LEAST_BAR

            def update(_: list[int]) -> None:
                parts = [*tally.parts()[1:], tally.now()]
                bar.update(job, completed=len(tally.ended), said=_as_fits([p for p in parts if p], beside))

            yield update
        return

    said = time.monotonic()

    def lines(news: list[int]) -> None:
        nonlocal said
        rows = [tally.row(number) for number in news]
        if not news and time.monotonic() - said > PAUSE and (doing := tally.now()):
            rows = [doing]
        if rows:
            line, said = tally.line(), time.monotonic()
            for row in rows:
                say(f"{row}  [{line}]")

    yield lines
