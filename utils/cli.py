"""The command line: one-screen errors, exit codes, progress, the summary of a sweep."""

import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from hydra import main as hydra_main
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from utils.console import complain, said, say, unread
from utils.overrides import CONFIG, explain, normalised

INTERRUPTED = 130


@dataclass(frozen=True)
class Outcome:
    """How one job ended."""

    name: str
    status: str  # finished, skipped or failed
    detail: str
    seconds: float = 0.0


_outcomes: list[Outcome] = []  # of this process, in order


def run(task: Callable[[DictConfig], Outcome], config_name: str) -> int:
    """Run a task under Hydra on the words of the command line; the exit code.

    0: all went well; 1: a run failed; 2: a mistake in the command, nothing was run; 130: interrupted; 141: the
    reader closed the pipe.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, where they become one screen
    token = secrets.token_hex(3)
    OmegaConf.register_new_resolver("unique", lambda: token, use_cache=True, replace=True)
    _outcomes.clear()
    try:
        sys.argv[1:] = normalised(sys.argv[1:], config_name)
        with _interruptible():
            hydra_main(config_path=str(CONFIG), config_name=config_name, version_base="1.3")(_guarded(task))()
    except (HydraException, OmegaConfBaseException) as error:
        complain(explain(error, config_name))
        return 2
    except BrokenPipeError:
        return unread()
    except (ValueError, OSError) as error:
        complain(said(error))
        return 2
    except KeyboardInterrupt:
        complain("interrupted; finished runs are in the database, relaunch the same line to go on")
        return INTERRUPTED
    return max((EXIT[outcome.status] for outcome in _outcomes), default=0)


EXIT = {"finished": 0, "skipped": 0, "failed": 1, "refused": 2}


_interrupts: list[int] = []  # Ctrl-C since the start of the command


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the command at once, or after the epoch where it meets a destructor, which would swallow it."""

    def interrupted(number: int, frame: FrameType | None) -> None:
        _interrupts.append(number)
        while frame:
            if frame.f_code.co_name == "__del__":
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    previous = signal.getsignal(signal.SIGINT)
    if previous is not signal.SIG_IGN:  # as in a job in the background
        signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        _interrupts.clear()
        signal.signal(signal.SIGINT, previous)


def _stop_if_interrupted() -> None:
    if _interrupts:
        raise KeyboardInterrupt


def _guarded(task: Callable[[DictConfig], Outcome]) -> Callable[[DictConfig], str]:
    """The task as a Hydra job: a user's mistake ends this job with one screen and leaves the sweep going."""

    def job(cfg: DictConfig) -> str:
        _stop_if_interrupted()
        try:
            outcome = task(cfg)
        except BrokenPipeError:
            raise SystemExit(unread()) from None  # which Hydra lets through without a word
        except (ValueError, OSError) as error:
            complain(said(error))
            outcome = Outcome("", "refused", said(error))
        _outcomes.append(outcome)
        return outcome.status

    # Hydra finds the calling script by the module of its task
    job.__module__ = "__main__"
    return job


# --- progress --------------------------------------------------------------------------------------------------

Watch = Callable[[int, dict[str, float]], None]


@contextmanager
def epochs_shown(title: str, epochs: int) -> Iterator[Watch]:
    """Show the epochs of a training: a bar with metrics and ETA on a terminal, plain lines elsewhere."""
    if sys.stdout.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        text, figures, eta = (TextColumn(t) for t in ("{task.description}", "{task.fields[figures]}", "eta"))
        columns = (text, BarColumn(), MofNCompleteColumn(), figures, eta, TimeRemainingColumn())
        with Progress(*columns, transient=True) as bar:
            job = bar.add_task(title, total=epochs, figures="")

            def update(epoch: int, figures: dict[str, float]) -> None:
                _stop_if_interrupted()
                bar.update(job, completed=epoch, figures=_figures(figures))

            yield update
        return
    every = max(1, epochs // 10)

    def line(epoch: int, figures: dict[str, float]) -> None:
        _stop_if_interrupted()
        if epoch % every == 0 or epoch == epochs:
            say(f"{title}  epoch {epoch}/{epochs}  {_figures(figures)}")

    yield line


def _figures(figures: dict[str, float]) -> str:
    return "  ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in figures.items())


class SweepCallback(Callback):
    """Ends a sweep with a table of what became of its jobs."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Print the table."""
        counts = {status: sum(o.status == status for o in _outcomes) for status in EXIT}
        say()
        for i, outcome in enumerate(_outcomes):
            say(f"#{i:<4} {outcome.status:<9} {outcome.name:<32} {outcome.detail}")
        say(", ".join(f"{n} {status}" for status, n in counts.items() if n or status == "finished"))
