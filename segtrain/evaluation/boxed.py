"""Cells counted in a real field beside those that an expert boxed there."""

import numpy as np

from segtrain.counting.measure import Cell, FieldCells
from segtrain.evaluation.figures import Figures
from smearsynth.fields.folder import Field
from smearsynth.fields.scale import to_native
from smearsynth.taxonomy import CLASSES, FOREGROUND_CLASSES

_BOXED_RED = range(5)
"""Classes of boxes that are red cells, as BBBC041 numbers them: 0 healthy, 1 to 4 stages of the infection; 5 is a white
cell."""
_OTHERS = {CLASSES[i].key for i in FOREGROUND_CLASSES}


def red_cells(field: Field, found: FieldCells) -> Figures:
    """boxed: how many of a field's boxes are red cells. counted: how many cells the network sees that are neither white
    cells nor platelets.

    Experts leave cells at the border without a box, mostly, and do not judge them. So one that the border cuts is left
    out where its centre lies in no box, as is one that lies for the most part where the field's truth does not count.
    found: in pixels of the field.
    """
    assert field.boxes is not None, "of fields with boxes only"
    counts = to_native(field.counted.astype(np.float32), found.map.shape) >= 0.5
    area = np.bincount(found.map.ravel(), minlength=len(found.cells) + 1)
    known = np.bincount(found.map[counts], minlength=len(found.cells) + 1)
    seen = [cell for cell in found.cells if cell.kind not in _OTHERS and 2 * known[cell.number] >= area[cell.number]]
    return {
        "boxed": int(np.isin(field.boxes[:, 0], _BOXED_RED).sum()),
        "counted": sum(not cell.edges or _is_boxed(cell, field) for cell in seen),
    }


def _is_boxed(cell: Cell, field: Field) -> bool:
    assert field.boxes is not None
    left, top, right, bottom = field.boxes[:, 1:].T
    return bool(((left <= cell.x) & (cell.x < right) & (top <= cell.y) & (cell.y < bottom)).any())
