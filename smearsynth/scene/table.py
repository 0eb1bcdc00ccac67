"""The cells that lie on the field already, and whether another may lie beside them.

Footprints are filed under square buckets by the centre of their box, so that a large field costs no more per cell than
a small one.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE
from smearsynth.scene import footprints
from smearsynth.scene.footprints import Footprints
from smearsynth.taxonomy import PLATELET_CLUMP, THROMBOCYTE

GAP = 2
"""Least distance, px, of a single thrombocyte from another and from a clump."""
_BUCKET = 64
"""Side of a bucket, px."""


class Table(NamedTuple):
    """poses: i8 (rows, 7), topmost cell first. cover: u1 (H, W), 1 where a cell is. newest, older: the last cell filed
    under a bucket and the one filed before a cell, or -1. tile: u4, room to draw a cell in."""

    poses: npt.NDArray[np.int64]
    prints: Footprints
    cover: npt.NDArray[np.uint8]
    newest: npt.NDArray[np.int64]
    older: npt.NDArray[np.int64]
    tile: npt.NDArray[np.uint32]


def table(size: tuple[int, int], cells: int, mask_pixels: int, tile_pixels: int) -> Table:
    """An empty table with room for `cells` footprints, `mask_pixels` in all, and for one that is tried."""
    height, width = size
    return Table(
        np.empty((cells + 1, 7), np.int64),
        footprints.empty(cells + 1, mask_pixels + tile_pixels),
        np.zeros(size, np.uint8),
        np.full((height // _BUCKET + 1, width // _BUCKET + 1), -1, np.int64),
        np.empty(cells + 1, np.int64),
        np.empty(tile_pixels, np.uint32),
    )


@compiled()
def clear(table):  # type: ignore[no-untyped-def]
    """Takes all cells away."""
    table.cover[:] = 0
    table.newest[:] = -1


@compiled()
def lay(table, n):  # type: ignore[no-untyped-def]
    """Lays cell n down where its box is."""
    x, y, w, h, _ = footprints.bounds(table.prints, n)
    footprints.put(table.prints, n, table.cover)
    row, column = _bucket(table, x + w // 2, y + h // 2)
    table.older[n] = table.newest[row, column]
    table.newest[row, column] = n


@compiled()
def fits(table, n, overlap, reach):  # type: ignore[no-untyped-def]
    """Whether cell n, which does not lie yet, keeps the rules where its box is.

    No two cells share more than `overlap`, in 1/65536, of either's area; single thrombocytes keep their distance.
    reach: at least half the side of any box, px.
    """
    x, y, w, h, _ = footprints.bounds(table.prints, n)
    far = reach + GAP
    first_row, first_column = _bucket(table, x - far, y - far)
    last_row, last_column = _bucket(table, x + w + far, y + h + far)
    for row in range(first_row, last_row + 1):
        for column in range(first_column, last_column + 1):
            other = table.newest[row, column]
            while other >= 0:
                if not _agree(table, n, other, overlap):
                    return False
                other = table.older[other]
    return True


@compiled()
def _bucket(table, x, y):  # type: ignore[no-untyped-def]
    """Row and column of the bucket of a point; points outside the field belong to the nearest one."""
    rows, columns = table.newest.shape
    return min(max(y // _BUCKET, 0), rows - 1), min(max(x // _BUCKET, 0), columns - 1)


@compiled()
def _agree(table, i, j, overlap):  # type: ignore[no-untyped-def]
    prints = table.prints
    if footprints.shared(prints, i, j, 0, 0) * ONE > overlap * min(prints.full[i], prints.full[j]):
        return False
    a, b = table.poses[i, 0], table.poses[j, 0]
    platelets = min(a, b) == THROMBOCYTE and max(a, b) <= PLATELET_CLUMP
    return not platelets or footprints.apart(prints, i, j, GAP)
