"""Cells of a field: which pixels are of which cell, out of the label map that a network gives."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segtrain.counting.contacts import Labels
from segtrain.counting.families import Family
from segtrain.counting.fragments import owners
from segtrain.counting.holes import fill_holes
from segtrain.counting.parting import part
from segtrain.counting.patches import join_patches

_HOLE = 0.3
"""Of the smallest family that cells are parted in: largest hole that is filled, as a share of a cell's area."""


def find_cells(label: npt.NDArray[np.uint8], families: Sequence[Family]) -> tuple[Labels, npt.NDArray[np.intp]]:
    """i4 (h, w): 0 = background, else 1 + row of the cell; and i8 (n,): its place in `families`.

    label: u1 (h, w), class ids; those of no family are background.
    """
    table = np.zeros(256, np.uint8)
    for place, family in enumerate(families):
        table[list(family.ids)] = 1 + place
    hole = _HOLE * min((family.least for family in families if family.parted), default=0.0)
    kind = join_patches(fill_holes(table[label], hole), families)
    cells = np.zeros(label.shape, np.int32)
    of: list[int] = []
    for place, family in enumerate(families):
        mask = kind == 1 + place
        found = part(mask, area=family.area) if family.parted else ndimage.label(mask, np.ones((3, 3)))[0]
        cells[mask] = found[mask] + len(of)
        of += [place] * int(found.max())
    owner = owners(cells, np.array([0.0, *(families[place].least for place in of)]))
    kept, number = np.unique(owner, return_inverse=True)
    return number.astype(np.int32)[cells], np.array(of, np.intp)[kept[1:] - 1]
