"""The device that a run computes on, with the same bits every time, and memory that runs out."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from utils.system import processes


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA where there is one; with several, the jobs of a sweep or the processes of one take turns.

    Raises:
        ValueError: a device that is not there.
    """
    if name == "auto":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        number = processes.local_rank() if processes.count_launched() > 1 else _job_number()
        return torch.device("cuda", number % count) if count else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device={name!r} is not known; choose auto, cpu, cuda or cuda:<number>") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={name!r}: torch sees no CUDA device here; choose auto or cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device={name!r}: torch sees {torch.cuda.device_count()} CUDA devices, numbered from 0")
    return device


def _job_number() -> int:
    """Returns the number of this job in its sweep, 0 outside one."""
    hydra: Any = HydraConfig.get() if HydraConfig.initialized() else None
    return OmegaConf.select(hydra, "job.num") or 0 if hydra and hydra.mode == RunMode.MULTIRUN else 0


def make_repeatable(threads: int, device: torch.device) -> None:
    """Gives the same bits for the same seed, device and thread count."""
    torch.set_num_threads(threads)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)  # a few, such as sums for l1 balls, have no such form


@contextmanager
def in_memory() -> Iterator[None]:
    """Turns an allocation that fails into what a user can do about it. Raises ValueError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or "allocate" in str(error)):
            raise
        asked = re.search(r"\d+ bytes|[\d.]+ [KMGTPE]iB", str(error))
        size = f" ({asked[0]} at once)" if asked else ""
        raise ValueError(
            f"this needs more memory than there is{size}; lower what is large, such as dataset.rows, model.hidden or "
            "trainer.batch_size"
        ) from error
