"""The commands as a user gives them: as processes of their own, or in this process, which saves the imports."""

import contextlib
import importlib
import io
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

import paths_config

ROOT = paths_config.ROOT
# a training of a second: the same path through the program as the defaults
SMALL = (
    "device=cpu",
    "trainer.epochs=1",
    "evaluation.metrics.unfair_area.samples=20",
    "evaluation.metrics.unfair_area.steps=2",
    "evaluation.metrics.classification.intervals=20",
    "evaluation.metrics.group.intervals=20",
)


def for_tables(group: str) -> list[str]:
    """The options of a group that work on tables, all but those that move pixels, adapt those that do or add rows."""
    paths = sorted((ROOT / "config" / group).glob("*.yaml"))
    others = ("threats.pixels", "adapts: true", "poison:")
    return [p.stem for p in paths if not any(word in p.read_text() for word in others)]


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str


@contextmanager
def house(folder: Path) -> Iterator[Path]:
    """Work in a folder of its own: databases, weights, data and outputs are below it."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("DATA", "EVALS", "WEIGHTS"):
            patch.setenv(f"TRILEMMA_{variable}", str(folder / variable.lower()))
        (folder / "data").mkdir()
        patch.chdir(folder)
        yield folder


def command(program: str, *words: str) -> Answer:
    """``train``, ``evaluate``, ``evals.plot`` or ``evals.table`` in this process."""
    module: Any = importlib.import_module(program)
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", [f"{program}.py", *words])
        patch.setenv("HYDRA_FULL_ERROR", "1")
        GlobalHydra.instance().clear()
        if program in ("train", "evaluate"):
            try:
                code = module.main()
            except SystemExit as end:  # of Hydra's, after the help
                code = int(end.code or 0)
        else:
            query = importlib.import_module("evals.records.query")
            code = query.command(getattr(module, program.split(".")[1]), module.OPTIONS, words)
    return Answer(code, out.getvalue(), err.getvalue())


def process(program: str, *words: str, **options: Any) -> Answer:
    """The same as a process of its own, in the working directory and environment of this one."""
    ended = subprocess.run(line(program, *words), capture_output=True, text=True, env=environment(), **options)
    return Answer(ended.returncode, ended.stdout, ended.stderr)


def line(program: str, *words: str, checkout: Path = ROOT) -> list[str]:
    """The words that start a process of a checkout, by the interpreter of this one."""
    start = [str(checkout / f"{program}.py")] if program in ("train", "evaluate") else ["-m", program]
    return [sys.executable, *start, *words]


def environment() -> dict[str, str]:
    """This environment, with the project's modules found from any folder."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def note_builds(patch: pytest.MonkeyPatch) -> list[int]:
    """Notes whether runs are built from now on, for which their data are read; returns what grows with each."""
    lifecycle: Any = importlib.import_module("utils.runs.lifecycle")
    made: list[int] = []
    build = lifecycle.build_run
    patch.setattr(lifecycle, "build_run", lambda *given, **named: made.append(1) or build(*given, **named))
    return made


def refused(answer: Answer, *phrases: str) -> None:
    """Exit code 2 and one error, last on stderr, that says all the phrases; no traceback."""
    lines = answer.err.strip().splitlines()
    assert answer.code == 2, answer
    assert "Traceback" not in answer.err + answer.out
    assert [line.startswith("error: ") for line in lines].count(True) == 1
    assert lines[-1].startswith("error: ")
    for phrase in phrases:
        assert phrase in lines[-1]


def composed(*words: str) -> Any:
    """The configuration of a training of few rows, as plain values."""
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        cfg = compose("train", overrides=["dataset.rows=60", "device=cpu", *words], return_hydra_config=False)
    return OmegaConf.to_container(cfg, resolve=True)
