"""What is on the glass, laid one on the other as sums of densities: cells, then precipitate and debris.

White cells and platelets are thick: where their own stain is dense, they hide what is below them. A distractor is a sum
of round lumps that thin out from their middles, spread along its axis. Stain precipitate is small and almost black, for
the dyes are undissolved there; debris (burst cells, protein) is pale, grainy and takes eosin or azure or both. A scale
bar is no stain: software burns it into the image.
"""

import numpy as np

from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.base.streams import below, between
from smearsynth.rendering.camera import SIDE, UNIT
from smearsynth.rendering.optical_density import add, lane, weigh
from smearsynth.scene.distractors import DEBRIS, PRECIPITATE, SCALE_BAR, distractor_of
from smearsynth.scene.scene import CLASS
from smearsynth.scene.warp import cosine, empty_samples, extent, pose_of, sample, sine
from smearsynth.taxonomy import INFECTED_RBC

OPAQUE = 400
"""Density in green from which on a white cell or platelet hides what is below it."""
_LUMPS = 6
_BARE = 12
"""Sum of lumps, in 1/256, where a distractor ends."""
_FULL_PRECIPITATE, _FULL_DEBRIS = 96, 224
"""Sum from which on it has its whole density."""
_BLACK_ON = 150
"""Grey level of the glass from which on a scale bar is black; on darker glass it is white."""
_BYTE, _7, _8, _16, _256 = (np.uint64(v) for v in (255, 7, 8, 16, 256))
_ALPHA = np.uint32(24)


@compiled()
def lay_cells(cells, curves, objects, factors, densities):  # type: ignore[no-untyped-def]
    """Adds the density of every cell, lowest first, to `densities`, uint64 (H, W).

    curves: int32 (2, 3, 256), density by grey level of stained cells and of red cells. objects: int32 (n, 14). factors:
    int64 (n,), on the density of each cell, in 1/65536.
    """
    words, opacity, most = np.empty((3, 256), np.uint64), np.empty(256, np.uint64), np.int64(0)
    for i in range(objects.shape[0]):
        _, _, columns, rows = _window(cells, pose_of(objects[i]), densities)
        most = max(most, columns * rows)
    samples, own = empty_samples(densities.shape[0], most), np.empty(most, np.uint64)
    hidden = np.empty(most, np.uint64)
    for i in range(objects.shape[0]):
        pose, red = pose_of(objects[i]), np.int64(objects[i, CLASS] >= INFECTED_RBC)
        _fill_words(curves[red], factors[i], words)
        _fill_opacity(curves[0, 1], factors[i] * (1 - red), opacity)
        window = _window(cells, pose, densities)
        n = sample(cells, pose, window, samples)
        _look_up(n, samples.pixels, words, opacity, own, hidden)
        start = np.uint64(0)
        for y in range(window[3]):
            first, last = samples.spans[y]
            row = densities[window[1] + y, window[0] + first : window[0] + last]
            _lay(start, samples.pixels, own, hidden, row)
            start += np.uint64(row.size)


@compiled()
def _window(cells, pose, densities):  # type: ignore[no-untyped-def]
    """x, y, width, height of the part of the field that a cell can cover."""
    height, width = densities.shape
    x, y, w, h = extent(cells, pose)
    left, top = max(x, 0), max(y, 0)
    return left, top, max(min(x + w, width) - left, 0), max(min(y + h, height) - top, 0)


@compiled()
def _fill_words(curve, factor, words):  # type: ignore[no-untyped-def]
    """Densities by grey level as words, uint64 (3, 256)."""
    for c in range(3):
        for v in range(256):
            words[c, v] = lane((curve[c, v] * factor) >> 16, c)


@compiled()
def _fill_opacity(green, factor, opacity):  # type: ignore[no-untyped-def]
    """Shares in 1/256 of what is below that a green level hides; a factor of 0, as of red cells, hides nothing."""
    for v in range(256):
        opacity[v] = min(((green[v] * factor) >> 16) * 256 // OPAQUE, 256)


@compiled()
def _look_up(n, pixels, words, opacity, own, hidden):  # type: ignore[no-untyped-def]
    """Fills own, uint64 (n,), the densities of n samples, and hidden, uint64 (n,), the shares that they would hide."""
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


@compiled()
def lay_distractors(distractors, tile, densities):  # type: ignore[no-untyped-def]
    """Adds precipitate and debris to `densities`, uint64 (H, W).

    distractors: int32 (m, 7), each row a `Distractor`. tile: `camera.noise_tile()`, the grain of debris.
    """
    for i in range(distractors.shape[0]):
        piece = distractor_of(distractors[i])
        if piece.kind != SCALE_BAR:
            state = np.array([piece.key], np.uint64)
            hue = _hue(state, piece.kind)
            _lay_distractor(piece, hue, _lumps(state, piece), tile, densities)


@compiled()
def _hue(state, kind):  # type: ignore[no-untyped-def]
    """Densities of red, green and blue in 1/256 of the distractor's."""
    share = below(state, 257)
    if kind == PRECIPITATE:
        return 200 + share // 5, 256, 170 + share // 5
    return 80 + share * 150 // 256, 256, 150 - share * 50 // 256


@compiled()
def _lumps(state, piece):  # type: ignore[no-untyped-def]
    """int64 (_LUMPS, 3): x, y and radius of each, in 1/256 px; the first is the largest and in the middle."""
    lumps = np.empty((_LUMPS, 3), np.int64)
    along_x, along_y, size = cosine(piece.angle), sine(piece.angle), piece.size
    for k in range(_LUMPS):
        reach = size * 5 // 16 if k else 0
        along, across = between(state, -reach, reach), between(state, -reach, reach) * 5 // 8
        lumps[k, 0] = piece.cx + (along * along_x - across * along_y) // ONE
        lumps[k, 1] = piece.cy + (along * along_y + across * along_x) // ONE
        lumps[k, 2] = max(between(state, size // 8, size * 5 // 16) if k else size * 3 // 8, 160)
    return lumps


@compiled()
def _lay_distractor(piece, hue, lumps, tile, densities):  # type: ignore[no-untyped-def]
    height, width = densities.shape
    full = _FULL_DEBRIS if piece.kind == DEBRIS else _FULL_PRECIPITATE
    reach = piece.size * 7 // 10 + 256
    for y in range(max((piece.cy - reach) >> 8, 0), min((piece.cy + reach >> 8) + 1, height)):
        for x in range(max((piece.cx - reach) >> 8, 0), min((piece.cx + reach >> 8) + 1, width)):
            mass = min(max((_mass(lumps, x << 8, y << 8) - _BARE) * 256 // (full - _BARE), 0), 256)
            if mass > 0:
                grain = tile[y % SIDE, x % SIDE] // 4 if piece.kind == DEBRIS else 0
                d = piece.density * mass * max(UNIT + grain, 0) // (256 * UNIT)
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
def draw_scale_bars(distractors, glass, image):  # type: ignore[no-untyped-def]
    """Draws the scale bars along rows into image, uint8 (H, W, 3). glass: int64 (3,), in 1/256 grey level.

    The key says how thick a bar is, 2 to 5 px, and whether its ends have ticks.
    """
    height, width, _ = image.shape
    ink = 0 if glass[1] >= _BLACK_ON * 256 else 255
    for i in range(distractors.shape[0]):
        bar = distractor_of(distractors[i])
        if bar.kind != SCALE_BAR:
            continue
        thick, ticks = 2 + bar.key % 4, (bar.key >> 2) % 2
        left, right = (bar.cx - bar.size // 2) >> 8, (bar.cx + bar.size // 2) >> 8
        top = (bar.cy >> 8) - thick // 2
        for x in range(max(left, 0), min(right, width)):
            at_end = ticks and (x < left + thick or x >= right - thick)
            grown = thick if at_end else 0
            for y in range(max(top - grown, 0), min(top + thick + grown, height)):
                image[y, x] = ink
