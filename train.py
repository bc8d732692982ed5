"""Train, attack and evaluate one classifier, and file it in the database of its data set.

python train.py regularizer=causal_adv epsilon=0.1
"""

import sys
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from utils import cli
from utils.outcomes import Outcome, at_work


def train(cfg: DictConfig) -> Outcome:
    """One run: build, fit, fix the threshold, evaluate, file. A finished run of the same identity is skipped."""
    from hydra.core.hydra_config import HydraConfig

    from utils.overrides import resolved
    from utils.runs import carry_out  # imports torch, which help and mistakes need not wait for

    job = HydraConfig.get()
    params, folder = resolved(cfg, job.runtime.choices), Path(job.runtime.output_dir)
    if not cli.in_sweep():
        return carry_out(params, folder, in_sweep=False)
    return carry_out(params, folder, in_sweep=True, say_now=partial(at_work, Path(job.sweep.dir), job.job.num))


if __name__ == "__main__":
    sys.exit(cli.run(train, "train"))
