"""Several processes that train one model together, as ``torchrun`` starts them; one process where it did not.

Each process draws the same batches and takes every so-manieth row of them; gradients and statistics are summed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def count_launched() -> int:
    """Returns the number of processes that torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def world() -> int:
    """Returns the number of processes that have joined."""
    return dist.get_world_size() if _many() else 1


def rank() -> int:
    """The number of this process, from 0; 0 is the one that judges, files and speaks."""
    return dist.get_rank() if _many() else 0


def local_rank() -> int:
    """The number of this process on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def _many() -> bool:
    return dist.is_available() and dist.is_initialized()


@contextmanager
def join(device: torch.device) -> Iterator[None]:
    """Joins the other processes that torchrun started, until the work is done; nothing to do for a single one."""
    if count_launched() == 1 or _many():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def sum_over_processes(tensor: Tensor) -> Tensor:
    """The sum over all processes, in every one of them."""
    if not _many():
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total


def broadcast(value: Any) -> Any:
    """Returns the value of the first process, in every one of them."""
    if not _many():
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def share(rows: Tensor) -> Tensor:
    """The part of a batch's rows (n,) that is this process's."""
    return rows[rank() :: world()] if _many() else rows


def average_gradients(model: nn.Module) -> None:
    """The mean over the processes of every gradient, in one message."""
    if not _many():
        return
    _average([p.grad for p in model.parameters() if p.grad is not None])


def average_buffers(model: nn.Module) -> None:
    """The mean over the processes of running statistics, which each gathers on its own rows."""
    if not _many():
        return
    _average([b for b in model.buffers() if b.is_floating_point()])


def _average(tensors: list[Tensor]) -> None:
    if not tensors:
        return
    together = torch.cat([t.detach().flatten() for t in tensors])
    dist.all_reduce(together)
    for tensor, mean in zip(tensors, together.div_(world()).split([t.numel() for t in tensors]), strict=True):
        tensor.detach().copy_(mean.reshape(tensor.shape))
