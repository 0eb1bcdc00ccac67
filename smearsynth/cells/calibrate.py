"""The scale of a source: stated in micrometres per pixel, or found from the sizes of its cells.

Calibration gives one factor for the whole source, so the natural spread of sizes within it survives.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from smearsynth.errors import UserError
from smearsynth.taxonomy import BY_KEY, UM_PER_PX

LEAST_CELLS = 5
"""Cells of a class below which its median area says little."""


def scale_of(source: str, stated: float | None, classes: Sequence[str], areas: Mapping[int, Sequence[int]]) -> float:
    """Micrometres per pixel of a source.

    stated: the scale where it is known. classes: keys of the classes that calibrate otherwise: the geometric mean over
    them of the scale that brings their median area to the taxonomy's. areas: class id -> areas in px of good cells.
    Raises UserError where none of the classes has enough cells.
    """
    if stated is not None:
        return stated
    usable = [key for key in classes if len(areas.get(BY_KEY[key].id, ())) >= LEAST_CELLS]
    if not usable:
        raise UserError(
            f"source `{source}`: none of the classes that set its scale ({', '.join(classes)}) has {LEAST_CELLS} good "
            "cells; set `um_per_px`, or name other classes in `calibrate: {area: [...]}`"
        )
    mean = np.exp(np.mean([np.log(_scale(BY_KEY[key].area, areas[BY_KEY[key].id])) for key in usable]))
    # Six digits are far finer than any calibration, and leave the last bit of a logarithm out of the bank.
    return round(float(mean), 6)


def _scale(expected: int, areas: Iterable[int]) -> float:
    return UM_PER_PX * float(np.sqrt(expected / np.median(list(areas))))
