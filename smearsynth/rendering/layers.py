"""Cells laid one on the other, as sums of densities.

White cells and platelets are thick: where their own stain is dense, they hide what lies below them.

What lies on a smear and is no cell: precipitate and debris, which absorb, and a scale bar, which software burns in.

A piece is a sum of round lumps that thin out from their middles, strewn along its axis. Stain precipitate is small and
almost black, for the dyes lie there undissolved; debris (burst cells, protein) is pale, grainy and takes eosin or azure
or both. Columns and units are those of `DISTRACTOR_FIELDS`.
"""

import numpy as np

from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.base.streams import below, between
from smearsynth.rendering.camera import SIDE, UNIT
from smearsynth.rendering.optical_density import add, lane, weigh
from smearsynth.scene.distractors import DEBRIS, PRECIPITATE, SCALE_BAR
from smearsynth.scene.masks import ANGLE, CELL, CX, CY, FLIP, SCALE
from smearsynth.scene.warp import cosine, extent, room, sample, sine
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


_LUMPS = 6
_BARE = 12
"""Sum of lumps, in 1/256, where a piece ends."""
_FULL = (96, 224)
"""Sum from which on precipitate and debris have their whole density."""
_BLACK_ON = 150
"""Grey level of the glass from which on a scale bar is black; on darker glass it is white."""


@compiled()
def lay_distractors(distractors, tile, densities):  # type: ignore[no-untyped-def]
    """Adds precipitate and debris to `densities`, u8 (H, W). distractors: i4 (m, 7). tile: `sensor.noise_tile`."""
    for i in range(distractors.shape[0]):
        row = distractors[i].astype(np.int64)
        if row[0] != SCALE_BAR:
            state = np.array([row[6]], np.uint64)
            hue = _hue(state, row[0])
            _lay_distractor(_lumps(state, row[1], row[2], row[3], row[4]), row, hue, tile, densities)


@compiled()
def _hue(state, kind):  # type: ignore[no-untyped-def]
    """Densities of red, green and blue in 1/256 of the piece's."""
    share = below(state, 257)
    if kind == PRECIPITATE:
        return 200 + share // 5, 256, 170 + share // 5
    return 80 + share * 150 // 256, 256, 150 - share * 50 // 256


@compiled()
def _lumps(state, cx, cy, size, angle):  # type: ignore[no-untyped-def]
    """i8 (_LUMPS, 3): x, y and radius of each, in 1/256 px; the first is the largest and in the middle."""
    lumps = np.empty((_LUMPS, 3), np.int64)
    along_x, along_y = cosine(angle), sine(angle)
    for k in range(_LUMPS):
        reach = size * 5 // 16 if k else 0
        along, across = between(state, -reach, reach), between(state, -reach, reach) * 5 // 8
        lumps[k, 0] = cx + (along * along_x - across * along_y) // ONE
        lumps[k, 1] = cy + (along * along_y + across * along_x) // ONE
        lumps[k, 2] = max(between(state, size // 8, size * 5 // 16) if k else size * 3 // 8, 160)
    return lumps


@compiled()
def _lay_distractor(lumps, row, hue, tile, densities):  # type: ignore[no-untyped-def]
    kind, cx, cy, size, density = row[0], row[1], row[2], row[3], row[5]
    height, width = densities.shape
    full = _FULL[1] if kind == DEBRIS else _FULL[0]
    reach = size * 7 // 10 + 256
    for y in range(max((cy - reach) >> 8, 0), min((cy + reach >> 8) + 1, height)):
        for x in range(max((cx - reach) >> 8, 0), min((cx + reach >> 8) + 1, width)):
            mass = min(max((_mass(lumps, x << 8, y << 8) - _BARE) * 256 // (full - _BARE), 0), 256)
            if mass > 0:
                grain = tile[y % SIDE, x % SIDE] // 4 if kind == DEBRIS else 0
                d = density * mass * max(UNIT + grain, 0) // (256 * UNIT)
                for c in range(3):
                    densities[y, x] = add(densities[y, x], lane(d * hue[c] // 256, c))


@compiled()
def _mass(lumps, x, y):  # type: ignore[no-untyped-def]
    """Sum of the lumps at a point, each 256 in its middle and 0 at its radius."""
    total = 0
    for k in range(lumps.shape[0]):
        squared = (x - lumps[k, 0]) ** 2 + (y - lumps[k, 1]) ** 2
        radius = lumps[k, 2] ** 2
        if squared < radius:
            rest = 256 - squared * 256 // radius
            total += rest * rest // 256
    return total


@compiled()
def burn_in(distractors, glass, image):  # type: ignore[no-untyped-def]
    """Draws the scale bars along rows into image, u1 (H, W, 3). glass: i8 (3,), in 1/256 grey level.

    The key says how thick a bar is, 2 to 5 px, and whether its ends have ticks.
    """
    height, width, _ = image.shape
    ink = 0 if glass[1] >= _BLACK_ON * 256 else 255
    for i in range(distractors.shape[0]):
        row = distractors[i].astype(np.int64)
        if row[0] != SCALE_BAR:
            continue
        thick, ticks = 2 + row[6] % 4, (row[6] >> 2) % 2
        left, right = (row[1] - row[3] // 2) >> 8, (row[1] + row[3] // 2) >> 8
        top = (row[2] >> 8) - thick // 2
        for x in range(max(left, 0), min(right, width)):
            at_end = ticks and (x < left + thick or x >= right - thick)
            grown = thick if at_end else 0
            for y in range(max(top - grown, 0), min(top + thick + grown, height)):
                image[y, x] = ink
