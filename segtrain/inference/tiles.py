"""A picture predicted in overlapping tiles, whose probabilities are blended, and handed on from the top down.

A tile counts most in its middle, where the network sees all around: weights are a Gaussian, as in nnU-Net (Isensee et
al., Nature Methods 18, 2021). Rows are handed on as soon as no later tile touches them, so what is in memory is one row
of tiles, and grows with the width of the picture only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from segtrain.inference.networks import Networks
from segtrain.inference.picture import Picture

TILE = 512
"""Pixels a side of a tile, 102 um in smears: most of what a network sees of a pixel's surroundings lies in it."""
OVERLAP = 128
"""Pixels that neighbouring tiles share, at least: more than the largest white cell, so one of them has it whole."""
_SIGMA = 1 / 8
"""Of the Gaussian, over the side of the tile."""


@dataclass(frozen=True)
class Band:
    """Full rows of a prediction, from `top` on. probability: f4 (classes, rows, w), of sum 1; the next band takes its
    memory."""

    top: int
    probability: npt.NDArray[np.float32]


def tile_count(shape: tuple[int, int]) -> int:
    """Tiles of a picture of (h, w)."""
    return len(starts(shape[0])) * len(starts(shape[1]))


def starts(length: int) -> list[int]:
    """Where the tiles of a side of that many px begin: as few as overlap enough, evenly spread; one where one does."""
    count = 1 + max(0, -(-(length - TILE) // (TILE - OVERLAP)))
    return np.linspace(0, max(0, length - TILE), count).round().astype(int).tolist()


def predict_bands(
    networks: Networks, picture: Picture, on_tile: Callable[[int], object] | None = None
) -> Iterator[Band]:
    """The prediction of a picture of the networks' scale, from the top down, without gaps.

    A picture of one tile is predicted directly. on_tile: is called with the number of tiles that were just computed.
    """
    height, width = picture.shape
    tall, wide = min(TILE, height), min(TILE, width)
    weight = _gaussian(tall)[:, None] * _gaussian(wide)
    columns, tops = starts(width), [*starts(height), height]
    total = np.zeros((len(networks.classes), tall, width), np.float32)
    weights = np.zeros((tall, width), np.float32)
    for top, after in pairwise(tops):
        pixels = picture.rows(top, top + tall)
        for first in range(0, len(columns), networks.batch):
            lefts = columns[first : first + networks.batch]
            tiles = np.stack([pixels[:, left : left + wide].transpose(2, 0, 1) for left in lefts])
            for left, found in zip(lefts, networks(torch.from_numpy(tiles)).numpy(), strict=True):
                found *= weight
                total[..., left : left + wide] += found
                weights[:, left : left + wide] += weight
            if on_tile:
                on_tile(len(lefts))
        done = min(after - top, tall)
        total[:, :done] /= weights[:done]
        yield Band(top, total[:, :done])
        for sums in (total, weights[None]):
            sums[:, : tall - done] = sums[:, done:]
            sums[:, tall - done :] = 0


def _gaussian(length: int) -> npt.NDArray[np.float32]:
    away = (np.arange(length) - (length - 1) / 2) / (length * _SIGMA)
    return np.exp(-(away**2) / 2).astype(np.float32)
