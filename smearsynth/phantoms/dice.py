"""Real-valued draws from a keyed stream, for drawings only: no sample of a dataset is decided by a float."""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from smearsynth import streams
from smearsynth.compiled import compiled

Floats = npt.NDArray[np.float64]
T = TypeVar("T")


class Dice:
    """The draws of one drawn thing; the same key always throws the same."""

    def __init__(self, *key: int | str) -> None:
        self._state = streams.stream(*key)

    def between(self, low: float, high: float) -> float:
        """Uniform from low to high."""
        return low + (high - low) * int(streams.next_u64(self._state)) * 2.0**-64

    def whole(self, low: int, high: int) -> int:
        """A whole number in [low, high], both ends included."""
        return int(streams.between(self._state, low, high))

    def pick(self, items: Sequence[T]) -> T:
        return items[self.whole(0, len(items) - 1)]

    def angle(self) -> float:
        """A direction, radians."""
        return self.between(0.0, 2 * math.pi)

    def near(self, centre: float, spread: float) -> float:
        """About `centre`, log-normal: two thirds of the draws lie within a factor of 1 +- `spread`."""
        return centre * math.exp(spread * float(self.normals(1)[0]))

    def normals(self, *shape: int) -> Floats:
        """f8 of this shape, mean 0, variance 1, never beyond 3.5: sums of four uniform draws."""
        return _normals(self._state, math.prod(shape)).reshape(shape)


@compiled()
def _normals(state, n):  # type: ignore[no-untyped-def]
    out = np.empty(n)
    for i in range(n):
        bits = streams.next_u64(state)
        total = np.int64(0)
        for _ in range(4):
            total += np.int64(bits & np.uint64(0xFFFF))
            bits >>= np.uint64(16)
        out[i] = (total / 65536.0 - 2.0) * 1.7320508075688772
    return out
