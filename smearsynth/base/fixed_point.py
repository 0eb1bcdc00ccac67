"""Fixed-point numbers and tables that no mathematics library can change."""

import math
from collections.abc import Iterable

ONE = 65536
"""1 in the fixed point of shares, factors, sines and scales."""
HALVING = 1024
"""Optical density of an absorber that halves the light."""


def rounded(values: Iterable[float]) -> list[int]:
    """The nearest integers of a table's values.

    AssertionError where a value lies within 1e-9 of half-way between two integers. The error of a library's
    sine, logarithm or power is far smaller, so every library gives the same table.
    """
    table = list(values)
    assert all(abs(v - math.floor(v) - 0.5) > 1e-9 for v in table), "an entry depends on the last digit of libm"
    return [math.floor(v + 0.5) for v in table]
