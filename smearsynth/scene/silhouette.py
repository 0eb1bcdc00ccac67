"""The warp's alpha alone, cut at INSIDE: which pixels of the field belong to a cell, as rows of bits.

Most cells are nearly round: what lies well within their core or well beyond their rim needs no sampling.
"""

import math

import numpy as np

from smearsynth.compiled import compiled
from smearsynth.scene import bits
from smearsynth.scene.geometry import extent, inverse
from smearsynth.scene.warp import INSIDE

_MARGIN = 2
"""px of the bank that bilinear sampling reaches, sqrt(2), and more than all rounding."""


@compiled()
def silhouette(pool, cell, cx, cy, angle, flip, scale, rows, start):  # type: ignore[no-untyped-def]
    """Fills rows[start:], u8 (as of `footprints.room` or more,), row by row; returns the box x, y, width, height.

    Units and box as in `warp`; a bit is 1 where the alpha of `warp` is at least INSIDE.
    """
    width, height = np.int64(pool.width[cell]), np.int64(pool.height[cell])
    x0, y0, w, h = extent(width, height, cx, cy, angle, scale)
    a, b, c, d = inverse(angle, flip, scale)
    core = ((pool.core[cell] - _MARGIN) * scale) >> 8
    rim = ((pool.rim[cell] + _MARGIN) * scale) >> 8
    length = bits.words(w)
    rows[start : start + h * length] = bits.NONE
    for y in range(h):
        row = start + y * length
        dx, dy = (x0 << 8) - cx, ((y0 + y) << 8) - cy
        u = a * dx + b * dy + ((width - 1) << 23)
        v = c * dx + d * dy + ((height - 1) << 23)
        first, last = _chord(rim, dx, dy)
        first, last = max(first, 0), min(last, w)
        left, right = _chord(core, dx, dy)
        if left < right:
            bits.fill(rows, row, left, right)
            _sample(pool, cell, u, v, a, c, first, left, rows, row)
            _sample(pool, cell, u, v, a, c, right, last, rows, row)
        else:
            _sample(pool, cell, u, v, a, c, first, last, rows, row)
    return x0, y0, w, h


@compiled()
def _chord(radius, dx, dy):  # type: ignore[no-untyped-def]
    """The part of a row within `radius` of the centre, which lies (-dx, -dy) from the row's start; all in 1/256 px.

    The square root only decides which pixels are sampled, never what is found there.
    """
    if radius <= abs(dy):
        return 0, 0
    half = np.int64(math.sqrt(radius * radius - dy * dy))
    return (255 - dx - half) >> 8, ((half - dx) >> 8) + 1


@compiled()
def _sample(pool, cell, u, v, a, c, first, last, rows, row):  # type: ignore[no-untyped-def]
    """Sets the bits of the columns from `first` up to `last` that are inside; u, v: where column 0 is in the cell."""
    base, width, height = pool.offset[cell], np.int64(pool.width[cell]), np.int64(pool.height[cell])
    u, v = u + ((first * a) << 8), v + ((first * c) << 8)
    while first < last:
        stop, word = min(last, (first | 63) + 1), bits.NONE
        for x in range(first, stop):
            column, line = u >> 24, v >> 24
            if 1 <= column < width - 2 and 1 <= line < height - 2:
                inside = _inside(pool.alpha, np.uint64(base + line * width + column), np.uint64(width), u, v)
                word |= np.uint64(inside) << np.uint64(x & 63)
            u, v = u + (a << 8), v + (c << 8)
        rows[row + (first >> 6)] |= word
        first = stop


@compiled()
def _inside(alpha, p, width, u, v):  # type: ignore[no-untyped-def]
    """Whether what `warp` mixes of pixel p and its right and lower neighbours is inside."""
    below, right = p + width, np.uint64(1)
    upper = _mix(alpha[p], alpha[p + right], (u >> 16) & 255)
    lower = _mix(alpha[below], alpha[below + right], (u >> 16) & 255)
    return _mix(upper, lower, (v >> 16) & 255) >= INSIDE


@compiled()
def _mix(one, other, weight):  # type: ignore[no-untyped-def]
    """As in `warp`, of single values."""
    return (np.int64(one) * 256 + (np.int64(other) - np.int64(one)) * weight + 128) >> 8
