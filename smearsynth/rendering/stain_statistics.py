"""Optical densities of the cells of a bank against their own glass, and what is counted of them, all in integers.

The linear map that gives densities of one covariance another one, and moves them least.

It is the optimal transport between two normal distributions (Monge's map; Pitie and Kokaram 2007 for colours): the
geometric mean A of the inverse of the source's covariance S and the reference's R, so that A S A = R. The iteration of
arithmetic and harmonic means finds it with sums, products and quotients alone. It runs in decimal arithmetic, which is
integer arithmetic by its standard (IBM's General Decimal Arithmetic): no processor and no library can change a digit.

Which cells the stain of a kind is fitted on. A kind is the cells of one source and class.

Red cells and stained cells (white cells and platelets) have a reference each: the source with most of their cells whose
glass was measured. A kind is fitted to the reference's cells of its class. Infected cells take what the healthy ones of
their source take, else the fit would bleach parasites. Where either side has too few, all of the source's stained
classes that the reference has too are fitted together, each with the same weight: a camera is one for all of its cells.
"""

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.rendering.optical_density import DENSITY
from smearsynth.scene.warp import INSIDE
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, INFECTED_RBC, RED_CELLS

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


_DIGITS = Context(prec=40)
_STEPS = 40
"""The iteration doubles its digits with every step, after as many as halve the ratio of the widest to the narrowest
direction: 40 are enough for any covariance of 8-bit densities."""
_FLOOR = 64
"""Variance, in squared units of density, that every direction has at least: the rounding of 8-bit grey levels."""

_Matrix = Sequence[Sequence[Decimal]]


def recolouring(source: npt.NDArray[np.int64], reference: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """i8 (3, 3) in 1/65536, the map for column vectors of deviations. source, reference: i8 (3, 3), covariances."""
    with localcontext(_DIGITS):
        x, y = _inverse(_decimal(source)), _decimal(reference)
        for _ in range(_STEPS):
            x, y = _half_sum(x, y), _inverse(_half_sum(_inverse(x), _inverse(y)))
        return np.array([[int((ONE * v).to_integral_value()) for v in row] for row in x], np.int64)


def _decimal(covariance: npt.NDArray[np.int64]) -> _Matrix:
    rows = covariance.tolist()
    return [[Decimal(rows[i][j] + (_FLOOR if i == j else 0)) for j in range(3)] for i in range(3)]


def _half_sum(a: _Matrix, b: _Matrix) -> _Matrix:
    return [[(p + q) / 2 for p, q in zip(u, v, strict=True)] for u, v in zip(a, b, strict=True)]


def _inverse(m: _Matrix) -> _Matrix:
    """By cofactors, whose indices run on modulo 3."""
    cofactors = [
        [
            m[(i + 1) % 3][(j + 1) % 3] * m[(i + 2) % 3][(j + 2) % 3]
            - m[(i + 1) % 3][(j + 2) % 3] * m[(i + 2) % 3][(j + 1) % 3]
            for j in range(3)
        ]
        for i in range(3)
    ]
    determinant = sum(m[0][j] * cofactors[0][j] for j in range(3))
    return [[cofactors[j][i] / determinant for j in range(3)] for i in range(3)]


_FEWEST = 8
"""Cells of a kind below which its own fit would be that of single cells."""
_WEIGHT = 1 << 16

Rows = npt.NDArray[np.int64]


class Fit(NamedTuple):
    """What a kind is fitted on: rows of the bank and their weights, of the source and of the reference.

    own: the rows are of the kind itself, so a cell may be drawn to their centre.
    """

    source: Rows
    source_weight: Rows
    reference: Rows
    reference_weight: Rows
    own: bool


def is_red_kind(bank: Bank) -> npt.NDArray[np.bool_]:
    """b1 (n,)."""
    return np.isin(bank.class_id, RED_CELLS)


def reference(bank: Bank, among: npt.NDArray[np.bool_]) -> int:
    """The number of the source with most cells of known glass; among equals, of any glass; then the first."""
    known = np.bincount(bank.source[among & (bank.glass_measured == 1)], minlength=len(bank.sources))
    every = np.bincount(bank.source[among], minlength=len(bank.sources))
    return int(np.lexsort((-np.arange(len(bank.sources)), every, known))[-1])


def kin(bank: Bank, source: int, class_id: int, to: int) -> Fit:
    """The cells that the kind is fitted on; to: the number of the reference."""

    def rows(of: int, classes: tuple[int, ...]) -> Rows:
        return np.flatnonzero((bank.source == of) & np.isin(bank.class_id, classes))

    red = class_id in RED_CELLS
    own: tuple[int, ...] = (HEALTHY_RBC,) if red else (class_id,)
    group = (INFECTED_RBC, HEALTHY_RBC) if red else tuple(c.id for c in CLASSES[1:] if c.id not in RED_CELLS)
    enough = {c: min(len(rows(source, (c,))), len(rows(to, (c,)))) >= _FEWEST for c in group}
    if red and not enough[HEALTHY_RBC]:
        own = group
    if red or enough[class_id]:
        return _fit(bank, rows(source, own), rows(to, own), True)
    shared = tuple(c for c in group if enough[c])
    if shared and source != to:
        return _fit(bank, rows(source, shared), rows(to, shared), False)
    return _fit(bank, rows(source, own), rows(source, own), True)


def mean(values: Rows, weight: Rows) -> Rows:
    """Weighted mean over the first axis, i8; weight: i8 (n,)."""
    shaped = weight.reshape(-1, *(1,) * (values.ndim - 1))
    total: Rows = (values * shaped).sum(axis=0) // weight.sum()
    return total


def _fit(bank: Bank, source: Rows, reference: Rows, own: bool) -> Fit:
    return Fit(source, _weights(bank, source), reference, _weights(bank, reference), own)


def _weights(bank: Bank, rows: Rows) -> Rows:
    """The same weight for every class."""
    held = np.bincount(bank.class_id[rows], minlength=len(CLASSES))
    return np.maximum(_WEIGHT // held[bank.class_id[rows]], 1)
