"""The label and instance map of placed cells, and which cells are too hidden to be kept.

A pixel belongs to the highest cell in z that is inside there (alpha >= 128). A cell of which too little is visible is
dropped. A cell only hides those below it: so each is judged by all that is above it, dropped or not, in one pass from
the top, and then the maps are made as if the dropped cells had never been there.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.recipe.scene_options import MOST_OBJECTS
from smearsynth.scene.footprints import (
    HEIGHT,
    LEFT,
    START,
    TOP,
    WIDTH,
    Footprints,
    count_uncovered,
    cover,
    draw,
    empty_footprints,
    words_needed,
)
from smearsynth.scene.masks import NONE, count, erase, first_run, free_mask, highest, lowest, window, words
from smearsynth.scene.scene import CELL, CLASS, SCALE
from smearsynth.scene.warp import cell_pixels, pose_of


class LabelMaps(NamedTuple):
    """label: uint8 (H, W). instance: uint16 (H, W), 1 + rank among the kept. kept: int64, indices of kept footprints in
    ascending z. visible: int64 (kept, 5), x, y, width, height of the visible part and its pixels. full: int64 (kept,),
    pixels, also those hidden or outside the field."""

    label: npt.NDArray[np.uint8]
    instance: npt.NDArray[np.uint16]
    kept: npt.NDArray[np.int64]
    visible: npt.NDArray[np.int64]
    full: npt.NDArray[np.int64]


def derive(objects: npt.NDArray[np.int32], bank: Bank, size: tuple[int, int]) -> LabelMaps:
    """The maps of a scene's objects, int32 (n, 14), as the plan made them; an object that is hidden is not kept.

    The poses index the bank and compiled loops check no bounds: objects of someone else are tested first.
    """
    cells = cell_pixels(bank)
    needed = words_needed(cells, objects[:, CELL], objects[:, SCALE])
    prints = empty_footprints(len(objects), int(needed.sum()))
    for i, start in enumerate(np.cumsum(needed) - needed):
        _draw_object(prints, i, start, cells, objects[i])
    return label_maps(prints, objects[:, CLASS].astype(np.int64), size, 0)


def label_maps(
    prints: Footprints, classes: npt.NDArray[np.int64], size: tuple[int, int], min_visible: int
) -> LabelMaps:
    """The maps of a field of `size` (height, width) px under footprints of these class ids, in ascending z.

    min_visible: share in 1/65536 of its own pixels that must be visible of a cell, and at least one pixel. ValueError
    if more than 65,534 cells are kept.
    """
    label, instance = np.zeros(size, np.uint8), np.zeros(size, np.uint16)
    kept = _seen(prints, len(classes), size, min_visible)
    if len(kept) > MOST_OBJECTS:
        raise ValueError(f"{len(kept)} cells in one smear: an instance map has ids for {MOST_OBJECTS}")
    visible = _paint(prints, kept, classes, label, instance)
    return LabelMaps(label, instance, kept, visible, prints.full[kept])


@compiled()
def _draw_object(prints, i, start, cells, row):  # type: ignore[no-untyped-def]
    draw(prints, i, start, cells, pose_of(row))


@compiled()
def _seen(prints, n, size, min_visible):  # type: ignore[no-untyped-def]
    """Indices, ascending, of those of n footprints of which enough is visible."""
    free, enough = free_mask(size[0], size[1]), np.empty(n, np.bool_)
    for i in range(n - 1, -1, -1):
        pixels = count_uncovered(free, prints, i)
        enough[i] = pixels > 0 and pixels * ONE >= min_visible * prints.full[i]
        cover(free, prints, i)
    return np.flatnonzero(enough)


@compiled()
def _paint(prints, kept, classes, label, instance):  # type: ignore[no-untyped-def]
    """Paints the footprints `kept`, ascending in z, into empty maps; returns `LabelMaps.visible`."""
    height, width = label.shape
    free, visible = free_mask(height, width), np.zeros((kept.size, 5), np.int64)
    for rank in range(kept.size - 1, -1, -1):
        box, class_id = prints.box[kept[rank]], classes[kept[rank]]
        length, across = words(box[WIDTH]), words(width)
        left, right, top, bottom, pixels = width, -1, height, -1, 0
        for y in range(max(box[TOP], 0), min(box[TOP] + box[HEIGHT], height)):
            first = box[START] + (y - box[TOP]) * length
            for k in range(length):
                x = box[LEFT] + 64 * k
                seen = prints.rows[first + k] & window(free.rows, y * across, across, x)
                if seen == NONE:
                    continue
                left, right = min(left, x + lowest(seen)), max(right, x + highest(seen))
                top, bottom, pixels = min(top, y), y, pixels + count(seen)
                erase(free.rows, y * across, across, x, seen)
                while seen != NONE:
                    start, stop, seen = first_run(seen)
                    label[y, x + start : x + stop] = class_id
                    instance[y, x + start : x + stop] = rank + 1
        seen_part = visible[rank]
        seen_part[0], seen_part[1], seen_part[4] = left, top, pixels
        seen_part[2], seen_part[3] = right - left + 1, bottom - top + 1
    return visible
