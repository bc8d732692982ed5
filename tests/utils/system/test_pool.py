"""Processes that work for another one."""

import os

from joblib import Parallel, delayed

from utils.system.pool import pool


def whose():
    return os.getppid()


def asked():
    with pool(1) as processes:
        return processes.submit(whose).result(), os.getpid()


def test_a_job_of_joblib_has_processes_of_its_own():
    """As a search for rows under hydra/launcher=joblib."""
    for parent, job in Parallel(n_jobs=2)(delayed(asked)() for _ in range(2)):
        assert parent == job != os.getpid()
