"""Masks of two levels, soft edges and traces of JPEG included."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from segtrain.importing.reading import Reading, with_transparency
from smearsynth.images import MaskPixels
from smearsynth.taxonomy import IGNORE

Cells = Literal["white", "black"]

_SOFT = 1 / 3
_FEW = 0.001
"""Most pixels between the levels: this share of the rarer level, whose edge is a pixel wide, and this of the image. A
map of instances, or a third level, has far more."""
_COLOURED = 64
"""Difference of a pixel's channels that JPEG does not bring into grey."""
_NUMBERS = 64
"""A brightest value below this is a number and no brightness, unless it is the only one beside 0."""


class LevelReader:
    """Masks to 0 (background) and 1 (cells). White is the upper quarter of a mask's range, black the lower; between
    them is 255. The range ends at the brightest value, after JPEG at 255."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    def read(self, mask: MaskPixels) -> Reading:
        value, colour = mask.value, mask.colour
        if mask.palette is not None:
            colour = mask.palette[value]
        if colour is not None:
            if coloured := np.count_nonzero(np.ptp(colour, axis=2) > _COLOURED):
                fault = f"{coloured:,} pixels are coloured; name the colours by --palette reference or a YAML file"
                return Reading(label=np.zeros(colour.shape[:2], np.uint8), faults=(fault,))
            value = colour.max(axis=2)
        assert value is not None
        return self._of_grey(value.astype(np.uint32), mask)

    def _of_grey(self, value: npt.NDArray[np.uint32], mask: MaskPixels) -> Reading:
        top = 255 if mask.lossy else max(int(value.max()), 1)
        white, black = 4 * value > 3 * top, 4 * value <= top
        cells, glass = (white, black) if self._cells == "white" else (black, white)
        label = np.where(glass, 0, np.where(cells, 1, IGNORE)).astype(np.uint8)
        between = np.count_nonzero(label == IGNORE)
        many = between > _SOFT * min(np.count_nonzero(white), np.count_nonzero(black)) + _FEW * label.size
        if many or (top < _NUMBERS and not mask.lossy and np.unique(value).size > 2):
            return Reading(label=label, faults=(_fault(value),))
        return Reading(label=with_transparency(label, mask.alpha))


def _fault(value: npt.NDArray[np.uint32]) -> str:
    levels = np.unique(value)
    shown = ", ".join(map(str, levels[:5])) + ", ..." * (len(levels) > 5)
    return f"is not black and white (values {shown}); if they are class ids, give --palette ids or a YAML file"
