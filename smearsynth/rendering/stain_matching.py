"""Stain: cells of different laboratories as if one had stained and photographed them, then the stain of a smear.

What differs between laboratories is taken out once per bank and process (`matched_cells`), by source and class, into
pixels on one clear glass; what differs between smears is drawn with the scene and costs one table of densities per
smear (`smear_curves`). What a fit costs, a sample never pays. Romanowsky stains have no fixed dye vectors, azure B,
eosin and their compound blend with the fixation, the pH and the camera: so no basis is assumed, and the optical
densities themselves are matched (compare Reinhard 2001, Pitie 2007 on colour transfer): first by a linear map of the
three channels, then by a curve for each.

All is integer, but for the decimal arithmetic of `optimal_transport`, so the pixels are the same on any machine.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from smearsynth.bank.bank import Bank
from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.rendering.optical_density import DARKEST, DENSITY, TRANSMITTANCE
from smearsynth.rendering.stain_statistics import (
    PARASITE,
    FittingCells,
    Integers,
    anchors,
    are_red_cells,
    fitting_cells,
    mean,
    optimal_transport,
    reference_source,
    scatter,
)
from smearsynth.scene.warp import INSIDE, CellPixels, cell_pixels

LEVELS = 12
"""Quantiles that a distribution of densities is known by, at (2 k + 1) / 24."""
LOW, HIGH = -1024, DARKEST + 1
"""Densities that a curve knows; the brightest cells of a source whose glass is only recorded are below 0."""
_SURE_PARASITE = 512
"""Density in green above a red cell's median from which on a pixel is that of a parasite: its chromatin is above."""
_BIN = 8
"""Width of the bins in which densities are counted."""
_ROUNDS = 4
"""The mean over cells of a curve's values is not the curve's value at their mean: what is missed is added."""
_STEEPEST = 4
"""Largest slope, and one over the smallest: beyond it chromatin falls apart into two tones."""
_MOST_GAIN = 5 * ONE // 2
"""How much stronger or weaker, at most, a single cell's stain is made to come nearer to its kind's."""
_LEAST_ANCHOR = 64


class MatchedCells(NamedTuple):
    """cells: the bank's, with their masks, on a glass of 255. red_centre: int64 (3,), the density that red cells have
    there."""

    cells: CellPixels
    red_centre: Integers


class StainTransfer(NamedTuple):
    """What turns m cells of one source and class into the reference's stain.

    rows: int64 (m,), the cells. red: whether they are red cells. base: int64 (m, 3), density of glass and anchor. The
    deviation of a pixel from the anchor is multiplied by `gain` and added to `offset`, the cell's own from the centre
    of its kind, both int64 (m, 3); `matrix`, int64 (3, 3), turns it into the reference's, around `centre`, int64 (3,);
    and `curve`, int64 (3, HIGH - LOW), says what a density becomes in the end. gain, matrix: in 1/65536.
    """

    rows: Integers
    red: bool
    base: Integers
    gain: Integers
    offset: Integers
    matrix: Integers
    centre: Integers
    curve: Integers


class _Measured(NamedTuple):
    """What is measured of every cell of a bank. glass, anchor: int64 (n, 3), densities. scatter: int64 (n, 3, 3)."""

    cells: CellPixels
    glass: Integers
    anchor: Integers
    scatter: Integers


@lru_cache(maxsize=2)
def matched_cells(bank: Bank, white_share: int, red_share: int) -> MatchedCells:
    """white_share, red_share: in 1/65536, what a stained and a red cell keep of their own deviation from their kind."""
    cells = cell_pixels(bank)
    pixels = np.empty_like(cells.pixels)
    red_centre = np.zeros(3, np.int64)
    for transfer in fit(bank, white_share, red_share):
        apply(cells, transfer, pixels)
        if transfer.red:
            red_centre = transfer.centre
    return MatchedCells(cells._replace(pixels=pixels), red_centre)


def fit(bank: Bank, white_share: int, red_share: int) -> list[StainTransfer]:
    """One for every source and class of the bank."""
    cells, red = cell_pixels(bank), are_red_cells(bank)
    anchor = anchors(cells, bank.glass, red)
    measured = _Measured(cells, DENSITY[bank.glass].astype(np.int64), anchor, scatter(cells, bank.glass, red, anchor))
    references = {is_red: reference_source(bank, red == is_red) for is_red in (False, True)}
    present = np.unique(bank.source.astype(np.int64) << 8 | bank.class_id)
    made = []
    for source, class_id in zip((present >> 8).tolist(), (present & 255).tolist(), strict=True):
        rows = np.flatnonzero((bank.source == source) & (bank.class_id == class_id))
        is_red = bool(red[rows[0]])
        fitting = fitting_cells(bank, source, class_id, references[is_red])
        made.append(_transfer(measured, rows, is_red, fitting, red_share if is_red else white_share))
    return made


def _transfer(measured: _Measured, rows: Integers, red: bool, on: FittingCells, share: int) -> StainTransfer:
    share = share if on.own else ONE
    centre = mean(measured.anchor[on.source], on.source_weight)
    target = mean(measured.anchor[on.reference], on.reference_weight)
    made = _towards_centre(measured, rows, red, centre, share)._replace(centre=target)
    if np.array_equal(on.source, on.reference):
        return made
    here = _towards_centre(measured, on.source, red, centre, share)._replace(centre=target)
    there = _towards_centre(measured, on.reference, red, target, share)
    matrix = optimal_transport(
        _covariance(measured, here, on.source_weight), _covariance(measured, there, on.reference_weight)
    )
    wanted = mean(quantiles(measured.cells, there), on.reference_weight)
    levels = quantiles(measured.cells, here._replace(matrix=matrix))
    return made._replace(matrix=matrix, curve=matching(levels, wanted, on.source_weight))


def _towards_centre(measured: _Measured, rows: Integers, red: bool, centre: Integers, share: int) -> StainTransfer:
    """What leaves each cell `share` of its anchor's deviation from the centre, and changes nothing else.

    A stained cell takes more or less dye as a whole, so its densities are multiplied. A red cell is moved: the median
    of one whose glass is not known is uncertain by a constant.
    """
    anchor = measured.anchor[rows]
    offset = (anchor - centre) * share // ONE
    gain = np.full_like(offset, ONE)
    if not red:
        gain = (centre + offset) * ONE // np.maximum(anchor, _LEAST_ANCHOR)
        gain = np.clip(gain, ONE * ONE // _MOST_GAIN, _MOST_GAIN)
    unchanged = np.eye(3, dtype=np.int64) * ONE
    return StainTransfer(rows, red, measured.glass[rows] + anchor, gain, offset, unchanged, centre, identity())


def _covariance(measured: _Measured, transfer: StainTransfer, weight: Integers) -> Integers:
    gain, offset = transfer.gain, transfer.offset
    scaled = (measured.scatter[transfer.rows] * gain[:, :, None] // ONE) * gain[:, None, :] // ONE
    return mean(scaled + offset[:, :, None] * offset[:, None, :], weight)


def identity() -> Integers:
    """int64 (3, HIGH - LOW): every density stays."""
    return np.tile(np.arange(LOW, HIGH), (3, 1))


def matching(source: Integers, reference: Integers, weight: Integers) -> Integers:
    """int64 (3, HIGH - LOW), LOW to HIGH - 1, rising: curve[c, d - LOW] is what density d becomes in channel c.

    source: int64 (cells, levels, 3), quantiles of each cell of a source. reference: int64 (levels, 3), their mean over
    the reference's cells. weight: int64 (cells,). A curve moves quantiles as it moves densities, so pixels are not
    needed.
    """
    known, wanted = mean(source, weight), reference.copy()
    for _ in range(_ROUNDS):
        curve = np.stack([_curve(known[:, c], wanted[:, c]) for c in range(3)])
        reached = np.stack([curve[c][source[..., c] - LOW] for c in range(3)], axis=-1)
        wanted += reference - mean(reached, weight)
    return curve


@compiled()
def quantiles(cells, transfer):  # type: ignore[no-untyped-def]
    """int64 (rows, LEVELS, 3): quantiles of the densities of each cell within its mask, before the curve."""
    rows = transfer.rows
    found = np.zeros((rows.size, LEVELS, 3), np.int64)
    density = np.zeros(3, np.int64)
    for k in range(rows.size):
        counts, total = np.zeros((3, (HIGH - LOW) // _BIN), np.int64), 0
        first = cells.offset[rows[k]]
        for i in range(first, first + np.int64(cells.height[rows[k]]) * cells.width[rows[k]]):
            if cells.pixels[i] >> 24 >= INSIDE:
                _transferred(np.int64(cells.pixels[i]), transfer, k, density)
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
def apply(cells, transfer, pixels):  # type: ignore[no-untyped-def]
    """Fills `pixels`, uint32 as those of the cells, with the cells of the transfer on a glass of 255; masks stay."""
    rows, curve = transfer.rows, transfer.curve
    density = np.zeros(3, np.int64)
    for k in range(rows.size):
        first = cells.offset[rows[k]]
        for i in range(first, first + np.int64(cells.height[rows[k]]) * cells.width[rows[k]]):
            pixel = np.int64(cells.pixels[i])
            _transferred(pixel, transfer, k, density)
            painted = pixel >> 24
            for c in (2, 1, 0):
                light = TRANSMITTANCE[max(curve[c, density[c] - LOW], 0)]
                painted = painted << 8 | (255 * light + ONE // 2) // ONE
            pixels[i] = painted


@compiled()
def _transferred(pixel, transfer, k, density):  # type: ignore[no-untyped-def]
    """Fills density, int64 (3,), LOW to HIGH - 1: that of a pixel of the k-th cell of a transfer, before the curve.

    A red cell holds one dye, so it has the hue of the centre at every thickness: other hues are the colour error of a
    lens, which a dark smear would blow up to rainbows. A parasite stays as far from it as it was.
    """
    base, gain, offset = transfer.base, transfer.gain, transfer.offset
    matrix, centre = transfer.matrix, transfer.centre
    x = (DENSITY[pixel & 255] - base[k, 0]) * gain[k, 0] // ONE + offset[k, 0]
    y = (DENSITY[(pixel >> 8) & 255] - base[k, 1]) * gain[k, 1] // ONE + offset[k, 1]
    z = (DENSITY[(pixel >> 16) & 255] - base[k, 2]) * gain[k, 2] // ONE + offset[k, 2]
    kept = min(max((y - offset[k, 1] - PARASITE) * ONE // (_SURE_PARASITE - PARASITE), 0), ONE)
    thickness = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z) // max(centre[1], 1)
    for c in range(3):
        if transfer.red:
            turned, own = centre[c] * thickness // ONE, x if c == 0 else (y if c == 1 else z)
            turned += (own - turned) * kept // ONE
        else:
            turned = (matrix[c, 0] * x + matrix[c, 1] * y + matrix[c, 2] * z) // ONE
        density[c] = min(max(centre[c] + turned, LOW), HIGH - 1)


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


@compiled()
def smear_curves(red_centre, target, strength):  # type: ignore[no-untyped-def]
    """int32 (2, 3, 256): density of the grey levels of matched cells, of stained cells first, then of red cells.

    red_centre, target: int64 (3,), density of matched red cells and of the smear's. strength: int64 (3,), factor on
    the density of each channel, in 1/65536. What is paler than a red cell's body is stretched with it, so that the
    pallor survives; what is darker is only moved, so that a parasite keeps its contrast.
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
