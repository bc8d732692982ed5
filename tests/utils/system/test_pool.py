"""Processes that work for another one."""

import os
import time
from pathlib import Path

import pytest
from joblib import Parallel, delayed

from utils.system.console import begin, warn_once
from utils.system.pool import pool


def whose():
    return os.getppid()


def told(text):
    warn_once(text)
    warn_once(f"{text} in {os.getpid()}")


def test_what_all_processes_would_say_is_said_once(capfd):
    begin()
    warn_once("before")
    for texts in (["before", "news", "news", "news", "before"], ["news", "other"]):
        with pool(3) as processes:
            list(processes.map(told, texts))
        warn_once("other")
    said = [line for line in capfd.readouterr().err.splitlines() if " in " not in line]
    assert sorted(said) == ["warning: before", "warning: news", "warning: other"]


def asked():
    with pool(1) as processes:
        return processes.submit(whose).result(), os.getpid()


def test_a_job_of_joblib_has_processes_of_its_own():
    """As a search for rows under hydra/launcher=joblib."""
    for parent, job in Parallel(n_jobs=2)(delayed(asked)() for _ in range(2)):
        assert parent == job != os.getpid()


def linger(path):
    Path(path).touch()
    time.sleep(60)


def interrupt_while_they_begin(path):
    with pool(1, linger, str(path)) as processes:
        processes.submit(whose)
        while not path.exists():
            time.sleep(0.02)
        raise KeyboardInterrupt


def test_processes_that_are_ended_while_they_begin_say_nothing(capfd, tmp_path):
    """As by Ctrl-C while they import torch; that would be a traceback of each."""
    with pytest.raises(KeyboardInterrupt):
        interrupt_while_they_begin(tmp_path / "begun")
    assert capfd.readouterr().err == ""
