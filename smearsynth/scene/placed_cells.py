"""The cells that lie on the field already, and whether another may lie beside them.

Footprints are filed under square buckets by the centre of their box, so that a large field costs no more per cell than
a small one.

Cells against cells: one is moved along a ray from another's centre to where both just touch or share a little.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.scene import bit_rows, masks
from smearsynth.scene.masks import HEIGHT, WIDTH, Footprints, Ground, X, Y
from smearsynth.scene.warp import cosine, sine
from smearsynth.taxonomy import INFECTED_RBC, PLATELET_CLUMP, THROMBOCYTE

GAP = 2
"""Least distance, px, of a single thrombocyte from another and from a clump."""
_BUCKET = 64
"""Side of a bucket, px."""


class Table(NamedTuple):
    """poses: i8 (rows, 7), topmost cell first. newest, older: the last cell filed under a bucket and the one filed
    before a cell, or -1."""

    poses: npt.NDArray[np.int64]
    prints: Footprints
    ground: Ground
    newest: npt.NDArray[np.int64]
    older: npt.NDArray[np.int64]


def table(size: tuple[int, int], cells: int, words: int) -> Table:
    """A table with room for `cells` footprints of `words` in all, one that is tried included; `clear` it first."""
    height, width = size
    return Table(
        np.empty((cells, 7), np.int64),
        masks.empty(cells, words),
        Ground(height, width, np.empty(height * bit_rows.words(width), np.uint64)),
        np.empty((height // _BUCKET + 1, width // _BUCKET + 1), np.int64),
        np.empty(cells, np.int64),
    )


@compiled()
def clear(table):  # type: ignore[no-untyped-def]
    """Takes all cells away."""
    masks.clear(table.ground)
    table.newest[:] = -1


@compiled()
def lay(table, n):  # type: ignore[no-untyped-def]
    """Lays cell n down where its box is."""
    box = table.prints.box[n]
    masks.cover(table.ground, table.prints, n)
    row, column = _bucket(table, box[X] + box[WIDTH] // 2, box[Y] + box[HEIGHT] // 2)
    table.older[n] = table.newest[row, column]
    table.newest[row, column] = n


@compiled()
def fits(table, n, reach, among_reds, with_others):  # type: ignore[no-untyped-def]
    """Whether cell n, which does not lie yet, keeps the rules where its box is.

    No two red cells share more than `among_reds` of either's area, and no other two cells more than `with_others`,
    both in 1/65536; single thrombocytes keep their distance. reach: at least half the side of any box, px.
    """
    box = table.prints.box[n]
    far = reach + GAP
    first_row, first_column = _bucket(table, box[X] - far, box[Y] - far)
    last_row, last_column = _bucket(table, box[X] + box[WIDTH] + far, box[Y] + box[HEIGHT] + far)
    for row in range(first_row, last_row + 1):
        for column in range(first_column, last_column + 1):
            other = table.newest[row, column]
            while other >= 0:
                if not _agree(table, n, other, among_reds, with_others):
                    return False
                other = table.older[other]
    return True


@compiled()
def _bucket(table, x, y):  # type: ignore[no-untyped-def]
    """Row and column of the bucket of a point; points outside the field belong to the nearest one."""
    rows, columns = table.newest.shape
    return min(max(y // _BUCKET, 0), rows - 1), min(max(x // _BUCKET, 0), columns - 1)


@compiled()
def most_shared(table, i, j, among_reds, with_others):  # type: ignore[no-untyped-def]
    """Most pixels that cells i and j may share under the limits of `fits`."""
    limit = among_reds if min(table.poses[i, 0], table.poses[j, 0]) >= INFECTED_RBC else with_others
    return limit * min(table.prints.full[i], table.prints.full[j]) // ONE


@compiled()
def _agree(table, i, j, among_reds, with_others):  # type: ignore[no-untyped-def]
    if masks.share_more(table.prints, i, j, most_shared(table, i, j, among_reds, with_others), 0, 0):
        return False
    a, b = table.poses[i, 0], table.poses[j, 0]
    platelets = min(a, b) == THROMBOCYTE and max(a, b) <= PLATELET_CLUMP
    return not platelets or masks.apart(table.prints, i, j, GAP)


@compiled()
def beside(table, n, other, direction):  # type: ignore[no-untyped-def]
    """Moves the box of cell n to where it would lie against cell `other` if both were round: a cheap first guess."""
    box, target = table.prints.box[n], table.prints.box[other]
    _move(table, n, other, direction, (box[WIDTH] + box[HEIGHT] + target[WIDTH] + target[HEIGHT]) // 4)


@compiled()
def nestle(table, n, other, direction, gap, among_reds, with_others):  # type: ignore[no-untyped-def]
    """Moves the box of cell n to where it lies against cell `other`, as seen from it in `direction`, 1/65536 turn.

    It lies `gap` px beyond the least distance at which both keep the limits of `table.fits`. Where outlines are
    hollow there may be more than one such distance; one of them is taken.
    """
    box, target = table.prints.box[n], table.prints.box[other]
    limit = most_shared(table, n, other, among_reds, with_others)
    too_near, distance = -1, (box[WIDTH] + box[HEIGHT] + target[WIDTH] + target[HEIGHT]) // 2
    while distance - too_near > 1:
        middle = (too_near + distance) // 2
        _move(table, n, other, direction, middle)
        if masks.share_more(table.prints, n, other, limit, 0, 0):
            too_near = middle
        else:
            distance = middle
    _move(table, n, other, direction, distance + gap)


@compiled()
def _move(table, n, other, direction, distance):  # type: ignore[no-untyped-def]
    box, target, half = table.prints.box[n], table.prints.box[other], ONE // 2
    x = target[X] + (target[WIDTH] - box[WIDTH]) // 2
    y = target[Y] + (target[HEIGHT] - box[HEIGHT]) // 2
    box[X] = x + (distance * cosine(direction) + half) // ONE
    box[Y] = y + (distance * sine(direction) + half) // ONE
