"""The environment that a record states: versions, device, code; no host or user names."""

import ctypes
import os
import platform
import resource
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import paths_config

CONTAINER = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
PACKAGES = ("torch", "numpy", "hydra-core", "scikit-learn")


def environment(device: torch.device, threads: int) -> dict[str, Any]:
    """Versions, device, threads and, where the project is a git checkout, its commit."""
    return {
        "python": platform.python_version(),
        **_versions(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch_threads": threads,
        "commit": _commit(),
    }


@cache
def keep_memory() -> None:
    """Lets the C library keep freed memory in place of giving it back at once, only to fetch it for the next layer.

    Every larger tensor otherwise costs page faults: a tenth to a quarter of the time of a convolutional network on the
    CPU. Only glibc has these settings (mallopt: the thresholds of mmap, -3, and of trimming, -1).
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(-3, 1 << 30)
        library.mallopt(-1, (1 << 31) - 1)


@cache
def memory() -> int:
    """The bytes that this process may use: of the machine, or the fewer that a container or ``ulimit`` leaves it."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), resource.getrlimit(resource.RLIMIT_AS)[0]]
    limits += [int(text) for file in CONTAINER if file.is_file() and (text := file.read_text().strip()).isdecimal()]
    return min(limit for limit in limits if limit != resource.RLIM_INFINITY)


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}


@cache
def _commit() -> str | None:
    if not (paths_config.ROOT / ".git").exists():
        return None
    command = ["git", "-C", str(paths_config.ROOT), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git here, or no commit yet
        return None
