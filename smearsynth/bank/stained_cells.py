"""Cells found by threshold: white cells and platelets by their dye, red cells as whatever else is no glass."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from smearsynth.bank.glass import (
    LEAST_DENSITY,
    Density,
    Glass,
    Image,
    Mask,
    foreground,
    mean_density,
    measure_glass,
    optical_density,
    stain_excess,
)
from smearsynth.bank.outlines import (
    LEAST_AREA,
    FoundCells,
    Region,
    Window,
    box_window,
    components,
    components_with,
    cut_region,
    find_edge,
    grow,
    largest_component,
    radius_of,
    straight_run,
)
from smearsynth.fields.otsu import fill_holes
from smearsynth.sources.entry import Entry
from smearsynth.taxonomy import HEALTHY_RBC, PLATELET_CLUMP, RED_CELLS

_SURE_EXCESS = 0.05
_PALE_EXCESS = 0.025
"""Excess densities in the PBC fields: nuclei and granules over 0.2, pale cytoplasm 0.03-0.1, red cells under 0.015."""
NEAR = 4
"""Pixels by which a point may miss its cell, or the dye of it."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """What an image shows, pixel by pixel, (h, w) each.

    glass: RGB. density, smooth: mean over channels, raw and slightly smoothed. dense: everything that is no glass.
    excess: of dye; dyed: surely white cell or platelet.
    """

    glass: Glass
    density: Density
    smooth: Density
    dense: Mask
    excess: Density
    dyed: Mask


def find_stained(image: Image, entries: Sequence[Entry]) -> FoundCells:
    """Per entry the cell of its class in the middle of the image or of its box; then the red cells around, if asked."""
    layers = layers_of(image)
    regions, stained = [], layers.dyed.copy()
    for entry in entries:
        window, named = _named_cell(layers, entry)
        stained[window] |= named
        regions.append(_edge_of(layers, window, named, entry))
    if any(entry.also_red for entry in entries):
        regions += _red_cells_around(layers, stained)
    return found_in(image, layers, regions)


def find_named(layers: Layers, entry: Entry) -> Region:
    """The white cell or platelets that the box of an entry names, or its point."""
    assert entry.box is not None
    x, y, width, _ = entry.box
    if not width:
        around = box_window(x, y, 0, 0, NEAR, layers.dyed.shape)
        marked = np.zeros_like(layers.dyed)
        marked[around] = True
        core = components_with(layers.dyed, layers.dyed & marked)
        entry = replace(entry, box=cv2.boundingRect(core.astype(np.uint8)) if core.any() else (x, y, 1, 1))
    return _edge_of(layers, *_named_cell(layers, entry), entry)


def _edge_of(layers: Layers, window: Window, named: Mask, entry: Entry) -> Region:
    others = grow(grow(layers.dense[window] & ~grow(named, 3), -2), 2)
    return find_edge(layers.density, window, named, others, entry.class_id, by_threshold=True)


def layers_of(image: Image) -> Layers:
    """image: uint8 (h, w, 3) RGB."""
    glass = measure_glass(image)
    channels = optical_density(image, glass)
    density, excess = mean_density(channels), stain_excess(channels)
    smooth = cv2.GaussianBlur(density, (0, 0), 1.0)
    dyed = _opened(cv2.GaussianBlur(excess, (0, 0), 1.5) > _SURE_EXCESS, 1)
    return Layers(glass=glass, density=density, smooth=smooth, dense=foreground(smooth), excess=excess, dyed=dyed)


def found_in(image: Image, layers: Layers, regions: Sequence[Region]) -> FoundCells:
    """The regions, as cells of an image whose own glass was measured."""
    return FoundCells(
        image=image, density=layers.density, regions=tuple(regions), glass=layers.glass, glass_measured=True
    )


def _named_cell(layers: Layers, entry: Entry) -> tuple[Window, Mask]:
    """The cell that an entry names, roughly, in a window three times as wide and high as its box."""
    shape, class_id = layers.dense.shape, entry.class_id
    x, y, w, h = entry.box or (0, 0, shape[1], shape[0])
    window = box_window(x, y, w, h, max(w, h), shape)
    box = box_window(x - window[1].start, y - window[0].start, w, h, 0, layers.dense[window].shape)
    if class_id in RED_CELLS:
        return window, fill_holes(_central(layers.dense[window], box))
    core = _central(layers.dyed[window], box)
    single = class_id != PLATELET_CLUMP
    return window, _stained_cell(layers.excess[window], layers.smooth[window], core, single=single)


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


def _stained_cell(excess: Density, density: Density, core: Mask, *, single: bool) -> Mask:
    """The whole cell around its surely stained `core`: pale cytoplasm has little excess, but more than red cells.

    density: smoothed; glass parts the cell from its neighbours. single: platelets and threads that hang on by a neck
    thinner than a third of the radius are no part of it (of a clump they are). The excess is smoothed by 6 % of the
    core's radius, which evens out granules; rings of chromatic aberration around red cells are thin and open away.
    """
    radius = radius_of(core)
    smooth = cv2.GaussianBlur(excess, (0, 0), float(np.clip(0.06 * radius, 1.0, 6.0)))
    solid = density > LEAST_DENSITY
    pale = _opened((smooth > _PALE_EXCESS) & solid, max(1, round(0.08 * radius))) | (core & solid)
    cell = fill_holes(components_with(pale, core))
    if not single:
        return cell
    radius = radius_of(cell)
    body = largest_component(_opened(cell, max(1, round(0.16 * radius))))
    return largest_component(cell & grow(body, max(1, round(0.08 * radius))))


def _opened(mask: Mask, radius: int) -> Mask:
    return grow(grow(mask, -radius), radius)


def _red_cells_around(layers: Layers, stained: Mask) -> list[Region]:
    """The red cells of a field: components of the foreground that are not `dyed`."""
    found = []
    for window, component in components(layers.dense):
        cell = fill_holes(component)
        if is_dyed(cell, stained[window]):
            continue
        if straight := straight_run(cell, layers.dense.shape):
            found.append(cut_region(window, cell, HEALTHY_RBC, straight))
        else:
            others = layers.dense[window] & ~cell
            found.append(find_edge(layers.density, window, cell, others, HEALTHY_RBC, by_threshold=True))
    return found


def is_dyed(cell: Mask, stained: Mask) -> bool:
    """Whether 2 % or more of a cell is white cell or platelet. stained: where those are."""
    return 50 * int((cell & stained).sum()) >= int(cell.sum())
