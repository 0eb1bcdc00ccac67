"""Single cells put into the reference's stain, pixel by pixel, in integers.

The loops stand together with what they call in every pixel: a compiled loop is kept by the file that it stands in.
"""

import numpy as np

from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE
from smearsynth.render.density import DARKEST, DENSITY, TRANSMITTANCE
from smearsynth.render.stain.measure import PARASITE
from smearsynth.scene.warp import INSIDE

LEVELS = 12
"""Quantiles that a distribution of densities is known by, at (2 k + 1) / 24."""
LOW, HIGH = -1024, DARKEST + 1
"""Densities that a curve knows; the brightest cells of a source whose glass is only recorded lie below 0."""
_SURE_PARASITE = 512
"""Density in green above a red cell's median from which on a pixel is that of a parasite: its chromatin lies above."""
_BIN = 8
"""Width of the bins in which densities are counted."""


@compiled()
def _placed(pixel, base, gain, offset, matrix, centre, red, density):  # type: ignore[no-untyped-def]
    """Fills density, i8 (3,), LOW to HIGH - 1: the pixel's in the reference's stain, before curves.

    base: i8 (3,), density of glass and anchor. The deviation of the pixel from the anchor is multiplied by `gain` and
    added to `offset`, the cell's own from the centre of its kind; `matrix` turns both into the reference's. gain,
    matrix: in 1/65536. A red cell holds one dye, so it has the hue of `centre` at every thickness: other hues are the
    colour error of a lens, which a dark smear would blow up to rainbows. A parasite stays as far from it as it was.
    """
    x = (DENSITY[pixel & 255] - base[0]) * gain[0] // ONE + offset[0]
    y = (DENSITY[(pixel >> 8) & 255] - base[1]) * gain[1] // ONE + offset[1]
    z = (DENSITY[(pixel >> 16) & 255] - base[2]) * gain[2] // ONE + offset[2]
    kept = min(max((y - offset[1] - PARASITE) * ONE // (_SURE_PARASITE - PARASITE), 0), ONE)
    thickness = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z) // max(centre[1], 1)
    for c in range(3):
        if red:
            turned, own = centre[c] * thickness // ONE, x if c == 0 else (y if c == 1 else z)
            turned += (own - turned) * kept // ONE
        else:
            turned = (matrix[c, 0] * x + matrix[c, 1] * y + matrix[c, 2] * z) // ONE
        density[c] = min(max(centre[c] + turned, LOW), HIGH - 1)


@compiled()
def quantiles(pool, rows, red, base, gain, offset, matrix, centre):  # type: ignore[no-untyped-def]
    """i8 (rows, LEVELS, 3): quantiles of the densities of each cell within its mask.

    rows: i8, cells of the pool; base, gain, offset: i8 (rows, 3). red: whether they are red cells. Others: as above.
    """
    found = np.zeros((rows.size, LEVELS, 3), np.int64)
    density = np.zeros(3, np.int64)
    for k in range(rows.size):
        counts, total = np.zeros((3, (HIGH - LOW) // _BIN), np.int64), 0
        first = pool.offset[rows[k]]
        for i in range(first, first + np.int64(pool.height[rows[k]]) * pool.width[rows[k]]):
            if pool.pixels[i] >> 24 >= INSIDE:
                _placed(np.int64(pool.pixels[i]), base[k], gain[k], offset[k], matrix, centre, red, density)
                total += 1
                for c in range(3):
                    counts[c, (density[c] - LOW) // _BIN] += 1
        for c in range(3):
            reached, below = 0, counts[c, 0]
            for level in range(LEVELS):
                while below * 2 * LEVELS < (2 * level + 1) * total:
                    reached += 1
                    below += counts[c, reached]
                found[k, level, c] = LOW + reached * _BIN + _BIN // 2
    return found


@compiled()
def place(pool, rows, red, base, gain, offset, matrix, centre, curve, pixels):  # type: ignore[no-untyped-def]
    """Fills `pixels`, u4 as those of the pool, with the cells of the rows on a glass of 255; masks stay.

    curve: i8 (3, HIGH - LOW), what a density becomes.
    """
    density = np.zeros(3, np.int64)
    for k in range(rows.size):
        first = pool.offset[rows[k]]
        for i in range(first, first + np.int64(pool.height[rows[k]]) * pool.width[rows[k]]):
            pixel = np.int64(pool.pixels[i])
            _placed(pixel, base[k], gain[k], offset[k], matrix, centre, red, density)
            painted = pixel >> 24
            for c in (2, 1, 0):
                light = TRANSMITTANCE[max(curve[c, density[c] - LOW], 0)]
                painted = painted << 8 | (255 * light + ONE // 2) // ONE
            pixels[i] = painted
