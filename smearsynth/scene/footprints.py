"""Footprints of cells on the plane of the field, and what they share with each other and with the free mask.

A footprint is a cell's pixels with alpha of at least `warp.INSIDE`, also those outside the field. It is drawn once per
cell; trying another whole-pixel position only moves its box. Its rows are bits (`masks`), so that two footprints are
compared in a step or two per row. Most cells are nearly round: what is well within their core or well beyond their
rim needs no sampling.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.scene.masks import NONE, count, erase, fill, highest, lowest, window, words
from smearsynth.scene.warp import INSIDE, CellPixels, extent, inverse, line

LEFT, TOP, WIDTH, HEIGHT, START = range(5)
"""Columns of a footprint's box."""
_MARGIN = 2
"""px of the bank that bilinear sampling reaches, sqrt(2), and more than all rounding."""


class Footprints(NamedTuple):
    """box: int64 (n, 5), left, top, width, height in px and start in `rows`. full: int64 (n,), pixels. rows: uint64
    (words,), bits.

    A footprint is `height` rows of words(width) words each from `start` on. box and full have a row for every cell;
    which of `rows` are in use is the caller's business.
    """

    box: npt.NDArray[np.int64]
    full: npt.NDArray[np.int64]
    rows: npt.NDArray[np.uint64]


def empty_footprints(cells: int, size: int) -> Footprints:
    """Memory for so many footprints of `size` words in all."""
    return Footprints(np.empty((cells, 5), np.int64), np.empty(cells, np.int64), np.empty(size, np.uint64))


def words_needed(cells: CellPixels, chosen: npt.NDArray[np.integer], scale: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Bounds on the words that drawing the chosen cells takes at any angle, int64 (n,); scale in 1/65536, one or one
    for each."""
    side = (cells.width[chosen].astype(np.int64) + cells.height[chosen]) * np.asarray(scale) // ONE + 8
    return side * words(side)


@compiled()
def draw(prints, i, start, cells, pose):  # type: ignore[no-untyped-def]
    """Draws the footprint of a pose as number i at rows[start:], cropped to its pixels."""
    rows = prints.rows
    x, y, w, h = _silhouette(cells, pose, rows, start)
    length, full = words(w), 0
    left, right, top, bottom = w, -1, h, -1
    for row in range(h):
        for k in range(length):
            word = rows[start + row * length + k]
            if word != NONE:
                full += count(word)
                left, right = min(left, 64 * k + lowest(word)), max(right, 64 * k + highest(word))
                top, bottom = min(top, row), row
    width, height = max(right - left + 1, 0), max(bottom - top + 1, 0)
    cropped = words(width)
    for row in range(height):
        for k in range(cropped):
            source = start + (top + row) * length
            rows[start + row * cropped + k] = window(rows, source, length, left + 64 * k)
    box = prints.box[i]
    box[LEFT], box[TOP], box[WIDTH], box[HEIGHT], box[START] = x + left, y + top, width, height, start
    prints.full[i] = full


@compiled()
def end(prints, i):  # type: ignore[no-untyped-def]
    """Where the rows of footprint i end."""
    box = prints.box[i]
    return box[START] + box[HEIGHT] * words(box[WIDTH])


@compiled()
def share_more(prints, i, j, most, dx, dy):  # type: ignore[no-untyped-def]
    """Whether footprint i, moved by (dx, dy), shares more than `most` pixels with footprint j."""
    a, b = prints.box[i], prints.box[j]
    x, y = a[LEFT] + dx - b[LEFT], a[TOP] + dy - b[TOP]
    if x >= b[WIDTH] or -x >= a[WIDTH]:
        return False
    a_length, b_length, pixels = words(a[WIDTH]), words(b[WIDTH]), 0
    for row in range(max(y, 0), min(y + a[HEIGHT], b[HEIGHT])):
        first, other = a[START] + (row - y) * a_length, b[START] + row * b_length
        for k in range(a_length):
            pixels += count(prints.rows[first + k] & window(prints.rows, other, b_length, x + 64 * k))
        if pixels > most:
            return True
    return False


@compiled()
def apart(prints, i, j, gap):  # type: ignore[no-untyped-def]
    """Whether at least `gap` px are between footprints i and j in rows, columns and diagonals."""
    for dy in range(-gap, gap + 1):
        for dx in range(-gap, gap + 1):
            if share_more(prints, i, j, np.int64(0), dx, dy):
                return False
    return True


@compiled()
def count_uncovered(free, prints, i):  # type: ignore[no-untyped-def]
    """Pixels of footprint i that are free."""
    box, pixels = prints.box[i], 0
    length, across = words(box[WIDTH]), words(free.width)
    for y in range(max(box[TOP], 0), min(box[TOP] + box[HEIGHT], free.height)):
        first = box[START] + (y - box[TOP]) * length
        for k in range(length):
            pixels += count(prints.rows[first + k] & window(free.rows, y * across, across, box[LEFT] + 64 * k))
    return pixels


@compiled()
def cover(free, prints, i):  # type: ignore[no-untyped-def]
    """Takes the pixels of footprint i from the free mask."""
    box = prints.box[i]
    length, across = words(box[WIDTH]), words(free.width)
    for y in range(max(box[TOP], 0), min(box[TOP] + box[HEIGHT], free.height)):
        first = box[START] + (y - box[TOP]) * length
        for k in range(length):
            erase(free.rows, y * across, across, box[LEFT] + 64 * k, prints.rows[first + k])


@compiled()
def _silhouette(cells, pose, rows, start):  # type: ignore[no-untyped-def]
    """Fills rows[start:], row by row, with 1 where the alpha of `warp` is at least INSIDE; returns the box as `warp`
    does."""
    x, y, w, h = extent(cells, pose)
    inverted = inverse(pose)
    core = ((cells.core[pose.cell] - _MARGIN) * pose.scale) >> 8
    rim = ((cells.rim[pose.cell] + _MARGIN) * pose.scale) >> 8
    length, dx = words(w), (x << 8) - pose.cx
    rows[start : start + h * length] = NONE
    for row in range(h):
        begin, dy = start + row * length, ((y + row) << 8) - pose.cy
        u, v, meets, leaves = line(cells, pose, inverted, x, y + row, w)
        first, last = _chord(rim, dx, dy)
        first, last = max(first, meets), min(last, leaves)
        left, right = _chord(core, dx, dy)
        if left < right:
            fill(rows, begin, left, right)
            _sample(cells, pose, inverted, u, v, first, left, rows, begin)
            first = right
        _sample(cells, pose, inverted, u, v, first, last, rows, begin)
    return x, y, w, h


@compiled()
def _chord(radius, dx, dy):  # type: ignore[no-untyped-def]
    """The part of a row within `radius` of the centre, which is (-dx, -dy) from the row's start; all in 1/256 px.

    The square root only decides which pixels are sampled, never what is found there.
    """
    if radius <= abs(dy):
        return 0, 0
    half = np.int64(math.sqrt(radius * radius - dy * dy))
    return (255 - dx - half) >> 8, ((half - dx) >> 8) + 1


@compiled()
def _sample(cells, pose, inverted, u, v, first, last, rows, begin):  # type: ignore[no-untyped-def]
    """Sets the bits of the columns from `first` up to `last` that are inside, in the row that begins at rows[begin].

    u, v: as of `line`; all of these columns meet the cell.
    """
    base, width = cells.offset[pose.cell], np.int64(cells.width[pose.cell])
    step_u, step_v = inverted[0] << 8, inverted[2] << 8
    u, v = u + first * step_u, v + first * step_v
    while first < last:
        stop, word = min(last, (first | 63) + 1), NONE
        for x in range(first, stop):
            p = np.uint64(base + (v >> 24) * width + (u >> 24))
            inside = is_inside(cells.alpha, p, np.uint64(width), (u >> 16) & 255, (v >> 16) & 255)
            word |= np.uint64(inside) << np.uint64(x & 63)
            u, v = u + step_u, v + step_v
        rows[begin + (first >> 6)] |= word
        first = stop


@compiled()
def is_inside(alpha, p, width, across, down):  # type: ignore[no-untyped-def]
    """Whether what `warp` mixes of pixel p and its right and lower neighbours is inside."""
    below, right = p + width, np.uint64(1)
    upper = _mix(alpha[p], alpha[p + right], across)
    lower = _mix(alpha[below], alpha[below + right], across)
    return _mix(upper, lower, down) >= INSIDE


@compiled()
def _mix(one, other, weight):  # type: ignore[no-untyped-def]
    """As in `warp`, of single values."""
    return (np.int64(one) * 256 + (np.int64(other) - np.int64(one)) * weight + 128) >> 8
