"""The one warp: a cell of the bank turned, mirrored, scaled and shifted onto the field, in integers.

Labels and colours both come from it, so they agree to the pixel. Conventions: pixel centres have integer
coordinates, x to the right and y downwards; the centre of a cell is the centre of its bank array,
((w - 1) / 2, (h - 1) / 2). A cell is first mirrored left to right (flip), then scaled, then turned clockwise as seen
on the screen (angle), then its centre is put at (cx, cy). Sampling is inverse and bilinear with weights in 1/256,
first along a row of the bank, rounded, then across rows; at quarter turns, scale 1 and whole pixels it copies.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.cells.bank import Bank
from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE
from smearsynth.scene.geometry import extent, inverse, line

INSIDE = 128
"""Alpha from which on a pixel belongs to the cell."""

_LANES, _HALVES, _8 = np.uint32(0x00FF00FF), np.uint32(0x00800080), np.uint32(8)
_1, _32 = np.uint64(1), np.uint64(32)


class Pool(NamedTuple):
    """The arrays of a bank that compiled loops read. pixels: u4 (P,), red in the lowest byte, alpha in the highest.

    alpha: u1 (P,), the alphas once more, side by side. core, rim: i4 (n,), px: all pixels whose distance from the
    centre is at most `core` are inside, and none whose distance is more than `rim`.
    """

    pixels: npt.NDArray[np.uint32]
    offset: npt.NDArray[np.int64]
    height: npt.NDArray[np.int32]
    width: npt.NDArray[np.int32]
    alpha: npt.NDArray[np.uint8]
    core: npt.NDArray[np.int32]
    rim: npt.NDArray[np.int32]


@lru_cache(maxsize=2)
def pool_of(bank: Bank) -> Pool:
    """The bank's arrays, those that it has without a copy."""
    pixels, alpha = bank.pixels.view("<u4").reshape(-1), bank.pixels[:, 3].copy()
    discs = np.empty((2, len(bank)), np.int32)
    _measure_discs(alpha, bank.offset, bank.height, bank.width, *discs)
    return Pool(pixels, bank.offset, bank.height, bank.width, alpha, *discs)


@compiled()
def _measure_discs(alpha, offset, height, width, core, rim):  # type: ignore[no-untyped-def]
    """Fills core and rim; distances are squared and in half px, so that the centre is whole."""
    for cell in range(offset.size):
        h, w = np.int64(height[cell]), np.int64(width[cell])
        nearest_outside, farthest_inside = h * h + w * w, np.int64(0)
        for y in range(h):
            for x in range(w):
                squared = (2 * x - w + 1) ** 2 + (2 * y - h + 1) ** 2
                if alpha[offset[cell] + y * w + x] >= INSIDE:
                    farthest_inside = max(farthest_inside, squared)
                else:
                    nearest_outside = min(nearest_outside, squared)
        core[cell], rim[cell] = 0, 0
        while 4 * (core[cell] + 1) ** 2 < nearest_outside:
            core[cell] += 1
        while 4 * rim[cell] ** 2 < farthest_inside:
            rim[cell] += 1


def tile_sizes(pool: Pool, cells: npt.NDArray[np.integer], scale: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Bounds on the pixels of the tiles of cells at any angle; scale in 1/65536, one or one for each."""
    sides = pool.width[cells].astype(np.int64) + pool.height[cells]
    return (sides * np.asarray(scale) // ONE + 3) ** 2 // 2 + 64


def largest_tile(pool: Pool, objects: npt.NDArray[np.int32]) -> int:
    """A bound on the pixels of the largest tile of a scene's objects, i4 (n, 14)."""
    return int(tile_sizes(pool, objects[:, 1], objects[:, 6]).max(initial=0))


class Samples(NamedTuple):
    """A cell sampled on a window of the field: all samples of a row side by side, and so row by row.

    spans: i8 (rows, 2), the columns that a row has samples in, first and stop. pixels: u4 (n,). upper, lower: u8 (n,),
    the pixels that a sample is mixed from, the left one in the lower half; across, down: u1 (n,), in which shares.
    """

    spans: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.uint32]
    upper: npt.NDArray[np.uint64]
    lower: npt.NDArray[np.uint64]
    across: npt.NDArray[np.uint8]
    down: npt.NDArray[np.uint8]


@compiled()
def room(rows, pixels):  # type: ignore[no-untyped-def]
    """Room for the samples of windows of up to this many rows and pixels."""
    return Samples(
        np.empty((rows, 2), np.int64),
        np.empty(pixels, np.uint32),
        np.empty(pixels, np.uint64),
        np.empty(pixels, np.uint64),
        np.empty(pixels, np.uint8),
        np.empty(pixels, np.uint8),
    )


@compiled()
def sample(pool, cell, cx, cy, angle, flip, scale, window, samples):  # type: ignore[no-untyped-def]
    """Fills spans and pixels with the samples of a window, x, y, width, height in field pixels; returns their number.

    Units as in OBJECT_FIELDS. What lies outside the spans falls into or outside the outermost rows and columns of the
    bank array, whose mask is 0.
    """
    n = _fetch(pool, cell, cx, cy, inverse(angle, flip, scale), window, samples)
    _mix(n, samples.upper, samples.lower, samples.across, samples.down, samples.pixels)
    return n


@compiled()
def _fetch(pool, cell, cx, cy, inverted, window, samples):  # type: ignore[no-untyped-def]
    """Fills all but pixels."""
    width, height = np.int64(pool.width[cell]), np.int64(pool.height[cell])
    upper, lower, across, down = samples.upper, samples.lower, samples.across, samples.down
    pixels, step_u, step_v = pool.pixels[pool.offset[cell] :], inverted[0] << 8, inverted[2] << 8
    x0, y0, columns, rows = window
    n = np.uint64(0)
    for y in range(rows):
        u, v, first, last = line(width, height, (x0 << 8) - cx, ((y0 + y) << 8) - cy, inverted, columns)
        samples.spans[y, 0], samples.spans[y, 1] = first, last
        for _ in range(last - first):
            p = np.uint64((v >> 24) * width + (u >> 24))
            below = p + np.uint64(width)
            upper[n] = np.uint64(pixels[p]) | np.uint64(pixels[p + _1]) << _32
            lower[n] = np.uint64(pixels[below]) | np.uint64(pixels[below + _1]) << _32
            across[n], down[n] = (u >> 16) & 255, (v >> 16) & 255
            u, v, n = u + step_u, v + step_v, n + _1
    return np.int64(n)


@compiled()
def _mix(n, upper, lower, across, down, pixels):  # type: ignore[no-untyped-def]
    """Mixes n samples: first the pixels of a row, then the two rows."""
    for i in range(np.uint64(n)):
        left, right = np.uint32(upper[i]), np.uint32(upper[i] >> _32)
        below, beyond = np.uint32(lower[i]), np.uint32(lower[i] >> _32)
        x, y = np.uint32(across[i]), np.uint32(down[i])
        even = _mixed(_mixed(_even(left), _even(right), x), _mixed(_even(below), _even(beyond), x), y)
        odd = _mixed(_mixed(_odd(left), _odd(right), x), _mixed(_odd(below), _odd(beyond), x), y)
        pixels[i] = even | odd << _8


@compiled()
def _even(pixel):  # type: ignore[no-untyped-def]
    """Red and blue as two lanes of 16 bits, u4."""
    return np.uint32(pixel & _LANES)


@compiled()
def _odd(pixel):  # type: ignore[no-untyped-def]
    """Green and alpha as two lanes."""
    return np.uint32(np.uint32(pixel >> _8) & _LANES)


@compiled()
def _mixed(a, b, share):  # type: ignore[no-untyped-def]
    """a and b in the shares (256 - share) and share of 256, rounded, in both lanes.

    What the difference borrows from the lane above is given back by the sum. numba widens sums of u4 to u8: cut back
    at every step, they are worked out in vectors of twice as many.
    """
    total = np.uint32(np.uint32(a << _8) + np.uint32(np.uint32(b - a) * share))
    return np.uint32(np.uint32(np.uint32(total + _HALVES) >> _8) & _LANES)


@compiled()
def warp(pool, cell, cx, cy, angle, flip, scale, tile):  # type: ignore[no-untyped-def]
    """Draws the cell into `tile`, u4 (as of `tile_sizes` or more,), row by row; returns its box x, y, width, height.

    Units as in OBJECT_FIELDS. The box is in field pixels and may lie outside the field. A pixel without a sample is 0.
    """
    box = extent(np.int64(pool.width[cell]), np.int64(pool.height[cell]), cx, cy, angle, scale)
    w, h = box[2], box[3]
    samples = room(h, w * h)
    sample(pool, cell, cx, cy, angle, flip, scale, box, samples)
    n = 0
    for y in range(h):
        first, last = samples.spans[y]
        row = tile[y * w : (y + 1) * w]
        row[:] = 0
        row[first:last] = samples.pixels[n : n + last - first]
        n += last - first
    return box
