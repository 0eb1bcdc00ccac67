"""Sine and cosine of turns in fixed point. An angle is an integer, 65536 to the full turn.

Where a turned, mirrored and scaled cell lies on the field, and where a pixel of the field lies in the cell.

Conventions and units are those of `scene.warp`.

The one warp: a cell of the bank turned, mirrored, scaled and shifted onto the field, in integers.

Labels and colours both come from it, so they agree to the pixel. Conventions: pixel centres have integer
coordinates, x to the right and y downwards; the centre of a cell is the centre of its bank array,
((w - 1) / 2, (h - 1) / 2). A cell is first mirrored left to right (flip), then scaled, then turned clockwise as seen
on the screen (angle), then its centre is put at (cx, cy). Sampling is inverse and bilinear with weights in 1/256,
first along a row of the bank, rounded, then across rows; at quarter turns, scale 1 and whole pixels it copies.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE, rounded

TURN = 65536
QUARTER = TURN // 4


def _quarter_sines() -> npt.NDArray[np.int32]:
    return np.array(rounded(ONE * math.sin(math.pi / 2 * i / QUARTER) for i in range(QUARTER + 1)), np.int32)


QUARTER_SINES = _quarter_sines()
"""i4 (16385,): round(65536 sin) of the angles 0 to a quarter turn."""


@compiled()
def sine(angle):  # type: ignore[no-untyped-def]
    """round(65536 sin(angle)), exact at quarter turns, odd and symmetric at all others."""
    quarter, rest = (angle // QUARTER) % 4, angle % QUARTER
    value = np.int64(QUARTER_SINES[QUARTER - rest if quarter % 2 else rest])
    return -value if quarter >= 2 else value


@compiled()
def cosine(angle):  # type: ignore[no-untyped-def]
    """round(65536 cos(angle))."""
    return sine(angle + QUARTER)


@compiled()
def inverse(angle, flip, scale):  # type: ignore[no-untyped-def]
    """a, b, c, d in 1/65536: the offset (dx, dy) in the field is (a dx + b dy, c dx + d dy) in the cell."""
    a = (cosine(angle) * ONE + scale // 2) // scale
    b = (sine(angle) * ONE + scale // 2) // scale
    return (-a, -b, -b, a) if flip else (a, b, -b, a)


@compiled()
def extent(width, height, cx, cy, angle, scale):  # type: ignore[no-untyped-def]
    """x, y, width, height of the box on the field outside which the cell's alpha is 0."""
    cos, sin = abs(cosine(angle)), abs(sine(angle))
    w, h = width - 3, height - 3
    half_x = (((cos * w + sin * h) * scale) >> 25) + 4
    half_y = (((sin * w + cos * h) * scale) >> 25) + 4
    x, y = (cx - half_x + 255) >> 8, (cy - half_y + 255) >> 8
    return x, y, ((cx + half_x) >> 8) - x + 1, ((cy + half_y) >> 8) - y + 1


@compiled(error_model="numpy")
def span(start, step, size, first, last):  # type: ignore[no-untyped-def]
    """The part of range(first, last) whose `start + i * step`, in 1/2**24 px, lies in [1, size - 2)."""
    low, end = np.int64(1) << 24, (size - 2) << 24
    if step == 0:
        return (first, last) if low <= start < end else (first, first)
    if step < 0:
        start, step, low, end = -start, -step, 1 - end, 1 - low
    return max(first, -((start - low) // step)), min(last, -((start - end) // step))


@compiled(error_model="numpy")
def line(width, height, dx, dy, inverted, columns):  # type: ignore[no-untyped-def]
    """u, v, first, last: a row of the field meets the cell in its columns from `first` up to `last`.

    u, v: where the first lies in the cell, in 1/2**24 px. dx, dy: offset of column 0 from the cell's centre, in 1/256
    px. inverted: as of `inverse`. columns: how many there are.
    """
    a, b, c, d = inverted
    u = a * dx + b * dy + ((width - 1) << 23)
    v = c * dx + d * dy + ((height - 1) << 23)
    first, last = span(u, a << 8, width, 0, columns)
    first, last = span(v, c << 8, height, first, last)
    return u + ((first * a) << 8), v + ((first * c) << 8), first, max(first, last)


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
