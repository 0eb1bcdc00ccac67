"""Keyed randomness: every draw is a function of (seed, epoch, sample, number of the draw) and of nothing else.

SplitMix64 (Steele, Lea and Flood 2014) used as a hash, in integers only: the same on any machine and device, under any
numpy, with any number of workers; no generator has a state that a resume would have to restore.

Gaussian noise that depends on a key alone, and is the same on the host and on a device.

16 bits of a hash choose one of 65,536 quantiles of the normal distribution: no logarithm or sine that a device could
round differently, and cheaper than numpy's own generator.
"""

from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

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


Floats = npt.NDArray[np.float32]
_STREAM = 0x6E6F697365
"""Tells the bits of the noise from those of the sample's other draws."""


@cache
def quantiles() -> Floats:
    """f4 (65536,): the normal distribution, mean 0, standard deviation 1, up to 4.3 of them."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse((i + 0.5) / 65536) for i in range(65536)], np.float32)


def noise(key: np.uint64, shape: tuple[int, ...]) -> Floats:
    """f4 `shape`: independent values of mean 0 and standard deviation 1."""
    size = int(np.prod(shape))
    words = bits(np.array([key ^ np.uint64(_STREAM)]), -(-size // 4))
    return quantiles().take(words.view("<u2")[0, :size]).reshape(shape)


def noise_on_device(keys: npt.NDArray[np.uint64], shape: tuple[int, ...], device: torch.device) -> Tensor:
    """f4 (n, *shape): what `noise` gives for each of the keys, u8 (n,)."""
    size = int(np.prod(shape))
    key = torch.from_numpy((keys ^ np.uint64(_STREAM)).view(np.int64)).to(device, non_blocking=True)
    words = _mix(key[:, None] + torch.arange(-(-size // 4), device=device) * _signed(GAMMA))
    pick = words.view(torch.int16)[:, :size].to(torch.int32) & 0xFFFF
    return _quantiles_on(device)[pick].view(-1, *shape)


@cache
def _quantiles_on(device: torch.device) -> Tensor:
    return torch.from_numpy(quantiles()).to(device)


def _mix(z: Tensor) -> Tensor:
    """`keys.mix` in torch, whose integers of 64 bits are signed and wrap."""
    z = z + _signed(GAMMA)
    for shift, factor in ROUNDS:
        z = (z ^ _shifted(z, shift)) * _signed(factor)
    return z ^ _shifted(z, LAST_SHIFT)


def _shifted(z: Tensor, by: int) -> Tensor:
    return (z >> by) & (2 ** (64 - by) - 1)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
