"""Which level of black and white masks is the cells: in transmitted light they are darker than the glass around."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from segtrain.importing.levels import Cells
from smearsynth.images import Pixels

_LEAST = 100
"""Pixels that cells and glass each need before their brightness is compared."""
_CLEAR = 4.0
"""Grey levels by which they must differ."""


@dataclass(frozen=True, kw_only=True)
class Polarity:
    """cells: their level, None where the images don't tell. agreeing: masks that speak for it. others: names of those
    that speak against it."""

    cells: Cells | None
    agreeing: int
    others: tuple[str, ...]


def brightness_of_cells(image: Pixels, label: Pixels) -> float:
    """Mean grey of the image where the label is 1 less that where it is 0; 0 where one of them is too rare.

    image: u1 (h, w, 3) RGB. label: u1 (h, w).
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cells, glass = label == 1, label == 0
    if min(np.count_nonzero(cells), np.count_nonzero(glass)) < _LEAST:
        return 0.0
    return float(grey[cells].mean() - grey[glass].mean())


def judge(brightness: Mapping[str, float]) -> Polarity:
    """brightness: of what is white in each mask, by its name."""
    white = tuple(name for name, value in brightness.items() if value <= -_CLEAR)
    black = tuple(name for name, value in brightness.items() if value >= _CLEAR)
    if len(white) == len(black):
        return Polarity(cells=None, agreeing=len(white), others=black)
    if len(white) > len(black):
        return Polarity(cells="white", agreeing=len(white), others=black)
    return Polarity(cells="black", agreeing=len(black), others=white)
