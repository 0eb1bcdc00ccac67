"""From an image to its cells: each method says roughly where a cell is, one rule for all says where it ends."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from smearsynth.cells.edges import (
    Density,
    Mask,
    Soft,
    convex_hull,
    fill_holes,
    grow,
    halfway,
    largest,
    radius_of,
    reached,
    straight_run,
)
from smearsynth.cells.glass import mean_density, measure_glass, optical_density
from smearsynth.cells.stain import foreground, stain_excess, stained, stained_cell
from smearsynth.sources.entry import Entry, Method
from smearsynth.taxonomy import BY_KEY, HEALTHY_RBC, PLATELET_CLUMP, RED_CELLS

Image = npt.NDArray[np.uint8]

_BLACK = 24
"""Brightest channel of black ground and of the pixels that resampling blended with it."""
_OUTLINE_REACHES = (2, 8, 16)
"""Half of the gap, px, over which a drawn outline is closed, the narrowest that suffices: paint may lie over it."""

_LEAST_REACH = 6
"""Pixels that any contour may be moved by: experts' masks are often 2 px off, and the image's threshold runs 3 to 4 px
inside pale or blurred red cells."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """One cell found in an image.

    mask: u1 (h, w), soft, 128 half-way between glass and rim. rim: optical density of the cell's rim, 0 where no
    glass shows. contact: share of the cell's surroundings that a neighbour fills which threshold could not part
    from it. straight: longest run of the rough region along one side of the image, over that side.
    """

    class_id: int
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


def find_cells(image: Image, entry: Entry, given: Soft | None, glass: tuple[int, int, int] | None) -> Found:
    """The cells of one image, the named one first.

    image: u1 (h, w, 3) RGB. given: u1 (h, w), companion mask, where the entry has one. glass: the source's recorded
    constant, used only where the image shows none.
    """
    class_id = BY_KEY[entry.class_key].id
    if entry.method is Method.BLACK_GROUND:
        assert glass is not None, "a source on black ground records its glass"
        return _on_black(image, class_id, glass)
    if entry.method is Method.OUTLINE:
        image, inside = repair_outline(image)
        return _measured(image, class_id, [inside])
    if entry.method is Method.GIVEN:
        assert given is not None, "an entry of method `given` has a mask"
        return _measured(image, class_id, list(_components(given > 0)))
    return _by_stain(image, entry, class_id)


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


def _measured(image: Image, class_id: int, insides: list[Mask]) -> Found:
    """Cells that are roughly known: the glass is measured outside them, then each contour is put half-way."""
    every = np.any(insides, axis=0) if insides else np.zeros(image.shape[:2], bool)
    outside = ~grow(every, 2)
    glass = measure_glass(image, outside if outside.sum() >= 64 else None)
    density = mean_density(optical_density(image, glass))
    regions = [_finish(density, inside, every & ~inside, class_id) for inside in insides]
    return Found(image=image, density=density, regions=tuple(regions), glass=glass, glass_measured=True)


def _components(mask: Mask) -> Iterator[Mask]:
    """Connected regions of at least 30 px, the largest first (ties in reading order)."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    for label in sorted(range(1, len(stats)), key=lambda i: -int(stats[i, cv2.CC_STAT_AREA])):
        if stats[label, cv2.CC_STAT_AREA] >= 30:
            yield labels == label


def _on_black(image: Image, class_id: int, glass: tuple[int, int, int]) -> Found:
    """A cell cut out on black: the cut's outermost, blended pixel goes, and so does glass left around the cell.

    Nothing is known beyond the cut, so the contour only moves inwards; the black is filled with the nearest colour.
    The glass is the source's constant, or the cell's brightest 1 % where that is brighter: glass is never darker.
    """
    lit = largest(fill_holes(image.max(axis=2) > _BLACK))
    framed = np.pad(lit, 1)
    region = grow(framed & _even(framed), -1)[1:-1, 1:-1]
    image = extended(image, region)
    brightest = np.percentile(image[region], 99, axis=0).astype(int) if region.any() else glass
    glass = (max(glass[0], brightest[0]), max(glass[1], brightest[1]), max(glass[2], brightest[2]))
    density = mean_density(optical_density(image, glass))
    cell = replace(_finish(density, region, ~region, class_id), straight=straight_run(lit))
    return Found(image=image, density=density, regions=(cell,), glass=glass, glass_measured=False)


def _even(mask: Mask) -> Mask:
    """The mask without the steps that a cut at lower resolution left along its edge."""
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.05 * radius_of(mask) + 0.5) > 0.5


def extended(image: Image, region: Mask) -> Image:
    """The image with everything outside `region` replaced by the colour of the region's nearest pixel."""
    if not region.any():
        return image
    rows, columns = ndimage.distance_transform_edt(~region, return_distances=False, return_indices=True)
    return image[rows, columns]


def _by_stain(image: Image, entry: Entry, class_id: int) -> Found:
    """The cell of the named class nearest to the centre of the image or of the entry's box."""
    glass = measure_glass(image)
    channels = optical_density(image, glass)
    density = mean_density(channels)
    smooth = cv2.GaussianBlur(density, (0, 0), 1.0)
    dense = foreground(smooth)
    excess = stain_excess(channels)
    dye = stained(excess)
    h, w = image.shape[:2]
    x, y, bw, bh = entry.box or (0, 0, w, h)
    named = _nearest(dense if class_id in RED_CELLS else dye, x + bw / 2, y + bh / 2)
    if class_id in RED_CELLS:
        named = fill_holes(named)
    else:
        named = stained_cell(excess, smooth, named, single=class_id != PLATELET_CLUMP)
    others = grow(grow(dense & ~grow(named, 3), -2), 2)
    regions = [_finish(density, named, others, class_id, by_threshold=True)]
    if entry.also_red:
        regions += _red_cells_around(density, dense, dye | named)
    return Found(image=image, density=density, regions=tuple(regions), glass=glass, glass_measured=True)


def _red_cells_around(density: Density, dense: Mask, dye: Mask) -> list[Region]:
    """The red cells of a field: components of the foreground of which less than 2 % hold dye."""
    found = []
    for component in _components(dense):
        cell = fill_holes(component)
        if 50 * int((cell & dye).sum()) < int(cell.sum()):
            found.append(_finish(density, cell, dense & ~cell, HEALTHY_RBC, by_threshold=True))
    return found


def _nearest(mask: Mask, x: float, y: float) -> Mask:
    """The component nearest to (x, y), among those of at least a tenth of the largest one's area."""
    parts = list(_components(mask))
    if not parts:
        return np.zeros_like(mask)
    parts = [p for p in parts if p.sum() * 10 >= parts[0].sum()]

    def distance(part: Mask) -> float:
        rows, columns = np.nonzero(part)
        return float(np.min((columns - x) ** 2 + (rows - y) ** 2))

    return min(parts, key=distance)


def _finish(density: Density, region: Mask, others: Mask, class_id: int, by_threshold: bool = False) -> Region:
    """The exact edge of one cell; densities are smoothed in proportion to its size, so noise does not fray it."""
    radius = radius_of(region)
    reach = max(_LEAST_REACH, round(0.08 * radius))
    window = _window(region, margin=2 * reach + 6)
    smooth = cv2.GaussianBlur(density[window], (0, 0), max(0.7, 0.015 * radius))
    mask = np.zeros(region.shape, np.uint8)
    mask[window] = halfway(smooth, region[window], others[window], reach)
    cell = mask[window] >= 128
    contour = cell & ~grow(cell, -1)
    rim = 2 * float(np.median(smooth[contour])) if contour.any() else 0.0
    return Region(
        class_id=class_id,
        mask=mask,
        rim=rim,
        contact=_contact(cell, smooth > rim / 2, reach + 1) if by_threshold else 0.0,
        straight=straight_run(region),
    )


def _contact(cell: Mask, dense: Mask, distance: int) -> float:
    """Share of the ring at `distance` px around a cell that something joined to the cell fills."""
    near = grow(cell, distance)
    joined = reached((dense & near) | cell, cell)
    ring = near & ~grow(cell, distance - 1)
    return float((joined & ring).sum() / max(int(ring.sum()), 1))


def _window(region: Mask, margin: int) -> tuple[slice, slice]:
    """The region's bounding box grown by a margin, px, as slices; the whole image for an empty region."""
    x, y, w, h = cv2.boundingRect(region.astype(np.uint8))
    if w == 0:
        return slice(None), slice(None)
    return slice(max(0, y - margin), y + h + margin), slice(max(0, x - margin), x + w + margin)
