"""Separate random streams from one seed: one more random choice in one place moves no other.

A stream is named by its purpose ("split", "weights", "order", "attack", ...); its seed is the SHA-256 of
``seed`` and purpose.

Images draw by row (``Rows``): the numbers of a row depend on seed, purpose and row alone, on no batch, order, device
or process.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Generator, Tensor


class Rows:
    """A stream of random numbers for each row of a batch, by hashing: SplitMix64 (Steele et al. 2014).

    Args:
        key: of the purpose, from ``derive``.
        index: row numbers in the original data, (n,).
    """

    def __init__(self, key: int, index: Tensor):
        self.key, self.index = key, index
        self.draws = 0  # so that each draw is another

    def of(self, index: Tensor) -> "Rows":
        """The streams of other rows, from their beginning."""
        return Rows(self.key, index)

    def uniform(self, like: Tensor) -> Tensor:
        """U[0, 1) of the shape, type and device of ``like`` (c, n, *)."""
        return _fraction(self._bits(like)).to(like.dtype)

    def normal(self, like: Tensor) -> Tensor:
        """N(0, 1) of the shape, type and device of ``like`` (c, n, *), by Box and Muller's transform."""
        radius = (-2 * torch.log1p(-_fraction(self._bits(like)))).sqrt()
        angle = 2 * math.pi * _fraction(self._bits(like))
        return (radius * angle.cos()).to(like.dtype)

    def _bits(self, like: Tensor) -> Tensor:
        """64 random bits for every number of ``like`` (c, n, *)."""
        self.draws += 1
        index = self.index.to(like.device)
        stream = _mix(_mix(index * _GOLDEN + _to_signed(self.key)) + _to_signed(self.draws * _GOLDEN))
        front, each = like.shape[0], math.prod(like.shape[2:])
        count = torch.arange(front * each, device=like.device).reshape(front, 1, each) * _GOLDEN
        return _mix(stream.reshape(1, -1, 1) + count).reshape(like.shape)


def _to_signed(number: int) -> int:
    """The 64 bits of a number as those of a signed one."""
    number &= 2**64 - 1
    return number - 2**64 if number >= 2**63 else number


_GOLDEN = _to_signed(0x9E3779B97F4A7C15)
_MIX = _to_signed(0xBF58476D1CE4E5B9), _to_signed(0x94D049BB133111EB)


def _mix(z: Tensor) -> Tensor:
    """SplitMix64's finaliser of int64, which wraps around; the shifts are logical."""
    for shift, factor in zip((30, 27), _MIX, strict=True):
        z = (z >> shift).bitwise_and_((1 << 64 - shift) - 1).bitwise_xor_(z).mul_(factor)
    return (z >> 31).bitwise_and_((1 << 33) - 1).bitwise_xor_(z)


def _fraction(bits: Tensor) -> Tensor:
    """The upper 24 bits as a number in [0, 1), which every floating type from 32 bits on holds exactly."""
    return (bits >> 40).bitwise_and_((1 << 24) - 1).to(torch.float32).div_(1 << 24)


# the stream of one model, those of the models of a stack, or those of rows
Source = Generator | tuple[Generator, ...] | Rows


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


@contextmanager
def weights(seed: int, purpose: str) -> Iterator[None]:
    """Lets layers that are made within, on the CPU, draw their initial weights from the stream of one purpose."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, purpose))  # torch.manual_seed slowly asks all kinds of device
        yield


def generators(seed: int | tuple[int, ...], purpose: str) -> Source:
    """The generator of one purpose, or one for each model of a stack."""
    return tuple(generator(s, purpose) for s in seed) if isinstance(seed, tuple) else generator(seed, purpose)


def normal(like: Tensor, source: Source) -> Tensor:
    """Standard-normal numbers of the shape, type and device of ``like``; see ``uniform``."""
    return source.normal(like) if isinstance(source, Rows) else _draw(torch.randn, like, source)


def uniform(like: Tensor, source: Source) -> Tensor:
    """Numbers from U(0, 1) of the shape, type and device of ``like``, (c, *) or, of a stack, (c, m, *).

    Each model draws its (c, *) from its own stream: the same numbers alone and in any stack.
    """
    return source.uniform(like) if isinstance(source, Rows) else _draw(torch.rand, like, source)


def states(source: Generator | tuple[Generator, ...]) -> list[bytes]:
    """The place of each stream: two that are equal tell that nothing was drawn between."""
    return [bytes(g.get_state().numpy()) for g in (source if isinstance(source, tuple) else (source,))]


def rewind(source: Generator | tuple[Generator, ...], to: list[bytes]) -> None:
    """Puts each stream back to where it stood."""
    for g, state in zip(source if isinstance(source, tuple) else (source,), to, strict=True):
        g.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _draw(draw: Callable[..., Tensor], like: Tensor, source: Generator | tuple[Generator, ...]) -> Tensor:
    if isinstance(source, tuple):
        shape = (like.shape[0], *like.shape[2:])
        return torch.stack([draw(shape, generator=g, dtype=like.dtype) for g in source], 1).to(like.device)
    return draw(like.shape, generator=source, dtype=like.dtype).to(like.device)
