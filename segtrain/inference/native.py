"""Labels at the size of the image that was opened, made row by row while the prediction still goes on.

Probabilities are brought back, not labels: linear between pixels, as `smearsynth.fields.scale.to_native` does, so that
an outline is as smooth as the network meant it.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from segtrain.inference.tiles import Band

_BLOCK = 2_000_000
"""Pixels that are decided at a time."""


class NativeLabels:
    """Takes a prediction from the top down and gives its labels at `native`, (h, w), in the same order."""

    def __init__(self, shape: tuple[int, int], native: tuple[int, int]) -> None:
        """shape: (h, w) of the prediction."""
        self._native = native
        middle = ((np.arange(native[0]) + 0.5) * shape[0] / native[0] - 0.5).clip(0, shape[0] - 1)
        self._above = np.floor(middle).astype(np.int64)
        self._below = np.minimum(self._above + 1, shape[0] - 1)
        self._share = (middle - self._above).astype(np.float32)[:, None]
        self._kept = np.empty((0, 0, 0), np.float32)
        """The last row of the band before."""
        self._next = 0

    def add(self, band: Band) -> Iterator[npt.NDArray[np.uint8]]:
        """Blocks of full rows, u1 (rows, w), that are decided now."""
        decided = int(np.searchsorted(self._below, band.top + band.probability.shape[1]))
        step = max(1, _BLOCK // self._native[1])
        for first in range(self._next, decided, step):
            yield self._block(band, slice(first, min(first + step, decided)))
        self._next, self._kept = decided, band.probability[:, -1:].copy()

    def _block(self, band: Band, block: slice) -> npt.NDArray[np.uint8]:
        first = int(self._above[block.start])
        seen = band.probability[:, max(0, first - band.top) : int(self._below[block.stop - 1]) + 1 - band.top]
        if first < band.top:
            seen = np.concatenate([self._kept, seen], axis=1)
        above, below = self._above[block] - first, self._below[block] - first
        share = self._share[block]
        best = np.zeros((len(above), self._native[1]), np.float32)
        label = np.zeros(best.shape, np.uint8)
        # The likeliest class has at least its equal share; whose probability stays below half of that is nowhere it.
        for number in np.flatnonzero(seen.max(axis=(1, 2)) > 0.5 / len(seen)):
            wide = cv2.resize(seen[number], (self._native[1], seen.shape[1]), interpolation=cv2.INTER_LINEAR)
            value = wide[above] * (1 - share) + wide[below] * share
            better = value > best
            label[better] = number
            np.copyto(best, value, where=better)
        return label
