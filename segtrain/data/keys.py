"""Keyed randomness: every draw is a function of (seed, epoch, sample, number of the draw) and of nothing else.

SplitMix64 (Steele, Lea and Flood 2014) used as a hash, in integers only: the same on any machine, under any numpy,
with any number of workers; no generator has a state that a resume would have to restore.
"""

import numpy as np
import numpy.typing as npt

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def keys(seed: int, epoch: int, index: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """u8 (n,): one key per sample. index: (n,), 0 or more; seed, epoch: any integers, taken modulo 2**64."""
    key = np.zeros(len(index), np.uint64)
    for part in (seed, epoch):
        key = _mix(key ^ np.uint64(part % 2**64))
    return _mix(key ^ index.astype(np.uint64))


def uniforms(key: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.float64]:
    """f8 (n, count) in [0, 1): the first `count` draws of each key."""
    number = np.arange(1, count + 1, dtype=np.uint64) * _GAMMA
    return (_mix(key[:, None] + number) >> np.uint64(11)) * 2.0**-53


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = z + _GAMMA
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))
