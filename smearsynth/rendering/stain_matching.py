"""Single cells put into the reference's stain, pixel by pixel, in integers.

The loops stand together with what they call in every pixel: a compiled loop is kept by the file that it stands in.

Curves of density, one per channel, that give the cells of a source the reference's distribution.

The cells of a bank as if the reference laboratory had stained and photographed all of them on clear glass.

Fitted and applied once per bank and process. A smear then paints cells of one stain and needs no more than one table
of densities per kind of cell; what a fit costs, a sample never pays. All is integer, but for the decimal arithmetic of
`recolouring`, so the pixels are the same on any machine.

The stain of one smear: the density that a grey level of a matched cell stands for.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.rendering import stain_statistics
from smearsynth.rendering.optical_density import DARKEST, DENSITY, TRANSMITTANCE
from smearsynth.rendering.stain_statistics import PARASITE, mean, recolouring
from smearsynth.scene.warp import INSIDE, Pool, pool_of

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


_ROUNDS = 4
"""The mean over cells of a curve's values is not the curve's value at their mean: what is missed is added."""
_STEEPEST = 4
"""Largest slope, and one over the smallest: beyond it chromatin falls apart into two tones."""

Array = npt.NDArray[np.int64]


def identity() -> Array:
    """i8 (3, HIGH - LOW): every density stays."""
    return np.tile(np.arange(LOW, HIGH), (3, 1))


def matching(source: Array, reference: Array, weight: Array) -> Array:
    """i8 (3, HIGH - LOW), LOW to HIGH - 1, rising: curve[c, d - LOW] is what density d becomes in channel c.

    source: i8 (cells, levels, 3), quantiles of each cell of a source. reference: i8 (levels, 3), their mean over the
    reference's cells. weight: i8 (cells,). A curve moves quantiles as it moves densities, so pixels are not needed.
    """
    known, wanted = mean(source, weight), reference.copy()
    for _ in range(_ROUNDS):
        curve = np.stack([_curve(known[:, c], wanted[:, c]) for c in range(3)])
        reached = np.stack([curve[c][source[..., c] - LOW] for c in range(3)], axis=-1)
        wanted += reference - mean(reached, weight)
    return curve


@compiled()
def _curve(source, reference):  # type: ignore[no-untyped-def]
    """Straight between the levels, from the middle one outwards, and of slope 1 beyond them."""
    levels = source.size
    x, y = np.zeros(levels, np.int64), np.zeros(levels, np.int64)
    middle = levels // 2
    x[middle], y[middle] = source[middle], reference[middle]
    for side in (-1, 1):
        k = middle + side
        while 0 <= k < levels:
            x[k] = x[k - side] + side * max(side * (source[k] - x[k - side]), 1)
            wanted, run = side * (reference[k] - y[k - side]), side * (x[k] - x[k - side])
            y[k] = y[k - side] + side * min(max(wanted, -(-run // _STEEPEST)), run * _STEEPEST)
            k += side
    curve = np.zeros(HIGH - LOW, np.int64)
    k = 0
    for d in range(LOW, HIGH):
        while k < levels - 2 and d >= x[k + 1]:
            k += 1
        if d < x[0]:
            value = y[0] + d - x[0]
        elif d > x[levels - 1]:
            value = y[levels - 1] + d - x[levels - 1]
        else:
            value = y[k] + (d - x[k]) * (y[k + 1] - y[k]) // (x[k + 1] - x[k])
        curve[d - LOW] = min(max(value, LOW), HIGH - 1)
    return curve


_MOST_GAIN = 5 * ONE // 2
"""How much stronger or weaker, at most, a single cell's stain is made to come nearer to its kind's."""
_LEAST_ANCHOR = 64


class Matched(NamedTuple):
    """pool: the bank's cells, pixel by pixel, with their masks, on a glass of 255.

    red_centre: i8 (3,), the density that red cells have there.
    """

    pool: Pool
    red_centre: Array


class Kind(NamedTuple):
    """What turns the cells of one source and class into the reference's. rows: those cells. base, gain, offset: as in
    `placing`, a row for each. matrix: i8 (3, 3). centre: i8 (3,). curve: i8 (3, HIGH - LOW)."""

    rows: Array
    red: bool
    base: Array
    gain: Array
    offset: Array
    matrix: Array
    centre: Array
    curve: Array


class _Facts(NamedTuple):
    """What is measured of every cell; ground: i8 (n, 3), density of its glass."""

    pool: Pool
    ground: Array
    anchor: Array
    scatter: Array


@lru_cache(maxsize=2)
def matched(bank: Bank, white_share: int, red_share: int) -> Matched:
    """white_share, red_share: in 1/65536, what a stained and a red cell keep of their own deviation from their kind."""
    pixels = np.empty_like(pool_of(bank).pixels)
    centre = np.zeros(3, np.int64)
    for kind in fit(bank, white_share, red_share):
        place(pool_of(bank), *kind, pixels)
        if kind.red:
            centre = kind.centre
    return Matched(pool_of(bank)._replace(pixels=pixels), centre)


def fit(bank: Bank, white_share: int, red_share: int) -> list[Kind]:
    """One for every source and class of the bank."""
    facts, red = _facts(bank), stain_statistics.is_red_kind(bank)
    references = {colour: stain_statistics.reference(bank, red == colour) for colour in (False, True)}
    present = np.unique(bank.source.astype(np.int64) << 8 | bank.class_id)
    made = []
    for source, class_id in zip((present >> 8).tolist(), (present & 255).tolist(), strict=True):
        rows = np.flatnonzero((bank.source == source) & (bank.class_id == class_id))
        is_red = bool(red[rows[0]])
        share = red_share if is_red else white_share
        made.append(_kind(facts, rows, is_red, stain_statistics.kin(bank, source, class_id, references[is_red]), share))
    return made


def _facts(bank: Bank) -> _Facts:
    pool, red = pool_of(bank), stain_statistics.is_red_kind(bank)
    anchor = stain_statistics.anchors(pool, bank.glass, red)
    scatter = stain_statistics.scatter(pool, bank.glass, red, anchor)
    return _Facts(pool, DENSITY[bank.glass].astype(np.int64), anchor, scatter)


def _kind(facts: _Facts, rows: Array, red: bool, on: stain_statistics.Fit, share: int) -> Kind:
    share = share if on.own else ONE
    centre = stain_statistics.mean(facts.anchor[on.source], on.source_weight)
    to = stain_statistics.mean(facts.anchor[on.reference], on.reference_weight)
    matrix, curve = np.eye(3, dtype=np.int64) * ONE, identity()
    if not np.array_equal(on.source, on.reference):
        here = _nearer(facts, on.source, red, centre, share)
        there = _nearer(facts, on.reference, red, to, share)
        matrix = recolouring(
            _covariance(facts, on.source, on.source_weight, *here),
            _covariance(facts, on.reference, on.reference_weight, *there),
        )
        levels = _quantiles(facts, on.source, *here, matrix, to, red)
        unturned = np.eye(3, dtype=np.int64) * ONE
        wanted = stain_statistics.mean(_quantiles(facts, on.reference, *there, unturned, to, red), on.reference_weight)
        curve = matching(levels, wanted, on.source_weight)
    gain, offset = _nearer(facts, rows, red, centre, share)
    return Kind(rows, red, facts.ground[rows] + facts.anchor[rows], gain, offset, matrix, to, curve)


def _nearer(facts: _Facts, rows: Array, red: bool, centre: Array, share: int) -> tuple[Array, Array]:
    """gain, offset, i8 (rows, 3): what leaves each cell `share` of its anchor's deviation from the centre.

    A stained cell takes more or less dye as a whole, so its densities are multiplied. A red cell is moved: the median
    of one whose glass is not known is uncertain by a constant.
    """
    anchor = facts.anchor[rows]
    offset = (anchor - centre) * share // ONE
    if red:
        return np.full_like(offset, ONE), offset
    gain = (centre + offset) * ONE // np.maximum(anchor, _LEAST_ANCHOR)
    return np.clip(gain, ONE * ONE // _MOST_GAIN, _MOST_GAIN), offset


def _covariance(facts: _Facts, rows: Array, weight: Array, gain: Array, offset: Array) -> Array:
    scaled = (facts.scatter[rows] * gain[:, :, None] // ONE) * gain[:, None, :] // ONE
    return stain_statistics.mean(scaled + offset[:, :, None] * offset[:, None, :], weight)


def _quantiles(
    facts: _Facts, rows: Array, gain: Array, offset: Array, matrix: Array, centre: Array, red: bool
) -> Array:
    base = facts.ground[rows] + facts.anchor[rows]
    found: Array = quantiles(facts.pool, rows, red, base, gain, offset, matrix, centre)
    return found


@compiled()
def smear_curves(red_centre, target, strength):  # type: ignore[no-untyped-def]
    """i4 (2, 3, 256): density of the grey levels of matched cells, of stained cells first, then of red cells.

    red_centre: i8 (3,), density of matched red cells. target: i8 (3,), density of the smear's red cells. strength: i8
    (3,), factor on the density of each channel, in 1/65536. What is paler than a red cell's body is stretched with it,
    so that the pallor survives; what is darker is only moved, so that a parasite keeps its contrast.
    """
    curve = np.empty((2, 3, 256), np.int32)
    for c in range(3):
        stretch = target[c] * ONE // max(red_centre[c], 1)
        for v in range(256):
            d = np.int64(DENSITY[v])
            above = d - red_centre[c]
            moved = target[c] + (above if above > 0 else above * stretch // ONE)
            curve[0, c, v] = d * strength[c] // ONE
            curve[1, c, v] = max(moved, 0) * strength[c] // ONE
    return curve
