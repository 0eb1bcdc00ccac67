"""Footprints of cells on the plane of the field, and what they share, pixel by pixel.

A footprint is a cell's pixels with alpha of at least `warp.INSIDE`, also those outside the field. It is drawn once per
cell; trying another whole-pixel position only moves its box. Its rows are bits, so that two footprints are compared in
a step or two per row.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE
from smearsynth.scene import bits
from smearsynth.scene.silhouette import silhouette
from smearsynth.scene.warp import Pool

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
    return side * bits.words(side)


@compiled()
def draw(prints, i, start, pool, pose):  # type: ignore[no-untyped-def]
    """Draws the footprint of `pose` as number i at rows[start:], cropped to its pixels."""
    rows = prints.rows
    x, y, w, h = silhouette(pool, pose[CELL], pose[CX], pose[CY], pose[ANGLE], pose[FLIP], pose[SCALE], rows, start)
    length, full = bits.words(w), 0
    left, right, top, bottom = w, -1, h, -1
    for row in range(h):
        for k in range(length):
            word = rows[start + row * length + k]
            if word != bits.NONE:
                full += bits.count(word)
                left, right = min(left, 64 * k + bits.lowest(word)), max(right, 64 * k + bits.highest(word))
                top, bottom = min(top, row), row
    width, height = max(right - left + 1, 0), max(bottom - top + 1, 0)
    cropped = bits.words(width)
    for row in range(height):
        for k in range(cropped):
            source = start + (top + row) * length
            rows[start + row * cropped + k] = bits.window(rows, source, length, left + 64 * k)
    box = prints.box[i]
    box[X], box[Y], box[WIDTH], box[HEIGHT], box[START] = x + left, y + top, width, height, start
    prints.full[i] = full


@compiled()
def end(prints, i):  # type: ignore[no-untyped-def]
    """Where the rows of footprint i end."""
    box = prints.box[i]
    return box[START] + box[HEIGHT] * bits.words(box[WIDTH])


@compiled()
def share_more(prints, i, j, most, dx, dy):  # type: ignore[no-untyped-def]
    """Whether footprint i, moved by (dx, dy), shares more than `most` pixels with footprint j."""
    a, b = prints.box[i], prints.box[j]
    x, y = a[X] + dx - b[X], a[Y] + dy - b[Y]
    if x >= b[WIDTH] or -x >= a[WIDTH]:
        return False
    a_length, b_length, pixels = bits.words(a[WIDTH]), bits.words(b[WIDTH]), 0
    for row in range(max(y, 0), min(y + a[HEIGHT], b[HEIGHT])):
        first, other = a[START] + (row - y) * a_length, b[START] + row * b_length
        for k in range(a_length):
            pixels += bits.count(prints.rows[first + k] & bits.window(prints.rows, other, b_length, x + 64 * k))
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
