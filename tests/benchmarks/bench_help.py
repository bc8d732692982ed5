"""The help of every command beside ``import torch, hydra``, and a query of the completion. Run by hand, half a minute:

    python -m tests.benchmarks.bench_help [--rounds 5]

The sides take turns, each in a process of its own. Shown are medians of CPU-seconds, and of the ratios to the imports
of every round, which are to be below .5.
"""

import argparse
import os
import resource
import subprocess
import sys
from statistics import median

from evals.__main__ import COMMANDS
from tests.commands import ROOT, environment, line

IMPORTS = "import torch, hydra"
QUERY = ("-P", str(ROOT / "utils/command_line/completion.py"), "--", "python", "train.py", "regularizer=ca")


def sides() -> dict[str, list[str]]:
    """The words that start each side."""
    programs = ("train", "evaluate", "evals", *(f"evals.{name}" for name in COMMANDS))
    helped = {f"{name} --help": line(name, "--help") for name in programs}
    return {IMPORTS: [sys.executable, "-c", IMPORTS], **helped, "completion": [sys.executable, *QUERY]}


def spend(words: list[str]) -> float:
    """The CPU-seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=environment(), cwd=os.curdir)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    spent = [{name: spend(words) for name, words in sides().items()} for _ in range(rounds)]
    for name in spent[0]:
        seconds, ratio = (median(of) for of in zip(*((r[name], r[name] / r[IMPORTS]) for r in spent), strict=True))
        print(f"{name:<24} {seconds:6.2f} CPU-s  {ratio:5.2f}")


if __name__ == "__main__":
    main()
