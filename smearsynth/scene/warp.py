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
from smearsynth.scene.turns import cosine, sine

INSIDE = 128
"""Alpha from which on a pixel belongs to the cell."""

_LANES = np.uint64(0x00FF00FF00FF00FF)
_HALVES = np.uint64(0x0080008000800080)
_LOW, _HIGH = np.uint64(0x00FF00FF), np.uint64(0xFF00FF00)
_8, _24, _256 = np.uint64(8), np.uint64(24), np.uint64(256)


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


@compiled()
def _spread(pixel):  # type: ignore[no-untyped-def]
    """Four bytes to four lanes of 16 bits, which are then mixed by one multiplication."""
    wide = np.uint64(pixel)
    return (wide & _LOW) | ((wide & _HIGH) << _24)


@compiled()
def _mix(a, b, weight):  # type: ignore[no-untyped-def]
    """a and b in the shares (256 - weight) and weight of 256, rounded, in every lane."""
    return ((a * (_256 - weight) + b * weight + _HALVES) >> _8) & _LANES


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


@compiled()
def sample(pixels, base, width, u, v):  # type: ignore[no-untyped-def]
    """The pixel at (u, v) of the cell that begins at `base`, u4."""
    p = np.uint64(base + (v >> 24) * width + (u >> 24))
    right, below, below_right = p + np.uint64(1), p + np.uint64(width), p + np.uint64(width + 1)
    across, down = np.uint64((u >> 16) & 255), np.uint64((v >> 16) & 255)
    upper = _mix(_spread(pixels[p]), _spread(pixels[right]), across)
    lower = _mix(_spread(pixels[below]), _spread(pixels[below_right]), across)
    lanes = _mix(upper, lower, down)
    return np.uint32(lanes | (lanes >> _24))


@compiled()
def warp(pool, cell, cx, cy, angle, flip, scale, tile):  # type: ignore[no-untyped-def]
    """Draws the cell into `tile`, u4 (as of `tile_sizes` or more,), row by row; returns its box x, y, width, height.

    Units as in OBJECT_FIELDS. The box is in field pixels and may lie outside the field. A pixel is 0 where it falls
    into or outside the outermost rows and columns of the bank array, whose mask is 0.
    """
    width, height = np.int64(pool.width[cell]), np.int64(pool.height[cell])
    x0, y0, w, h = extent(width, height, cx, cy, angle, scale)
    inverted = inverse(angle, flip, scale)
    step_u, step_v = inverted[0] << 8, inverted[2] << 8
    for y in range(h):
        u, v, first, last = line(width, height, (x0 << 8) - cx, ((y0 + y) << 8) - cy, inverted, w)
        tile[y * w : (y + 1) * w] = 0
        for t in range(np.uint64(y * w + first), np.uint64(y * w + last)):
            tile[t] = sample(pool.pixels, pool.offset[cell], width, u, v)
            u, v = u + step_u, v + step_v
    return x0, y0, w, h
