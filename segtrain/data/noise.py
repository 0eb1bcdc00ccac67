"""Gaussian noise that depends on a key alone, and is the same on the host and on a device.

16 bits of a hash choose one of 65,536 quantiles of the normal distribution: no logarithm or sine that a device could
round differently, and cheaper than numpy's own generator.
"""

from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segtrain.data.keys import GAMMA, LAST_SHIFT, ROUNDS, bits

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
