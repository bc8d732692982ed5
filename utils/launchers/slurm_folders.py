"""The folders of a sweep as a node of SLURM sees them, looked at by a job that takes a second."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import paths_config
from utils.launchers.shared_folders import SHARED, tokens_in
from utils.launchers.slurm_queue import explain_refusal, outside
from utils.system.console import notice

PATIENCE = 20  # seconds until a node is free to look
LOOK = 'echo "${SLURMD_NODENAME:-$(hostname)}"; for f; do [ -e "$f" ] || echo "$f"; done'  # run by a shell on the node
BUSY = ("Immediate execution impossible", "Requested nodes are busy", "Job held", "Unable to confirm allocation")


def require_shared(sweep: Path, options: Mapping[str, Any]) -> None:
    """Lets a node look for what is there here: this program and its Python, the data, and tokens in the others.

    Where no node is free for some seconds, the jobs are left to find it out.

    Args:
        sweep: the folder of the sweep.
        options: of the launcher.

    Raises:
        ValueError: a folder that the node does not see, or SLURM refuses even this job.
    """
    own = [Path(paths_config.__file__), Path(sys.executable), *(f for f in [paths_config.data()] if f.is_dir())]
    with tokens_in([sweep, paths_config.evals(), paths_config.weights()]) as tokens:
        ended = _ask([*own, *tokens], options)
    if ended is None or any(word in ended.stderr for word in BUSY):
        notice(f"no node is free to look whether it sees {sweep}; the jobs will find out")
        return
    if ended.returncode:
        raise ValueError(f"SLURM refused a job that looks for the folders: {explain_refusal(ended.stderr)}")
    node, *missing = ended.stdout.splitlines()
    folders = [path if path in map(str, own) else str(Path(path).parent) for path in missing]
    if folders:
        raise ValueError(f"the node {node} does not see {', '.join(folders)}, so nothing was submitted. {SHARED}")


def _ask(paths: Sequence[Path], options: Mapping[str, Any]) -> "subprocess.CompletedProcess[str] | None":
    """Runs the job; None where it has no answer in time."""
    chosen = [f"--{key}={options[key]}" for key in ("partition", "account", "qos", "constraint") if options.get(key)]
    bounds = [f"--immediate={PATIENCE}", "--nodes=1", "--ntasks=1", "--cpus-per-task=1", "--mem=64M", "--time=1"]
    command = ["srun", "--quiet", "--job-name=trilemma-look", "--chdir=/", *bounds, *chosen]
    command += ["sh", "-c", LOOK, "sh", *map(str, paths)]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=2 * PATIENCE, env=outside(os.environ), check=False
        )
    except subprocess.TimeoutExpired:
        return None
