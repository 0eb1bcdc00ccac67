"""Halves of one cell, joined: a fold or a pale slit may cut a cell so deep that its halves look like two cells.

Together they are what one cell is: of its size, and nearly convex. Two cells that touch are neither.
"""

import cv2
import numpy as np
from scipy import ndimage

from segtrain.counting.contacts import Labels, contacts

_CONVEX = 0.95
"""Share of its hull that the outline of one cell encloses, at least."""
_LARGEST = 1.2
"""Typical cells' areas that one cell has, at most."""


def join_halves(cells: Labels, *, area: float) -> Labels:
    """i4 (h, w): numbers from 1 without gaps, as in `cells`. area: px of a typical cell."""
    sizes = np.bincount(cells.ravel())
    boxes = ndimage.find_objects(cells)
    owner, joined = np.arange(len(sizes)), np.zeros(len(sizes), bool)
    for i, j in np.unique(contacts(cells)[0], axis=0).tolist():
        free = i and not joined[i] and not joined[j]
        if free and sizes[i] + sizes[j] <= _LARGEST * area and _convexity(cells, i, j, boxes) >= _CONVEX:
            owner[j] = i
            joined[[i, j]] = True
    return np.unique(owner, return_inverse=True)[1].astype(np.int32)[cells]


def _convexity(cells: Labels, i: int, j: int, boxes: list[tuple[slice, slice]]) -> float:
    rows, columns = zip(boxes[i - 1], boxes[j - 1], strict=True)
    window = cells[_span(rows), _span(columns)]
    both = ((window == i) | (window == j)).astype(np.uint8)
    outline = max(cv2.findContours(both, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=cv2.contourArea)
    hull = cv2.contourArea(cv2.convexHull(outline))
    return cv2.contourArea(outline) / hull if hull else 0.0


def _span(slices: tuple[slice, ...]) -> slice:
    return slice(min(s.start for s in slices), max(s.stop for s in slices))
