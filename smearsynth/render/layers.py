"""Cells laid one on the other, as sums of densities.

White cells and platelets are thick: where their own stain is dense, they hide what lies below them.
"""

import numpy as np

from smearsynth.compiled import compiled
from smearsynth.render.density import add, lane, weigh
from smearsynth.scene.footprints import ANGLE, CELL, CX, CY, FLIP, SCALE
from smearsynth.scene.geometry import extent
from smearsynth.scene.warp import room, sample
from smearsynth.taxonomy import INFECTED_RBC

OPAQUE = 400
"""Density in green from which on a white cell or platelet hides what lies below it."""
_BYTE, _7, _8, _16, _256 = (np.uint64(v) for v in (255, 7, 8, 16, 256))
_ALPHA = np.uint32(24)


@compiled()
def lay_cells(pool, curves, objects, factors, densities):  # type: ignore[no-untyped-def]
    """Adds the density of every cell, lowest first, to `densities`, u8 (H, W).

    curves: i4 (2, 3, 256), density by grey level of stained cells and of red cells. factors: i8 (n,), on the density of
    each cell, in 1/65536.
    """
    words, opacity, most = np.empty((3, 256), np.uint64), np.empty(256, np.uint64), 0
    for i in range(objects.shape[0]):
        _, _, columns, rows = _window(pool, objects[i].astype(np.int64), densities)
        most = max(most, columns * rows)
    samples, own, hidden = room(densities.shape[0], most), np.empty(most, np.uint64), np.empty(most, np.uint64)
    for i in range(objects.shape[0]):
        o, red = objects[i].astype(np.int64), np.int64(objects[i, 0] >= INFECTED_RBC)
        _fill_words(curves[red], factors[i], words)
        _fill_opacity(curves[0, 1], factors[i] * (1 - red), opacity)
        window = _window(pool, o, densities)
        n = sample(pool, o[CELL], o[CX], o[CY], o[ANGLE], o[FLIP], o[SCALE], window, samples)
        _look_up(n, samples.pixels, words, opacity, own, hidden)
        start = np.uint64(0)
        for y in range(window[3]):
            first, last = samples.spans[y]
            row = densities[window[1] + y, window[0] + first : window[0] + last]
            _lay(start, samples.pixels, own, hidden, row)
            start += np.uint64(row.size)


@compiled()
def _window(pool, o, densities):  # type: ignore[no-untyped-def]
    """x, y, width, height of the part of the field that an object can lie on."""
    height, width = densities.shape
    x, y, w, h = extent(np.int64(pool.width[o[CELL]]), np.int64(pool.height[o[CELL]]), o[CX], o[CY], o[ANGLE], o[SCALE])
    left, top = max(x, 0), max(y, 0)
    return left, top, max(min(x + w, width) - left, 0), max(min(y + h, height) - top, 0)


@compiled()
def _fill_words(curve, factor, words):  # type: ignore[no-untyped-def]
    """Densities by grey level as words, u8 (3, 256)."""
    for c in range(3):
        for v in range(256):
            words[c, v] = lane((curve[c, v] * factor) >> 16, c)


@compiled()
def _fill_opacity(green, factor, opacity):  # type: ignore[no-untyped-def]
    """Shares in 1/256 of what lies below that a green level hides; a factor of 0, as of red cells, hides nothing."""
    for v in range(256):
        opacity[v] = min(((green[v] * factor) >> 16) * 256 // OPAQUE, 256)


@compiled()
def _look_up(n, pixels, words, opacity, own, hidden):  # type: ignore[no-untyped-def]
    """Fills own, u8 (n,), the densities of n samples, and hidden, u8 (n,), the shares that they would hide."""
    for i in range(np.uint64(n)):
        pixel = np.uint64(pixels[i])
        green = (pixel >> _8) & _BYTE
        own[i] = words[0, pixel & _BYTE] | words[1, green] | words[2, (pixel >> _16) & _BYTE]
        hidden[i] = opacity[green]


@compiled()
def _lay(start, pixels, own, hidden, row):  # type: ignore[no-untyped-def]
    """Lays the samples from `start` on over a part of a row of densities."""
    for x in range(np.uint64(row.size)):
        alpha = np.uint64(pixels[start + x] >> _ALPHA)
        share = alpha + (alpha >> _7)
        kept = _256 - ((share * hidden[start + x]) >> _8)
        row[x] = add(weigh(row[x], kept), weigh(own[start + x], share))
