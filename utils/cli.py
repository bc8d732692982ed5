"""The command line: one-screen errors, exit codes, jobs that leave word of how they ended."""

import os
import secrets
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra import main as hydra_main
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import paths_config
from utils.command_line import completion
from utils.command_line.help import ALL, explain_topic, take_topic
from utils.command_line.libyaml import use_libyaml
from utils.command_line.overrides import CONFIG, explain, normalise
from utils.command_line.run_mode import compose_once
from utils.command_line.swept_options import leave_to_jobs
from utils.runs.outcomes import ExplainApart, Outcome, defect, ended, exit_code, explanations, forget, write_outcome
from utils.system.console import begin, complain, complain_once, format_error, show_everything, unread, write
from utils.system.interrupts import Stopped, interruptible, stop_if_interrupted
from utils.words.ranges import annotated

INTERRUPTED = 128  # and the number of the signal
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # of libraries that would take every core
# launchers of plugins have their own defaults here; that Hydra checks ours against theirs needs no word
warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")


def run(task: Callable[[DictConfig], Outcome], config_name: str, *explain_apart: ExplainApart) -> int:
    """Runs a task under Hydra on the words of the command line; returns the exit code.

    ``explain_apart`` says at the end of a sweep why watched figures of its records do not compare.

    0: all went well; 1: a run failed; 2: a mistake in the command, nothing was run; 130: interrupted, 143: terminated,
    129: hung up; 141: the reader closed the pipe.
    """
    show_everything()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, where they become one screen
    for pool in POOLS:
        os.environ.setdefault(pool, "1")  # in the processes of launchers too; torch obeys the run's ``threads``
    token = secrets.token_hex(3)
    OmegaConf.register_new_resolver("unique", lambda: token, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("processes", _processes, replace=True)
    OmegaConf.register_new_resolver("values", _values, replace=True)
    ended.clear()
    explanations[:] = explain_apart
    _folder.clear()
    begin()
    use_libyaml()
    try:
        if (script := completion.answer(sys.argv[1:])) is not None:
            sys.stdout.write(script)
            return 0
        topic, words = take_topic(sys.argv[1:])
        if topic not in (None, ALL):
            write(explain_topic(topic, config_name))
            return 0
        sys.argv[1:] = normalise(words, config_name)
        _let_plugins_be_found()
        compose_once()
        leave_to_jobs()
        with interruptible():
            hydra_main(config_path=str(CONFIG), config_name=config_name, version_base="1.3")(_guard(task))()
    except (HydraException, OmegaConfBaseException) as error:
        complain(explain(error, config_name))
        return 2
    except BrokenPipeError:
        return unread()
    except (ValueError, OSError) as error:
        complain(_of_folder(error) or format_error(error))
        return 2
    except KeyboardInterrupt as stopped:
        with suppress(OSError):  # whoever hung up reads no more
            complain("interrupted; finished runs are in the database, relaunch the same line to go on")
        return INTERRUPTED + (stopped.number if isinstance(stopped, Stopped) else signal.SIGINT)
    if ended and all(outcome.status == "refused" for outcome in ended) and _folder:
        forget(*_folder)
    return exit_code(ended)


class Folder(Callback):
    """Notes, before Hydra makes it, the folder of the run or sweep and the uppermost part of it that is missing."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Notes the folder of a run; called by Hydra."""
        self._note(str(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Notes the folder of a sweep; called by Hydra."""
        self._note(str(config.hydra.sweep.dir))

    def _note(self, name: str) -> None:
        folder = Path(name).absolute()
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        _folder[:] = [folder, missing[-1]] if missing else []


_folder: list[Path] = []  # of the run or sweep, and its uppermost part that the command made; empty where it was there


def _of_folder(error: Exception) -> str:
    """Returns the remedy where the folder of the run or sweep cannot be written to; empty for another error."""
    path = Path(error.filename).absolute() if isinstance(error, OSError) and error.filename else None
    if path is None or not _folder or not (_folder[0].is_relative_to(path) or path.is_relative_to(_folder[0])):
        return ""
    key = "hydra.sweep.dir" if {"-m", "--multirun"} & set(sys.argv) else "hydra.run.dir"
    reason = error.strerror if isinstance(error, OSError) else ""
    return (
        f"cannot write to {_folder[0]}, the folder of this run's own files ({reason}); start in a folder that can be "
        f"written to, or give another by {key}=FOLDER"
    )


def _let_plugins_be_found() -> None:
    """Lets Hydra find our plugins, and Python the project, here and in the processes that launchers start."""
    own = [str(paths_config.ROOT), str(paths_config.ROOT / "utils" / "plugins")]
    sys.path += [folder for folder in own if folder not in sys.path]
    others = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p not in own]
    os.environ["PYTHONPATH"] = os.pathsep.join([*own, *others])
    Plugins.instance()
    launchers: Any = ConfigStore.instance().repo.get("hydra", {}).get("launcher", {})
    launchers.pop("submitit_slurm.yaml", None)  # the schema of a plugin of others, which would refuse our settings


def _processes(threads: Any) -> int:
    """Returns how many jobs of that many threads run at a time on the cores that this process may use."""
    from joblib import cpu_count  # imports numpy

    legal = isinstance(threads, int) and threads > 0  # otherwise the jobs are refused anyway
    return max(1, int(cpu_count()) // threads) if legal else 1


def _values(*, _root_: DictConfig) -> str:
    """The configuration of a run with the ranges of its numbers, for the template of the help."""
    hydra = _root_.hydra
    own = OmegaConf.masked_copy(_root_, [str(key) for key in _root_ if key != "hydra"])
    text = OmegaConf.to_yaml(own, resolve="--resolve" in sys.argv)
    return annotated(text, str(hydra.job.config_name), hydra.runtime.choices).replace("$", "$$")


def in_sweep() -> bool:
    """Returns whether the job that runs is one of many."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def _guard(task: Callable[[DictConfig], Outcome]) -> Callable[[DictConfig], str]:
    """The task as a Hydra job: a user's mistake ends this job with one screen and leaves the sweep going."""

    here = Path.cwd()
    folders = {key: value for key, value in os.environ.items() if key.startswith("TRILEMMA_")}

    def job(cfg: DictConfig) -> str:
        os.chdir(here)  # on whichever machine, so that relative paths mean the same
        os.environ.update(folders)
        show_everything()
        stop_if_interrupted()
        try:
            outcome = task(cfg)
        except BrokenPipeError:
            raise SystemExit(unread()) from None  # which Hydra lets through without a word
        except (ValueError, OSError) as error:
            stop_if_interrupted()  # which may come out of a library as an error of its own
            complain_once(format_error(error))
            outcome = Outcome("", "refused", format_error(error))
        except Exception as error:
            stop_if_interrupted()
            if not in_sweep():
                raise
            outcome = defect(error, Path(HydraConfig.get().runtime.output_dir))
        if in_sweep():
            write_outcome(Path(HydraConfig.get().sweep.dir), HydraConfig.get().job.num, outcome)
        else:
            ended.append(outcome)
        return outcome.status

    # Hydra finds the calling script by the module of its task
    job.__module__ = "__main__"
    return job
