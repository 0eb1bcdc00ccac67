"""An image at another scale, and predicted in overlapping tiles: by rows, from the top down, in flat memory.

A row of a rescaled image is made of just the rows that it needs, in the same numbers as OpenCV's resize of the whole
image (area filter down, cubic up) but for rounding. No library resizes a part so that it fits its neighbours.

A tile counts most in its middle, where the network sees all around: weights are a Gaussian, as in nnU-Net (Isensee et
al., Nature Methods 18, 2021). Rows are handed on as soon as no later tile touches them, so what is in memory is one row
of tiles, and grows with the width of the image only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
from scipy import sparse

from segtrain.inference.image_reader import ImageReader
from segtrain.inference.ready_networks import Networks
from smearsynth.base.images import Pixels
from smearsynth.fields.scale import scaled_shape

TILE = 512
"""Pixels a side of a tile, 102 um in smears: most of what a network sees of a pixel's surroundings lies in it."""
OVERLAP = 128
"""Pixels that neighbouring tiles share, at least: more than the largest white cell, so one of them has it whole."""
_SIGMA = 1 / 8
"""Of the Gaussian, over the side of the tile."""
_CUBIC = -0.75
"""Parameter of the cubic kernel (R. Keys, IEEE Trans. ASSP 29, 1981), as OpenCV has it."""


@dataclass(frozen=True)
class Band:
    """Full rows of a prediction, from `top` on. probability: float32 (classes, rows, w), of sum 1, and that of the
    parasite after them where the networks give it; the next band takes its memory."""

    top: int
    probability: npt.NDArray[np.float32]


def tile_count(shape: tuple[int, int]) -> int:
    """Tiles of an image of (h, w)."""
    return len(starts(shape[0])) * len(starts(shape[1]))


def starts(length: int) -> list[int]:
    """Where the tiles of a side of that many px begin: as few as overlap enough, evenly spread; one where one does."""
    count = 1 + max(0, -(-(length - TILE) // (TILE - OVERLAP)))
    return np.linspace(0, max(0, length - TILE), count).round().astype(int).tolist()


def predict_bands(
    networks: Networks, image: "ImageReader | RescaledImage", on_tile: Callable[[int], object] | None = None
) -> Iterator[Band]:
    """The prediction of an image of the networks' scale, from the top down, without gaps.

    An image of one tile is predicted directly. on_tile: is called with the number of tiles that were just computed.
    """
    height, width = image.shape
    tall, wide = min(TILE, height), min(TILE, width)
    weight = _gaussian(tall)[:, None] * _gaussian(wide)
    columns, tops = starts(width), [*starts(height), height]
    total = np.zeros((len(networks.classes) + networks.parasite, tall, width), np.float32)
    weights = np.zeros((tall, width), np.float32)
    for top, after in pairwise(tops):
        pixels = image.rows(top, top + tall)
        for first in range(0, len(columns), networks.batch):
            lefts = columns[first : first + networks.batch]
            tiles = np.stack([pixels[:, left : left + wide] for left in lefts])
            for left, found in zip(lefts, networks(tiles), strict=True):
                total[..., left : left + wide] += found * weight
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


class RescaledImage:
    """An image brought by `factor`, the size of the result over its own, and read by rows as it is."""

    def __init__(self, image: ImageReader, factor: float) -> None:
        self._image, self._shrinks = image, factor < 1
        self.shape = scaled_shape(image.shape, factor)

    def rows(self, top: int, bottom: int) -> Pixels:
        """uint8 (bottom - top, width, 3) RGB, 0 <= top < bottom <= height; not to be written to."""
        if self.shape == self._image.shape:
            return self._image.rows(top, bottom)
        weights = self._weights[top:bottom]
        first, last = int(weights.indices.min()), int(weights.indices.max())
        native = self._image.rows(first, last + 1).astype(np.float32)
        method = cv2.INTER_AREA if self._shrinks else cv2.INTER_CUBIC
        wide = cv2.resize(native, (self.shape[1], len(native)), interpolation=method)
        found = weights[:, first : last + 1] @ wide.reshape(len(native), -1)
        # Halves go up, as in OpenCV's mean of whole pixels.
        return (found + np.float32(0.5)).clip(0, 255).astype(np.uint8).reshape(bottom - top, -1, 3)

    @cached_property
    def _weights(self) -> sparse.csr_array:
        """float32 (height, native height): how much each row of the result takes of each row of the image."""
        native, height = self._image.shape[0], self.shape[0]
        rows = np.arange(height)[:, None]
        if self._shrinks:
            step = native / height
            taps = np.floor(rows * step).astype(np.int64) + np.arange(int(np.ceil(step)) + 1)
            covered = np.minimum(rows * step + step, taps + 1) - np.maximum(rows * step, taps)
            weights = np.clip(covered, 0, None) / step
        else:
            middle = (rows + 0.5) * native / height - 0.5
            taps = np.floor(middle).astype(np.int64) + np.arange(-1, 3)
            away = np.abs(middle - taps)
            near = ((_CUBIC + 2) * away - (_CUBIC + 3)) * away**2 + 1
            far = ((_CUBIC * away - 5 * _CUBIC) * away + 8 * _CUBIC) * away - 4 * _CUBIC
            weights = np.where(away <= 1, near, far)
        # The edge is repeated.
        places = (np.broadcast_to(rows, taps.shape).ravel(), taps.clip(0, native - 1).ravel())
        matrix = sparse.csr_array((weights.astype(np.float32).ravel(), places), shape=(height, native))
        matrix.eliminate_zeros()
        return matrix
