"""Cells of a field by outlines, points or boxes; those that touch are split by a watershed, and used where it is clean.

A cell that somebody outlined is there, and only its exact edge is sought. Of all others:

The watershed of the distance transform splits a component of the foreground at its necks. Two basins are one cell where
the neck is nearly as wide as the narrower of them: that is a waist, no cleft. The split is clean where little of a
cell's contour was cut: between two equal discs, where the neck is at most half of their diameter. Of cells that overlap
by more nobody can tell the edge, and they are refused as touching.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from smearsynth.bank.glass import Image, Mask
from smearsynth.bank.outlines import (
    LEAST_AREA,
    FoundCells,
    Region,
    Window,
    box_window,
    components,
    convex_hull,
    find_edge,
    grow,
    no_region,
)
from smearsynth.bank.stained_cells import NEAR, Layers, find_named, found_in, is_dyed, layers_of
from smearsynth.fields.field_folder import distance_to
from smearsynth.fields.otsu import fill_holes
from smearsynth.sources.entry import Box, Entry
from smearsynth.taxonomy import HEALTHY_RBC, RED_CELLS

Labels = npt.NDArray[np.int32]
"""int32 (h, w): 0 = glass, else the number of a part."""

_ONE_CELL = 0.85
"""Neck over the depth of the narrower basin from which two basins are one cell."""
_MOST_CUT = 0.16
"""Share of a contour along which a cell may be split from others: 1 / (1 + 5 pi / 3), of a disc whose neck is half of
its diameter."""
_SMOOTHING = 0.05
"""Sigma of the Gaussian over the distance transform, in its maximum: steps of a pixelled outline vanish."""
_FLAT = 0.1
"""Depth, px, under which all is one plain."""
_EIGHT = np.ones((3, 3))
"""Pixels that are neighbours, at their corners too."""
_CONVEX = 0.8
"""Least solidity of a hole that is the pallor of a cell: glass between three discs has 0.4."""
_WHOLE = 0.93
"""Least solidity of a component that is one cell with all of its holes filled."""
_BODY, _COVERED, _COVERED_BY = 70, 1.2, 0.1
"""The density of a red cell's body is this percentile of its own, whatever its pallor; what is denser than 1.2 times
that and 0.1 is something else. On every fifth field of Chula that finds stain, dirt and scale bars; smaller grains and
bubbles are left, for they lie on healthy cells as they are."""
_OPENING = 3
"""Half of the gap, px, in the ring of a cell whose pallor is as bright as glass."""
_MOST_HIDDEN = 0.02
"""Share of an outlined cell that may lie in other outlines, as those of neighbours drawn by hand do."""
_AROUND = 24
"""Pixels shown around a point or box where there is no cell."""
_LEAST_OVERLAP = 0.5
"""Intersection over union of the box of a cell and the box that names it."""


def find_in_field(image: Image, entries: Sequence[Entry]) -> FoundCells:
    """The cell at the point or in the box of each entry of a used class; then the other isolated red cells, if asked.

    A red cell that two entries name, that is not what its box holds, or a healthy one that is covered is refused here.
    """
    layers = layers_of(image)
    parts = split(layers.dense)
    places = [parts.at(entry.box) if entry.box else 0 for entry in entries]
    taken = Counter(places)
    drawn = _drawn(entries, layers.dense.shape)
    regions = [
        _outlined(layers, entry, drawn)
        if entry.outline
        else _named(layers, parts, part, entry, several=taken[part] > 1)
        for entry, part in zip(entries, places, strict=True)
        if entry.class_key is not None
    ]
    if any(entry.also_red for entry in entries):
        boxes = [entry.box for entry in entries if entry.box]
        # Where a point hits no cell, one that stands near may be what it names.
        boxes += [(x - _AROUND, y - _AROUND, 2 * _AROUND, 2 * _AROUND) for x, y, *_ in _lost(entries, places)]
        for part in range(1, len(parts.box)):
            named = taken[part] or any(_inside(parts.box[part], box) for box in boxes)
            if named or parts.cut[part]:
                continue
            window = parts.window(part)
            if not is_dyed(fill_holes(parts.label[window] == part), layers.dyed[window]):
                reason = "covered" if _is_covered(layers, parts, part) else ""
                regions.append(replace(_red_cell(layers, parts, part, HEALTHY_RBC), reject=reason))
    return found_in(image, layers, regions)


def _drawn(entries: Sequence[Entry], shape: tuple[int, ...]) -> npt.NDArray[np.uint16]:
    """uint16 (h, w): in how many outlines each pixel is, those of classes that are not used too."""
    drawn = np.zeros(shape, np.uint16)
    for window, mask in (entry.outline.draw((shape[0], shape[1])) for entry in entries if entry.outline):
        drawn[window] += mask
    return drawn


def _outlined(layers: Layers, entry: Entry, drawn: npt.NDArray[np.uint16]) -> Region:
    """The exact edge of a cell near its outline, or its refusal where outlines overlap: that one is hidden in part."""
    assert entry.outline is not None
    inner, mask = entry.outline.draw((drawn.shape[0], drawn.shape[1]))
    (top, bottom), (left, right) = ((side.start, side.stop) for side in inner)
    margin = max(mask.shape) // 4 + 18
    window = box_window(left, top, right - left, bottom - top, margin, drawn.shape)
    cell = np.zeros_like(drawn[window], bool)
    cell[top - window[0].start : bottom - window[0].start, left - window[1].start : right - window[1].start] = mask
    shared = np.count_nonzero(cell & (drawn[window] > 1))
    region = find_edge(layers.density, window, cell, (drawn[window] > 0) & ~cell, entry.class_id)
    return replace(region, reject="touching" if shared > _MOST_HIDDEN * np.count_nonzero(mask) else "")


def _lost(entries: Sequence[Entry], places: Sequence[int]) -> list[Box]:
    """The points that hit no part."""
    return [e.box for e, part in zip(entries, places, strict=True) if e.box and not e.box[2] and not part]


@dataclass(frozen=True)
class Parts:
    """The foreground of a field, split.

    label: int32 (h, w), 0 = glass, else 1 to n. box: int64 (n + 1, 4), left, top, width, height of each, px. cut:
    float64 (n + 1,), share of the contour along which each was split from others. Row 0 stands for no part.
    """

    label: Labels
    box: npt.NDArray[np.int64]
    cut: npt.NDArray[np.float64]

    def window(self, part: int) -> Window:
        """The part and enough around it to move its edge."""
        x, y, w, h = self.box[part].tolist()
        return box_window(x, y, w, h, max(w, h) // 4 + 18, self.label.shape)

    def at(self, box: Box) -> int:
        """The part at a point (a box without width and height), or the one that fills most of a box; 0 for none."""
        x, y, w, h = box
        window = box_window(x, y, w, h, 0 if w else NEAR, self.label.shape)
        label = self.label[window]
        if not w:
            rows, columns = np.nonzero(label)
            away = (rows + window[0].start - y) ** 2 + (columns + window[1].start - x) ** 2
            return int(label[rows, columns][np.argmin(away)]) if len(away) else 0
        filled = np.bincount(label.ravel(), minlength=1)
        filled[0] = 0
        return int(filled.argmax())


def split(dense: Mask) -> Parts:
    """The parts of a mask, bool (h, w): of each component the basins of its distance transform that are not one cell.

    Raises TooManyError.
    """
    label = np.zeros(dense.shape, np.int32)
    count = 0
    for window, component in components(dense):
        if not label[window][component].any():  # else it lies in the pallor of another, larger one: a target cell
            basins = _basins(component)
            np.copyto(label[window], basins + count, where=(basins > 0) & (label[window] == 0))
            count += int(basins.max())
    boxes = [(x.start, y.start, x.stop - x.start, y.stop - y.start) for y, x in ndimage.find_objects(label)]
    return Parts(label, np.array([(0, 0, 0, 0), *boxes]), _cut_shares(label, count))


def _basins(component: Mask) -> Labels:
    """int32 (h, w): 1 to n in the cells of one component, 0 elsewhere.

    All that it encloses, or nearly so, is pallor where it is one convex cell with that; else the convex holes are, for
    glass between cells is not convex.
    """
    whole = fill_holes(grow(grow(component, _OPENING), -_OPENING) | component)
    basins = _watershed(whole)
    if basins.max() == 1 and whole.sum() >= _WHOLE * convex_hull(whole).sum():
        return basins
    if np.array_equal(component, whole):
        return basins
    label, count = ndimage.label(fill_holes(component) & ~component)
    for hole in (label == number for number in range(1, count + 1)):
        hull = convex_hull(hole)
        if hole.sum() < LEAST_AREA or fill_holes(hole).sum() >= _CONVEX * hull.sum():
            component = component | fill_holes(hole)
    return _watershed(component)


def _watershed(mask: Mask) -> Labels:
    """int32 (h, w): basins of the distance transform, those of one cell as one, from 1; 0 outside the mask."""
    depth = distance_to(np.pad(~mask, 1, constant_values=True))[1:-1, 1:-1]
    return flooded(cv2.GaussianBlur(depth, (0, 0), max(0.5, _SMOOTHING * float(depth.max()))), mask)


def flooded(depth: npt.NDArray[np.float32], mask: Mask) -> Labels:
    """int32 (h, w): 1 to n in the basins of a smoothed distance transform, px, 0 outside the mask. Basins with a neck
    of `_ONE_CELL` of the shallower one's depth are one."""
    basins = np.zeros(mask.shape, np.int32)
    x, y, w, h = cv2.boundingRect((mask | (depth > _FLAT)).astype(np.uint8))
    near = box_window(x, y, w, h, 1, mask.shape)
    depth, mask = depth[near], mask[near]
    # A difference of logarithms is a ratio: of the peaks that a neck of that ratio joins, the highest one is left.
    height = np.log(np.maximum(depth, _FLAT), dtype=np.float64)
    markers, count = ndimage.label(local_maxima(height) & mask, _EIGHT)
    if count != 1:
        peaks = local_maxima(reconstruction(height + np.log(_ONE_CELL), height))
        markers, count = ndimage.label(peaks & mask, _EIGHT)
    if count == 1 and cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] == 2:
        basins[near] = mask
    else:
        basins[near] = watershed(-depth, markers, mask=mask)
    return basins


def _cut_shares(label: Labels, count: int) -> npt.NDArray[np.float64]:
    """float64 (count + 1,): share of the contour of each part along which another part lies.

    Sides of pixels across and down are counted: a straight cut is as long as both make it, and a closed contour that is
    round has 4 / pi times its length in sides.
    """
    free, cut = np.zeros(count + 1), np.zeros(count + 1)
    sides: dict[tuple[int, int], list[int]] = {}
    for axis, (one, other) in enumerate(((label[:, 1:], label[:, :-1]), (label[1:], label[:-1]))):
        apart = one != other
        pairs = np.sort(np.stack([one[apart], other[apart]], axis=1))
        for (i, j), number in zip(*np.unique(pairs, axis=0, return_counts=True), strict=True):
            if i == 0:
                free[j] += np.pi / 4 * number
            else:
                sides.setdefault((int(i), int(j)), [0, 0])[axis] += int(number)
    for pair, (across, down) in sides.items():
        cut[list(pair)] += np.hypot(across, down)
    return cut / np.maximum(free + cut, 1)


def _named(layers: Layers, parts: Parts, part: int, entry: Entry, *, several: bool) -> Region:
    """The region of an entry of a used class, with its reason of refusal where the field shows one."""
    assert entry.box is not None
    class_id = entry.class_id
    if class_id not in RED_CELLS:
        return find_named(layers, entry)
    if not part:
        return no_region(class_id, box_window(*entry.box, _AROUND, layers.dense.shape))
    refused = {
        "several": several,
        "touching": parts.cut[part] > _MOST_CUT,
        "other_size": entry.box[2] > 0 and _overlap(parts.box[part], entry.box) < _LEAST_OVERLAP,
        "covered": class_id == HEALTHY_RBC and _is_covered(layers, parts, part),
    }
    reason = next((reason for reason, applies in refused.items() if applies), "")
    return replace(_red_cell(layers, parts, part, class_id), reject=reason)


def _red_cell(layers: Layers, parts: Parts, part: int, class_id: int) -> Region:
    """The exact edge of a part."""
    window = parts.window(part)
    label = parts.label[window]
    cell = label == part
    if not parts.cut[part]:
        others = layers.dense[window] & ~cell
        return find_edge(layers.density, window, cell, others, class_id, by_threshold=True)
    rows, columns = ndimage.distance_transform_edt(label == 0, return_distances=False, return_indices=True)
    others = label[rows, columns] != part
    return find_edge(layers.density, window, cell, others, class_id, by_threshold=True, parted=True)


def _is_covered(layers: Layers, parts: Parts, part: int) -> bool:
    """Whether 2 % of a red cell is far denser than its body, as where a platelet, stain or dirt lies on it."""
    window = parts.window(part)
    density = layers.smooth[window][parts.label[window] == part]
    body = float(np.percentile(density, _BODY))
    return 50 * np.count_nonzero(density > _COVERED * body + _COVERED_BY) >= density.size


def _inside(inner: npt.NDArray[np.int64], box: Box) -> bool:
    """Whether the middle of a box lies in another."""
    x, y = inner[:2] + inner[2:] / 2
    return bool(box[0] <= x < box[0] + box[2] and box[1] <= y < box[1] + box[3])


def _overlap(one: npt.NDArray[np.int64], other: Box) -> float:
    """Intersection over union of two boxes."""
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[:2] + one[2:], np.add(other[:2], other[2:]))
    both = float(np.prod(np.maximum(high - low, 0)))
    return both / (float(one[2] * one[3] + other[2] * other[3]) - both)
