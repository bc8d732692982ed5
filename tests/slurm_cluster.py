"""A real SLURM for tests: a controller and nodes of one core each on this machine, in a folder of its own.

It has its own authentication, ports and configuration, so that it meets no other SLURM. It needs root, and Debian's
``slurm-wlm`` and ``munge``; ``require_slurm`` skips a test elsewhere. Accounting is off, as on many small clusters.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
START = 60.0  # seconds that the nodes may take to be there
CONFIGURATION = """
ClusterName=trilemma
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmctldPort={control}
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/control.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/control.log
SlurmdLogFile={folder}/%n.log
KillWait=10
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Cluster:
    """A SLURM that runs; its commands are those of ``SLURM_CONF``."""

    folder: Path
    nodes: Sequence[str]

    @property
    def configuration(self) -> Path:
        return self.folder / "slurm.conf"

    def ask(self, *command: str) -> str:
        """What one of SLURM's commands prints."""
        environment = os.environ | {"SLURM_CONF": str(self.configuration)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=60).stdout

    def states(self) -> list[str]:
        """The states of the jobs that wait or run."""
        return self.ask("squeue", "--noheader", "--array", "--format=%T").split()

    def start_node(self, node: str, hidden: Path | None = None) -> None:
        """Starts the daemon of a node, which sees an empty folder in place of the hidden one."""
        start = ["slurmd", "-N", node, "-f", str(self.configuration)]
        if hidden is not None:
            start = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden), *start]
        subprocess.run(start, check=True, timeout=60)

    def kill_node(self, node: str) -> None:
        """Ends the daemon of a node and all that runs there, as a power loss does, and lets the controller know."""
        steps = self._steps(node)
        gone = [_read(self.folder / f"{node}.pid"), *steps, *(child for step in steps for child in self._below(step))]
        for how in (signal.SIGSTOP, signal.SIGKILL):  # none of them may tell of the end of another
            for pid in gone:
                with suppress(ProcessLookupError):
                    os.kill(pid, how)
        self.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=killed")

    def revive_node(self, node: str) -> None:
        """Starts it again."""
        self.start_node(node)
        with suppress(subprocess.CalledProcessError):  # where it is back by itself
            self.ask("scontrol", "update", f"nodename={node}", "state=resume")
        self.wait_for_nodes()

    def start_now(self) -> None:
        """Lets jobs that were queued again start at once, which SLURM delays by two minutes."""
        for job in self.ask("squeue", "--noheader", "--array", "--states=PENDING", "--format=%i").split():
            with suppress(subprocess.CalledProcessError):  # it has just started
                self.ask("scontrol", "update", f"jobid={job}", "starttime=now")

    def wait_for_nodes(self) -> None:
        """Waits until every node is there to take jobs."""
        limit = time.monotonic() + START
        while True:
            with suppress(subprocess.CalledProcessError, subprocess.TimeoutExpired):
                found = self.ask("sinfo", "--noheader", "--Node", "--format=%T").split()
                if len(found) == len(self.nodes) and set(found) <= {"idle", "mixed", "allocated"}:
                    return
            assert time.monotonic() < limit, (self.folder / "control.log").read_text()[-2000:]
            time.sleep(0.2)

    def _steps(self, node: str) -> list[int]:
        """The processes of SLURM's that hold the jobs of a node."""
        found = subprocess.run(["pgrep", "-f", "slurmstepd"], capture_output=True, text=True).stdout.split()
        own = []
        for pid in map(int, found):
            with suppress(OSError):
                if str(self.folder / f"{node}.log") in map(os.readlink, Path(f"/proc/{pid}/fd").iterdir()):
                    own.append(pid)
        return own

    def _below(self, pid: int) -> list[int]:
        """The processes below one, the deepest first."""
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
        return [below for child in map(int, children) for below in (*self._below(child), child)]


def require_slurm() -> None:
    """Skips a test where no SLURM can be started."""
    missing = [name for name in DAEMONS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no SLURM here ({', '.join(missing)} missing): apt-get install slurm-wlm munge")
    if os.geteuid():
        pytest.skip("SLURM is started for tests by root alone")


@contextmanager
def cluster(folder: Path, nodes: int = 2) -> Iterator[Cluster]:
    """Starts a SLURM and ends it with all that it runs."""
    host, names = socket.gethostname().partition(".")[0], [f"n{i}" for i in range(1, nodes + 1)]
    control, *ports = _free_ports(nodes + 1)
    lines = [
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=8000 State=UNKNOWN"
        for name, port in zip(names, ports, strict=True)
    ]
    for own in ("state", *(f"spool.{name}" for name in names)):
        (folder / own).mkdir(parents=True)
    made = Cluster(folder, names)
    text = CONFIGURATION.format(host=host, folder=folder, control=control, nodes="\n".join(lines))
    made.configuration.write_text(text)
    try:
        _start_munge(folder)
        subprocess.run(["slurmctld", "-f", str(made.configuration)], check=True, timeout=60)
        for name in names:
            made.start_node(name)
        made.wait_for_nodes()
        yield made
    finally:
        with suppress(subprocess.SubprocessError):
            made.ask("scancel", "--user=root", "--signal=KILL", "--full")
            made.ask("scancel", "--user=root")
        for name in (*names, "control", "munge"):
            with suppress(OSError, ValueError):
                os.kill(_read(folder / f"{name}.pid"), signal.SIGTERM)


def _start_munge(folder: Path) -> None:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    places = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    options = [f"--{option}={folder}/munge.{end}" for option, end in places.items()]
    # forced: folders of tests lie below one that anybody may write to
    subprocess.run(["munged", "--force", *options], check=True, capture_output=True, timeout=60)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _read(file: Path) -> int:
    return int(file.read_text())
