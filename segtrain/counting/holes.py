"""Holes in cells, filled: the pale centre of a red cell is no glass."""

import math

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

_ROUND = 0.6
"""Share of the smallest disc around it that a hole in a cell fills, at least. The gap between three discs that touch
fills 0.15, between four 0.27, and where they overlap more, but no gap with hollow sides fills as much as a square."""


def fill_holes(kind: npt.NDArray[np.uint8], largest: float) -> npt.NDArray[np.uint8]:
    """u1 (h, w): a map in which each hole has the number that is most frequent around it.

    kind: u1 (h, w), 0 = background. A hole is a region of background of at most `largest` px, away from the border, and
    nearly round: what cells enclose that touch is not.
    """
    count, label, stats, _ = cv2.connectedComponentsWithStats((kind == 0).astype(np.uint8), connectivity=4)
    edge = np.unique(np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]]))
    filled = kind.copy()
    for i in set(range(1, count)) - set(edge.tolist()):
        left, top, width, height, area = stats[i].tolist()
        if area > largest:
            continue
        window = np.s_[top - 1 : top + height + 1, left - 1 : left + width + 1]
        hole = label[window] == i
        if area >= _ROUND * _disc_area(hole):
            around = ndimage.binary_dilation(hole) & ~hole
            filled[window][hole] = np.bincount(kind[window][around]).argmax()
    return filled


def _disc_area(region: npt.NDArray[np.bool_]) -> float:
    """Of the smallest disc that holds all pixels of `region`, whose own breadth counts."""
    _, radius = cv2.minEnclosingCircle(cv2.findNonZero(region.astype(np.uint8)))
    return math.pi * (radius + 0.5) ** 2
