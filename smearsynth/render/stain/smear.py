"""The stain of one smear: the density that a grey level of a matched cell stands for."""

import numpy as np

from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE
from smearsynth.render.density import DENSITY


@compiled()
def smear_curves(red_centre, target, strength):  # type: ignore[no-untyped-def]
    """i4 (2, 3, 256): density of the grey levels of matched cells, of stained cells first, then of red cells.

    red_centre: i8 (3,), density of matched red cells. target: i8 (3,), density of the smear's red cells. strength: i8
    (3,), factor on the density of each channel, in 1/65536. What is paler than a red cell's body is stretched with it,
    so that the pallor survives; what is darker is only moved, so that a parasite keeps its contrast.
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
