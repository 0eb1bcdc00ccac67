"""The label and instance map of placed cells, and which cells are too hidden to have one.

A pixel belongs to the highest cell in z that is inside there (alpha >= 128). A cell of which too little is visible is
dropped. A cell only hides those below it, so what lies lowest is decided first by what is above it, dropped or not,
and all decisions can be taken at once; then the maps are made as if the dropped cells had never been there.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.cells.bank import Bank
from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE
from smearsynth.recipe.scene import MOST_OBJECTS
from smearsynth.scene import footprints
from smearsynth.scene.footprints import Footprints
from smearsynth.scene.warp import pool_of, tile_sizes


class Maps(NamedTuple):
    """label: u1 (H, W). instance: u2 (H, W), 1 + rank among the kept. kept: i8, indices of kept footprints in
    ascending z. visible: i8 (kept, 5), x, y, width, height of the visible part and its pixels. full: i8 (kept,),
    pixels, also those hidden or outside the field."""

    label: npt.NDArray[np.uint8]
    instance: npt.NDArray[np.uint16]
    kept: npt.NDArray[np.int64]
    visible: npt.NDArray[np.int64]
    full: npt.NDArray[np.int64]


def maps(prints: Footprints, class_ids: npt.NDArray[np.int64], size: tuple[int, int], min_visible: int) -> Maps:
    """The maps of a field of `size` (height, width) px under the footprints of `class_ids`, in ascending z.

    min_visible: share in 1/65536 of its own pixels that must be visible of a cell, and at least one pixel. ValueError
    if more than 65,534 cells are kept.
    """
    label, instance = np.zeros(size, np.uint8), np.zeros(size, np.uint16)
    order = np.arange(len(class_ids))
    visible = _paint(prints, order, class_ids, label, instance)
    enough = (visible[:, 4] > 0) & (visible[:, 4] * ONE >= min_visible * prints.full[order])
    if not enough.all():
        order = order[enough]
        label[:], instance[:] = 0, 0
        visible = _paint(prints, order, class_ids, label, instance)
    if len(order) > MOST_OBJECTS:
        raise ValueError(f"{len(order)} cells in one smear: an instance map has ids for {MOST_OBJECTS}")
    return Maps(label, instance, order, visible, prints.full[order])


def derive(objects: npt.NDArray[np.int32], bank: Bank, size: tuple[int, int]) -> Maps:
    """The maps of a scene's objects, i4 (n, 14), as the plan made them; an object that is hidden is not kept.

    The poses index the bank and compiled loops check no bounds: objects of someone else are tested first.
    """
    poses, pool = objects[:, :7].astype(np.int64), pool_of(bank)
    sizes = tile_sizes(pool, poses[:, footprints.CELL], poses[:, footprints.SCALE])
    prints = footprints.empty(len(poses), int(sizes.sum()))
    tile = np.empty(max(sizes, default=0), np.uint32)
    for i, start in enumerate(np.cumsum(sizes) - sizes):
        footprints.draw(prints, i, start, pool, poses[i], tile)
    return maps(prints, poses[:, 0].copy(), size, 0)


@compiled()
def _paint(prints, order, class_ids, label, instance):  # type: ignore[no-untyped-def]
    """Paints the footprints `order`, ascending in z, into empty maps; returns `Maps.visible`."""
    height, width = label.shape
    visible = np.zeros((order.size, 5), np.int64)
    for rank in range(order.size - 1, -1, -1):
        i = order[rank]
        x0, y0, w, h, start = footprints.bounds(prints, i)
        left, right, top, bottom, count = width, -1, height, -1, 0
        for y in range(max(y0, 0), min(y0 + h, height)):
            row = start + (y - y0) * w - x0
            for x in range(max(x0, 0), min(x0 + w, width)):
                if prints.mask[row + x] and instance[y, x] == 0:
                    instance[y, x] = rank + 1
                    label[y, x] = class_ids[i]
                    left, right, top, bottom = min(left, x), max(right, x), min(top, y), y
                    count += 1
        if count > 0:
            seen = visible[rank]
            seen[0], seen[1], seen[2], seen[3], seen[4] = left, top, right - left + 1, bottom - top + 1, count
    return visible
