"""The Ray of a sweep: reached, or started here, and looked at before anything is trained."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import paths_config
from utils.launchers.shared_folders import SHARED, list_variables, tokens_in
from utils.system.console import count, notice

PATIENCE = 30  # seconds until a cluster, or a free process of a node, has answered
STORE = 100_000_000  # bytes of the objects of a Ray started here, which holds little more than configurations
# run in a process of its own: where nobody answers, Ray writes pages and ends the process
PROBE = """
import json, logging, sys
import ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
    told = None
except Exception as error:
    told = f"{type(error).__name__}: {error}"
print(json.dumps(told))
"""


def import_ray() -> Any:
    """Ray, told to send nothing to its makers. Raises ValueError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # a task that asks for no GPU sees none
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "600")  # then it ends the process, without a word
    try:
        import ray
    except ImportError:
        ray = None
    if not hasattr(ray, "init"):  # as of a folder of that name, which Python takes for a package
        raise ValueError("hydra/launcher=ray is not installed: pip install -r requirements/ray.txt")
    return ray


def connect(settings: Mapping[str, Any]) -> Any:
    """Ray, connected to the cluster of the ``address``, or started here where that is null.

    Args:
        settings: arguments of ``ray.init``.

    Raises:
        ValueError: no such cluster, one of another version, a machine that is no node of it, a Ray that does not start.
    """
    ray = import_ray()
    if ray.is_initialized():
        return ray
    given = {key: value for key, value in settings.items() if value is not None}
    if "address" in given:
        if "object_store_memory" in given:
            raise ValueError(
                "hydra.launcher.ray.init.object_store_memory is of a Ray started here; leave it with address"
            )
        _require_answer(str(given["address"]))
    else:
        given = {"address": "local", "object_store_memory": STORE} | given
    variables = list_variables()
    if "address" in settings and settings["address"] is not None:
        variables["TRILEMMA_DELIVER"] = "1"  # to the database, since locks of a shared folder may not hold among nodes
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**given, logging_level=logging.CRITICAL, runtime_env={"env_vars": variables})
    except (Exception, SystemExit) as error:  # noqa: BLE001  of many kinds, a code of C++ among them
        raise ValueError(f"Ray did not start: {explain(str(error))}") from None
    finally:
        signal.signal(signal.SIGTERM, before)  # Ray's own would end the command without a word
    if not given.get("log_to_driver"):
        ray._private.worker._worker_logs_enabled = False  # pages on each process and node that dies
    return ray


def _require_answer(address: str) -> None:
    """Asks a cluster whether this machine may use it. Raises ValueError."""
    what = f"hydra.launcher.ray.init.address={address}"
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), timeout=PATIENCE).close()
        except (OSError, OverflowError) as error:  # which Ray would find out in two minutes
            raise ValueError(f"{what}: nobody answers there ({error})") from None
    try:
        asked = subprocess.run(
            [sys.executable, "-c", PROBE, address], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        told = json.loads(asked.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired as silent:
        told = f"no Ray cluster answered there within {PATIENCE} s; `ray status --address={address}` asks it"
        if b"AuthToken" in (silent.stderr or b""):
            told = "it asks for a token: set RAY_AUTH_MODE=token here too, and RAY_AUTH_TOKEN to the cluster's"
    except (IndexError, ValueError):
        told = f"Ray ended without an answer: {asked.stderr.strip().splitlines()[-1:]}"
    if told is not None:
        raise ValueError(f"{what}: {explain(told)}")


def explain(text: str) -> str:
    """Returns what Ray says of a failure in one line, with the remedy where one is known."""
    line = " ".join(text.split())
    if "Version mismatch" in line:
        return f"{line.removeprefix('RuntimeError: ')}. Install there what is installed here, or the other way round"
    if "ray[client]" in line:
        return (
            "ray:// speaks to a cluster from outside, which sweeps do not; make this machine a node of it, "
            "`ray start --address=HOST:PORT --num-cpus=0`, and give address=auto"
        )
    if "Could not find any running Ray instance" in line:
        return "no Ray runs on this machine; `ray start --address=HOST:PORT --num-cpus=0` makes it a node of a cluster"
    return line


class Cluster:
    """The nodes of a Ray, and what a task wants of one.

    Args:
        ray: connected.
        wants: what a task asks for, such as ``{"CPU": 1}``.
        remote: another machine may be one of the nodes, and one may join.
    """

    def __init__(self, ray: Any, wants: Mapping[str, float], *, remote: bool):
        self.ray, self.wants, self.remote = ray, {what: number for what, number in wants.items() if number}, remote
        self._waiting = False
        self._silent = 0.0  # since when the head does not answer; 0: it does

    def able(self) -> list[Mapping[str, Any]]:
        """Returns the living nodes of which each has, free or busy, what a task wants."""
        there = [node for node in self.ray.nodes() if node["Alive"]]
        return [n for n in there if all(n["Resources"].get(what, 0) >= of for what, of in self.wants.items())]

    def require_able(self) -> None:
        """Refuses tasks that no node can take; says so where one may join. Raises ValueError."""
        if self.able():
            return
        held = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        most = {what: max((of.get(what, 0) for of in held), default=0) for what in self.wants}
        asked, there = (", ".join(f"{number:g} {what}" for what, number in of.items()) for of in (self.wants, most))
        told = f"a task asks for {asked}, and no node has more than {there}"
        if not self.remote:
            raise ValueError(f"{told}; ask for less by hydra.launcher.ray.remote.num_cpus and num_gpus")
        notice(f"{told}; waiting for a node that can take it")
        self._waiting = True

    def look(self, left: int) -> None:
        """Says once that none of the nodes can take the tasks that are left.

        Raises:
            ConnectionError: the head of the cluster does not answer for ``PATIENCE`` seconds.
        """
        host, _, port = self.ray.get_runtime_context().gcs_address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=PATIENCE).close()
        except OSError:
            self._silent = self._silent or time.monotonic()
            if time.monotonic() - self._silent > PATIENCE:
                raise ConnectionError(
                    f"the head of the cluster, {host}:{port}, is gone; jobs may still end on its nodes, and the "
                    "same line, launched again, goes on from there"
                ) from None
            return
        self._silent = 0.0
        idle = left > 0 and not self.able()
        if idle and not self._waiting:
            notice(f"no node of the cluster can take the {count(left, 'task')} left; waiting for one that can")
        self._waiting = idle

    def require_shared(self, sweep: Path) -> None:
        """Lets every node that can take a task look for what is there here; a busy one is left to find it out.

        Raises:
            ValueError: a node does not see a folder.
        """
        if not self.remote:
            return
        own = [
            Path(paths_config.__file__),
            Path.cwd(),
            *(folder for folder in [paths_config.data()] if folder.is_dir()),
        ]
        with tokens_in([sweep, paths_config.evals(), paths_config.weights()]) as tokens:
            for node, missing in self._ask([*own, *tokens]):
                folders = [str(Path(path).parent) if Path(path) in tokens else path for path in missing]
                if folders:
                    raise ValueError(
                        f"the node {node} does not see {', '.join(folders)}, so nothing was begun. {SHARED}"
                    )

    def _ask(self, paths: Sequence[Path]) -> Iterator[tuple[str, list[str]]]:
        """Yields the nodes that answer in time, each with the paths that it does not see."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        look = self.ray.remote(num_cpus=0, max_retries=0)(_find_missing)
        asked = {}
        for node in self.able():
            there = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
            asked[look.options(scheduling_strategy=there).remote(list(map(str, paths)))] = node["NodeManagerAddress"]
        answered, _ = self.ray.wait(list(asked), num_returns=len(asked), timeout=PATIENCE) if asked else ([], [])
        for answer in answered:
            try:
                yield asked[answer], self.ray.get(answer)
            except self.ray.exceptions.RayTaskError as error:
                yield asked[answer], [f"{paths_config.ROOT} ({str(error).strip().splitlines()[-1]})"]
            except self.ray.exceptions.RayError:  # of a node that has died since
                continue


def _find_missing(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if not Path(path).exists()]
