"""Train, attack and evaluate one classifier, and file it in the database of its data set.

python train.py regularizer=causal_adv epsilon=0.1
"""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from utils.system.garbage import collect_seldom
from utils.system.interrupts import end_quietly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

    from utils.records.later import Record
    from utils.runs.outcomes import Outcome


def train(cfg: "DictConfig") -> "Outcome":
    """One run: build, fit, fix the threshold, evaluate, file. A finished run of the same identity is skipped."""
    from hydra.core.hydra_config import HydraConfig

    from utils import cli
    from utils.command_line.overrides import resolve
    from utils.runs import finished_before
    from utils.runs.outcomes import at_work

    job = HydraConfig.get()
    params = resolve(cfg, job.runtime.choices)
    [record] = finished_before.find_finished([params])
    if record is not None:
        if not cli.in_sweep():
            finished_before.say_skipped(record["name"], record["seed"], record["doc_id"])
        return finished_before.skip(params, record)
    from utils.runs.lifecycle import (
        carry_out,  # imports torch, which help, mistakes and finished runs need not wait for
    )

    say_now = partial(at_work, Path(job.sweep.dir), job.job.num) if cli.in_sweep() else None
    return carry_out(params, Path(job.runtime.output_dir), say_now)


def explain_apart(records: "Sequence[Record]", keys: "Sequence[str]", database: str) -> list[str]:
    """Returns why watched figures of a sweep's records do not compare, and the command that changes it."""
    from evals.records.advice import Asked, sentences  # imports pandas, which other sweeps need not wait for

    return sentences(records, keys, Asked(database))


def main() -> int:
    """Trains what the words of the command line say; returns the exit code."""
    from utils import cli  # imports Hydra, within which Ctrl-C is to be as quiet as everywhere

    return cli.run(train, "train", explain_apart)


if __name__ == "__main__":
    end_quietly()
    collect_seldom()
    sys.exit(main())
