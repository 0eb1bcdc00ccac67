"""What stain matching measures of the cells of a bank, and on which cells it fits, all in integers.

Optical densities are against a cell's own glass. Red cells and stained cells (white cells and platelets) have a
reference each: the source with most of their cells whose glass was measured. A kind, the cells of one source and class,
is fitted to the reference's cells of its class. Infected cells take what the healthy ones of their source take, else
the fit would bleach parasites. Where either side has too few, all of the source's stained classes that the reference
has too are fitted together, each with the same weight: a camera is one for all of its cells.
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

Integers = npt.NDArray[np.int64]
PARASITE = 160
"""Density in green above a red cell's median from which on a pixel may hold more than haemoglobin: 98 % of the pixels
of healthy NIH cells are below."""
_FEWEST = 8
"""Cells of a kind below which its own fit would be that of single cells."""
_WEIGHT = 1 << 16
_DIGITS = Context(prec=40)
_STEPS = 40
"""The iteration doubles its digits with every step, after as many as halve the ratio of the widest to the narrowest
direction: 40 are enough for any covariance of 8-bit densities."""
_FLOOR = 64
"""Variance, in squared units of density, that every direction has at least: the rounding of 8-bit grey levels."""
_Matrix = Sequence[Sequence[Decimal]]


class FittingCells(NamedTuple):
    """What a kind is fitted on: rows of the bank and their weights, of the source and of the reference, int64 (n,).

    own: the rows are of the kind itself, so a cell may be drawn to their centre.
    """

    source: Integers
    source_weight: Integers
    reference: Integers
    reference_weight: Integers
    own: bool


def are_red_cells(bank: Bank) -> npt.NDArray[np.bool_]:
    """bool (n,)."""
    return np.isin(bank.class_id, RED_CELLS)


def reference_source(bank: Bank, among: npt.NDArray[np.bool_]) -> int:
    """The number of the source with most cells of known glass; among equals, of any glass; then the first."""
    known = np.bincount(bank.source[among & (bank.glass_measured == 1)], minlength=len(bank.sources))
    every = np.bincount(bank.source[among], minlength=len(bank.sources))
    return int(np.lexsort((-np.arange(len(bank.sources)), every, known))[-1])


def fitting_cells(bank: Bank, source: int, class_id: int, reference: int) -> FittingCells:
    """The cells that a kind is fitted on; reference: the number of that source."""

    def rows(of: int, classes: tuple[int, ...]) -> Integers:
        return np.flatnonzero((bank.source == of) & np.isin(bank.class_id, classes))

    def fit(ours: Integers, theirs: Integers, own: bool) -> FittingCells:
        return FittingCells(ours, _weights(bank, ours), theirs, _weights(bank, theirs), own)

    red = class_id in RED_CELLS
    own: tuple[int, ...] = (HEALTHY_RBC,) if red else (class_id,)
    group = (INFECTED_RBC, HEALTHY_RBC) if red else tuple(c.id for c in CLASSES[1:] if c.id not in RED_CELLS)
    enough = {c: min(len(rows(source, (c,))), len(rows(reference, (c,)))) >= _FEWEST for c in group}
    if red and not enough[HEALTHY_RBC]:
        own = group
    if red or enough[class_id]:
        return fit(rows(source, own), rows(reference, own), True)
    shared = tuple(c for c in group if enough[c])
    if shared and source != reference:
        return fit(rows(source, shared), rows(reference, shared), False)
    return fit(rows(source, own), rows(source, own), True)


def _weights(bank: Bank, rows: Integers) -> Integers:
    """The same weight for every class."""
    held = np.bincount(bank.class_id[rows], minlength=len(CLASSES))
    return np.maximum(_WEIGHT // held[bank.class_id[rows]], 1)


def mean(values: Integers, weight: Integers) -> Integers:
    """Weighted mean over the first axis, int64; weight: int64 (n,)."""
    shaped = weight.reshape(-1, *(1,) * (values.ndim - 1))
    total: Integers = (values * shaped).sum(axis=0) // weight.sum()
    return total


@compiled()
def anchors(cells, glass, red):  # type: ignore[no-untyped-def]
    """int64 (n, 3): the density that a cell is known by; of red cells the median, which no parasite moves, else the
    mean. glass: uint8 (n, 3). red: bool (n,).
    """
    known = np.zeros((red.size, 3), np.int64)
    for cell in range(red.size):
        counts = np.zeros((3, 256), np.int64)
        first = cells.offset[cell]
        for i in range(first, first + np.int64(cells.height[cell]) * cells.width[cell]):
            pixel = cells.pixels[i]
            if pixel >> 24 >= INSIDE:
                for c in range(3):
                    counts[c, (pixel >> (8 * c)) & 255] += 1
        for c in range(3):
            of_glass, total = np.int64(DENSITY[glass[cell, c]]), max(counts[c].sum(), 1)
            if red[cell]:
                grey, below = 0, counts[c, 0]
                while below <= total // 2 and grey < 255:
                    grey += 1
                    below += counts[c, grey]
                known[cell, c] = DENSITY[grey] - of_glass
            else:
                summed = np.int64(0)
                for grey in range(256):
                    summed += counts[c, grey] * DENSITY[grey]
                known[cell, c] = summed // total - of_glass
    return known


@compiled()
def scatter(cells, glass, red, anchor):  # type: ignore[no-untyped-def]
    """int64 (n, 3, 3): mean product of the deviations of two channels from the anchor, parasites left out."""
    products = np.zeros((red.size, 3, 3), np.int64)
    deviation = np.zeros(3, np.int64)
    for cell in range(red.size):
        first, count = cells.offset[cell], 0
        for i in range(first, first + np.int64(cells.height[cell]) * cells.width[cell]):
            pixel = cells.pixels[i]
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


def optimal_transport(source: Integers, reference: Integers) -> Integers:
    """The linear map that gives densities of one covariance another one, and moves them least.

    int64 (3, 3) in 1/65536, for column vectors of deviations. source, reference: int64 (3, 3), covariances. It is the
    optimal transport between two normal distributions (Monge's map; Pitie and Kokaram 2007 for colours): the geometric
    mean A of the inverse of the source's covariance S and the reference's R, so that A S A = R. The iteration of
    arithmetic and harmonic means finds it with sums, products and quotients alone. It runs in decimal arithmetic, which
    is integer arithmetic by its standard (IBM's General Decimal Arithmetic): no processor and no library can change a
    digit.
    """
    with localcontext(_DIGITS):
        x, y = _inverse(_decimal(source)), _decimal(reference)
        for _ in range(_STEPS):
            x, y = _half_sum(x, y), _inverse(_half_sum(_inverse(x), _inverse(y)))
        return np.array([[int((ONE * v).to_integral_value()) for v in row] for row in x], np.int64)


def _decimal(covariance: Integers) -> _Matrix:
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
