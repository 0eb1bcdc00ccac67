"""A picture at another scale, by rows: each row of the result is made of just the rows that it needs.

The same numbers as of OpenCV's resize of the whole image, area filter down and cubic up, but for rounding; OpenCV
itself cannot resize a part so that it fits its neighbours.
"""

from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
from scipy import sparse

from segtrain.inference.picture import Picture
from smearsynth.images import Pixels

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
