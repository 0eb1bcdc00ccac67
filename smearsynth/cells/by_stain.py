"""Cells found by threshold: white cells and platelets by their dye, red cells as whatever else is no glass."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from smearsynth.cells.edges import Density, Mask, Window, box_window, fill_holes, grow
from smearsynth.cells.glass import mean_density, measure_glass, optical_density
from smearsynth.cells.region import LEAST_AREA, Found, Image, Region, components, finish
from smearsynth.cells.stain import foreground, stain_excess, stained, stained_cell
from smearsynth.sources.entry import Entry
from smearsynth.taxonomy import BY_KEY, HEALTHY_RBC, PLATELET_CLUMP, RED_CELLS


@dataclass(frozen=True, kw_only=True)
class _Field:
    """What threshold makes of an image. density, smooth: f4 (h, w), mean over channels, raw and slightly smoothed.
    dense: everything that is no glass. excess: of dye, f4 (h, w); dye: surely stained pixels."""

    density: Density
    smooth: Density
    dense: Mask
    excess: Density
    dye: Mask


def cells_by_stain(image: Image, entries: Sequence[Entry]) -> Found:
    """Per entry the cell of its class in the middle of the image or of its box; then the red cells around, if asked."""
    glass = measure_glass(image)
    channels = optical_density(image, glass)
    density, excess = mean_density(channels), stain_excess(channels)
    smooth = cv2.GaussianBlur(density, (0, 0), 1.0)
    field = _Field(density=density, smooth=smooth, dense=foreground(smooth), excess=excess, dye=stained(excess))
    regions, white = [], field.dye.copy()
    for entry in entries:
        window, named = _named(field, entry)
        white[window] |= named
        others = grow(grow(field.dense[window] & ~grow(named, 3), -2), 2)
        regions.append(finish(density, window, named, others, BY_KEY[entry.class_key].id, by_threshold=True))
    if any(entry.also_red for entry in entries):
        regions += _red_cells_around(field, white)
    return Found(image=image, density=density, regions=tuple(regions), glass=glass, glass_measured=True)


def _named(field: _Field, entry: Entry) -> tuple[Window, Mask]:
    """The cell that an entry names, roughly, in a window three times as wide and high as its box."""
    shape, class_id = field.dense.shape, BY_KEY[entry.class_key].id
    x, y, w, h = entry.box or (0, 0, shape[1], shape[0])
    window = box_window(x, y, w, h, max(w, h), shape)
    rows, columns = box_window(x - window[1].start, y - window[0].start, w, h, 0, field.dense[window].shape)
    if class_id in RED_CELLS:
        return window, fill_holes(_central(field.dense[window], (rows, columns)))
    core = _central(field.dye[window], (rows, columns))
    single = class_id != PLATELET_CLUMP
    return window, stained_cell(field.excess[window], field.smooth[window], core, single=single)


def _central(mask: Mask, box: Window) -> Mask:
    """The component nearest to the middle of a box, among those that fill at least a tenth as much of it as any."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    inside = labels[box]
    sizes = np.bincount(labels.ravel())
    filled = np.bincount(inside.ravel(), minlength=len(sizes))
    filled[0] = 0
    filled[sizes < LEAST_AREA] = 0
    rows, columns = np.nonzero((filled > 0)[inside] & (filled * 10 >= filled.max())[inside])
    if not len(rows):
        return np.zeros_like(mask)
    nearest = np.argmin((rows - inside.shape[0] / 2) ** 2 + (columns - inside.shape[1] / 2) ** 2)
    return labels == inside[rows[nearest], columns[nearest]]


def _red_cells_around(field: _Field, white: Mask) -> list[Region]:
    """The red cells of a field: components of the foreground of which less than 2 % is white cell or platelet."""
    found = []
    for window, component in components(field.dense):
        cell = fill_holes(component)
        if 50 * int((cell & white[window]).sum()) < int(cell.sum()):
            others = field.dense[window] & ~cell
            found.append(finish(field.density, window, cell, others, HEALTHY_RBC, by_threshold=True))
    return found
