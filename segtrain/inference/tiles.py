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
_COARSE = 8
"""Pixels a side, 1.6 um in smears, whose mean tells whether a tile is glass."""
_LEAST_CONTRAST = 12
"""Levels by which any cell differs from glass, somewhere in it, at that size; the noise of a camera is a tenth."""
_SIGMA = 1 / 8
"""Of the Gaussian, over the side of the tile."""
_ROWS = 64
"""That are rescaled at a time."""
_CUBIC = -0.75
"""Parameter of the cubic kernel (R. Keys, IEEE Trans. ASSP 29, 1981), as OpenCV has it."""


@dataclass(frozen=True)
class Band:
    """Full rows of a prediction, from `top` on. probability: float32 (classes, rows, w), of sum 1. parasite: float32
    (rows, w), probability of a parasite, where the networks give it. The next band takes the memory of both. glass:
    nothing else is in it."""

    top: int
    probability: npt.NDArray[np.float32]
    parasite: npt.NDArray[np.float32] | None = None
    glass: bool = False


def tile_count(shape: tuple[int, int]) -> int:
    """Tiles of an image of (h, w)."""
    return len(starts(shape[0])) * len(starts(shape[1]))


def starts(length: int) -> list[int]:
    """Where the tiles of a side of that many px begin: as few as overlap enough, evenly spread; one where one does."""
    count = 1 + max(0, -(-(length - TILE) // (TILE - OVERLAP)))
    return np.linspace(0, max(0, length - TILE), count).round().astype(int).tolist()


def occupied_tiles(image: ImageReader, factor: float) -> npt.NDArray[np.bool_]:
    """bool (rows, columns): which tiles of an image brought by `factor` are more than glass.

    Glass, dust apart, is even over a tile, whatever the light is elsewhere. Where the smallest and the greatest value
    of every colour, eight pixels a side averaged, are as near as no cell is to glass, the tile holds none. A platelet
    is wider than those eight. Of a pyramid a small level is read for it; else the whole image once.
    """
    height, width = scaled_shape(image.shape, factor)
    small = RescaledImage(image, factor / _COARSE)
    tops, lefts = starts(height), starts(width)

    def pieces(first: list[int], length: int, side: int) -> list[slice]:
        ends = [(of * side // length, -(-min(of + TILE, length) * side // length)) for of in first]
        return [slice(min(start, side - 1), end) for start, end in ends]

    found = np.empty((len(tops), len(lefts)), bool)
    across = pieces(lefts, width, small.shape[1])
    for row, part in enumerate(pieces(tops, height, small.shape[0])):
        pixels = small.rows(part.start, part.stop)
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        found[row] = [(high[x].max(axis=0) - low[x].min(axis=0)).max() >= _LEAST_CONTRAST for x in across]
    return found


def predict_bands(
    networks: Networks,
    image: "ImageReader | RescaledImage",
    on_tile: Callable[[int], object] | None = None,
    occupied: npt.NDArray[np.bool_] | None = None,
) -> Iterator[Band]:
    """The prediction of an image of the networks' scale, from the top down, without gaps.

    An image of one tile is predicted directly. on_tile: is called with the number of tiles that were just computed.
    occupied: bool (rows, columns), of `occupied_tiles`; all others are glass, and no network is asked.
    """
    height, width = image.shape
    tall, wide = min(TILE, height), min(TILE, width)
    weight = _gaussian(tall)[:, None] * _gaussian(wide)
    columns, tops = starts(width), [*starts(height), height]
    total = np.zeros((len(networks.classes) + networks.parasite, tall, width), np.float32)
    weights = np.zeros((tall, width), np.float32)
    glass = np.zeros((len(total), 1, 1), np.float32)
    glass[0] = 1
    skipped = False

    def band(top: int, channels: npt.NDArray[np.float32], *, glass: bool = False) -> Band:
        classes = len(networks.classes)
        return Band(top, channels[:classes], channels[classes] if networks.parasite else None, glass)

    def add_glass(left: int, first: int = 0) -> None:
        """Of a tile, from its row `first` on."""
        for sums in (total[0], weights):
            sums[: tall - first, left : left + wide] += weight[first:]

    for row, (top, after) in enumerate(pairwise(tops)):
        if occupied is not None and not occupied[max(0, row - 1) : row + 1].any():
            # Most of a slide: what would be summed is known.
            if not skipped:
                total[:], weights[:] = 0, 0
            skipped = True
            yield band(top, np.broadcast_to(glass, (len(total), min(after - top, tall), width)), glass=True)
            continue
        if skipped:
            skipped = False
            for left in columns:
                add_glass(left, top - tops[row - 1])
        asked = [left for at, left in enumerate(columns) if occupied is None or occupied[row, at]]
        for left in set(columns) - set(asked):
            add_glass(left)
        pixels = image.rows(top, top + tall) if asked else np.empty((0, width, 3), np.uint8)
        for first in range(0, len(asked), networks.batch):
            lefts = asked[first : first + networks.batch]
            tiles = np.stack([pixels[:, left : left + wide] for left in lefts])
            for left, found in zip(lefts, networks(tiles), strict=True):
                total[..., left : left + wide] += found * weight
                weights[:, left : left + wide] += weight
            if on_tile:
                on_tile(len(lefts))
        done = min(after - top, tall)
        total[:, :done] /= weights[:done]
        yield band(top, total[:, :done])
        # One by one: numpy copies what overlaps.
        for sums in (*total, weights):
            sums[: tall - done] = sums[done:]
            sums[tall - done :] = 0


def _gaussian(length: int) -> npt.NDArray[np.float32]:
    away = (np.arange(length) - (length - 1) / 2) / (length * _SIGMA)
    return np.exp(-(away**2) / 2).astype(np.float32)


class RescaledImage:
    """An image brought by `factor`, the size of the result over its own, and read by rows as it is."""

    def __init__(self, image: ImageReader, factor: float) -> None:
        self.shape = scaled_shape(image.shape, factor)
        self._image = image.coarser(factor)
        self._shrinks = factor * image.shape[0] / self._image.shape[0] < 1

    def rows(self, top: int, bottom: int) -> Pixels:
        """uint8 (bottom - top, width, 3) RGB, 0 <= top < bottom <= height; not to be written to."""
        if self.shape == self._image.shape:
            return self._image.rows(top, bottom)
        weights = self._weights[top:bottom]
        first, last = int(weights.indices.min()), int(weights.indices.max())
        native = self._image.rows(first, last + 1)
        method = cv2.INTER_AREA if self._shrinks else cv2.INTER_CUBIC
        found = np.empty((bottom - top, self.shape[1], 3), np.uint8)
        # Float rows of a slide take a gigabyte, so few are made at a time.
        for at in range(0, len(found), _ROWS):
            part = weights[at : at + _ROWS]
            low, high = int(part.indices.min()), int(part.indices.max()) + 1
            rows = native[low - first : high - first].astype(np.float32)
            wide = cv2.resize(rows, (self.shape[1], len(rows)), interpolation=method)
            values = part[:, low:high] @ wide.reshape(len(rows), -1)
            # Halves go up, as in OpenCV's mean of whole pixels.
            found[at : at + _ROWS] = (values + np.float32(0.5)).clip(0, 255).reshape(part.shape[0], -1, 3)
        return found

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
