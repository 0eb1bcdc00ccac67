"""Keyed random streams: every draw is a function of (seed, split, sample index, stage) and of nothing else.

SplitMix64 in integers only (`splitmix`), so a stream is the same on any machine, under any numpy and inside compiled
loops; no global generator exists. Its quality is ample for planning smears; it is no cipher.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from smearsynth.base.compiled import compiled
from smearsynth.base.splitmix import GAMMA, LAST_SHIFT, ROUNDS

State = npt.NDArray[np.uint64]

_GAMMA, _LAST_SHIFT = np.uint64(GAMMA), np.uint64(LAST_SHIFT)
(_SHIFT_1, _FACTOR_1), (_SHIFT_2, _FACTOR_2) = ((np.uint64(shift), np.uint64(factor)) for shift, factor in ROUNDS)


def key(*parts: int | str) -> int:
    """A 64-bit key from the parts, each kept apart by its type and a separator that no name holds."""
    text = "\x1f".join(f"{type(p).__name__}:{p}" for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def stream(*parts: int | str) -> State:
    """A stream for these parts: uint64 (1,), the counter that `below` and `between` advance."""
    return np.array([key(*parts)], dtype=np.uint64)


@compiled()
def next_u64(state):  # type: ignore[no-untyped-def]
    """The next 64 random bits; advances the state."""
    state[0] += _GAMMA
    z = state[0]
    z = (z ^ (z >> _SHIFT_1)) * _FACTOR_1
    z = (z ^ (z >> _SHIFT_2)) * _FACTOR_2
    return z ^ (z >> _LAST_SHIFT)


@compiled()
def below(state, n):  # type: ignore[no-untyped-def]
    """An integer in [0, n), 0 < n <= 2**31, by multiply-shift of 32 bits (bias under n / 2**32)."""
    return np.int64(((next_u64(state) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@compiled()
def between(state, low, high):  # type: ignore[no-untyped-def]
    """An integer in [low, high], both ends included."""
    return low + below(state, high - low + 1)
