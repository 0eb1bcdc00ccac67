"""Footprints of cells on the plane of the field, and what they share, pixel by pixel.

A footprint is a cell's pixels with alpha of at least INSIDE, also those outside the field. It is drawn once per cell;
trying another whole-pixel position only moves its box.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.compiled import compiled
from smearsynth.scene.warp import INSIDE, warp

CELL, CX, CY, ANGLE, FLIP, SCALE = range(1, 7)
"""Columns of a pose, which are the first seven of OBJECT_FIELDS; column 0 is the class."""


class Footprints(NamedTuple):
    """box: i8 (n, 5), x, y, width, height and start in `mask`. full: i8 (n,), pixels. mask: u1, 1 inside, row by row.

    box and full have a row for every cell; the rows in use are the caller's business.
    """

    box: npt.NDArray[np.int64]
    full: npt.NDArray[np.int64]
    mask: npt.NDArray[np.uint8]


def empty(cells: int, pixels: int) -> Footprints:
    return Footprints(np.empty((cells, 5), np.int64), np.empty(cells, np.int64), np.empty(pixels, np.uint8))


@compiled()
def draw(prints, i, start, pool, pose, tile):  # type: ignore[no-untyped-def]
    """Draws the footprint of `pose` as number i at mask[start:], cropped to its pixels."""
    x0, y0, w, h = warp(pool, pose[CELL], pose[CX], pose[CY], pose[ANGLE], pose[FLIP], pose[SCALE], tile)
    left, right, top, bottom = w, -1, h, -1
    for y in range(h):
        for x in range(w):
            if tile[y * w + x] >> 24 >= INSIDE:
                left, right, top, bottom = min(left, x), max(right, x), min(top, y), y
    width, height = max(right - left + 1, 0), max(bottom - top + 1, 0)
    full = 0
    for y in range(height):
        for x in range(width):
            inside = tile[(top + y) * w + left + x] >> 24 >= INSIDE
            prints.mask[start + y * width + x] = inside
            full += inside
    box = prints.box[i]
    box[0], box[1], box[2], box[3], box[4] = x0 + left, y0 + top, width, height, start
    prints.full[i] = full


@compiled()
def bounds(prints, i):  # type: ignore[no-untyped-def]
    """x, y, width, height and start of footprint i."""
    box = prints.box[i]
    return box[0], box[1], box[2], box[3], box[4]


@compiled()
def shared(prints, i, j, dx, dy):  # type: ignore[no-untyped-def]
    """Pixels that footprint i, moved by (dx, dy), shares with footprint j."""
    a, b = prints.box[i], prints.box[j]
    ax, ay = a[0] + dx, a[1] + dy
    left, right = max(ax, b[0]), min(ax + a[2], b[0] + b[2])
    count = 0
    for y in range(max(ay, b[1]), min(ay + a[3], b[1] + b[3])):
        p, q = a[4] + (y - ay) * a[2] - ax, b[4] + (y - b[1]) * b[2] - b[0]
        for x in range(left, right):
            count += prints.mask[p + x] & prints.mask[q + x]
    return count


@compiled()
def apart(prints, i, j, gap):  # type: ignore[no-untyped-def]
    """Whether at least `gap` px lie between footprints i and j in rows, columns and diagonals."""
    for dy in range(-gap, gap + 1):
        for dx in range(-gap, gap + 1):
            if shared(prints, i, j, dx, dy) > 0:
                return False
    return True


@compiled()
def uncovered(prints, i, cover):  # type: ignore[no-untyped-def]
    """Pixels of footprint i within the field, u1 (H, W), where `cover` is 0."""
    x0, y0, w, h, start = bounds(prints, i)
    count = 0
    for y in range(max(y0, 0), min(y0 + h, cover.shape[0])):
        row = start + (y - y0) * w - x0
        for x in range(max(x0, 0), min(x0 + w, cover.shape[1])):
            count += prints.mask[row + x] & (1 - cover[y, x])
    return count


@compiled()
def put(prints, i, cover):  # type: ignore[no-untyped-def]
    """Sets `cover` to 1 under footprint i."""
    x0, y0, w, h, start = bounds(prints, i)
    for y in range(max(y0, 0), min(y0 + h, cover.shape[0])):
        row = start + (y - y0) * w - x0
        for x in range(max(x0, 0), min(x0 + w, cover.shape[1])):
            cover[y, x] |= prints.mask[row + x]
