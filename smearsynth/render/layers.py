"""Cells laid one on the other, as sums of densities.

White cells and platelets are thick: where their own stain is dense, they hide what lies below them.
"""

import numpy as np

from smearsynth.compiled import compiled
from smearsynth.render.density import add, lane, weigh
from smearsynth.scene.footprints import ANGLE, CELL, CX, CY, FLIP, SCALE
from smearsynth.scene.warp import warp
from smearsynth.taxonomy import INFECTED_RBC

OPAQUE = 400
"""Density in green from which on a white cell or platelet hides what lies below it."""
_BYTE, _7, _8, _16, _24, _256 = (np.uint64(v) for v in (255, 7, 8, 16, 24, 256))


@compiled()
def lay_cells(pool, curves, objects, tile, densities):  # type: ignore[no-untyped-def]
    """Adds the density of every cell, lowest first, to `densities`, u8 (H, W).

    curves: i4 (2, 3, 256), density by grey level of stained cells and of red cells. tile: as for `warp`.
    """
    words, opacity = _words(curves), _opacity(curves)
    for i in range(objects.shape[0]):
        o = objects[i].astype(np.int64)
        red = np.int64(o[0] >= INFECTED_RBC)
        box = warp(pool, o[CELL], o[CX], o[CY], o[ANGLE], o[FLIP], o[SCALE], tile)
        _lay(tile, box, words[red], opacity[red], densities)


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
def _lay(tile, box, words, opacity, densities):  # type: ignore[no-untyped-def]
    x0, y0, w, h = box
    height, width = densities.shape
    left, right = max(x0, 0), min(x0 + w, width)
    for y in range(max(y0, 0), min(y0 + h, height)):
        row, line = tile[(y - y0) * w + left - x0 :], densities[y, left:]
        for x in range(np.uint64(max(right - left, 0))):
            pixel = np.uint64(row[x])
            alpha = pixel >> _24
            if alpha == 0:
                continue
            share = alpha + (alpha >> _7)
            green = (pixel >> _8) & _BYTE
            own = words[0, pixel & _BYTE] | words[1, green] | words[2, (pixel >> _16) & _BYTE]
            kept = _256 - ((share * opacity[green]) >> _8)
            line[x] = add(weigh(line[x], kept), weigh(own, share))
