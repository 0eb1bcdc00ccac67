"""Keyed randomness: every draw is a function of (seed, epoch, sample, number of the draw) and of nothing else.

SplitMix64 (`smearsynth.base.splitmix`) used as a hash, in integers only: the same on any machine and device, under any
numpy, with any number of workers; no generator has a state that a resume would have to restore.

Gaussian noise takes 16 bits of the hash for one of 65,536 quantiles of the normal distribution: no logarithm or sine
that a device could round differently, and cheaper than numpy's own generator.
"""

from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from smearsynth.base.splitmix import GAMMA, LAST_SHIFT, ROUNDS, mix

_NOISE = 0x6E6F697365
"""Keeps the bits of the noise apart from those of the sample's other draws."""


def keys(seed: int, epoch: int, index: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """uint64 (n,): one key per sample. index: int64 (n,), 0 or more. seed, epoch: any integers, taken modulo 2**64."""
    key = np.zeros(len(index), np.uint64)
    for part in (seed, epoch):
        key = mix(key ^ np.uint64(part % 2**64))
    return mix(key ^ index.astype(np.uint64))


def uniforms(key: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.float64]:
    """float64 (n, count) in [0, 1): the first `count` draws of each key, uint64 (n,)."""
    return (_bits(key, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def noise(key: np.uint64, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """float32 `shape`: independent normal values of mean 0 and standard deviation 1, up to 4.3 of them."""
    size = int(np.prod(shape))
    words = _bits(np.array([key ^ np.uint64(_NOISE)]), -(-size // 4))
    return _quantiles().take(words.view("<u2")[0, :size]).reshape(shape)


def noise_on_device(keys: npt.NDArray[np.uint64], shape: tuple[int, ...], device: torch.device) -> Tensor:
    """float32 (n, *shape) on `device`: what `noise` gives for each of the keys, uint64 (n,)."""
    size = int(np.prod(shape))
    key = torch.from_numpy((keys ^ np.uint64(_NOISE)).view(np.int64)).to(device, non_blocking=True)
    words = _mix_on_device(key[:, None] + torch.arange(-(-size // 4), device=device) * _signed(GAMMA))
    pick = words.view(torch.int16)[:, :size].to(torch.int32) & 0xFFFF
    return _quantiles_on(device)[pick].view(-1, *shape)


def _bits(key: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.uint64]:
    """uint64 (n, count): the first `count` draws of each key, 64 random bits each."""
    return mix(key[:, None] + np.arange(count, dtype=np.uint64) * np.uint64(GAMMA))


def _mix_on_device(z: Tensor) -> Tensor:
    """`mix` in torch, whose integers of 64 bits are signed and wrap."""
    z = z + _signed(GAMMA)
    for shift, factor in ROUNDS:
        z = (z ^ _shifted(z, shift)) * _signed(factor)
    return z ^ _shifted(z, LAST_SHIFT)


def _shifted(z: Tensor, by: int) -> Tensor:
    return (z >> by) & (2 ** (64 - by) - 1)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


@cache
def _quantiles() -> npt.NDArray[np.float32]:
    """float32 (65536,): the standard normal distribution."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse((i + 0.5) / 65536) for i in range(65536)], np.float32)


@cache
def _quantiles_on(device: torch.device) -> Tensor:
    return torch.from_numpy(_quantiles()).to(device)
