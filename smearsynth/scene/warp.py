"""The one warp: a cell of the bank turned, mirrored, scaled and shifted onto the field, in integers.

Labels and colours both come from it, so they agree to the pixel. Conventions: pixel centres have integer coordinates, x
to the right and y downwards; the centre of a cell is the centre of its bank array, ((w - 1) / 2, (h - 1) / 2). A cell
is first mirrored left to right (flip), then scaled, then turned clockwise as seen on the screen (angle), then its
centre is put at (cx, cy). Sampling is inverse and bilinear with weights in 1/256, first along a row of the bank,
rounded, then across rows; at quarter turns, scale 1 and whole pixels it copies. Units are those of OBJECT_FIELDS:
angles are integers, 65536 to the full turn.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE, rounded
from smearsynth.scene.scene import ANGLE, CELL, CX, CY, FLIP, SCALE

INSIDE = 128
"""Alpha from which on a pixel belongs to the cell."""
TURN = 65536
QUARTER = TURN // 4
QUARTER_SINES = np.array(rounded(ONE * math.sin(math.pi / 2 * i / QUARTER) for i in range(QUARTER + 1)), np.int32)
"""int32 (16385,): round(65536 sin) of the angles 0 to a quarter turn."""
_LANES, _HALVES, _8 = np.uint32(0x00FF00FF), np.uint32(0x00800080), np.uint32(8)
_1, _32 = np.uint64(1), np.uint64(32)


class CellPixels(NamedTuple):
    """The arrays of a bank that compiled loops read, n cells of P pixels in all.

    pixels: uint32 (P,), red in the lowest byte, alpha in the highest. offset: int64 (n,), the first pixel of each cell.
    height, width: int32 (n,), px. alpha: uint8 (P,), the alphas once more, side by side. core, rim: int32 (n,), px: all
    pixels whose distance from the centre is at most `core` are inside, and none whose distance is more than `rim`.
    """

    pixels: npt.NDArray[np.uint32]
    offset: npt.NDArray[np.int64]
    height: npt.NDArray[np.int32]
    width: npt.NDArray[np.int32]
    alpha: npt.NDArray[np.uint8]
    core: npt.NDArray[np.int32]
    rim: npt.NDArray[np.int32]


class Pose(NamedTuple):
    """Which cell is placed and how, in the units of OBJECT_FIELDS, all int64."""

    cell: int
    cx: int
    cy: int
    angle: int
    flip: int
    scale: int


class Samples(NamedTuple):
    """A cell sampled on a window of the field: all samples of a row side by side, and so row by row.

    spans: int64 (rows, 2), the columns that a row has samples in, first and stop. pixels: uint32 (n,). upper, lower:
    uint64 (n,), the pixels that a sample is mixed from, the left one in the lower half; across, down: uint8 (n,), in
    which shares.
    """

    spans: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.uint32]
    upper: npt.NDArray[np.uint64]
    lower: npt.NDArray[np.uint64]
    across: npt.NDArray[np.uint8]
    down: npt.NDArray[np.uint8]


@lru_cache(maxsize=2)
def cell_pixels(bank: Bank) -> CellPixels:
    """The bank's arrays; those that it has already are not copied."""
    pixels, alpha = bank.pixels.view("<u4").reshape(-1), bank.pixels[:, 3].copy()
    discs = np.empty((2, len(bank)), np.int32)
    _measure_discs(alpha, bank.offset, bank.height, bank.width, *discs)
    return CellPixels(pixels, bank.offset, bank.height, bank.width, alpha, *discs)


def tile_sizes(cells: CellPixels, chosen: npt.NDArray[np.integer], scale: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Bounds on the pixels of the tiles of the chosen cells at any angle, int64 (n,); scale: one, or one for each."""
    sides = cells.width[chosen].astype(np.int64) + cells.height[chosen]
    return (sides * np.asarray(scale) // ONE + 3) ** 2 // 2 + 64


@compiled()
def pose_of(row):  # type: ignore[no-untyped-def]
    """The pose in a row of objects."""
    values = row.astype(np.int64)
    return Pose(values[CELL], values[CX], values[CY], values[ANGLE], values[FLIP], values[SCALE])


@compiled()
def warp(cells, pose, tile):  # type: ignore[no-untyped-def]
    """Draws a cell into `tile`, uint32 (as of `tile_sizes` or more,), row by row; returns its box x, y, width, height.

    The box is in field pixels and may be outside the field. A pixel without a sample is 0.
    """
    box = extent(cells, pose)
    w, h = box[2], box[3]
    samples = empty_samples(h, w * h)
    sample(cells, pose, box, samples)
    n = 0
    for y in range(h):
        first, last = samples.spans[y]
        row = tile[y * w : (y + 1) * w]
        row[:] = 0
        # One by one: of an array put into a part of another numba compiles four seconds of code for an error's text.
        inside, found = row[first:last], samples.pixels[n : n + last - first]
        for i in range(inside.size):
            inside[i] = found[i]
        n += inside.size
    return box


@compiled()
def empty_samples(rows, pixels):  # type: ignore[no-untyped-def]
    """Memory for the samples of windows of up to this many rows and pixels."""
    return Samples(
        np.empty((rows, 2), np.int64),
        np.empty(pixels, np.uint32),
        np.empty(pixels, np.uint64),
        np.empty(pixels, np.uint64),
        np.empty(pixels, np.uint8),
        np.empty(pixels, np.uint8),
    )


@compiled()
def sample(cells, pose, window, samples):  # type: ignore[no-untyped-def]
    """Fills spans and pixels with the samples of a window, x, y, width, height in field pixels; returns their number.

    Columns outside the spans are on or outside the outermost rows and columns of the bank array, whose mask is 0.
    """
    n = _fetch(cells, pose, window, samples)
    _mix(n, samples.upper, samples.lower, samples.across, samples.down, samples.pixels)
    return n


@compiled()
def _fetch(cells, pose, window, samples):  # type: ignore[no-untyped-def]
    """Fills all but pixels."""
    width = np.int64(cells.width[pose.cell])
    upper, lower, across, down = samples.upper, samples.lower, samples.across, samples.down
    inverted = inverse(pose)
    pixels, step_u, step_v = cells.pixels[cells.offset[pose.cell] :], inverted[0] << 8, inverted[2] << 8
    x, y, columns, rows = window
    n = np.uint64(0)
    for row in range(rows):
        u, v, first, last = line(cells, pose, inverted, x, y + row, columns)
        samples.spans[row, 0], samples.spans[row, 1] = first, last
        u, v = u + first * step_u, v + first * step_v
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
    """Mixes n samples: first the pixels of a row, then the two rows.

    Red and blue are mixed together, as two lanes of 16 bits, and so are green and alpha.
    """
    for i in range(np.uint64(n)):
        left, right = np.uint32(upper[i]), np.uint32(upper[i] >> _32)
        below, beyond = np.uint32(lower[i]), np.uint32(lower[i] >> _32)
        x, y = np.uint32(across[i]), np.uint32(down[i])
        even = _mixed(_mixed(_even(left), _even(right), x), _mixed(_even(below), _even(beyond), x), y)
        odd = _mixed(_mixed(_odd(left), _odd(right), x), _mixed(_odd(below), _odd(beyond), x), y)
        pixels[i] = even | odd << _8


@compiled()
def _even(pixel):  # type: ignore[no-untyped-def]
    return np.uint32(pixel & _LANES)


@compiled()
def _odd(pixel):  # type: ignore[no-untyped-def]
    return np.uint32(np.uint32(pixel >> _8) & _LANES)


@compiled()
def _mixed(a, b, share):  # type: ignore[no-untyped-def]
    """a and b in the shares (256 - share) and share of 256, rounded, in both lanes.

    What the difference borrows from the lane above is given back by the sum. numba widens sums of uint32 to uint64: cut
    back at every step, they are worked out in vectors of twice as many.
    """
    total = np.uint32(np.uint32(a << _8) + np.uint32(np.uint32(b - a) * share))
    return np.uint32(np.uint32(np.uint32(total + _HALVES) >> _8) & _LANES)


@compiled()
def extent(cells, pose):  # type: ignore[no-untyped-def]
    """x, y, width, height of the box on the field outside which the cell's alpha is 0."""
    cos, sin = abs(cosine(pose.angle)), abs(sine(pose.angle))
    w, h = np.int64(cells.width[pose.cell]) - 3, np.int64(cells.height[pose.cell]) - 3
    half_x = (((cos * w + sin * h) * pose.scale) >> 25) + 4
    half_y = (((sin * w + cos * h) * pose.scale) >> 25) + 4
    x, y = (pose.cx - half_x + 255) >> 8, (pose.cy - half_y + 255) >> 8
    return x, y, ((pose.cx + half_x) >> 8) - x + 1, ((pose.cy + half_y) >> 8) - y + 1


@compiled()
def inverse(pose):  # type: ignore[no-untyped-def]
    """a, b, c, d in 1/65536: the offset (dx, dy) in the field is (a dx + b dy, c dx + d dy) in the cell."""
    a = (cosine(pose.angle) * ONE + pose.scale // 2) // pose.scale
    b = (sine(pose.angle) * ONE + pose.scale // 2) // pose.scale
    return (-a, -b, -b, a) if pose.flip else (a, b, -b, a)


@compiled(error_model="numpy")
def line(cells, pose, inverted, x, y, columns):  # type: ignore[no-untyped-def]
    """u, v, first, last: row y of the field, from column x on, meets the cell in its columns from `first` up to `last`.

    u, v: where column x is in the cell, in 1/2**24 px; it goes by a and c of `inverted` times 2**8 per column.
    first, last: counted from x, up to `columns`.
    """
    a, b, c, d = inverted
    width, height = np.int64(cells.width[pose.cell]), np.int64(cells.height[pose.cell])
    dx, dy = (x << 8) - pose.cx, (y << 8) - pose.cy
    u = a * dx + b * dy + ((width - 1) << 23)
    v = c * dx + d * dy + ((height - 1) << 23)
    first, last = _span(u, a << 8, width, np.int64(0), columns)
    first, last = _span(v, c << 8, height, first, last)
    return u, v, first, max(first, last)


@compiled(error_model="numpy")
def _span(start, step, size, first, last):  # type: ignore[no-untyped-def]
    """The part of range(first, last) whose `start + i * step`, in 1/2**24 px, is in [1, size - 2)."""
    low, end = np.int64(1) << 24, (size - 2) << 24
    if step == 0:
        return (first, last) if low <= start < end else (first, first)
    if step < 0:
        start, step, low, end = -start, -step, 1 - end, 1 - low
    return max(first, -((start - low) // step)), min(last, -((start - end) // step))


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
