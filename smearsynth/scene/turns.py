"""Sine and cosine of turns in fixed point. An angle is an integer, 65536 to the full turn."""

import math

import numpy as np
import numpy.typing as npt

from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE, rounded

TURN = 65536
QUARTER = TURN // 4


def _quarter_sines() -> npt.NDArray[np.int32]:
    return np.array(rounded(ONE * math.sin(math.pi / 2 * i / QUARTER) for i in range(QUARTER + 1)), np.int32)


QUARTER_SINES = _quarter_sines()
"""i4 (16385,): round(65536 sin) of the angles 0 to a quarter turn."""


@compiled()
def sine(angle):  # type: ignore[no-untyped-def]
    """round(65536 sin(angle)), exact at quarter turns, odd and symmetric at all others."""
    quarter, rest = (angle // QUARTER) % 4, angle % QUARTER
    value = np.int64(QUARTER_SINES[QUARTER - rest if quarter % 2 else rest])
    return -value if quarter >= 2 else value


@compiled()
def cosine(angle):  # type: ignore[no-untyped-def]
    """round(65536 cos(angle))."""
    return sine(angle + QUARTER)
