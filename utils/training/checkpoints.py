"""Files from which an interrupted training goes on."""

import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from utils.system import atomic


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes tensors and plain values, whole or not at all. Raises OSError where the disk is full."""
    data = BytesIO()
    torch.save(state, data)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, data.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads what ``write_checkpoint`` wrote. Raises ValueError where the file is damaged."""
    try:
        stored: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError):
        raise ValueError(f"{path} is no checkpoint, or a damaged one; remove it to train anew") from None
    return stored
