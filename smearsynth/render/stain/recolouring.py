"""The linear map that gives densities of one covariance another one, and moves them least.

It is the optimal transport between two normal distributions (Monge's map; Pitie and Kokaram 2007 for colours): the
geometric mean A of the inverse of the source's covariance S and the reference's R, so that A S A = R. The iteration of
arithmetic and harmonic means finds it with sums, products and quotients alone. It runs in decimal arithmetic, which is
integer arithmetic by its standard (IBM's General Decimal Arithmetic): no processor and no library can change a digit.
"""

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext

import numpy as np
import numpy.typing as npt

from smearsynth.fixed_point import ONE

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
