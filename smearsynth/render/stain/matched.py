"""The cells of a bank as if the reference laboratory had stained and photographed all of them on clear glass.

Fitted and applied once per bank and process. A smear then paints cells of one stain and needs no more than one table
of densities per kind of cell; what a fit costs, a sample never pays. All is integer, but for the decimal arithmetic of
`recolouring`, so the pixels are the same on any machine.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.cells.bank import Bank
from smearsynth.fixed_point import ONE
from smearsynth.render.density import DENSITY
from smearsynth.render.stain import curves, kinds, measure, placing
from smearsynth.render.stain.recolouring import recolouring
from smearsynth.scene.warp import Pool, pool_of

_MOST_GAIN = 5 * ONE // 2
"""How much stronger or weaker, at most, a single cell's stain is made to come nearer to its kind's."""
_LEAST_ANCHOR = 64

Array = npt.NDArray[np.int64]


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
        placing.place(pool_of(bank), *kind, pixels)
        if kind.red:
            centre = kind.centre
    return Matched(pool_of(bank)._replace(pixels=pixels), centre)


def fit(bank: Bank, white_share: int, red_share: int) -> list[Kind]:
    """One for every source and class of the bank."""
    facts, red = _facts(bank), kinds.is_red(bank)
    references = {colour: kinds.reference(bank, red == colour) for colour in (False, True)}
    present = np.unique(bank.source.astype(np.int64) << 8 | bank.class_id)
    made = []
    for source, class_id in zip((present >> 8).tolist(), (present & 255).tolist(), strict=True):
        rows = np.flatnonzero((bank.source == source) & (bank.class_id == class_id))
        is_red = bool(red[rows[0]])
        share = red_share if is_red else white_share
        made.append(_kind(facts, rows, is_red, kinds.kin(bank, source, class_id, references[is_red]), share))
    return made


def _facts(bank: Bank) -> _Facts:
    pool, red = pool_of(bank), kinds.is_red(bank)
    anchor = measure.anchors(pool, bank.glass, red)
    scatter = measure.scatter(pool, bank.glass, red, anchor)
    return _Facts(pool, DENSITY[bank.glass].astype(np.int64), anchor, scatter)


def _kind(facts: _Facts, rows: Array, red: bool, on: kinds.Fit, share: int) -> Kind:
    share = share if on.own else ONE
    centre = kinds.mean(facts.anchor[on.source], on.source_weight)
    to = kinds.mean(facts.anchor[on.reference], on.reference_weight)
    matrix, curve = np.eye(3, dtype=np.int64) * ONE, curves.identity()
    if not np.array_equal(on.source, on.reference):
        here = _nearer(facts, on.source, red, centre, share)
        there = _nearer(facts, on.reference, red, to, share)
        matrix = recolouring(
            _covariance(facts, on.source, on.source_weight, *here),
            _covariance(facts, on.reference, on.reference_weight, *there),
        )
        levels = _quantiles(facts, on.source, *here, matrix, to, red)
        unturned = np.eye(3, dtype=np.int64) * ONE
        wanted = kinds.mean(_quantiles(facts, on.reference, *there, unturned, to, red), on.reference_weight)
        curve = curves.matching(levels, wanted, on.source_weight)
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
    return kinds.mean(scaled + offset[:, :, None] * offset[:, None, :], weight)


def _quantiles(
    facts: _Facts, rows: Array, gain: Array, offset: Array, matrix: Array, centre: Array, red: bool
) -> Array:
    base = facts.ground[rows] + facts.anchor[rows]
    found: Array = placing.quantiles(facts.pool, rows, red, base, gain, offset, matrix, centre)
    return found
