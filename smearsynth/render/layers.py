"""Cells laid one on the other, as sums of densities.

White cells and platelets are thick: where their own stain is dense, they hide what lies below them.
"""

import numpy as np

from smearsynth.compiled import compiled
from smearsynth.render.density import add, lane, weigh
from smearsynth.scene.footprints import ANGLE, CELL, CX, CY, FLIP, SCALE
from smearsynth.scene.warp import extent, inverse, line, sample
from smearsynth.taxonomy import INFECTED_RBC

OPAQUE = 400
"""Density in green from which on a white cell or platelet hides what lies below it."""
_BYTE, _7, _8, _16, _24, _256 = (np.uint64(v) for v in (255, 7, 8, 16, 24, 256))


@compiled()
def lay_cells(pool, curves, objects, densities):  # type: ignore[no-untyped-def]
    """Adds the density of every cell, lowest first, to `densities`, u8 (H, W).

    curves: i4 (2, 3, 256), density by grey level of stained cells and of red cells.
    """
    words, opacity = _words(curves), _opacity(curves)
    for i in range(objects.shape[0]):
        red = np.int64(objects[i, 0] >= INFECTED_RBC)
        _lay(pool, objects[i].astype(np.int64), words[red], opacity[red], densities)


@compiled()
def _words(curves):  # type: ignore[no-untyped-def]
    words = np.empty(curves.shape, np.uint64)
    for red in range(2):
        for c in range(3):
            for v in range(256):
                words[red, c, v] = lane(curves[red, c, v], c)
    return words


@compiled()
def _opacity(curves):  # type: ignore[no-untyped-def]
    """u8 (2, 256): share in 1/256 of what lies below that a green level hides; red cells hide nothing."""
    opacity = np.zeros((2, 256), np.uint64)
    for v in range(256):
        opacity[0, v] = min(curves[0, 1, v] * 256 // OPAQUE, 256)
    return opacity


@compiled()
def _lay(pool, o, words, opacity, densities):  # type: ignore[no-untyped-def]
    """Samples as `scene.warp.warp` does, but only in the field and without keeping what it samples."""
    field_height, field_width = densities.shape
    base, width, height = pool.offset[o[CELL]], np.int64(pool.width[o[CELL]]), np.int64(pool.height[o[CELL]])
    x0, y0, w, h = extent(width, height, o[CX], o[CY], o[ANGLE], o[SCALE])
    inverted = inverse(o[ANGLE], o[FLIP], o[SCALE])
    step_u, step_v = inverted[0] << 8, inverted[2] << 8
    left, columns = max(x0, 0), max(min(x0 + w, field_width) - max(x0, 0), 0)
    for y in range(max(y0, 0), min(y0 + h, field_height)):
        u, v, first, last = line(width, height, (left << 8) - o[CX], (y << 8) - o[CY], inverted, columns)
        row = densities[y, left:]
        for x in range(np.uint64(first), np.uint64(last)):
            pixel = np.uint64(sample(pool.pixels, base, width, u, v))
            u, v = u + step_u, v + step_v
            alpha = pixel >> _24
            if alpha == 0:
                continue
            share = alpha + (alpha >> _7)
            green = (pixel >> _8) & _BYTE
            own = words[0, pixel & _BYTE] | words[1, green] | words[2, (pixel >> _16) & _BYTE]
            kept = _256 - ((share * opacity[green]) >> _8)
            row[x] = add(weigh(row[x], kept), weigh(own, share))
