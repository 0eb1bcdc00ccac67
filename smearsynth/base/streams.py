"""Keyed random streams: every draw is a function of (seed, split, sample index, stage) and of nothing else.

SplitMix64 (Steele, Lea and Flood 2014) in integers only, so a stream is the same on any machine, under any numpy and
inside compiled loops; no global generator exists. Its quality is ample for planning smears; it is no cipher.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from smearsynth.base.compiled import compiled

State = npt.NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def key(*parts: int | str) -> int:
    """A 64-bit key from the parts, each kept apart by its type and a separator that no name holds."""
    text = "\x1f".join(f"{type(p).__name__}:{p}" for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def stream(*parts: int | str) -> State:
    """A stream for these parts: u8 (1,), the counter that `below` and `between` advance."""
    return np.array([key(*parts)], dtype=np.uint64)


@compiled()
def next_u64(state):  # type: ignore[no-untyped-def]
    """The next 64 random bits; advances the state."""
    state[0] += _GAMMA
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


@compiled()
def below(state, n):  # type: ignore[no-untyped-def]
    """An integer in [0, n), 0 < n <= 2**31, by multiply-shift of 32 bits (bias under n / 2**32)."""
    return np.int64(((next_u64(state) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@compiled()
def between(state, low, high):  # type: ignore[no-untyped-def]
    """An integer in [low, high], both ends included."""
    return low + below(state, high - low + 1)
