"""Stained cells told from red cells by colour: which pixels hold more dye than haemoglobin explains.

In a Romanowsky smear a red cell absorbs green and blue light in one fixed proportion, its own for every slide; nuclei,
granules and cytoplasm of white cells and platelets absorb more green than that. The proportion is fitted per image, so
no stain vector of another laboratory is assumed.

Cells found by threshold: white cells and platelets by their dye, red cells as whatever else is no glass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.bank.cell import mean_density, measure_glass, optical_density
from smearsynth.bank.outlines import (
    LEAST_AREA,
    Density,
    Found,
    Image,
    Mask,
    Region,
    Window,
    box_window,
    components,
    fill_holes,
    finish,
    grow,
    largest,
    radius_of,
    reached,
)
from smearsynth.sources.entry import Entry
from smearsynth.taxonomy import BY_KEY, HEALTHY_RBC, PLATELET_CLUMP, RED_CELLS

_RED_CELL_PROPORTION = 1.6
"""Green over blue density where an image shows no red cell: the median over the PBC fields."""
_LEAST_DENSITY = 0.06
"""Density above which a pixel is no glass: three times camera noise."""
_LEAST_PROPORTION, _MOST_PROPORTION = 1.1, 2.0
"""Outside these bounds the pixels were not red cells, but the pale parts of stained ones."""
_SURE_EXCESS = 0.05
_PALE_EXCESS = 0.025
"""Excess densities in the PBC fields: nuclei and granules over 0.2, pale cytoplasm 0.03-0.1, red cells under 0.015."""


def foreground(density: Density) -> Mask:
    """Everything that is clearly no glass: 0.7 of Otsu's threshold on the densities up to a red cell's.

    density: f4 (h, w), mean over channels. Otsu's own threshold lies half-way for the common cell, so inside the edge
    of a pale one, and a contour that has to grow outwards to half-way is stopped by whatever lies near. From 0.7 of it
    nearly all contours shrink instead: ragged edges fell from 16 % to 2 % of the red cells of the PBC fields.
    """
    clipped = np.clip(density, 0.0, 0.5)
    threshold, _ = cv2.threshold(np.rint(clipped * 510).astype(np.uint8), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return density > max(0.7 * threshold / 510, _LEAST_DENSITY)


def stain_excess(channels: npt.NDArray[np.float32]) -> Density:
    """f4 (h, w): green density beyond what the red cells' proportion of green to blue explains.

    channels: f4 (h, w, 3), densities of red, green and blue.
    """
    red, green, blue = cv2.split(channels)
    red_cells = (mean_density(channels) > 0.1) & (red < 0.45) & (red > 0.05) & (blue > 0.05)
    fitted = np.median(green[red_cells] / blue[red_cells]) if red_cells.sum() > 500 else np.inf
    fits = _LEAST_PROPORTION < fitted < _MOST_PROPORTION
    return green - np.float32(fitted if fits else _RED_CELL_PROPORTION) * blue


def stained(excess: Density) -> Mask:
    """Pixels that are surely white cell or platelet, by their excess of dye."""
    return _opened(cv2.GaussianBlur(excess, (0, 0), 1.5) > _SURE_EXCESS, 1)


def stained_cell(excess: Density, density: Density, core: Mask, *, single: bool) -> Mask:
    """The whole cell around its surely stained `core`: pale cytoplasm has little excess, but more than red cells.

    density: smoothed; glass parts the cell from its neighbours. single: platelets and threads that hang on by a narrow
    neck are no part of it (of a clump they are). The excess is smoothed by 6 % of the core's radius, which evens out
    granules; rings of chromatic aberration around red cells are thin and open away.
    """
    radius = radius_of(core)
    smooth = cv2.GaussianBlur(excess, (0, 0), float(np.clip(0.06 * radius, 1.0, 6.0)))
    solid = density > _LEAST_DENSITY
    pale = _opened((smooth > _PALE_EXCESS) & solid, max(1, round(0.08 * radius))) | (core & solid)
    cell = fill_holes(reached(pale, core))
    return _trimmed(cell) if single else cell


def _trimmed(cell: Mask) -> Mask:
    """Without platelets and threads that hang on by a neck thinner than a third of the radius."""
    radius = radius_of(cell)
    body = largest(_opened(cell, max(1, round(0.16 * radius))))
    return largest(cell & grow(body, max(1, round(0.08 * radius))))


def _opened(mask: Mask, radius: int) -> Mask:
    return grow(grow(mask, -radius), radius)


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
