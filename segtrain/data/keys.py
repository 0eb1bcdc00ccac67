"""Keyed randomness: every draw is a function of (seed, epoch, sample, number of the draw) and of nothing else.

SplitMix64 (Steele, Lea and Flood 2014) used as a hash, in integers only: the same on any machine and device, under any
numpy, with any number of workers; no generator has a state that a resume would have to restore.
"""

import numpy as np
import numpy.typing as npt

GAMMA = 0x9E3779B97F4A7C15
ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
LAST_SHIFT = 31


def keys(seed: int, epoch: int, index: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """u8 (n,): one key per sample. index: (n,), 0 or more; seed, epoch: any integers, taken modulo 2**64."""
    key = np.zeros(len(index), np.uint64)
    for part in (seed, epoch):
        key = mix(key ^ np.uint64(part % 2**64))
    return mix(key ^ index.astype(np.uint64))


def bits(key: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.uint64]:
    """u8 (n, count): the first `count` draws of each key, 64 random bits each."""
    return mix(key[:, None] + np.arange(count, dtype=np.uint64) * np.uint64(GAMMA))


def uniforms(key: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.float64]:
    """f8 (n, count) in [0, 1): the first `count` draws of each key."""
    return (bits(key, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """64 random-looking bits from 64 of any kind, one to one."""
    z = z + np.uint64(GAMMA)
    for shift, factor in ROUNDS:
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return z ^ (z >> np.uint64(LAST_SHIFT))
