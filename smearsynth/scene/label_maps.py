"""The label and instance map of placed cells, and which cells are too hidden to have one.

A pixel belongs to the highest cell in z that is inside there (alpha >= 128). A cell of which too little is visible is
dropped. A cell only hides those below it, so what lies lowest is decided first by what is above it, dropped or not,
and all decisions can be taken at once; then the maps are made as if the dropped cells had never been there.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.recipe.scene_options import MOST_OBJECTS
from smearsynth.scene import bit_rows, masks
from smearsynth.scene.masks import HEIGHT, START, WIDTH, Footprints, X, Y
from smearsynth.scene.warp import pool_of


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
    kept = _seen(prints, len(class_ids), size, min_visible)
    if len(kept) > MOST_OBJECTS:
        raise ValueError(f"{len(kept)} cells in one smear: an instance map has ids for {MOST_OBJECTS}")
    visible = _paint(prints, kept, class_ids, label, instance)
    return Maps(label, instance, kept, visible, prints.full[kept])


def derive(objects: npt.NDArray[np.int32], bank: Bank, size: tuple[int, int]) -> Maps:
    """The maps of a scene's objects, i4 (n, 14), as the plan made them; an object that is hidden is not kept.

    The poses index the bank and compiled loops check no bounds: objects of someone else are tested first.
    """
    poses, pool = objects[:, :7].astype(np.int64), pool_of(bank)
    words = masks.room(pool, poses[:, masks.CELL], poses[:, masks.SCALE])
    prints = masks.empty(len(poses), int(words.sum()))
    for i, start in enumerate(np.cumsum(words) - words):
        masks.draw(prints, i, start, pool, poses[i])
    return maps(prints, poses[:, 0].copy(), size, 0)


@compiled()
def _seen(prints, n, size, min_visible):  # type: ignore[no-untyped-def]
    """Indices, ascending, of those of n footprints of which enough is visible."""
    free, enough = masks.ground(size[0], size[1]), np.empty(n, np.bool_)
    for i in range(n - 1, -1, -1):
        pixels = masks.uncovered(free, prints, i)
        enough[i] = pixels > 0 and pixels * ONE >= min_visible * prints.full[i]
        masks.cover(free, prints, i)
    return np.flatnonzero(enough)


@compiled()
def _paint(prints, kept, class_ids, label, instance):  # type: ignore[no-untyped-def]
    """Paints the footprints `kept`, ascending in z, into empty maps; returns `Maps.visible`."""
    height, width = label.shape
    free, visible = masks.ground(height, width), np.zeros((kept.size, 5), np.int64)
    for rank in range(kept.size - 1, -1, -1):
        box, class_id = prints.box[kept[rank]], class_ids[kept[rank]]
        length, across = bit_rows.words(box[WIDTH]), bit_rows.words(width)
        left, right, top, bottom, pixels = width, -1, height, -1, 0
        for y in range(max(box[Y], 0), min(box[Y] + box[HEIGHT], height)):
            first = box[START] + (y - box[Y]) * length
            for k in range(length):
                x = box[X] + 64 * k
                seen = prints.rows[first + k] & bit_rows.window(free.rows, y * across, across, x)
                if seen == bit_rows.NONE:
                    continue
                left, right = min(left, x + bit_rows.lowest(seen)), max(right, x + bit_rows.highest(seen))
                top, bottom, pixels = min(top, y), y, pixels + bit_rows.count(seen)
                bit_rows.erase(free.rows, y * across, across, x, seen)
                while seen != bit_rows.NONE:
                    start, stop, seen = bit_rows.first_run(seen)
                    label[y, x + start : x + stop] = class_id
                    instance[y, x + start : x + stop] = rank + 1
        seen_part = visible[rank]
        seen_part[0], seen_part[1], seen_part[4] = left, top, pixels
        seen_part[2], seen_part[3] = right - left + 1, bottom - top + 1
    return visible
