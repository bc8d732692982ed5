"""Separate random streams from one seed: one more random choice in one place moves no other.

A stream is named by its purpose ("split", "weights", "order", "attack", ...); its seed is the SHA-256 of
``seed`` and purpose.
"""

import hashlib

import numpy as np
import torch


def derive(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose."""
    digest = hashlib.sha256(f"{seed}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def rng(seed: int, purpose: str) -> np.random.Generator:
    """NumPy generator of one purpose."""
    return np.random.default_rng(derive(seed, purpose))


def generator(seed: int, purpose: str) -> torch.Generator:
    """Torch generator of one purpose, on the CPU."""
    return torch.Generator().manual_seed(derive(seed, purpose))
