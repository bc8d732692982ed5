"""A real Ray cluster on this machine, whose nodes are processes of their own and can be killed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

RAY = Path(sys.executable).parent / "ray"
PATIENCE = 90  # seconds for a node to join


class Node:
    """One node; ``before`` are words that start its command, such as those of another view of the files."""

    def __init__(self, *words: str, before: Sequence[str] = ()):
        quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
        self.process = subprocess.Popen(
            [*before, str(RAY), "start", "--block", *words, "--object-store-memory=100000000"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={k: v for k, v in os.environ.items() if not k.startswith("TRILEMMA_")} | quiet,
            start_new_session=True,
        )

    def processes(self, name: str = "") -> list[int]:
        """Those that the node has started and that are called so, workers among them."""
        lines = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
        rows = [line.split(maxsplit=2) for line in lines.splitlines()[1:]]
        found = {self.process.pid}
        for _ in range(8):  # generations
            found |= {int(pid) for pid, parent, _ in rows if int(parent) in found}
        return [int(pid) for pid, _, args in rows if int(pid) in found and name in args]

    def kill(self) -> None:
        """As a power cut: all processes at once."""
        for pid in self.processes():
            with_mercy(pid, signal.SIGKILL)
        self.process.wait()


def with_mercy(pid: int, number: int) -> None:
    """A signal to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


class Nodes:
    """A head that takes no jobs, and nodes of one core each."""

    def __init__(self, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.folder = folder
        self.nodes: list[Node] = []

    def begin(self) -> None:
        """Starts the head."""
        port = self.address.partition(":")[2]
        words = (f"--port={port}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={self.folder}")
        self.nodes.append(Node("--head", *words))
        self.wait_for(1)

    def add(self, *, before: Sequence[str] = ()) -> Node:
        """A node that has joined."""
        alive = self.count()
        self.nodes.append(Node(f"--address={self.address}", "--num-cpus=1", before=before))
        self.wait_for(alive + 1)
        return self.nodes[-1]

    def count(self) -> int:
        """Those that the head knows to be alive."""
        program = "import ray, sys; ray.init(address=sys.argv[1]); print(sum(n['Alive'] for n in ray.nodes()))"
        words = [sys.executable, "-c", program, self.address]
        asked = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
        return int(asked.stdout or 0)

    def wait_for(self, number: int) -> None:
        host, port = self.address.split(":")
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            with socket.socket() as there:
                if there.connect_ex((host, int(port))) == 0 and self.count() >= number:
                    return
            time.sleep(0.3)
        pytest.skip(f"a node of Ray did not start on this machine within {PATIENCE} s")


@contextmanager
def cluster() -> Iterator[Nodes]:
    """A head; its nodes end with the block. Skips the test where Ray is not installed or does not start."""
    if not RAY.exists():
        pytest.skip("Ray is not installed: pip install -r requirements/ray.txt")
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # short: names of sockets below it have at most 107 characters
    nodes = Nodes(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else a token in the home folder makes a difference
        try:
            nodes.begin()
            yield nodes
        finally:
            for node in nodes.nodes[::-1]:
                node.kill()
            shutil.rmtree(folder, ignore_errors=True)
