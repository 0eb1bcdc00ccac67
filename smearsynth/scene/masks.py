"""The warp's alpha alone, cut at INSIDE: which pixels of the field belong to a cell, as rows of bits.

Most cells are nearly round: what lies well within their core or well beyond their rim needs no sampling.

Footprints of cells on the plane of the field, and what they share, pixel by pixel.

A footprint is a cell's pixels with alpha of at least `warp.INSIDE`, also those outside the field. It is drawn once per
cell; trying another whole-pixel position only moves its box. Its rows are bits, so that two footprints are compared in
a step or two per row.

The free ground of a field, as bits: where no cell lies yet. What lies outside the field is never free.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.scene import bit_rows
from smearsynth.scene.warp import INSIDE, Pool, extent, inverse

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
    length = bit_rows.words(w)
    rows[start : start + h * length] = bit_rows.NONE
    for y in range(h):
        row = start + y * length
        dx, dy = (x0 << 8) - cx, ((y0 + y) << 8) - cy
        u = a * dx + b * dy + ((width - 1) << 23)
        v = c * dx + d * dy + ((height - 1) << 23)
        first, last = _chord(rim, dx, dy)
        first, last = max(first, 0), min(last, w)
        left, right = _chord(core, dx, dy)
        if left < right:
            bit_rows.fill(rows, row, left, right)
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
        stop, word = min(last, (first | 63) + 1), bit_rows.NONE
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


CELL, CX, CY, ANGLE, FLIP, SCALE = range(1, 7)
"""Columns of a pose, which are the first seven of OBJECT_FIELDS; column 0 is the class."""
X, Y, WIDTH, HEIGHT, START = range(5)
"""Columns of a box."""


class Footprints(NamedTuple):
    """box: i8 (n, 5), x, y, width, height in px and start in `rows`. full: i8 (n,), pixels. rows: u8 (words,), bits.

    A footprint is `height` rows of bits.words(width) words each from `start` on. box and full have a row for every
    cell; the rows in use are the caller's business.
    """

    box: npt.NDArray[np.int64]
    full: npt.NDArray[np.int64]
    rows: npt.NDArray[np.uint64]


def empty(cells: int, words: int) -> Footprints:
    return Footprints(np.empty((cells, 5), np.int64), np.empty(cells, np.int64), np.empty(words, np.uint64))


def room(pool: Pool, cells: npt.NDArray[np.integer], scale: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Bounds on the words that drawing cells takes at any angle; scale in 1/65536, one or one for each."""
    side = (pool.width[cells].astype(np.int64) + pool.height[cells]) * np.asarray(scale) // ONE + 8
    return side * bit_rows.words(side)


@compiled()
def draw(prints, i, start, pool, pose):  # type: ignore[no-untyped-def]
    """Draws the footprint of `pose` as number i at rows[start:], cropped to its pixels."""
    rows = prints.rows
    x, y, w, h = silhouette(pool, pose[CELL], pose[CX], pose[CY], pose[ANGLE], pose[FLIP], pose[SCALE], rows, start)
    length, full = bit_rows.words(w), 0
    left, right, top, bottom = w, -1, h, -1
    for row in range(h):
        for k in range(length):
            word = rows[start + row * length + k]
            if word != bit_rows.NONE:
                full += bit_rows.count(word)
                left, right = min(left, 64 * k + bit_rows.lowest(word)), max(right, 64 * k + bit_rows.highest(word))
                top, bottom = min(top, row), row
    width, height = max(right - left + 1, 0), max(bottom - top + 1, 0)
    cropped = bit_rows.words(width)
    for row in range(height):
        for k in range(cropped):
            source = start + (top + row) * length
            rows[start + row * cropped + k] = bit_rows.window(rows, source, length, left + 64 * k)
    box = prints.box[i]
    box[X], box[Y], box[WIDTH], box[HEIGHT], box[START] = x + left, y + top, width, height, start
    prints.full[i] = full


@compiled()
def end(prints, i):  # type: ignore[no-untyped-def]
    """Where the rows of footprint i end."""
    box = prints.box[i]
    return box[START] + box[HEIGHT] * bit_rows.words(box[WIDTH])


@compiled()
def share_more(prints, i, j, most, dx, dy):  # type: ignore[no-untyped-def]
    """Whether footprint i, moved by (dx, dy), shares more than `most` pixels with footprint j."""
    a, b = prints.box[i], prints.box[j]
    x, y = a[X] + dx - b[X], a[Y] + dy - b[Y]
    if x >= b[WIDTH] or -x >= a[WIDTH]:
        return False
    a_length, b_length, pixels = bit_rows.words(a[WIDTH]), bit_rows.words(b[WIDTH]), 0
    for row in range(max(y, 0), min(y + a[HEIGHT], b[HEIGHT])):
        first, other = a[START] + (row - y) * a_length, b[START] + row * b_length
        for k in range(a_length):
            pixels += bit_rows.count(prints.rows[first + k] & bit_rows.window(prints.rows, other, b_length, x + 64 * k))
        if pixels > most:
            return True
    return False


@compiled()
def apart(prints, i, j, gap):  # type: ignore[no-untyped-def]
    """Whether at least `gap` px lie between footprints i and j in rows, columns and diagonals."""
    for dy in range(-gap, gap + 1):
        for dx in range(-gap, gap + 1):
            if share_more(prints, i, j, 0, dx, dy):
                return False
    return True


class Ground(NamedTuple):
    """height, width: of the field, px. rows: u8 (height * bits.words(width),), 1 where it is free."""

    height: int
    width: int
    rows: npt.NDArray[np.uint64]


@compiled()
def ground(height, width):  # type: ignore[no-untyped-def]
    """The ground of a field on which nothing lies."""
    made = Ground(height, width, np.empty(height * bit_rows.words(width), np.uint64))
    clear(made)
    return made


@compiled()
def clear(ground):  # type: ignore[no-untyped-def]
    """Takes all cells off the ground."""
    ground.rows[:] = bit_rows.NONE
    length = bit_rows.words(ground.width)
    for y in range(ground.height):
        bit_rows.fill(ground.rows, y * length, 0, ground.width)


@compiled()
def free(ground):  # type: ignore[no-untyped-def]
    """Pixels that are free."""
    pixels = 0
    for word in ground.rows:
        pixels += bit_rows.count(word)
    return pixels


@compiled()
def bare(ground, x, y):  # type: ignore[no-untyped-def]
    """Whether no cell covers a pixel, as far as is known: outside the field it is not."""
    if not (0 <= x < ground.width and 0 <= y < ground.height):
        return True
    word = ground.rows[y * bit_rows.words(ground.width) + (x >> 6)]
    return word & bit_rows.single(x) != bit_rows.NONE


@compiled()
def uncovered(ground, prints, i):  # type: ignore[no-untyped-def]
    """Pixels of footprint i that are free."""
    box, pixels = prints.box[i], 0
    x, length, across = box[X], bit_rows.words(box[WIDTH]), bit_rows.words(ground.width)
    for y in range(max(box[Y], 0), min(box[Y] + box[HEIGHT], ground.height)):
        first = box[START] + (y - box[Y]) * length
        for k in range(length):
            pixels += bit_rows.count(
                prints.rows[first + k] & bit_rows.window(ground.rows, y * across, across, x + 64 * k)
            )
    return pixels


@compiled()
def cover(ground, prints, i):  # type: ignore[no-untyped-def]
    """Puts footprint i on the ground."""
    box = prints.box[i]
    x, length, across = box[X], bit_rows.words(box[WIDTH]), bit_rows.words(ground.width)
    for y in range(max(box[Y], 0), min(box[Y] + box[HEIGHT], ground.height)):
        first = box[START] + (y - box[Y]) * length
        for k in range(length):
            bit_rows.erase(ground.rows, y * across, across, x + 64 * k, prints.rows[first + k])
