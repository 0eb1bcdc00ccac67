"""Optical densities of the cells of a bank against their own glass, and what is counted of them, all in integers."""

import numpy as np

from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE
from smearsynth.render.density import DENSITY
from smearsynth.scene.warp import INSIDE

LEVELS = 32
"""Quantiles that a distribution of densities is known by, at (2 k + 1) / 64."""
LOW, HIGH = -1024, 9 * 1024
"""Densities that a curve knows; the brightest cells of a source whose glass is only recorded lie below 0."""
PARASITE, SURE_PARASITE = 160, 512
"""Density in green above a red cell's median from which on a pixel may hold, and surely holds, more than haemoglobin:
98 % of the pixels of healthy NIH cells lie below the first, the chromatin of parasites above the second."""
_BIN = 8
"""Width of the bins in which densities are counted."""


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


@compiled()
def placed(pixel, base, gain, offset, matrix, centre, red, density):  # type: ignore[no-untyped-def]
    """Fills density, i8 (3,), LOW to HIGH - 1: the pixel's in the reference's stain, before curves.

    base: i8 (3,), density of glass and anchor. The deviation of the pixel from the anchor is multiplied by `gain` and
    added to `offset`, the cell's own from the centre of its kind; `matrix` turns both into the reference's; in a
    parasite they stay what they are. gain, matrix: in 1/65536.
    """
    x = (DENSITY[pixel & 255] - base[0]) * gain[0] // ONE + offset[0]
    y = (DENSITY[(pixel >> 8) & 255] - base[1]) * gain[1] // ONE + offset[1]
    z = (DENSITY[(pixel >> 16) & 255] - base[2]) * gain[2] // ONE + offset[2]
    kept = min(max((y - offset[1] - PARASITE) * ONE // (SURE_PARASITE - PARASITE), 0), ONE) if red else 0
    for c in range(3):
        turned = (matrix[c, 0] * x + matrix[c, 1] * y + matrix[c, 2] * z) // ONE
        own = x if c == 0 else (y if c == 1 else z)
        density[c] = min(max(centre[c] + turned + (own - turned) * kept // ONE, LOW), HIGH - 1)


@compiled()
def quantiles(pool, rows, base, gain, offset, matrix, centre, red):  # type: ignore[no-untyped-def]
    """i8 (rows, LEVELS, 3): quantiles of the densities, as of `placed`, of each cell within its mask.

    rows: i8, cells of the pool; base, gain, offset: i8 (rows, 3). red: whether they are red cells.
    """
    found = np.zeros((rows.size, LEVELS, 3), np.int64)
    density = np.zeros(3, np.int64)
    for k in range(rows.size):
        counts, total = np.zeros((3, (HIGH - LOW) // _BIN), np.int64), 0
        first = pool.offset[rows[k]]
        for i in range(first, first + np.int64(pool.height[rows[k]]) * pool.width[rows[k]]):
            if pool.pixels[i] >> 24 >= INSIDE:
                placed(np.int64(pool.pixels[i]), base[k], gain[k], offset[k], matrix, centre, red, density)
                total += 1
                for c in range(3):
                    counts[c, (density[c] - LOW) // _BIN] += 1
        for c in range(3):
            bin_, below = 0, counts[c, 0]
            for level in range(LEVELS):
                while below * 2 * LEVELS < (2 * level + 1) * total:
                    bin_ += 1
                    below += counts[c, bin_]
                found[k, level, c] = LOW + bin_ * _BIN + _BIN // 2
    return found
