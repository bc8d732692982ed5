"""SLURM's own commands: what it holds of this user, what it refuses, what is cancelled. No accounting is needed."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

ASK = 60.0  # seconds that a command of SLURM's may take
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")
MOST_TASKS = 1001  # of an array where the cluster does not say
FIELDS = "%F|%K|%T|%N|%M|%r|%j"
OVER = (
    *("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "DEADLINE", "OUT_OF_MEMORY"),
    *("PREEMPTED", "NODE_FAIL", "BOOT_FAIL"),
)
# reasons of tasks that only wait for their turn
TURN = ("None", "Resources", "Priority", "JobArrayTaskLimit", "BeginTime", "Prolog", "Cleaning")
# a word of SLURM's refusals: the settings that it is about, and the command that shows what there is
REMEDIES = {
    "accounting/qos policy": ("hydra.launcher.max_tasks, timeout_min, qos or stack=true", "sacctmgr show qos"),
    "account": ("hydra.launcher.account", "sacctmgr show assoc user=$USER format=account,partition,qos"),
    "partition": ("hydra.launcher.partition", "sinfo"),
    "memory": ("hydra.launcher.mem_gb", "sinfo -o '%P %m'"),
    "node configuration": ("hydra.launcher.mem_gb, cpus_per_task or gpus_per_node", "sinfo -o '%P %c %m %G'"),
    "cpu count": ("hydra.launcher.cpus_per_task", "sinfo -o '%P %c'"),
    "generic resource": ("hydra.launcher.gpus_per_node", "sinfo -o '%P %G'"),
    "qos": ("hydra.launcher.qos or max_tasks", "sacctmgr show assoc user=$USER format=account,partition,qos"),
    "time": ("hydra.launcher.timeout_min", "sinfo -o '%P %l'"),
    "limit": ("hydra.launcher.max_tasks or stack=true", "squeue -u $USER"),
    "feature": ("hydra.launcher.constraint", "sinfo -o '%P %f'"),
    "array": ("hydra.launcher.max_tasks", "scontrol show config | grep MaxArraySize"),
}


class Seen(NamedTuple):
    """A task as SLURM knows it."""

    array: str
    state: str  # in capitals, as PENDING
    node: str
    time: str  # that it has run
    reason: str  # that it waits, or ended

    @property
    def alive(self) -> bool:
        """Returns whether it waits, runs, or is being queued again."""
        return self.state not in OVER


Tasks = dict[int, Seen]  # of an array, by index


class QueueError(OSError):
    """SLURM gives no answer at the moment."""


def require_slurm() -> None:
    """Raises ValueError where SLURM's commands are not on this machine."""
    if missing := [name for name in COMMANDS if shutil.which(name) is None]:
        raise ValueError(
            f"hydra/launcher=submitit_slurm needs SLURM's {', '.join(missing)}, which this machine does not have; "
            "start the sweep on a login node of the cluster, or choose hydra/launcher=batched or joblib"
        )


def look() -> dict[str, Tasks]:
    """Returns the tasks of this user that SLURM knows, by the name of their job; those that ended, for some minutes.

    Raises:
        QueueError: SLURM does not answer.
    """
    mine = f"--user={os.getuid()}"
    ended = ask(["squeue", "--noheader", "--array", "--states=all", mine, f"--format={FIELDS}"])
    if ended.returncode:
        raise QueueError(f"squeue: {_last_line(ended.stderr)}")
    found: dict[str, Tasks] = {}
    for line in ended.stdout.splitlines():
        array, index, state, node, time, reason, name = line.split("|", 6)
        found.setdefault(name, {})[int(index) if index.isdecimal() else 0] = Seen(array, state, node, time, reason)
    return found


def cancel(array: str) -> str:
    """Cancels all tasks of an array; returns what SLURM has against it, or nothing."""
    ended = ask(["scancel", array])
    return _last_line(ended.stderr) if ended.returncode else ""


def requeue(job: str) -> str:
    """Queues the job that runs here again; returns what SLURM has against it, or nothing."""
    ended = ask(["scontrol", "requeue", job])
    return _last_line(ended.stderr) if ended.returncode else ""


def state_of(job: str) -> str:
    """Returns the state of one job in capitals; empty where SLURM does not say."""
    return ask(["squeue", "--noheader", f"--job={job}", "--format=%T"]).stdout.strip()


def largest_array() -> int:
    """Returns the largest number of tasks that an array may have."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask(["scontrol", "show", "config"]).stdout, re.MULTILINE)
    return max(1, int(found[1]) - 1) if found else MOST_TASKS - 1


def ask(command: Sequence[str], timeout: float = ASK) -> "subprocess.CompletedProcess[str]":
    """Runs a command of SLURM's as from a login node, even within a job of it.

    Raises:
        QueueError: it does not answer in time.
    """
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=outside(os.environ), check=False
        )
    except FileNotFoundError:
        raise QueueError(f"{command[0]} is not on this machine") from None
    except subprocess.TimeoutExpired:
        raise QueueError(f"{command[0]} gives no answer within {timeout:g} s") from None


def outside(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment without what SLURM tells a job, which its commands take for options."""
    kept = ("SLURM_CONF", "SLURM_CLUSTERS")
    return {k: v for k, v in environment.items() if not k.startswith("SLURM_") or k in kept}


def explain_refusal(said: str) -> str:
    """Returns what SLURM has against a submission, the setting that it is about, and what shows what there is."""
    lines = [re.sub(r"^(sbatch|srun): (error: )?", "", line).strip() for line in said.splitlines()]
    lines = [line for line in dict.fromkeys(lines) if line and not line.startswith("subprocess.")]
    text = "; ".join(lines[-3:]) or "it says nothing"
    for word, (setting, shows) in REMEDIES.items():
        if word in text.lower():
            return f"{text}. See {setting}; `{shows}` shows what there is"
    return text


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no answer"])[-1]
