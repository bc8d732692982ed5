"""The command line: the epsilon rule, one-screen errors, near misses, progress, the summary of a sweep."""

import difflib
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hydra import main as hydra_main
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, RangeSweep
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import paths_config

CONFIG = paths_config.ROOT / "config"
INTERRUPTED = 130


@dataclass(frozen=True)
class Outcome:
    """How one job ended."""

    name: str
    status: str  # finished, skipped or failed
    detail: str
    seconds: float = 0.0


_outcomes: list[Outcome] = []  # of this process, in order


def say(text: str = "") -> None:
    """One line to the reader."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """One line of error."""
    sys.stderr.write(f"error: {text}\n")
    sys.stderr.flush()


def run(task: Callable[[DictConfig], Outcome], config_name: str) -> int:
    """Run a task under Hydra on the words of the command line; the exit code.

    0: all went well; 1: a run failed; 2: a mistake in the command, nothing was run; 130: interrupted.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, where they become one screen
    token = secrets.token_hex(3)
    OmegaConf.register_new_resolver("unique", lambda: token, use_cache=True, replace=True)
    _outcomes.clear()
    try:
        sys.argv[1:] = normalised(sys.argv[1:], config_name)
        hydra_main(config_path=str(CONFIG), config_name=config_name, version_base="1.3")(_guarded(task))()
    except (HydraException, OmegaConfBaseException) as error:
        complain(explain(error))
        return 2
    except (ValueError, OSError) as error:
        complain(str(error))
        return 2
    except KeyboardInterrupt:
        complain("interrupted; finished runs are in the database, relaunch the same line to go on")
        return INTERRUPTED
    return max((EXIT[outcome.status] for outcome in _outcomes), default=0)


EXIT = {"finished": 0, "skipped": 0, "failed": 1, "refused": 2}


def _guarded(task: Callable[[DictConfig], Outcome]) -> Callable[[DictConfig], str]:
    """The task as a Hydra job: a user's mistake ends this job with one screen and leaves the sweep going."""

    def job(cfg: DictConfig) -> str:
        try:
            outcome = task(cfg)
        except (ValueError, OSError) as error:
            complain(str(error))
            outcome = Outcome("", "refused", str(error))
        _outcomes.append(outcome)
        return outcome.status

    # Hydra finds the calling script by the module of its task
    job.__module__ = "__main__"
    return job


# --- overrides -------------------------------------------------------------------------------------------------


def normalised(words: Sequence[str], config_name: str = "train") -> list[str]:
    """Words as Hydra takes them: numbers given to ``epsilon`` mean ``epsilon.radius``, ``experiment=`` is ``+``.

    Hydra refuses a number for a config group, and ``epsilon`` is one: ``epsilon=0.1``, ``epsilon=8/255`` and sweeps
    of numbers (``0.01,0.05``, ``range``, ``choice``, ``interval``) set the radius, a name chooses the option.

    Raises:
        ValueError: a sweep that mixes names and numbers.
    """
    overrides = [word for word in words if not word.startswith("-") and ("=" in word or word.startswith("~"))]
    flags = [word for word in words if word not in overrides]  # argparse takes overrides on one side of a flag only
    return flags + [_normal(word, config_name) for word in overrides]


def _normal(word: str, config_name: str) -> str:
    if word.startswith("experiment="):
        return f"+{word}"
    if config_name == "evaluate" and word.startswith("dataset="):
        return word.replace("dataset", "database", 1)  # there it names a database, which needs no option of its own
    if not re.match(r"(\+\+|\+)?epsilon=", word):
        return word
    try:
        value = OverridesParser.create().parse_override(word).value()
    except HydraException:
        return word  # Hydra says what is wrong with it
    if isinstance(value, RangeSweep | IntervalSweep):
        numeric = [True]
    else:
        numeric = [_is_number(v) for v in (value.list if isinstance(value, ChoiceSweep) else [value])]
    if any(numeric) and not all(numeric):
        raise ValueError(f"{word!r} mixes radii and names of options; give one kind")
    return word.replace("epsilon=", "epsilon.radius=", 1) if all(numeric) else word


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return True
    try:
        Fraction(str(value))
    except ValueError:
        return False
    except ZeroDivisionError:
        return True  # a number all the same, refused where radii are read
    return True


# --- errors ----------------------------------------------------------------------------------------------------


def explain(error: Exception) -> str:
    """What a configuration error means, with near misses of the word that is wrong."""
    text = str(error)
    missing = re.search(r"Could not find '([\w/]+)/([^/']+)'", text)
    if missing:
        group, option = missing.groups()
        return f"{group}={option}: there is no such option{_near(option, options(group))}"
    override = re.search(r"Could not override '([^']+)'", text)
    if override:
        key = override[1].split("@")[0]
        return f"{key}: there is no such key{_near(key, keys())}"
    append = re.search(r"Could not append to config.*?'([^']+)' is already", text, re.DOTALL)
    if append:
        return f"+{append[1]}: that key exists already; write it without the +"
    cause = f" ({str(error.__cause__).splitlines()[0]})" if error.__cause__ else ""
    return f"{text.splitlines()[0]}{cause}"


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    leaf = word.rsplit(".", 1)[-1]
    near += [
        k for k in known if k.rsplit(".", 1)[-1] in (leaf, *difflib.get_close_matches(leaf, [k.rsplit(".", 1)[-1]]))
    ]
    near = list(dict.fromkeys(near))[:4]
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; there are {', '.join(known)}" if len(known) < 20 else "; --cfg job prints all keys"


def options(group: str) -> list[str]:
    """Names of the options of a config group."""
    return sorted(path.stem for path in (CONFIG / group).glob("*.yaml"))


def keys() -> list[str]:
    """Every dotted key that some option defines, and the groups themselves."""
    found: dict[str, None] = {}
    for path in sorted(CONFIG.glob("**/*.yaml")):
        group = ".".join(path.relative_to(CONFIG).parts[:-1])
        for key in _dotted(OmegaConf.to_container(OmegaConf.load(path), resolve=False)):
            found[f"{group}.{key}" if group else key] = None
    groups = [path.name for path in CONFIG.iterdir() if path.is_dir()]
    return [*groups, *(k for k in found if "_target_" not in k and "defaults" not in k)]


def _dotted(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield str(key)
            yield from (f"{key}.{rest}" for rest in _dotted(value))


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
            yield lambda epoch, figures: bar.update(job, completed=epoch, figures=_figures(figures))
        return
    every = max(1, epochs // 10)

    def line(epoch: int, figures: dict[str, float]) -> None:
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
