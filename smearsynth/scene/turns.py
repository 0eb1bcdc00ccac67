"""Sine and cosine of turns in fixed point, from a table that no mathematics library can change.

An angle is an integer, 65536 to the full turn. The table is rounded from `math.sin`, whose error is far below 1e-9 of
an entry's unit; building it asserts that no value lies within 1e-9 of a rounding boundary, so every library gives the
same integers.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

TURN = 65536
QUARTER = TURN // 4
ONE = 65536
"""Fixed-point 1."""


def rounded(values: list[float]) -> list[int]:
    """The nearest integers; AssertionError where a value is within 1e-9 of half-way between two."""
    assert all(abs(v - math.floor(v) - 0.5) > 1e-9 for v in values), "an entry depends on the last digit of libm"
    return [math.floor(v + 0.5) for v in values]


def _quarter_sines() -> npt.NDArray[np.int32]:
    return np.array(rounded([ONE * math.sin(math.pi / 2 * i / QUARTER) for i in range(QUARTER + 1)]), np.int32)


QUARTER_SINES = _quarter_sines()
"""i4 (16385,): round(65536 sin) of the angles 0 to a quarter turn."""


@numba.njit(cache=True)
def sine(angle):  # type: ignore[no-untyped-def]
    """round(65536 sin(angle)), exact at quarter turns, odd and symmetric at all others."""
    quarter, rest = (angle // QUARTER) % 4, angle % QUARTER
    value = np.int64(QUARTER_SINES[QUARTER - rest if quarter % 2 else rest])
    return -value if quarter >= 2 else value


@numba.njit(cache=True)
def cosine(angle):  # type: ignore[no-untyped-def]
    """round(65536 cos(angle))."""
    return sine(angle + QUARTER)
