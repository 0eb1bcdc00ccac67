"""From an image to its cells: each method says roughly where a cell is, one rule for all says where it ends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from smearsynth.cells.edges import (
    Density,
    Mask,
    Soft,
    Window,
    box_window,
    convex_hull,
    fill_holes,
    grow,
    halfway,
    largest,
    radius_of,
    reached,
    straight_run,
    whole,
    window_of,
    within,
)
from smearsynth.cells.glass import mean_density, measure_glass, optical_density
from smearsynth.cells.stain import foreground, stain_excess, stained, stained_cell
from smearsynth.sources.entry import Entry, Method
from smearsynth.taxonomy import BY_KEY, HEALTHY_RBC, PLATELET_CLUMP, RED_CELLS

Image = npt.NDArray[np.uint8]

_BLACK = 24
"""Brightest channel of black ground and of the pixels that resampling blended with it."""
_LEAST_GLASS = 0.95
"""Share of the source's own glass under which the ground of a crop is taken for red cells."""
_OUTLINE_REACHES = (2, 8, 16)
"""Half of the gap, px, over which a drawn outline is closed, the narrowest that suffices: paint may lie over it."""
_LEAST_REACH = 6
"""Pixels that any contour may be moved by: experts' masks are often 2 px off, and the image's threshold runs 3 to 4 px
inside pale or blurred red cells."""
_LEAST_AREA = 30
"""Pixels below which a component is noise."""
_MARGIN = 8
"""Pixels kept around a mask: more than the reach of any edge filter."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """One cell found in an image.

    window: the part of the image that holds the cell and 8 px around it. mask: u1, of the window, soft, 128 half-way
    between glass and rim. rim: optical density of the cell's rim, 0 where no glass shows. contact: share of the cell's
    surroundings that a neighbour fills which threshold could not part from it. straight: longest run of the rough
    region along one side of the image, over that side.
    """

    class_id: int
    window: Window
    mask: Soft
    rim: float
    contact: float
    straight: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """image: u1 (h, w, 3), repaired where the source painted on it. density: f4 (h, w), optical, mean over channels.
    glass: RGB, measured here or the source's."""

    image: Image
    density: Density
    regions: tuple[Region, ...]
    glass: tuple[int, int, int]
    glass_measured: bool


def find_cells(image: Image, entries: Sequence[Entry], given: Soft | None, glass: tuple[int, int, int] | None) -> Found:
    """The cells of one image, those that the entries name first.

    image: u1 (h, w, 3) RGB. entries: of this image; several only by stain, each with a box. given: u1 (h, w), companion
    mask, where the entry has one. glass: the source's recorded constant, used only where the image shows none.
    """
    method, class_id = entries[0].method, BY_KEY[entries[0].class_key].id
    if method is Method.STAIN:
        return _by_stain(image, entries)
    assert len(entries) == 1, "an image has several entries only where boxes tell them apart"
    if method is Method.BLACK_GROUND:
        assert glass is not None, "a source on black ground records its glass"
        return _on_black(image, class_id, glass)
    if method is Method.OUTLINE:
        image, inside = repair_outline(image)
        return _measured(image, class_id, inside, [(whole(inside), inside)], glass)
    assert given is not None, "an entry of method `given` has a mask"
    return _measured(image, class_id, given > 0, list(_components(given > 0)), glass)


def repair_outline(image: Image) -> tuple[Image, Mask]:
    """The image without its burned-in pure red outline (painted in from both sides), and the outline's inside.

    The inside includes the outline; where the outline leaves the image, the image's border closes it. An outline that
    stays open (less than half of its convex hull lies inside) gives an empty inside.
    """
    red = (image[..., 0] > 200) & (image[..., 1] < 60) & (image[..., 2] < 60)
    repaired = cv2.inpaint(image, grow(red, 1).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    least = convex_hull(red).sum() / 2
    for reach in _OUTLINE_REACHES:
        outside = _reached_from_corners(~grow(red, reach))
        inside = largest(~grow(outside, reach))
        if inside.sum() > least > 0:
            return repaired, inside
    return repaired, np.zeros_like(red)


def _reached_from_corners(free: Mask) -> Mask:
    """The parts of `free` that hold a corner of the image: a tight crop has its glass there."""
    corners = np.zeros_like(free)
    corners[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    return reached(free, corners)


def _measured(
    image: Image,
    class_id: int,
    every: Mask,
    insides: list[tuple[Window, Mask]],
    recorded: tuple[int, int, int] | None,
) -> Found:
    """Cells that are roughly known: the glass is measured outside them, then each contour is put half-way.

    recorded: the source's own glass; it stands where the crop shows nothing nearly as bright (by green, in which red
    cells are darkest), because its corners are full of red cells.
    """
    outside = ~grow(every, 2)
    glass = measure_glass(image, outside if outside.sum() >= 64 else None)
    shows = recorded is None or glass[1] >= _LEAST_GLASS * recorded[1]
    if recorded is not None and not shows:
        glass = recorded
    density = mean_density(optical_density(image, glass))
    regions = [_finish(density, window, inside, every[window] & ~inside, class_id) for window, inside in insides]
    return Found(image=image, density=density, regions=tuple(regions), glass=glass, glass_measured=shows)


def _components(mask: Mask) -> Iterator[tuple[Window, Mask]]:
    """Connected regions, the largest first (ties in reading order), each in a window with room to move its edge."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    for label in sorted(range(1, len(stats)), key=lambda i: -int(stats[i, cv2.CC_STAT_AREA])):
        x, y, w, h, area = stats[label].tolist()
        if area >= _LEAST_AREA:
            window = box_window(x, y, w, h, _room(w, h), mask.shape)
            yield window, labels[window] == label


def _room(w: int, h: int) -> int:
    """Pixels around a box of w x h px that decide where the cell in it ends."""
    return 2 * max(_LEAST_REACH, max(w, h) // 8) + 6


def _on_black(image: Image, class_id: int, glass: tuple[int, int, int]) -> Found:
    """A cell cut out on black: the cut's outermost, blended pixel goes, and so does glass left around the cell.

    Nothing is known beyond the cut, so the contour only moves inwards; the black is filled with the nearest colour.
    The glass is the source's constant, or the cell's brightest 1 % where that is brighter: glass is never darker.
    """
    lit = largest(fill_holes(image.max(axis=2) > _BLACK))
    framed = np.pad(lit, 1)
    region = (grow(framed, -1) & _evened(framed))[1:-1, 1:-1]
    image = extended(image, region)
    brightest = np.percentile(image[region], 99, axis=0).astype(int).tolist() if region.any() else glass
    glass = (max(glass[0], brightest[0]), max(glass[1], brightest[1]), max(glass[2], brightest[2]))
    density = mean_density(optical_density(image, glass))
    cell = _finish(density, whole(region), region, ~region, class_id)
    cell = replace(cell, straight=straight_run(lit, lit.shape))
    return Found(image=image, density=density, regions=(cell,), glass=glass, glass_measured=False)


def _evened(mask: Mask) -> Mask:
    """The mask without the steps that a cut at lower resolution left along its edge.

    The level of 0.7 puts the contour half a sigma further in, clear of most steps: they may hold no cell.
    """
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.05 * radius_of(mask) + 0.5) > 0.7


def extended(image: Image, region: Mask) -> Image:
    """The image with everything outside `region` replaced by the colour of the region's nearest pixel."""
    if not region.any():
        return image
    rows, columns = ndimage.distance_transform_edt(~region, return_distances=False, return_indices=True)
    return image[rows, columns]


@dataclass(frozen=True, kw_only=True)
class _Field:
    """What threshold makes of an image. density, smooth: f4 (h, w), mean over channels, raw and slightly smoothed.
    dense: everything that is no glass. excess: of dye, f4 (h, w); dye: surely stained pixels."""

    density: Density
    smooth: Density
    dense: Mask
    excess: Density
    dye: Mask


def _by_stain(image: Image, entries: Sequence[Entry]) -> Found:
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
        regions.append(_finish(density, window, named, others, BY_KEY[entry.class_key].id, by_threshold=True))
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
    filled[sizes < _LEAST_AREA] = 0
    rows, columns = np.nonzero((filled > 0)[inside] & (filled * 10 >= filled.max())[inside])
    if not len(rows):
        return np.zeros_like(mask)
    nearest = np.argmin((rows - inside.shape[0] / 2) ** 2 + (columns - inside.shape[1] / 2) ** 2)
    return labels == inside[rows[nearest], columns[nearest]]


def _red_cells_around(field: _Field, white: Mask) -> list[Region]:
    """The red cells of a field: components of the foreground of which less than 2 % is white cell or platelet."""
    found = []
    for window, component in _components(field.dense):
        cell = fill_holes(component)
        if 50 * int((cell & white[window]).sum()) < int(cell.sum()):
            others = field.dense[window] & ~cell
            found.append(_finish(field.density, window, cell, others, HEALTHY_RBC, by_threshold=True))
    return found


def _finish(
    density: Density, window: Window, region: Mask, others: Mask, class_id: int, *, by_threshold: bool = False
) -> Region:
    """The exact edge of one cell; densities are smoothed in proportion to its size, so noise does not fray it.

    density: of the image. region, others: of the window.
    """
    radius = radius_of(region)
    reach = max(_LEAST_REACH, round(0.08 * radius))
    near = window_of(region, 2 * reach + 6)
    window, region, others = within(window, near), region[near], others[near]
    smooth = cv2.GaussianBlur(density[window], (0, 0), max(0.7, 0.015 * radius))
    mask = halfway(smooth, region, others, reach)
    cell = mask >= 128
    contour = cell & ~grow(cell, -1)
    rim = 2 * float(np.median(smooth[contour])) if contour.any() else 0.0
    kept = window_of(mask > 0, _MARGIN)
    return Region(
        class_id=class_id,
        window=within(window, kept),
        mask=mask[kept],
        rim=rim,
        contact=_contact(cell, smooth > rim / 2, reach + 1) if by_threshold else 0.0,
        straight=straight_run(region, density.shape),
    )


def _contact(cell: Mask, dense: Mask, distance: int) -> float:
    """Share of the ring at `distance` px around a cell that something joined to the cell fills."""
    near = grow(cell, distance)
    joined = reached((dense & near) | cell, cell)
    ring = near & ~grow(cell, distance - 1)
    return float((joined & ring).sum() / max(int(ring.sum()), 1))
