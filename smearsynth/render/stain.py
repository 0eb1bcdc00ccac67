"""Stain curves: the density that a grey level of a cell stands for in the smear.

A cell's glass is divided out. White cells and platelets keep their own stain. Red cells come from many patients and
laboratories, and one smear has one stain: the median of each is brought near the smear's red-cell colour. What is
paler than the median is stretched, what is darker is only moved, so that a parasite keeps the contrast that it had.
"""

import numpy as np

from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE
from smearsynth.render.density import DENSITY
from smearsynth.scene.warp import INSIDE

_MOST_STRETCH = 4 * ONE
"""Largest factor between the median and paler parts; beyond it the noise of pale cells would show."""


@compiled()
def medians(pool):  # type: ignore[no-untyped-def]
    """Median colour of every cell within its mask, u1 (n, 3)."""
    middle = np.zeros((pool.offset.size, 3), np.uint8)
    for cell in range(pool.offset.size):
        counts = np.zeros((3, 256), np.int64)
        first = pool.offset[cell]
        for i in range(first, first + np.int64(pool.height[cell]) * pool.width[cell]):
            pixel = pool.pixels[i]
            if pixel >> 24 >= INSIDE:
                for c in range(3):
                    counts[c, (pixel >> (8 * c)) & 255] += 1
        for c in range(3):
            half, grey, below = counts[c].sum() // 2, 0, counts[c, 0]
            while below <= half and grey < 255:
                grey += 1
                below += counts[c, grey]
            middle[cell, c] = grey
    return middle


@compiled()
def own_curve(glass, strength, curve):  # type: ignore[no-untyped-def]
    """Fills curve, i8 (3, 256), for a cell that keeps its stain. glass: u1 (3,). strength: in 1/65536."""
    for c in range(3):
        for v in range(256):
            curve[c, v] = max(DENSITY[v] - DENSITY[glass[c]], 0) * strength // ONE


@compiled()
def matched_curve(glass, middle, target, own_share, strength, curve):  # type: ignore[no-untyped-def]
    """Fills curve, i8 (3, 256), for a red cell.

    middle: u1 (3,), its median colour. target: i8 (3,), density of the smear's red cells. own_share, strength: in
    1/65536; own_share of the cell's deviation from the target is kept.
    """
    for c in range(3):
        median = np.int64(DENSITY[middle[c]] - DENSITY[glass[c]])
        wanted = target[c] + (median - target[c]) * own_share // ONE
        stretch = min(wanted * ONE // median, _MOST_STRETCH) if median > 0 else _MOST_STRETCH
        for v in range(256):
            above = DENSITY[v] - DENSITY[middle[c]]
            moved = wanted + (above if above > 0 else above * stretch // ONE)
            curve[c, v] = max(moved, 0) * strength // ONE
