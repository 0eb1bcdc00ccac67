"""A picture at another scale, by rows: each row of the result is made of just the rows that it needs.

The same numbers as of OpenCV's resize of the whole image, area filter down and cubic up, but for rounding; OpenCV
itself cannot resize a part so that it fits its neighbours.

A picture predicted in overlapping tiles, whose probabilities are blended, and handed on from the top down.

A tile counts most in its middle, where the network sees all around: weights are a Gaussian, as in nnU-Net (Isensee et
al., Nature Methods 18, 2021). Rows are handed on as soon as no later tile touches them, so what is in memory is one row
of tiles, and grows with the width of the picture only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from segtrain.inference.image_reader import Picture
from segtrain.inference.ready_networks import Networks
from smearsynth.base.images import Pixels

_CUBIC = -0.75
"""Parameter of the cubic kernel (R. Keys, IEEE Trans. ASSP 29, 1981), as OpenCV has it."""


class Rescaled:
    """`picture` brought by `factor`, the size of the result over that of the picture. Is a `Picture` itself."""

    def __init__(self, picture: Picture, factor: float) -> None:
        self._picture, self.name = picture, picture.name
        height, width = (max(1, round(side * factor)) for side in picture.shape)
        self.shape = (height, width)
        self._shrinks = factor < 1

    @cached_property
    def _weights(self) -> sparse.csr_array:
        """f4 (height, native height)."""
        native, height = self._picture.shape[0], self.shape[0]
        return _area(native, height) if self._shrinks else _cubic(native, height)

    def rows(self, top: int, bottom: int) -> Pixels:
        """As `Picture` says."""
        if self.shape == self._picture.shape:
            return self._picture.rows(top, bottom)
        weights = self._weights[top:bottom]
        first, last = int(weights.indices.min()), int(weights.indices.max())
        native = self._picture.rows(first, last + 1)
        width = self.shape[1]
        method = cv2.INTER_AREA if self._shrinks else cv2.INTER_CUBIC
        wide = cv2.resize(native.astype(np.float32), (width, len(native)), interpolation=method)
        found = weights[:, first : last + 1] @ wide.reshape(len(native), width * 3)
        # Halves go up, as in OpenCV's mean of whole pixels.
        return (found + np.float32(0.5)).clip(0, 255).astype(np.uint8).reshape(bottom - top, width, 3)


def _area(native: int, height: int) -> sparse.csr_array:
    """Rows of the result as means of native ones, by how much of each they cover."""
    step = native / height
    low = np.arange(height)[:, None] * step
    taps = np.floor(low).astype(np.int64) + np.arange(int(np.ceil(step)) + 1)
    cover = np.minimum(low + step, taps + 1) - np.maximum(low, taps)
    return _matrix(np.clip(cover, 0, None) / step, taps, native)


def _cubic(native: int, height: int) -> sparse.csr_array:
    """Rows of the result as sums of four native ones each, the edge repeated."""
    middle = (np.arange(height)[:, None] + 0.5) * native / height - 0.5
    taps = np.floor(middle).astype(np.int64) + np.arange(-1, 3)
    away = np.abs(middle - taps)
    near = ((_CUBIC + 2) * away - (_CUBIC + 3)) * away**2 + 1
    far = ((_CUBIC * away - 5 * _CUBIC) * away + 8 * _CUBIC) * away - 4 * _CUBIC
    return _matrix(np.where(away <= 1, near, far), taps, native)


def _matrix(weights: npt.NDArray[np.float64], taps: npt.NDArray[np.int64], native: int) -> sparse.csr_array:
    rows = np.broadcast_to(np.arange(len(taps))[:, None], taps.shape)
    places = (rows.ravel(), taps.clip(0, native - 1).ravel())
    matrix = sparse.csr_array((weights.astype(np.float32).ravel(), places), shape=(len(taps), native))
    matrix.eliminate_zeros()
    return matrix


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
