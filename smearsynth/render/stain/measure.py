"""Optical densities of the cells of a bank against their own glass, and what is counted of them, all in integers."""

import numpy as np

from smearsynth.compiled import compiled
from smearsynth.render.density import DENSITY
from smearsynth.scene.warp import INSIDE

PARASITE = 160
"""Density in green above a red cell's median from which on a pixel may hold more than haemoglobin: 98 % of the pixels
of healthy NIH cells lie below."""


@compiled()
def anchors(pool, glass, red):  # type: ignore[no-untyped-def]
    """i8 (n, 3): the density that a cell is known by, the median of red cells, which no parasite moves, else the mean.

    glass: u1 (n, 3). red: b1 (n,).
    """
    known = np.zeros((red.size, 3), np.int64)
    for cell in range(red.size):
        counts = np.zeros((3, 256), np.int64)
        first = pool.offset[cell]
        for i in range(first, first + np.int64(pool.height[cell]) * pool.width[cell]):
            pixel = pool.pixels[i]
            if pixel >> 24 >= INSIDE:
                for c in range(3):
                    counts[c, (pixel >> (8 * c)) & 255] += 1
        for c in range(3):
            ground, total = np.int64(DENSITY[glass[cell, c]]), max(counts[c].sum(), 1)
            if red[cell]:
                grey, below = 0, counts[c, 0]
                while below <= total // 2 and grey < 255:
                    grey += 1
                    below += counts[c, grey]
                known[cell, c] = DENSITY[grey] - ground
            else:
                summed = np.int64(0)
                for grey in range(256):
                    summed += counts[c, grey] * DENSITY[grey]
                known[cell, c] = summed // total - ground
    return known


@compiled()
def scatter(pool, glass, red, anchor):  # type: ignore[no-untyped-def]
    """i8 (n, 3, 3): mean product of the deviations of two channels from the anchor; of red cells without parasites."""
    products = np.zeros((red.size, 3, 3), np.int64)
    deviation = np.zeros(3, np.int64)
    for cell in range(red.size):
        first, count = pool.offset[cell], 0
        for i in range(first, first + np.int64(pool.height[cell]) * pool.width[cell]):
            pixel = pool.pixels[i]
            if pixel >> 24 < INSIDE:
                continue
            for c in range(3):
                deviation[c] = DENSITY[(pixel >> (8 * c)) & 255] - DENSITY[glass[cell, c]] - anchor[cell, c]
            if red[cell] and deviation[1] >= PARASITE:
                continue
            count += 1
            for a in range(3):
                for b in range(3):
                    products[cell, a, b] += deviation[a] * deviation[b]
        for a in range(3):
            for b in range(3):
                products[cell, a, b] //= max(count, 1)
    return products
