"""Commands look for garbage seldom; a program that imports the package keeps its own setting."""

import subprocess
import sys

import pytest

import paths_config
from tests.commands import environment

THRESHOLD = "import atexit, gc; atexit.register(lambda: print('threshold', gc.get_threshold()[0]))"


def threshold_of(code):
    """That of a process at its end."""
    ended = subprocess.run(
        [sys.executable, "-c", f"{THRESHOLD}\n{code}"],
        env=environment() | {"PYTHONPATH": str(paths_config.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return int(ended.stdout.rsplit("threshold ", 1)[1])


@pytest.mark.parametrize(
    "command",
    [
        "import sys, runpy; sys.argv = ['train.py', '--help']; runpy.run_path('train.py', run_name='__main__')",
        "import sys; sys.orig_argv = ['x', '-m', 'evals.select']; sys.argv = ['-m', '--help']; import evals",
    ],
)
def test_a_command_looks_seldom_and_the_package_changes_nothing(command, monkeypatch):
    monkeypatch.chdir(paths_config.ROOT)
    assert threshold_of(command) > threshold_of("import utils.run_store") == threshold_of("")
