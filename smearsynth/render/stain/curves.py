"""Curves of density, one per channel, that give the cells of a source the reference's distribution."""

import numpy as np
import numpy.typing as npt

from smearsynth.compiled import compiled
from smearsynth.render.stain.kinds import mean
from smearsynth.render.stain.placing import HIGH, LOW

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
