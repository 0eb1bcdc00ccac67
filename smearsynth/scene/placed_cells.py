"""The cells that are placed on the field already, and whether another may be placed beside them.

Footprints are kept in square buckets by the centre of their box, so that a large field costs no more per cell than a
small one. A cell can be moved along a ray from another's centre to where both just touch or share a little.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.scene.footprints import (
    HEIGHT,
    LEFT,
    TOP,
    WIDTH,
    Footprints,
    apart,
    cover,
    empty_footprints,
    share_more,
)
from smearsynth.scene.masks import FreeMask, free_all, free_mask
from smearsynth.scene.scene import CLASS
from smearsynth.scene.warp import CellPixels, cosine, sine
from smearsynth.taxonomy import INFECTED_RBC, PLATELET_CLUMP, THROMBOCYTE

GAP = 2
"""Least distance, px, of a single thrombocyte from another and from a clump."""
_BUCKET = 64
"""Side of a bucket, px."""
_0 = np.int64(0)
"""Given to a compiled loop, a constant without a type would be compiled for itself."""


class PlacedCells(NamedTuple):
    """Cells by number, the topmost first; the one that is being tried has the next number.

    cells: of the bank. reach: at least half the side of any box, px. poses: int64 (rows, 7), the columns POSE of an
    object. prints: their footprints. free: what they leave free. newest: int64 (rows, columns), the last cell put into
    a bucket. older: int64 (rows,), the one put there before a cell. Both are -1 for none.
    """

    cells: CellPixels
    reach: int
    poses: npt.NDArray[np.int64]
    prints: Footprints
    free: FreeMask
    newest: npt.NDArray[np.int64]
    older: npt.NDArray[np.int64]


class OverlapLimits(NamedTuple):
    """Largest share of either's area, in 1/65536, that two red cells may have in common, a red cell and a platelet, and
    any other two cells."""

    red_cells: int
    platelets: int
    others: int


def placed_cells(size: tuple[int, int], cells: CellPixels, reach: int, rows: int, words: int) -> PlacedCells:
    """An empty field of `size` (height, width) px with memory for so many cells, the one that is tried included, and
    so many words of footprints in all."""
    height, width = size
    return PlacedCells(
        cells,
        reach,
        np.empty((rows, 7), np.int64),
        empty_footprints(rows, words),
        free_mask(height, width),
        np.full((height // _BUCKET + 1, width // _BUCKET + 1), -1),
        np.empty(rows, np.int64),
    )


@compiled()
def remove_all(placed):  # type: ignore[no-untyped-def]
    """Takes all cells away."""
    free_all(placed.free)
    placed.newest[:] = -1


@compiled()
def add(placed, n):  # type: ignore[no-untyped-def]
    """Places cell n where its box is."""
    box = placed.prints.box[n]
    cover(placed.free, placed.prints, n)
    row, column = _bucket(placed, box[LEFT] + box[WIDTH] // 2, box[TOP] + box[HEIGHT] // 2)
    placed.older[n] = placed.newest[row, column]
    placed.newest[row, column] = n


@compiled()
def fits(placed, n, limits):  # type: ignore[no-untyped-def]
    """Whether cell n, which is not placed yet, keeps the limits where its box is, and single thrombocytes their
    distance."""
    box = placed.prints.box[n]
    far = placed.reach + GAP
    first_row, first_column = _bucket(placed, box[LEFT] - far, box[TOP] - far)
    last_row, last_column = _bucket(placed, box[LEFT] + box[WIDTH] + far, box[TOP] + box[HEIGHT] + far)
    for row in range(first_row, last_row + 1):
        for column in range(first_column, last_column + 1):
            other = placed.newest[row, column]
            while other >= 0:
                if not _may_be_neighbours(placed, n, other, limits):
                    return False
                other = placed.older[other]
    return True


@compiled()
def move_beside(placed, n, other, direction):  # type: ignore[no-untyped-def]
    """Moves the box of cell n to where it would touch cell `other` if both were round: a cheap first guess."""
    box, target = placed.prints.box[n], placed.prints.box[other]
    _move(placed, n, other, direction, (box[WIDTH] + box[HEIGHT] + target[WIDTH] + target[HEIGHT]) // 4)


@compiled()
def place_touching(placed, n, other, direction, gap, limits):  # type: ignore[no-untyped-def]
    """Moves the box of cell n to where it touches cell `other`, as seen from it in `direction`, 1/65536 turn.

    It comes `gap` px beyond the least distance at which both keep the limits. Where outlines are hollow there may be
    more than one such distance; one of them is taken.
    """
    box, target = placed.prints.box[n], placed.prints.box[other]
    most = _most_shared(placed, n, other, limits)
    too_near, distance = -1, (box[WIDTH] + box[HEIGHT] + target[WIDTH] + target[HEIGHT]) // 2
    while distance - too_near > 1:
        middle = (too_near + distance) // 2
        _move(placed, n, other, direction, middle)
        if share_more(placed.prints, n, other, most, _0, _0):
            too_near = middle
        else:
            distance = middle
    _move(placed, n, other, direction, distance + gap)


@compiled()
def _bucket(placed, x, y):  # type: ignore[no-untyped-def]
    """Row and column of the bucket of a point; points outside the field belong to the nearest one."""
    rows, columns = placed.newest.shape
    return min(max(y // _BUCKET, 0), rows - 1), min(max(x // _BUCKET, 0), columns - 1)


@compiled()
def _may_be_neighbours(placed, i, j, limits):  # type: ignore[no-untyped-def]
    if share_more(placed.prints, i, j, _most_shared(placed, i, j, limits), _0, _0):
        return False
    a, b = placed.poses[i, CLASS], placed.poses[j, CLASS]
    platelets = min(a, b) == THROMBOCYTE and max(a, b) <= PLATELET_CLUMP
    return not platelets or apart(placed.prints, i, j, GAP)


@compiled()
def _most_shared(placed, i, j, limits):  # type: ignore[no-untyped-def]
    """Most pixels that cells i and j may share."""
    a, b = placed.poses[i, CLASS], placed.poses[j, CLASS]
    low, high = min(a, b), max(a, b)
    limit = limits.others
    if low >= INFECTED_RBC:
        limit = limits.red_cells
    elif low >= THROMBOCYTE and high >= INFECTED_RBC:
        limit = limits.platelets
    return limit * min(placed.prints.full[i], placed.prints.full[j]) // ONE


@compiled()
def _move(placed, n, other, direction, distance):  # type: ignore[no-untyped-def]
    """Moves the box of cell n so that its centre is so far from that of cell `other`."""
    box, target, half = placed.prints.box[n], placed.prints.box[other], ONE // 2
    x = target[LEFT] + (target[WIDTH] - box[WIDTH]) // 2
    y = target[TOP] + (target[HEIGHT] - box[HEIGHT]) // 2
    box[LEFT] = x + (distance * cosine(direction) + half) // ONE
    box[TOP] = y + (distance * sine(direction) + half) // ONE
