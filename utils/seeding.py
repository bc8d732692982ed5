"""Separate random streams from one seed: one more random choice in one place moves no other.

A stream is named by its purpose ("split", "weights", "order", "attack", ...); its seed is the SHA-256 of
``seed`` and purpose.
"""

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

# the stream of one model, or those of the models of a stack
Source = Generator | tuple[Generator, ...]


def derive(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose."""
    digest = hashlib.sha256(f"{seed}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def rng(seed: int, purpose: str) -> np.random.Generator:
    """NumPy generator of one purpose."""
    return np.random.default_rng(derive(seed, purpose))


def generator(seed: int, purpose: str) -> Generator:
    """Torch generator of one purpose, on the CPU."""
    return Generator().manual_seed(derive(seed, purpose))


def generators(seed: int | tuple[int, ...], purpose: str) -> Source:
    """The generator of one purpose, or one for each model of a stack."""
    return tuple(generator(s, purpose) for s in seed) if isinstance(seed, tuple) else generator(seed, purpose)


def normal(like: Tensor, source: Source) -> Tensor:
    """Standard-normal numbers of the shape, type and device of ``like``; see ``uniform``."""
    return _drawn(torch.randn, like, source)


def uniform(like: Tensor, source: Source) -> Tensor:
    """Numbers from U(0, 1) of the shape, type and device of ``like``, (c, *) or, of a stack, (c, m, *).

    Each model draws its (c, *) from its own stream: the same numbers alone and in any stack.
    """
    return _drawn(torch.rand, like, source)


def _drawn(draw: Callable[..., Tensor], like: Tensor, source: Source) -> Tensor:
    if isinstance(source, tuple):
        shape = (like.shape[0], *like.shape[2:])
        return torch.stack([draw(shape, generator=g, dtype=like.dtype) for g in source], 1).to(like.device)
    return draw(like.shape, generator=source, dtype=like.dtype).to(like.device)
